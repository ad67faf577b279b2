//! The input: bytes → text → records → ids; one checking pass, then a stream of the rows to do.

mod check;
mod encoding;
mod header;
mod records;

pub use check::{Checked, Items, Options, RawRow, check};
pub use header::delimiter_from;
