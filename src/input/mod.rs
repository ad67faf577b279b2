//! The input: bytes → text → records → ids; one checking pass, then a stream of the rows to do.

mod advice;
mod agree;
mod cell;
mod check;
mod copy;
mod data_rows;
mod encoding;
mod export;
mod first;
mod header;
mod lead_in;
mod list;
mod lost;
mod names;
mod options;
mod quoted;
mod records;
mod refusal;
mod repeats;
mod rows;
mod shift;
mod width;

pub use check::{check, reopen};
pub use copy::look;
pub use list::Checked;
pub use options::Options;
pub use rows::{Items, RawRow};
