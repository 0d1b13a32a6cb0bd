use crate::{
    Account, Change, Customer, Entry, Loan, Payment, Row, SimulatorConfig,
    books::{Balances, Books},
    calendar::Calendar,
    people::person,
    plan::{Action, BankAccount, INSTALMENTS, PLANS, Plan, Purse, STEPS, Stage, Touch, plan, step},
    schedule::{Moment, Schedule},
};
use model::Op;

/// Ids of the bank's own accounts are 1 to 6; those of customers' wallets begin after this.
const WALLETS_FROM: i64 = 1_000;
/// Most ledger entries of one transaction, as far as their ids go.
const ENTRIES_MAX: i64 = 8;

/// What happened in one transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction {
    /// Its number; the first after the initial state is 0.
    pub number: i64,
    /// Its id in the bank, as `ledger.transaction_id` has it: positive even for history.
    pub id: i64,
    /// When it happened in the bank's time, in microseconds since 1970.
    pub at_us: i64,
    /// The rows it changed, in order.
    pub changes: Vec<Change>,
}

/// The bank, as a function of transaction numbers. Immutable; building it takes some milliseconds.
#[derive(Debug, Clone)]
pub struct Simulation {
    seed: u64,
    schedule: Schedule,
    calendar: Calendar,
    plans: Vec<Plan>,
    books: Books,
}

impl Simulation {
    /// The bank of these settings.
    pub fn new(config: &SimulatorConfig) -> Self {
        let schedule = Schedule::new(config.seed, config.customers);
        let calendar = Calendar::new(config, schedule.day());
        let plans: Vec<_> = (0..PLANS).map(|number| plan(config.seed, number)).collect();
        let books = Books::new(&plans);
        Self { seed: config.seed, schedule, calendar, plans, books }
    }

    /// What happens in transaction `n`, from 0 up.
    pub fn transaction(&self, n: u64) -> Transaction {
        let n = n.cast_signed();
        let (c, step) = self.schedule.at(n);
        let action = self.action(c, step);
        let mut changes = Vec::with_capacity(8);
        let mut push = |touch: Touch, row: Option<Row>| {
            let op = match touch {
                Touch::None => return,
                Touch::Insert => Op::Create,
                Touch::Update => Op::Update,
                Touch::Delete => Op::Delete,
            };
            changes.extend(row.map(|row| Change { op, row }));
        };
        let taken = step + 1;
        let former = if action.customer == Touch::Delete { step } else { taken };
        push(action.customer, self.customer(c, former).map(Row::Customer));
        push(action.loan, self.loan(c, taken).map(Row::Loan));
        if action.payment.is_some() {
            push(Touch::Insert, self.payment(c, step, taken).map(Row::Payment));
        }
        if action.settles {
            push(Touch::Update, self.payment(c, step::WITHDRAW, taken).map(Row::Payment));
        }
        for entry in self.entries(c, step) {
            push(Touch::Insert, Some(Row::Entry(entry)));
        }
        push(action.wallet, self.wallet(c, taken).map(Row::Account));
        let banks: Vec<_> = action.flows.iter().filter_map(|(purse, _)| bank_of(*purse)).collect();
        if !banks.is_empty() {
            let balances = self.balances(&self.moment(n + 1));
            for account in banks {
                push(Touch::Update, Some(Row::Account(self.bank_account(account, &balances))));
            }
        }
        Transaction { number: n, id: self.transaction_id(n), at_us: self.calendar.time_us(n), changes }
    }

    pub(crate) fn calendar(&self) -> &Calendar {
        &self.calendar
    }

    pub(crate) fn transaction_id(&self, n: i64) -> i64 {
        n + self.schedule.history() + 1
    }

    /// The moment after the first `n` transactions.
    pub(crate) fn moment(&self, n: i64) -> Moment {
        self.schedule.after(n)
    }

    /// How many customers have ever been at a moment.
    pub(crate) fn customers(&self, moment: &Moment) -> i64 {
        self.schedule.customers(moment)
    }

    /// Every row that belongs to customer `c` at a moment.
    pub(crate) fn rows_of(&self, moment: &Moment, c: i64) -> Vec<Row> {
        let taken = self.schedule.steps_of(moment, c);
        let mut rows = Vec::with_capacity(40);
        rows.extend(self.customer(c, taken).map(Row::Customer));
        rows.extend(self.wallet(c, taken).map(Row::Account));
        rows.extend(self.loan(c, taken).map(Row::Loan));
        rows.extend((0..taken).filter_map(|step| self.payment(c, step, taken).map(Row::Payment)));
        rows.extend((0..taken).flat_map(|step| self.entries(c, step)).map(Row::Entry));
        rows
    }

    /// The bank's own accounts at a moment.
    pub(crate) fn bank_rows(&self, moment: &Moment) -> Vec<Row> {
        let balances = self.balances(moment);
        BankAccount::ALL.into_iter().map(|account| Row::Account(self.bank_account(account, &balances))).collect()
    }

    fn balances(&self, moment: &Moment) -> Balances {
        self.books.balances(&self.schedule, moment)
    }

    fn plan(&self, c: i64) -> &Plan {
        &self.plans[usize::try_from(c).unwrap_or(0) % PLANS]
    }

    fn action(&self, c: i64, step: usize) -> &Action {
        &self.plan(c).steps[step]
    }

    fn time(&self, c: i64, step: usize) -> i64 {
        self.calendar.time_us(self.schedule.number(c, step))
    }

    /// The last of the first `taken` steps that does `what`.
    fn last(&self, c: i64, taken: usize, what: impl Fn(&Action) -> bool) -> Option<usize> {
        (0..taken.min(STEPS)).rev().find(|step| what(self.action(c, *step)))
    }

    /// Row of customer `c` after `taken` steps.
    fn customer(&self, c: i64, taken: usize) -> Option<Customer> {
        let now = self.action(c, taken.checked_sub(1)?).after;
        if matches!(now.stage, Stage::Unknown | Stage::Gone) {
            return None;
        }
        let touched = self.last(c, taken, |a| a.customer != Touch::None)?;
        let person = person(self.seed, c, now.moved);
        let kept = !now.erased;
        Some(Customer {
            id: customer_id(c),
            name: kept.then_some(person.name),
            email: kept.then_some(person.email),
            phone: kept.then_some(person.phone),
            city: kept.then_some(person.city),
            born_on: kept.then_some(person.born_on),
            segment: person.segment,
            kyc_status: match now.stage {
                _ if now.erased => "erased",
                Stage::Prospect => "pending",
                _ => "verified",
            },
            created_at: self.time(c, step::SIGN_UP),
            updated_at: self.time(c, touched),
        })
    }

    fn wallet(&self, c: i64, taken: usize) -> Option<Account> {
        let now = self.action(c, taken.checked_sub(1)?).after;
        Some(Account {
            id: WALLETS_FROM + customer_id(c),
            customer_id: Some(customer_id(c)),
            kind: "wallet",
            status: if now.wallet_closed { "closed" } else { "open" },
            balance: now.wallet?,
            opened_at: self.time(c, step::KYC),
        })
    }

    fn loan(&self, c: i64, taken: usize) -> Option<Loan> {
        let now = self.action(c, taken.checked_sub(1)?).after.loan?;
        let plan = self.plan(c);
        let disbursed_at = self.time(c, step::DISBURSE);
        let closing = if now.outstanding == 0 { self.last(c, taken, |a| a.loan != Touch::None) } else { None };
        let instalments = i32::try_from(INSTALMENTS).unwrap_or(i32::MAX);
        Some(Loan {
            id: loan_id(c),
            customer_id: customer_id(c),
            status: now.status,
            principal: plan.principal,
            rate_bp: plan.rate_bp,
            instalments,
            outstanding: now.outstanding,
            days_late: now.days_late,
            due_on: Calendar::date(disbursed_at) + instalments,
            disbursed_at,
            closed_at: closing.map(|step| self.time(c, step)),
        })
    }

    /// The payment that customer `c` made at `step`, as it stands after `taken` steps.
    fn payment(&self, c: i64, step: usize, taken: usize) -> Option<Payment> {
        let planned = self.action(c, step).payment?;
        let created_at = self.time(c, step);
        let withdrawal = step == step::WITHDRAW && planned.kind == "withdrawal";
        let (status, settled_at) = if !withdrawal {
            ("settled", Some(created_at))
        } else if taken > step::SETTLE {
            (self.action(c, step::SETTLE).after.withdrawal, Some(self.time(c, step::SETTLE)))
        } else {
            ("pending", None)
        };
        Some(Payment {
            id: self.transaction_id(self.schedule.number(c, step)),
            customer_id: customer_id(c),
            loan_id: planned.of_loan.then(|| loan_id(c)),
            kind: planned.kind,
            method: planned.method,
            amount: planned.cents,
            status,
            created_at,
            settled_at,
        })
    }

    fn entries(&self, c: i64, step: usize) -> impl Iterator<Item = Entry> + '_ {
        let action = self.action(c, step);
        let n = if action.flows.is_empty() { 0 } else { self.schedule.number(c, step) };
        let (transaction_id, booked_at) = (self.transaction_id(n), self.calendar.time_us(n));
        action.flows.iter().zip(0..ENTRIES_MAX).map(move |((purse, cents), i)| Entry {
            id: transaction_id * ENTRIES_MAX + i,
            transaction_id,
            account_id: bank_of(*purse).map_or(WALLETS_FROM + customer_id(c), bank_account_id),
            kind: action.kind,
            amount: *cents,
            booked_at,
        })
    }

    fn bank_account(&self, account: BankAccount, balances: &Balances) -> Account {
        Account {
            id: bank_account_id(account),
            customer_id: None,
            kind: account.kind(),
            status: "open",
            balance: balances[account.index()],
            opened_at: self.calendar.time_us(-self.schedule.history()),
        }
    }
}

fn bank_of(purse: Purse) -> Option<BankAccount> {
    match purse {
        Purse::Wallet => None,
        Purse::Bank(account) => Some(account),
    }
}

fn customer_id(c: i64) -> i64 {
    c + 1
}

fn loan_id(c: i64) -> i64 {
    c + 1
}

fn bank_account_id(account: BankAccount) -> i64 {
    account.index() as i64 + 1
}
