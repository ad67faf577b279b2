//! The input: bytes → text → records → ids; one checking pass, then a stream of the rows to do.

mod check;
mod copy;
mod encoding;
mod header;
mod lost;
mod records;

pub use check::{Checked, Items, Options, RawRow, check, reopen};
pub use copy::look;
