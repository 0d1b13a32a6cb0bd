//! One file for each resource of the API. Handlers convert by hand from what rooms hold to `api` types.

pub(crate) mod about;
pub(crate) mod advice;
pub(crate) mod crawlers;
pub(crate) mod events;
pub(crate) mod health;
pub(crate) mod models;
pub(crate) mod overview;
pub(crate) mod pipelines;
pub(crate) mod queries;
pub(crate) mod saved;
pub(crate) mod sql;
pub(crate) mod tables;
pub(crate) mod transforms;
pub(crate) mod upkeep;
pub(crate) mod uploads;
