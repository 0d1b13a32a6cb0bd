//! lakebox.
fn main() {}
