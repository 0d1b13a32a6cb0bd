use crate::dice::Dice;

/// Steps of a customer's life; each is one transaction.
pub const STEPS: usize = 18;

/// How many different lives there are as far as money goes. Customer `c` lives plan `c % PLANS`.
pub(crate) const PLANS: usize = 1024;

/// Where money can be. All of it together is always zero: what the customers have, the bank owes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purse {
    /// The customer's own account.
    Wallet,
    /// One of the bank's accounts.
    Bank(BankAccount),
}

/// The bank's own accounts, in the order of their ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BankAccount {
    /// Money on its way from and to other banks.
    Clearing,
    /// Money lent out (negative).
    Lending,
    /// Interest earned.
    Interest,
    /// Fees earned.
    Fees,
    /// Loans written off (negative).
    Losses,
    /// What the treasury keeps apart.
    Reserve,
}

impl BankAccount {
    pub(crate) const ALL: [Self; 6] = [Self::Clearing, Self::Lending, Self::Interest, Self::Fees, Self::Losses, Self::Reserve];

    /// Index in [`Self::ALL`].
    pub(crate) fn index(self) -> usize {
        self as usize
    }

    /// The `kind` of its row.
    pub(crate) fn kind(self) -> &'static str {
        ["clearing", "lending", "interest_income", "fee_income", "credit_losses", "reserve"][self.index()]
    }
}

/// What a step does to a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Touch {
    #[default]
    None,
    Insert,
    Update,
    Delete,
}

/// A payment that a step inserts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PaymentPlan {
    pub(crate) kind: &'static str,
    pub(crate) method: &'static str,
    pub(crate) cents: i64,
    pub(crate) of_loan: bool,
}

/// How a customer stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Stage {
    #[default]
    Unknown,
    Prospect,
    Verified,
    /// Refused and deleted.
    Gone,
}

/// How a loan stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LoanState {
    pub(crate) status: &'static str,
    pub(crate) outstanding: i64,
    pub(crate) days_late: i32,
}

/// Everything that a life has brought about so far, as far as rows show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Standing {
    pub(crate) stage: Stage,
    pub(crate) moved: bool,
    pub(crate) erased: bool,
    /// Balance in cents, once there is an account.
    pub(crate) wallet: Option<i64>,
    pub(crate) wallet_closed: bool,
    pub(crate) loan: Option<LoanState>,
    /// Status of the withdrawal.
    pub(crate) withdrawal: &'static str,
}

/// One step of a plan.
#[derive(Debug, Clone, Default)]
pub(crate) struct Action {
    /// What the ledger calls it.
    pub(crate) kind: &'static str,
    /// Who gains what, in cents; sums to zero.
    pub(crate) flows: Vec<(Purse, i64)>,
    pub(crate) customer: Touch,
    pub(crate) wallet: Touch,
    pub(crate) loan: Touch,
    pub(crate) payment: Option<PaymentPlan>,
    /// Whether the withdrawal's payment changes.
    pub(crate) settles: bool,
    /// How everything stands afterwards.
    pub(crate) after: Standing,
}

/// A life as far as money goes.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) steps: Vec<Action>,
    /// Terms of the loan, where there is one.
    pub(crate) principal: i64,
    /// Interest for the whole term in basis points.
    pub(crate) rate_bp: i64,
}

/// Names of the steps, in order.
pub(crate) mod step {
    pub(crate) const SIGN_UP: usize = 0;
    pub(crate) const KYC: usize = 1;
    pub(crate) const FIRST_DEPOSIT: usize = 2;
    pub(crate) const DISBURSE: usize = 3;
    pub(crate) const WITHDRAW: usize = 4;
    pub(crate) const SETTLE: usize = 5;
    pub(crate) const PROFILE: usize = 6;
    pub(crate) const DEPOSITS: [usize; 3] = [7, 10, 13];
    pub(crate) const RESOLVE: usize = 16;
    pub(crate) const CLOSE: usize = 17;
}

/// Instalments of every loan, one a simulated day.
pub(crate) const INSTALMENTS: i64 = 6;

const LATE_FEE: i64 = 1_500;

/// Writes a plan step by step.
struct Writer {
    dice: Dice,
    now: Standing,
    action: Action,
    principal: i64,
    rate_bp: i64,
    /// Instalments paid.
    paid: i64,
    /// Cents that the withdrawal took.
    withdrawn: i64,
}

pub(crate) fn plan(seed: u64, number: usize) -> Plan {
    let mut dice = Dice::new(seed, 3, number as u64);
    let refused = dice.percent(10);
    let borrows = dice.percent(80);
    let fate = dice.between(0, 99);
    let principal = if borrows { dice.between(4, 100) * 5_000 } else { 0 };
    let rate_bp = dice.between(20, 90) * 10;
    let mut writer =
        Writer { dice, now: Standing::default(), action: Action::default(), principal, rate_bp, paid: 0, withdrawn: 0 };
    let steps = (0..STEPS).map(|step| {
        writer.action = Action::default();
        match step {
            step::SIGN_UP => writer.sign_up(),
            step::KYC => writer.kyc(refused),
            _ if refused => writer.treasury(),
            step::FIRST_DEPOSIT => {
                let cents = writer.dice.between(5_000, 50_000);
                writer.deposit(cents);
            }
            step::DISBURSE if borrows => writer.disburse(),
            step::WITHDRAW => writer.withdraw(),
            step::SETTLE => writer.settle(),
            step::PROFILE => writer.profile(),
            step if step::DEPOSITS.contains(&step) => writer.save(step, fate),
            step::RESOLVE => writer.resolve(fate),
            step::CLOSE => writer.close(),
            _ if borrows => writer.instalment(),
            _ => writer.card(),
        }
        writer.action.after = writer.now;
        std::mem::take(&mut writer.action)
    });
    let steps = steps.collect();
    Plan { steps, principal, rate_bp }
}

/// Lives with this fate or above never pay as agreed.
const FATE_DEFAULT: i64 = 90;
/// Lives with this fate or above pay late.
const FATE_LATE: i64 = 72;

impl Writer {
    fn flow(&mut self, to: Purse, cents: i64) {
        if cents == 0 {
            return;
        }
        if to == Purse::Wallet {
            self.now.wallet = self.now.wallet.map(|w| w + cents);
            self.action.wallet = Touch::Update;
        }
        self.action.flows.push((to, cents));
    }

    fn pay(&mut self, kind: &'static str, method: &'static str, cents: i64, of_loan: bool) {
        self.action.kind = kind;
        self.action.payment = Some(PaymentPlan { kind, method, cents, of_loan });
    }

    fn wallet(&self) -> i64 {
        self.now.wallet.unwrap_or(0)
    }

    /// Principal and interest of the next instalment; the last one takes what division left over.
    fn next_parts(&self) -> (i64, i64) {
        let interest = self.principal * self.rate_bp / 10_000;
        let last = self.paid + 1 == INSTALMENTS;
        let part = |whole: i64| if last { whole - whole / INSTALMENTS * (INSTALMENTS - 1) } else { whole / INSTALMENTS };
        (part(self.principal), part(interest))
    }

    fn sign_up(&mut self) {
        self.action.kind = "sign_up";
        self.action.customer = Touch::Insert;
        self.now.stage = Stage::Prospect;
    }

    fn kyc(&mut self, refused: bool) {
        self.action.kind = "kyc";
        if refused {
            self.action.customer = Touch::Delete;
            self.now.stage = Stage::Gone;
        } else {
            self.action.customer = Touch::Update;
            self.action.wallet = Touch::Insert;
            self.now.stage = Stage::Verified;
            self.now.wallet = Some(0);
        }
    }

    fn treasury(&mut self) {
        self.action.kind = "treasury";
        let cents = self.dice.between(-500, 1_000) * 100 + 50;
        self.flow(Purse::Bank(BankAccount::Clearing), -cents);
        self.flow(Purse::Bank(BankAccount::Reserve), cents);
    }

    fn deposit(&mut self, cents: i64) {
        self.pay("deposit", "bank_transfer", cents, false);
        self.flow(Purse::Bank(BankAccount::Clearing), -cents);
        self.flow(Purse::Wallet, cents);
    }

    fn disburse(&mut self) {
        let fee = self.principal / 100;
        self.pay("disbursement", "wallet", self.principal, true);
        self.flow(Purse::Bank(BankAccount::Lending), -self.principal);
        self.flow(Purse::Wallet, self.principal - fee);
        self.flow(Purse::Bank(BankAccount::Fees), fee);
        self.action.loan = Touch::Insert;
        self.now.loan = Some(LoanState { status: "active", outstanding: self.principal, days_late: 0 });
    }

    fn withdraw(&mut self) {
        let cents = self.wallet() * 7 / 10;
        self.pay("withdrawal", "bank_transfer", cents, false);
        self.flow(Purse::Wallet, -cents);
        self.flow(Purse::Bank(BankAccount::Clearing), cents);
        self.withdrawn = cents;
        self.now.withdrawal = "pending";
    }

    fn settle(&mut self) {
        self.action.kind = "settlement";
        self.action.settles = true;
        if self.dice.percent(94) {
            self.now.withdrawal = "settled";
            return;
        }
        // The other bank sent the money back.
        self.action.kind = "return";
        self.now.withdrawal = "failed";
        self.flow(Purse::Bank(BankAccount::Clearing), -self.withdrawn);
        self.flow(Purse::Wallet, self.withdrawn);
    }

    fn profile(&mut self) {
        if self.dice.percent(60) {
            self.action.kind = "address_change";
            self.action.customer = Touch::Update;
            self.now.moved = true;
        } else {
            let cents = self.dice.between(1_000, 20_000);
            self.deposit(cents);
        }
    }

    /// Puts money aside for the next two instalments, or not.
    fn save(&mut self, step: usize, fate: i64) {
        let (principal, interest) = self.next_parts();
        let two = (principal + interest) * 2 + self.dice.between(1_000, 5_000);
        let short = fate >= FATE_DEFAULT || (fate >= FATE_LATE && step == step::DEPOSITS[1]);
        self.deposit(if short { two / 8 } else { two });
    }

    fn instalment(&mut self) {
        let (principal, interest) = self.next_parts();
        let Some(mut loan) = self.now.loan else { return self.card() };
        self.action.loan = Touch::Update;
        if self.wallet() >= principal + interest {
            self.pay("repayment", "wallet", principal + interest, true);
            self.flow(Purse::Wallet, -principal - interest);
            self.flow(Purse::Bank(BankAccount::Lending), principal);
            self.flow(Purse::Bank(BankAccount::Interest), interest);
            self.paid += 1;
            loan.outstanding -= principal;
            if loan.days_late > 0 {
                loan.days_late += 1;
            }
            if loan.outstanding == 0 {
                loan.status = "repaid";
            }
        } else {
            self.action.kind = "late_fee";
            loan.status = "late";
            loan.days_late += 1;
            let fee = self.wallet().min(LATE_FEE);
            self.flow(Purse::Wallet, -fee);
            self.flow(Purse::Bank(BankAccount::Fees), fee);
        }
        self.now.loan = Some(loan);
    }

    fn card(&mut self) {
        let share = self.dice.between(5, 30);
        let cents = self.wallet() * share / 100;
        self.pay("purchase", "card", cents, false);
        self.flow(Purse::Wallet, -cents);
        self.flow(Purse::Bank(BankAccount::Clearing), cents);
    }

    fn resolve(&mut self, fate: i64) {
        let Some(mut loan) = self.now.loan else { return self.interest_on_savings() };
        if loan.outstanding == 0 {
            return self.interest_on_savings();
        }
        let due = loan.outstanding;
        self.action.loan = Touch::Update;
        if fate >= FATE_DEFAULT {
            self.action.kind = "write_off";
            self.flow(Purse::Bank(BankAccount::Losses), -due);
            self.flow(Purse::Bank(BankAccount::Lending), due);
            loan.status = "written_off";
        } else {
            self.pay("repayment", "bank_transfer", due + LATE_FEE, true);
            self.flow(Purse::Bank(BankAccount::Clearing), -due - LATE_FEE);
            self.flow(Purse::Bank(BankAccount::Lending), due);
            self.flow(Purse::Bank(BankAccount::Fees), LATE_FEE);
            loan.status = "repaid";
            loan.days_late = 0;
        }
        loan.outstanding = 0;
        self.now.loan = Some(loan);
    }

    fn interest_on_savings(&mut self) {
        self.action.kind = "savings_interest";
        let cents = self.wallet() / 200 + 1;
        self.flow(Purse::Bank(BankAccount::Interest), -cents);
        self.flow(Purse::Wallet, cents);
    }

    fn close(&mut self) {
        let cents = self.wallet();
        if cents > 0 {
            self.pay("payout", "bank_transfer", cents, false);
            self.flow(Purse::Wallet, -cents);
            self.flow(Purse::Bank(BankAccount::Clearing), cents);
        }
        self.action.kind = "closing";
        self.action.wallet = Touch::Update;
        self.now.wallet_closed = true;
        let owed = self.now.loan.is_some_and(|l| l.status != "repaid");
        if !owed && self.dice.percent(30) {
            self.action.customer = Touch::Update;
            self.now.erased = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_of_every_plan_moves_money_without_making_any() {
        for number in 0..PLANS {
            let plan = plan(7, number);
            assert_eq!(plan.steps.len(), STEPS);
            for (step, action) in plan.steps.iter().enumerate() {
                assert_eq!(action.flows.iter().map(|(_, cents)| cents).sum::<i64>(), 0, "plan {number} step {step}");
                assert!(action.after.wallet.unwrap_or(0) >= 0, "plan {number} step {step} overdraws");
                assert!(action.after.loan.is_none_or(|l| l.outstanding >= 0), "plan {number} step {step} overpays");
                assert!(!action.kind.is_empty(), "plan {number} step {step} has no name");
            }
        }
    }

    #[test]
    fn every_fate_occurs() {
        let ends: Vec<_> = (0..PLANS).filter_map(|n| plan(7, n).steps.last().map(|s| s.after)).collect();
        let share = |of: &dyn Fn(&Standing) -> bool| ends.iter().filter(|s| of(s)).count() * 100 / PLANS;
        assert!((5..15).contains(&share(&|s| s.stage == Stage::Gone)));
        assert!((55..75).contains(&share(&|s| s.loan.is_some_and(|l| l.status == "repaid"))));
        assert!((3..12).contains(&share(&|s| s.loan.is_some_and(|l| l.status == "written_off"))));
        assert!((10..30).contains(&share(&|s| s.erased)));
        assert!((2..10).contains(&share(&|s| s.withdrawal == "failed")));
        assert_eq!(share(&|s| s.loan.is_some_and(|l| l.outstanding > 0)), 0);
    }
}
