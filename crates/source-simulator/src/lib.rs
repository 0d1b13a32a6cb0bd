//! source-simulator.
