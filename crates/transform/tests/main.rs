//! Plugins as `make plugins` builds them, against the host.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends with its first surprise")]

mod fixture;
mod hostile;
mod load;
mod mask;
mod reshape;
mod speed;
