use crate::{
    plan::{BankAccount, PLANS, Plan, Purse, STEPS},
    schedule::{Moment, Schedule},
};

const ACCOUNTS: usize = BankAccount::ALL.len();

/// What each of the bank's accounts holds, in cents, in the order of [`BankAccount::ALL`].
pub(crate) type Balances = [i64; ACCOUNTS];

/// Running totals of what plans do to the bank's accounts, from which its balances at any moment follow without replay.
#[derive(Debug, Clone)]
pub(crate) struct Books {
    /// For each step, the total of the first n plans, for n from 0 to [`PLANS`].
    totals: Vec<Vec<Balances>>,
}

impl Books {
    pub(crate) fn new(plans: &[Plan]) -> Self {
        let totals = (0..STEPS).map(|step| {
            let mut running = [0; ACCOUNTS];
            let sums = plans.iter().map(|plan| {
                for (purse, cents) in &plan.steps[step].flows {
                    if let Purse::Bank(account) = purse {
                        running[account.index()] += cents;
                    }
                }
                running
            });
            std::iter::once([0; ACCOUNTS]).chain(sums).collect()
        });
        Self { totals: totals.collect() }
    }

    /// The bank's balances at a moment. Step by step: how many customers have taken it, as whole cycles of plans and a rest.
    pub(crate) fn balances(&self, schedule: &Schedule, moment: &Moment) -> Balances {
        let mut balances = [0; ACCOUNTS];
        for (step, totals) in self.totals.iter().enumerate() {
            let taken = usize::try_from(schedule.taken(moment, step)).unwrap_or(0);
            let (cycles, rest) = ((taken / PLANS) as i64, taken % PLANS);
            for (i, balance) in balances.iter_mut().enumerate() {
                *balance += cycles * totals[PLANS][i] + totals[rest][i];
            }
        }
        balances
    }
}
