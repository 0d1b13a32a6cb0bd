//! Takes all the memory it can get.

use lakebox_transform::{Answer, Batch, Info, Plan, Plugin, Table};
use trigger::Trigger;

struct Evil(Trigger);

impl Plugin for Evil {
    type Shape = ();

    fn describe() -> Info {
        trigger::info("memory_hog")
    }

    fn configure(config: &str) -> Result<Self, String> {
        Ok(Self(Trigger::read(config)))
    }

    fn schema(&mut self, table: &Table) -> Result<(Plan, ()), String> {
        Ok((Plan::same(table), ()))
    }

    fn transform(&mut self, (): &(), batch: &Batch<'_>, _: &mut Answer) -> Result<(), String> {
        if self.0.is_in(batch) {
            hog();
        }
        Ok(())
    }
}

fn hog() {
    let mut kept = Vec::new();
    loop {
        kept.push(std::hint::black_box(vec![1_u8; 1 << 20]));
    }
}

lakebox_transform::export!(Evil);
