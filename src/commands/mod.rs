//! One file a command: from flags to a plan, from the end of a job to an exit code.

mod dispatch;
mod doctor;
mod explain;
mod find;
mod report;
mod run;
mod run_plan;
mod schedule;
mod service;
mod simulate;
mod status;
mod sweep;
mod verify;

pub use dispatch::{main, refuse};
