//! Gold over a real lake and a real engine.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends with its first surprise")]
#![expect(clippy::expect_used, clippy::panic, reason = "a test that can't set up its lake fails")]

mod demo;
mod gold;
mod house;
mod layout;
