//! Answers with bytes that break the contract. `{"lie": "…"}` says which rule.

use lakebox_transform::{
    Answer, Batch, Info, Plan, Table, TextBuilder,
    bindings::exports::lakebox::transform::plugin as contract,
    layout::{DESCRIPTOR_BYTES, HEADER_BYTES},
};
use std::cell::RefCell;
use trigger::{Trigger, setting};

struct Liar {
    trigger: Trigger,
    lie: String,
    columns: usize,
}

thread_local! {
    static LIAR: RefCell<Liar> = const { RefCell::new(Liar { trigger: Trigger::never_read(), lie: String::new(), columns: 0 }) };
}

struct Exported;

impl contract::Guest for Exported {
    fn describe() -> Info {
        trigger::info("liar")
    }

    fn configure(config: String) -> Result<(), String> {
        let lie = setting(&config, "lie").ok_or("say which lie")?;
        LIAR.with_borrow_mut(|liar| *liar = Liar { trigger: Trigger::read(&config), lie, columns: 0 });
        Ok(())
    }

    fn schema(_: u32, table: Table) -> Result<Plan, String> {
        LIAR.with_borrow_mut(|liar| {
            liar.columns = table.columns.len();
            let mut plan = Plan::same(&table);
            match liar.lie.as_str() {
                "no such read" => plan.reads = Some(vec!["nothing".to_owned()]),
                "no key" => plan.columns.retain(|c| !table.key.contains(&c.name)),
                "twice" => plan.columns.push(plan.columns[0].clone()),
                "change column" => plan.columns[1].name = "_op".to_owned(),
                _ => {}
            }
            Ok(plan)
        })
    }

    fn transform(batch: Vec<u8>) -> Result<Vec<u8>, String> {
        let batch = Batch::read(&batch)?;
        LIAR.with_borrow(|liar| {
            let mut answer = Answer::new(&batch, liar.columns);
            if !liar.trigger.is_in(&batch) {
                return answer.pack();
            }
            // The tests' tables have text in their second column.
            let mut text = TextBuilder::with_capacity(batch.rows(), 0);
            (0..batch.rows()).for_each(|_| text.push(Some("lie")));
            answer.set(1, text.finish());
            let mut bytes = answer.pack()?;
            liar.tell(&mut bytes);
            Ok(bytes)
        })
    }
}

impl Liar {
    fn tell(&self, bytes: &mut Vec<u8>) {
        let text = HEADER_BYTES + DESCRIPTOR_BYTES;
        let word = |bytes: &[u8], at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let mut put = |at: usize, value: u32| bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
        match self.lie.as_str() {
            "magic" => put(0, 7),
            "shape" => put(4, 999),
            "rows" => put(8, 1_000_000),
            "columns" => put(12, 77),
            "total" => put(28, u32::MAX),
            "type" => put(text, 3),
            "outside" => put(text + 24, u32::MAX - 8),
            "huge" => put(text + 28, u32::MAX),
            "short offsets" => put(text + 20, 4),
            "source" => {
                put(text, 4 << 8);
                put(text + 4, 4000);
            }
            "source type" => {
                put(text, 4 << 8);
                put(text + 4, 0);
            }
            "shared" => {
                let offsets = word(bytes, text + 16);
                let total = bytes.len() as u32;
                bytes[text + 24..text + 28].copy_from_slice(&0_u32.to_le_bytes());
                bytes[text + 28..text + 32].copy_from_slice(&total.to_le_bytes());
                let rows = word(bytes, 8);
                let last = (offsets + rows * 4) as usize;
                bytes[last..last + 4].copy_from_slice(&total.to_le_bytes());
            }
            "backwards" => {
                let offsets = word(bytes, text + 16) as usize;
                bytes[offsets + 4..offsets + 8].copy_from_slice(&9999_u32.to_le_bytes());
            }
            "utf8" => {
                let values = word(bytes, text + 24) as usize;
                bytes[values] = 0xff;
            }
            "errors" => {
                put(16, 1);
                put(24, u32::MAX - 3);
            }
            "many errors" => put(16, u32::MAX),
            "keep" => put(20, u32::MAX - 1),
            "empty" => bytes.clear(),
            "cut" => bytes.truncate(HEADER_BYTES + 3),
            _ => {}
        }
    }
}

lakebox_transform::bindings::export_world!(Exported with_types_in lakebox_transform::bindings);
