//! A simulated fintech as a source: customers, accounts, loans, payments and a double-entry ledger, changed by real transactions.
//!
//! Everything is a pure function of the settings and a transaction number, in closed form: the source can start at any position at
//! once, and [`World::at`] tells the exact content of every table there, which makes it the oracle of tests. No clock, no randomness
//! and no state decide what a transaction does; the clock only decides when it is told.
//!
//! How: a customer's life has [`STEPS`] steps. Time is cut into rounds; in each round one customer takes each step, so that transaction
//! number and (customer, step) determine each other (`schedule`). What a life does with money is one of a fixed number of plans
//! (`plan`), so that the bank's own balances are sums over whole cycles of plans plus a rest.

mod books;
mod calendar;
mod config;
mod dice;
mod encode;
mod people;
mod plan;
mod rows;
mod schedule;
mod simulation;
mod source;
mod world;

pub use config::{CommitTime, SimulatorConfig};
pub use plan::STEPS;
pub use rows::{Account, Change, Customer, Entry, Loan, Payment, Row, Table};
pub use simulation::{Simulation, Transaction};
pub use source::SimulatorSource;
pub use world::World;
