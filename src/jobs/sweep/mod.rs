//! `sweep`: the scheduled job, with a history from one sweep to the next.

mod history;
mod history_file;
mod sweep_job;
mod sweep_state;

pub(crate) use history::Policy;
pub(crate) use sweep_job::{SweepPlan, sweep};
