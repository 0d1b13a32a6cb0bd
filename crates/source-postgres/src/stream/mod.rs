//! Changes as they happen: the replication connection, the messages of `pgoutput`, and the batches made of them.

mod assembler;
mod pgoutput;
mod replication;

pub(crate) use assembler::{Assembler, Followed};
pub(crate) use replication::{End, Replication};
