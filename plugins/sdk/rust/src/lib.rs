//! Write lakebox transforms in Rust.
//!
//! Implement [`Plugin`], name it with [`export!`], and build the crate as a `cdylib` for `wasm32-unknown-unknown`. `plugins/build.sh` shows the rest.
//!
//! ```ignore
//! struct Shout { column: String }
//!
//! impl Plugin for Shout {
//!     type Shape = Option<usize>;
//!     fn describe() -> Info { Info { name: "shout".into(), version: "1.0.0".into(), description: "In capitals".into(), config_schema: "{}".into() } }
//!     fn configure(config: &str) -> Result<Self, String> { Ok(Self { column: config.to_owned() }) }
//!     fn schema(&mut self, table: &Table) -> Result<(Plan, Self::Shape), String> {
//!         Ok((Plan::same(table).reading([&self.column]), table.index_of(&self.column)))
//!     }
//!     fn transform(&mut self, shape: &Self::Shape, batch: &Batch<'_>, answer: &mut Answer) -> Result<(), String> {
//!         let Some(index) = *shape else { return Ok(()) };
//!         let text = batch.text(index)?;
//!         let mut out = TextBuilder::with_capacity(batch.rows(), text.byte_len());
//!         text.iter().for_each(|value| out.push(value.map(str::to_uppercase).as_deref()));
//!         answer.set(index, out.finish());
//!         Ok(())
//!     }
//! }
//!
//! lakebox_transform::export!(Shout);
//! ```

mod answer;
mod batch;
mod runner;

#[doc(hidden)]
#[allow(missing_docs)]
pub mod bindings {
    wit_bindgen::generate!({
        path: "../../contract/transform.wit",
        world: "transform",
        pub_export_macro: true,
        export_macro_name: "export_world",
        default_bindings_module: "lakebox_transform::bindings",
    });
}

/// The packed layout of batches and answers, for plugins that want the bytes themselves.
#[path = "../../../contract/layout.rs"]
pub mod layout;

pub use answer::{Answer, Column, Packed, TextBuilder, column_of};
pub use batch::{Batch, TextColumn, Value, Values};
pub use bindings::exports::lakebox::transform::plugin::{DataType, DecimalType, Info, OutColumn, Plan, Table};
#[doc(hidden)]
pub use runner::Runner;

/// A transform.
pub trait Plugin: Sized + 'static {
    /// What the plugin remembers of a table's shape, to find its columns without looking for them in every batch.
    type Shape: 'static;

    /// What the plugin says of itself.
    fn describe() -> Info;

    /// Makes the plugin from the user's configuration, which is JSON.
    fn configure(config: &str) -> Result<Self, String>;

    /// Says what becomes of a table. The same configuration and table must always give the same plan.
    fn schema(&mut self, table: &Table) -> Result<(Plan, Self::Shape), String>;

    /// Transforms a batch. `answer` begins with the batch's data columns as they are (where the plan has as many); what is not set stays so.
    /// An error is for the whole batch; single rows are refused with [`Answer::refuse`].
    fn transform(&mut self, shape: &Self::Shape, batch: &Batch<'_>, answer: &mut Answer) -> Result<(), String>;
}

impl Plan {
    /// The table as it is.
    pub fn same(table: &Table) -> Self {
        let column = |c: &bindings::exports::lakebox::transform::plugin::Column| OutColumn {
            name: c.name.clone(),
            data_type: c.data_type.clone(),
            origin: Some(c.name.clone()),
        };
        Self { columns: table.columns.iter().map(column).collect(), reads: None }
    }

    /// Limits the columns whose values arrive with batches, which saves time.
    #[must_use]
    pub fn reading<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.reads = Some(names.into_iter().map(Into::into).collect());
        self
    }
}

impl Table {
    /// Index of a data column by name.
    pub fn index_of(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|c| c.name == name)
    }
}

/// Makes a [`Plugin`] the plugin of this crate.
#[macro_export]
macro_rules! export {
    ($plugin:ty) => {
        const _: () = {
            use $crate::bindings::exports::lakebox::transform::plugin as contract;

            std::thread_local! {
                static RUNNER: std::cell::RefCell<Option<$crate::Runner<$plugin>>> = const { std::cell::RefCell::new(None) };
            }

            struct Exported;

            impl contract::Guest for Exported {
                fn describe() -> contract::Info {
                    <$plugin as $crate::Plugin>::describe()
                }

                fn configure(config: String) -> Result<(), String> {
                    let runner = $crate::Runner::configure(&config)?;
                    RUNNER.with_borrow_mut(|slot| *slot = Some(runner));
                    Ok(())
                }

                fn schema(shape: u32, table: contract::Table) -> Result<contract::Plan, String> {
                    RUNNER.with_borrow_mut(|slot| slot.as_mut().ok_or("not configured")?.schema(shape, &table))
                }

                fn transform(batch: Vec<u8>) -> Result<Vec<u8>, String> {
                    RUNNER.with_borrow_mut(|slot| slot.as_mut().ok_or("not configured")?.transform(&batch))
                }
            }

    $crate::bindings::export_world!(Exported with_types_in $crate::bindings);
        };
    };
}
