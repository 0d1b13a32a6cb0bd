//! The tidy test: what the house promises about itself, checked on the repository's own files.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends with its first surprise")]
#![expect(clippy::expect_used, clippy::panic, reason = "a rule that can't read the repository fails as a test fails")]

mod tidy;
