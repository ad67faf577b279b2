//! `find`: a scan of the tenant for objects with unresolved service provisioning errors.

mod find_job;
mod list_file;
mod list_row;
#[cfg(test)]
mod model_tests;
mod pending_list;
mod tally;

pub use find_job::{FindEnd, FindPlan, find};
pub(crate) use list_row::{FOUND_HEADER, LONGEST_NAME, found_row, since};
pub(crate) use pending_list::{PendingList, pending_list};
pub(crate) use tally::{Counts, Tally};
