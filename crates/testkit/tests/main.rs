//! The tidy test: what the house promises about itself, checked on the repository's own files.

#![expect(clippy::expect_used, clippy::panic, reason = "a rule that can't read the repository fails as a test fails")]

mod tidy;
