//! Never comes back.

use lakebox_transform::{Answer, Batch, Info, Plan, Plugin, Table};
use trigger::Trigger;

struct Evil(Trigger);

impl Plugin for Evil {
    type Shape = ();

    fn describe() -> Info {
        trigger::info("endless_loop")
    }

    fn configure(config: &str) -> Result<Self, String> {
        Ok(Self(Trigger::read(config)))
    }

    fn schema(&mut self, table: &Table) -> Result<(Plan, ()), String> {
        Ok((Plan::same(table), ()))
    }

    fn transform(&mut self, (): &(), batch: &Batch<'_>, _: &mut Answer) -> Result<(), String> {
        if self.0.is_in(batch) {
            spin();
        }
        Ok(())
    }
}

fn spin() -> ! {
    let mut n = 0_u64;
    loop {
        n = std::hint::black_box(n.wrapping_add(1));
    }
}

lakebox_transform::export!(Evil);
