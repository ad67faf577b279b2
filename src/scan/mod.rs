//! Reading back what Microsoft 365 says of objects: pages, their errors, verdicts, and what is worth another retry.

mod detail;
mod history;
mod ids;
mod night;
mod object;
mod reader;
mod rows;
mod verdict;
mod walk;

pub use crate::engine::dispatch::Reads;
pub use detail::{Detail, detail};
pub use history::{Entry, History, Judged, Known, Policy, Worth};
pub use ids::Ids;
pub use night::{Cause, Night};
pub use object::{Filter, Fit, Object, Page, Problem, Unknown, page, parse_object};
pub use reader::{Ended, Found, Reader};
pub use rows::{FOUND_HEADER, Looked, VERIFIED_HEADER, found_row, verified_row};
pub use verdict::{Accepted, Judgment, Verdict, cause_key, verdict};
pub use walk::{Step, Stopped, Walk};
