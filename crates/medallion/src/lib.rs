//! medallion.
