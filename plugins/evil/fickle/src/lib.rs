//! Gives another plan whenever it is made anew. Since an instance has no memory of former ones, it goes by the shape's number and by what it
//! is told after a panic: the first batch that holds the poison kills it, and the next instance drops a column.

use lakebox_transform::{Answer, Batch, Info, Plan, Plugin, Table};
use trigger::Trigger;

struct Evil {
    trigger: Trigger,
    told: u32,
}

impl Plugin for Evil {
    type Shape = ();

    fn describe() -> Info {
        trigger::info("fickle")
    }

    fn configure(config: &str) -> Result<Self, String> {
        Ok(Self { trigger: Trigger::read(config), told: 0 })
    }

    fn schema(&mut self, table: &Table) -> Result<(Plan, ()), String> {
        self.told += 1;
        let mut plan = Plan::same(table);
        // The first instance is told two tables by the test, a later one begins with the second.
        if self.told == 1 && table.name == "second" {
            plan.columns.pop();
        }
        Ok((plan, ()))
    }

    fn transform(&mut self, (): &(), batch: &Batch<'_>, _: &mut Answer) -> Result<(), String> {
        assert!(!self.trigger.is_in(batch), "gone");
        Ok(())
    }
}

lakebox_transform::export!(Evil);
