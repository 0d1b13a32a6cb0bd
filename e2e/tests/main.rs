//! The real binary against real servers. `make e2e` runs them; they need what `make setup` installs.

mod access;
mod admission;
mod bad_input;
mod clients;
mod dbt;
mod drivers;
mod faults;
mod files;
mod hostile;
mod kill;
mod matrix;
mod partitions;
mod readers;
mod refusals;
mod rest;
mod storage;
