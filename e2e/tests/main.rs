//! The real binary against real servers. `make e2e` runs them; they need what `make setup` installs.

mod bad_input;
mod hostile;
mod kill;
mod readers;
mod storage;
