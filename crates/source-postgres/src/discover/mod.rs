//! What the server has: tables by pattern, columns and their types, keys, publications and slots. Everything here is SQL over a [`Client`].

mod catalog;
mod layout;
mod oids;
mod patterns;
mod publication;
mod server;
mod slot;
mod stored;

pub(crate) use catalog::{Found, Part, barred_error, describe, find_tables, publications_fingerprint, tables_fingerprint};
pub(crate) use layout::Layout;
pub(crate) use oids::TypeCatalog;
pub(crate) use patterns::Patterns;
pub(crate) use publication::publish;
pub(crate) use server::check_server;
pub(crate) use slot::{NewSlot, create_slot, drop_leftover, find_slot, missing};
pub(crate) use stored::Stored;
