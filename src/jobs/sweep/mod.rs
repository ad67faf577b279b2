//! `sweep`: the scheduled job, with a history from one sweep to the next.

mod history;
mod history_file;
mod sweep_job;
mod sweep_state;

pub use history::Policy;
pub use sweep_job::{SweepEnd, SweepPlan, sweep};
