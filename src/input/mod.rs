//! The input: bytes → text → records → ids; one checking pass, then a stream of the rows to do.

mod advice;
mod agree;
mod cell;
mod check;
mod copy;
mod encoding;
mod export;
mod first;
mod header;
mod lead_in;
mod lost;
mod names;
mod quoted;
mod records;
mod repeats;
mod rows;
mod width;

pub use check::{Checked, Options, check, reopen};
pub use copy::look;
pub use rows::{Items, RawRow};
