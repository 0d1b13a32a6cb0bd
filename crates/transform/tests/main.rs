//! Plugins as they are built, against the host.
