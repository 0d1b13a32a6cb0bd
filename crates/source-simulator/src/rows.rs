use arrow::datatypes::{DataType, TimeUnit};
use model::{Column, Key, Op, TableId, TableSchema};
use std::sync::Arc;

/// The bank's tables. All are in the schema `public` with the key `id`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// Who the bank knows. Prospects that are refused are deleted.
    Customers,
    /// Where money is: a wallet for each customer, and the bank's own.
    Accounts,
    /// Loans and how they stand.
    Loans,
    /// Movements as customers see them.
    Payments,
    /// Movements as accountants see them: the entries of a transaction sum to exactly zero.
    Ledger,
}

impl Table {
    /// All tables, in the order in which they are told.
    pub const ALL: [Self; 5] = [Self::Customers, Self::Accounts, Self::Loans, Self::Payments, Self::Ledger];

    /// The bare name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Customers => "customers",
            Self::Accounts => "accounts",
            Self::Loans => "loans",
            Self::Payments => "payments",
            Self::Ledger => "ledger",
        }
    }

    /// The name as the source tells it.
    pub fn id(self) -> TableId {
        TableId::new("public", self.name())
    }

    /// The table's shape, which never changes.
    pub fn schema(self) -> Arc<TableSchema> {
        let columns = self.columns().iter().map(|(name, kind, nullable)| Column {
            name: (*name).to_owned(),
            data_type: kind.data_type(),
            nullable: *nullable,
            source_type: kind.spelt(),
        });
        Arc::new(TableSchema { id: self.id(), version: 1, columns: columns.collect(), key: Key::Columns(vec!["id".to_owned()]) })
    }

    /// Name, type and nullability of each column, in the order in which [`Row::cells`] gives values.
    pub(crate) const fn columns(self) -> &'static [(&'static str, CellType, bool)] {
        use CellType::{Bigint, Date, Integer, Money, Rate, Text, Time};
        match self {
            Self::Customers => &[
                ("id", Bigint, false),
                ("name", Text, true),
                ("email", Text, true),
                ("phone", Text, true),
                ("city", Text, true),
                ("born_on", Date, true),
                ("segment", Text, false),
                ("kyc_status", Text, false),
                ("created_at", Time, false),
                ("updated_at", Time, false),
            ],
            Self::Accounts => &[
                ("id", Bigint, false),
                ("customer_id", Bigint, true),
                ("kind", Text, false),
                ("status", Text, false),
                ("currency", Text, false),
                ("balance", Money, false),
                ("opened_at", Time, false),
            ],
            Self::Loans => &[
                ("id", Bigint, false),
                ("customer_id", Bigint, false),
                ("status", Text, false),
                ("principal", Money, false),
                ("interest_rate", Rate, false),
                ("instalments", Integer, false),
                ("outstanding", Money, false),
                ("days_late", Integer, false),
                ("due_on", Date, false),
                ("disbursed_at", Time, false),
                ("closed_at", Time, true),
            ],
            Self::Payments => &[
                ("id", Bigint, false),
                ("customer_id", Bigint, false),
                ("loan_id", Bigint, true),
                ("kind", Text, false),
                ("method", Text, false),
                ("amount", Money, false),
                ("status", Text, false),
                ("created_at", Time, false),
                ("settled_at", Time, true),
            ],
            Self::Ledger => &[
                ("id", Bigint, false),
                ("transaction_id", Bigint, false),
                ("account_id", Bigint, false),
                ("kind", Text, false),
                ("amount", Money, false),
                ("booked_at", Time, false),
            ],
        }
    }
}

/// The types that the bank's columns have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CellType {
    Bigint,
    Integer,
    Text,
    Money,
    Rate,
    Date,
    Time,
}

/// Digits after the point of [`CellType::Rate`].
const RATE_SCALE: i8 = 4;

impl CellType {
    pub(crate) fn data_type(self) -> DataType {
        match self {
            Self::Bigint => DataType::Int64,
            Self::Integer => DataType::Int32,
            Self::Text => DataType::Utf8,
            Self::Money => DataType::Decimal128(18, 2),
            Self::Rate => DataType::Decimal128(6, RATE_SCALE),
            Self::Date => DataType::Date32,
            Self::Time => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        }
    }

    fn spelt(self) -> String {
        let name = match self {
            Self::Bigint => "bigint",
            Self::Integer => "integer",
            Self::Text => "text",
            Self::Money => "numeric(18,2)",
            Self::Rate => "numeric(6,4)",
            Self::Date => "date",
            Self::Time => "timestamp with time zone",
        };
        name.to_owned()
    }
}

/// A value of a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Cell<'a> {
    Null,
    /// [`CellType::Bigint`], `Integer`, `Money` (cents), `Rate` (hundredths of a percent), `Date` (days) and `Time` (microseconds).
    Number(i64),
    Text(&'a str),
}

impl Cell<'_> {
    fn number_or_null(value: Option<i64>) -> Self {
        value.map_or(Self::Null, Self::Number)
    }
}

impl<'a> Cell<'a> {
    fn text_or_null(value: Option<&'a str>) -> Self {
        value.map_or(Self::Null, Self::Text)
    }
}

/// A row of `customers`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Customer {
    /// Key.
    pub id: i64,
    /// Full name; gone once the customer asked to be erased, as are the next four.
    pub name: Option<String>,
    /// Address of mail.
    pub email: Option<String>,
    /// Telephone number.
    pub phone: Option<String>,
    /// Where they live.
    pub city: Option<&'static str>,
    /// Birthday, in days since 1970.
    pub born_on: Option<i32>,
    /// `retail`, `merchant` or `freelance`.
    pub segment: &'static str,
    /// `pending`, `verified` or `erased`.
    pub kyc_status: &'static str,
    /// When they signed up, in microseconds since 1970.
    pub created_at: i64,
    /// When the row last changed.
    pub updated_at: i64,
}

/// A row of `accounts`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Key.
    pub id: i64,
    /// Whose it is; none for the bank's own.
    pub customer_id: Option<i64>,
    /// `wallet`, or what the bank keeps there.
    pub kind: &'static str,
    /// `open` or `closed`.
    pub status: &'static str,
    /// Cents. Always the sum of the account's ledger entries.
    pub balance: i64,
    /// When it was opened, in microseconds since 1970.
    pub opened_at: i64,
}

/// A row of `loans`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loan {
    /// Key.
    pub id: i64,
    /// Who owes it.
    pub customer_id: i64,
    /// `active`, `late`, `repaid` or `written_off`.
    pub status: &'static str,
    /// Cents lent.
    pub principal: i64,
    /// Interest for the whole term, in hundredths of a percent.
    pub rate_bp: i64,
    /// How many instalments were agreed.
    pub instalments: i32,
    /// Cents of principal still owed.
    pub outstanding: i64,
    /// Days past due.
    pub days_late: i32,
    /// Day of the last instalment, in days since 1970.
    pub due_on: i32,
    /// When it was paid out, in microseconds since 1970.
    pub disbursed_at: i64,
    /// When it was repaid or written off.
    pub closed_at: Option<i64>,
}

/// A row of `payments`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payment {
    /// Key: the number of the transaction that made it.
    pub id: i64,
    /// Whose it is.
    pub customer_id: i64,
    /// The loan it belongs to.
    pub loan_id: Option<i64>,
    /// `deposit`, `disbursement`, `withdrawal`, `repayment`, `purchase` or `payout`.
    pub kind: &'static str,
    /// `wallet`, `bank_transfer` or `card`.
    pub method: &'static str,
    /// Cents, never negative.
    pub amount: i64,
    /// `pending`, `settled` or `failed`.
    pub status: &'static str,
    /// When it was made, in microseconds since 1970.
    pub created_at: i64,
    /// When it was settled or failed.
    pub settled_at: Option<i64>,
}

/// A row of `ledger`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Key.
    pub id: i64,
    /// The transaction; its entries sum to zero.
    pub transaction_id: i64,
    /// The account that gains or loses.
    pub account_id: i64,
    /// What it was for.
    pub kind: &'static str,
    /// Cents gained (positive) or lost.
    pub amount: i64,
    /// When, in microseconds since 1970.
    pub booked_at: i64,
}

/// A row of any table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Row {
    /// Of `customers`.
    Customer(Customer),
    /// Of `accounts`.
    Account(Account),
    /// Of `loans`.
    Loan(Loan),
    /// Of `payments`.
    Payment(Payment),
    /// Of `ledger`.
    Entry(Entry),
}

impl Row {
    /// The table it is a row of.
    pub fn table(&self) -> Table {
        match self {
            Self::Customer(_) => Table::Customers,
            Self::Account(_) => Table::Accounts,
            Self::Loan(_) => Table::Loans,
            Self::Payment(_) => Table::Payments,
            Self::Entry(_) => Table::Ledger,
        }
    }

    /// Its key.
    pub fn id(&self) -> i64 {
        match self {
            Self::Customer(row) => row.id,
            Self::Account(row) => row.id,
            Self::Loan(row) => row.id,
            Self::Payment(row) => row.id,
            Self::Entry(row) => row.id,
        }
    }

    /// Calls `take` with each value, in the order of [`Table::columns`].
    pub(crate) fn cells(&self, mut take: impl FnMut(Cell<'_>)) {
        use Cell::{Number, Text};
        let cells: &[Cell<'_>] = match self {
            Self::Customer(row) => &[
                Number(row.id),
                Cell::text_or_null(row.name.as_deref()),
                Cell::text_or_null(row.email.as_deref()),
                Cell::text_or_null(row.phone.as_deref()),
                Cell::text_or_null(row.city),
                Cell::number_or_null(row.born_on.map(i64::from)),
                Text(row.segment),
                Text(row.kyc_status),
                Number(row.created_at),
                Number(row.updated_at),
            ],
            Self::Account(row) => &[
                Number(row.id),
                Cell::number_or_null(row.customer_id),
                Text(row.kind),
                Text(row.status),
                Text("EUR"),
                Number(row.balance),
                Number(row.opened_at),
            ],
            Self::Loan(row) => &[
                Number(row.id),
                Number(row.customer_id),
                Text(row.status),
                Number(row.principal),
                Number(row.rate_bp),
                Number(i64::from(row.instalments)),
                Number(row.outstanding),
                Number(i64::from(row.days_late)),
                Number(i64::from(row.due_on)),
                Number(row.disbursed_at),
                Cell::number_or_null(row.closed_at),
            ],
            Self::Payment(row) => &[
                Number(row.id),
                Number(row.customer_id),
                Cell::number_or_null(row.loan_id),
                Text(row.kind),
                Text(row.method),
                Number(row.amount),
                Text(row.status),
                Number(row.created_at),
                Cell::number_or_null(row.settled_at),
            ],
            Self::Entry(row) => &[
                Number(row.id),
                Number(row.transaction_id),
                Number(row.account_id),
                Text(row.kind),
                Number(row.amount),
                Number(row.booked_at),
            ],
        };
        for cell in cells {
            take(*cell);
        }
    }
}

/// A change of one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What happened.
    pub op: Op,
    /// The row afterwards; for a delete, the row that is gone.
    pub row: Row,
}
