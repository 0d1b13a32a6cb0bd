//! Keeps to the contract, but wants the time as well.

mod bindings {
    wit_bindgen::generate!({
        path: "../../contract/transform.wit",
        inline: "
            package evil:imports;
            interface clock { now: func() -> u64; }
            world evil { import clock; export lakebox:transform/plugin@0.1.0; }
        ",
    });
}

use bindings::exports::lakebox::transform::plugin as contract;

struct Evil;

impl contract::Guest for Evil {
    fn describe() -> contract::Info {
        let version = bindings::evil::imports::clock::now().to_string();
        contract::Info { name: "wants_imports".to_owned(), version, description: String::new(), config_schema: "{}".to_owned() }
    }

    fn configure(_: String) -> Result<(), String> {
        Ok(())
    }

    fn schema(_: u32, _: contract::Table) -> Result<contract::Plan, String> {
        Err("never asked".to_owned())
    }

    fn transform(_: Vec<u8>) -> Result<Vec<u8>, String> {
        Err("never asked".to_owned())
    }
}

bindings::export!(Evil with_types_in bindings);
