//! Reading back what Microsoft 365 says of objects: pages, their errors, verdicts, and what is worth another retry.

mod detail;
mod history;
mod night;
mod object;
mod reader;
mod rows;
mod verdict;

pub use detail::{Detail, detail};
pub use history::{Entry, History, Judged, Known, Policy, Worth};
pub use night::{Cause, Night};
pub use object::{Filter, Object, Page, Problem, page, page_path, parse_object};
pub use reader::{Ended, Found, Reader};
pub use rows::{FOUND_HEADER, Looked, VERIFIED_HEADER, found_row, verified_row};
pub use verdict::{Accepted, Verdict, cause_key, verdict};
