use crate::{Account, Change, Customer, Entry, Loan, Payment, Row, Simulation};
use model::Op;
use std::collections::BTreeMap;

/// The content of every table, by key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct World {
    /// `customers`.
    pub customers: BTreeMap<i64, Customer>,
    /// `accounts`.
    pub accounts: BTreeMap<i64, Account>,
    /// `loans`.
    pub loans: BTreeMap<i64, Loan>,
    /// `payments`.
    pub payments: BTreeMap<i64, Payment>,
    /// `ledger`.
    pub ledger: BTreeMap<i64, Entry>,
}

impl World {
    /// The exact content after the first `n` transactions; at 0, what a first copy reads. Takes time and memory in proportion to what
    /// there is, not to `n` transactions replayed.
    pub fn at(simulation: &Simulation, n: u64) -> Self {
        let moment = simulation.moment(n.cast_signed());
        let mut world = Self::default();
        for row in simulation.bank_rows(&moment) {
            world.put(row);
        }
        for c in 0..simulation.customers(&moment) {
            for row in simulation.rows_of(&moment, c) {
                world.put(row);
            }
        }
        world
    }

    /// Applies a change as silver would: by key.
    pub fn apply(&mut self, change: Change) {
        if change.op == Op::Delete { self.remove(&change.row) } else { self.put(change.row) }
    }

    /// Sum of all ledger entries in cents: always zero.
    pub fn ledger_total(&self) -> i64 {
        self.ledger.values().map(|e| e.amount).sum()
    }

    /// Accounts whose balance is not the sum of their ledger entries: always none.
    pub fn unbalanced(&self) -> Vec<i64> {
        let mut sums: BTreeMap<i64, i64> = self.accounts.keys().map(|id| (*id, 0)).collect();
        for entry in self.ledger.values() {
            *sums.entry(entry.account_id).or_default() += entry.amount;
        }
        let held = |id: &i64| self.accounts.get(id).map(|a| a.balance);
        sums.into_iter().filter(|(id, sum)| held(id) != Some(*sum)).map(|(id, _)| id).collect()
    }

    /// How many rows there are in all tables.
    pub fn rows(&self) -> usize {
        self.customers.len() + self.accounts.len() + self.loans.len() + self.payments.len() + self.ledger.len()
    }

    fn put(&mut self, row: Row) {
        match row {
            Row::Customer(row) => _ = self.customers.insert(row.id, row),
            Row::Account(row) => _ = self.accounts.insert(row.id, row),
            Row::Loan(row) => _ = self.loans.insert(row.id, row),
            Row::Payment(row) => _ = self.payments.insert(row.id, row),
            Row::Entry(row) => _ = self.ledger.insert(row.id, row),
        }
    }

    fn remove(&mut self, row: &Row) {
        let id = row.id();
        match row {
            Row::Customer(_) => _ = self.customers.remove(&id),
            Row::Account(_) => _ = self.accounts.remove(&id),
            Row::Loan(_) => _ = self.loans.remove(&id),
            Row::Payment(_) => _ = self.payments.remove(&id),
            Row::Entry(_) => _ = self.ledger.remove(&id),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SimulatorConfig;
    use proptest::prelude::*;

    fn bank(seed: u64, customers: u32) -> Simulation {
        Simulation::new(&SimulatorConfig { seed, customers, ..SimulatorConfig::default() })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn changes_replayed_over_the_initial_content_give_the_content_at_every_position(
            seed in any::<u64>(), customers in 20u32..200, from in 0u64..40_000, count in 0u64..3_000,
        ) {
            let bank = bank(seed, customers);
            let mut world = World::at(&bank, from);
            for n in from..from + count {
                for change in bank.transaction(n).changes {
                    let known = match &change.row {
                        Row::Customer(row) => world.customers.contains_key(&row.id),
                        Row::Account(row) => world.accounts.contains_key(&row.id),
                        Row::Loan(row) => world.loans.contains_key(&row.id),
                        Row::Payment(row) => world.payments.contains_key(&row.id),
                        Row::Entry(row) => world.ledger.contains_key(&row.id),
                    };
                    prop_assert_eq!(known, change.op != Op::Create, "{:?}", change);
                    world.apply(change);
                }
            }
            prop_assert_eq!(world, World::at(&bank, from + count));
        }

        #[test]
        fn the_ledger_sums_to_zero_and_explains_every_balance_at_every_position(
            seed in any::<u64>(), customers in 20u32..100, n in 0u64..60_000,
        ) {
            let world = World::at(&bank(seed, customers), n);
            prop_assert_eq!(world.ledger_total(), 0);
            prop_assert_eq!(world.unbalanced(), Vec::<i64>::new());
            prop_assert_eq!(world.accounts.values().map(|a| a.balance).sum::<i64>(), 0);
        }
    }

    #[test]
    fn the_entries_of_each_transaction_sum_to_zero() {
        let bank = bank(1, 100);
        for n in 0..10_000 {
            let entries = bank.transaction(n).changes.into_iter().filter_map(|c| match c.row {
                Row::Entry(entry) => Some(entry.amount),
                _ => None,
            });
            assert_eq!(entries.sum::<i64>(), 0, "{n}");
        }
    }

    #[test]
    fn a_position_a_billion_transactions_away_is_as_near_as_the_first() {
        let bank = bank(7, 6_000);
        let far = bank.transaction(1_000_000_000);
        assert_eq!(far, bank.transaction(1_000_000_000));
        assert!(far.id > 1_000_000_000);
    }
}
