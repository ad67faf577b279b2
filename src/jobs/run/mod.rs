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

pub use invocation::{EndedRun, RunEnd, dry_run, run};
pub use pacing::Pacing;
pub use plan::{Confirmation, DEFAULT_MAX_STALL, FolderChoice, RunPlan, Source};
