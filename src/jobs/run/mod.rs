//! A run: check the list, create or resume the run, ask, send, report.

mod counters;
mod drive;
mod finish;
mod folder;
mod invocation;
mod pacing;
mod panic_guard;
mod plan;
mod progress;
mod prompt;
mod recorder;
mod safety_limits;
mod state_writer;
mod stop_monitor;

pub(crate) use invocation::{EndedRun, dry_run, run};
pub(crate) use pacing::Pacing;
pub(crate) use plan::{Confirmation, FolderChoice, RunPlan, Source};
