//! Panics.

use lakebox_transform::{Answer, Batch, Info, Plan, Plugin, Table};
use trigger::Trigger;

struct Evil(Trigger);

impl Plugin for Evil {
    type Shape = ();

    fn describe() -> Info {
        trigger::info("trap")
    }

    fn configure(config: &str) -> Result<Self, String> {
        Ok(Self(Trigger::read(config)))
    }

    fn schema(&mut self, table: &Table) -> Result<(Plan, ()), String> {
        Ok((Plan::same(table), ()))
    }

    fn transform(&mut self, (): &(), batch: &Batch<'_>, _: &mut Answer) -> Result<(), String> {
        if self.0.is_in(batch) {
            panic!("this row is not to my taste");
        }
        Ok(())
    }
}

lakebox_transform::export!(Evil);
