//! Black-box tests: real servers, the real `lakebox` binary, HTTP, SQL and a browser. Links nothing of lakebox but `api`.

mod disk;
mod engine;
mod lakebox;
mod pipelines;
mod places;
mod postgres;
mod s3;
mod wait;

pub use engine::{Engine, Row};
pub use lakebox::{Lakebox, Project, binary};
pub use places::{plugin, python};
pub use postgres::Postgres;
pub use s3::S3;
pub use wait::until;
