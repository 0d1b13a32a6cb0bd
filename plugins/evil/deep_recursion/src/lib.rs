//! Uses up its stack.

use lakebox_transform::{Answer, Batch, Info, Plan, Plugin, Table};
use trigger::Trigger;

struct Evil(Trigger);

impl Plugin for Evil {
    type Shape = ();

    fn describe() -> Info {
        trigger::info("deep_recursion")
    }

    fn configure(config: &str) -> Result<Self, String> {
        Ok(Self(Trigger::read(config)))
    }

    fn schema(&mut self, table: &Table) -> Result<(Plan, ()), String> {
        Ok((Plan::same(table), ()))
    }

    fn transform(&mut self, (): &(), batch: &Batch<'_>, _: &mut Answer) -> Result<(), String> {
        if self.0.is_in(batch) {
            std::hint::black_box(dig(1));
        }
        Ok(())
    }
}

fn dig(depth: u64) -> u64 {
    let ground = std::hint::black_box([depth; 64]);
    if std::hint::black_box(true) { dig(depth + 1) + ground[3] } else { ground[0] }
}

lakebox_transform::export!(Evil);
