//! The query engine from outside: tables made by hand, asked through SQL.

mod encode;
mod engine;
mod errors;
mod pgwire;
mod provider;
mod support;
