//! Black-box tests: real servers, the real `lakebox` binary, HTTP, SQL and a browser. Links nothing of lakebox but `api`.

mod lakebox;
mod postgres;
mod wait;

pub use lakebox::{Lakebox, Project};
pub use postgres::Postgres;
pub use wait::until;
