//! source-postgres.
