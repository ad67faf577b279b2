//! What the program can do, as functions from values to values.

pub(crate) mod run;
pub(crate) mod tally;
