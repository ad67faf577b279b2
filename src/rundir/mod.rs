//! The files of a run: lock, `run.json`, `results.csv` (the journal), `state.json`, `failed.csv`, and the folder they stand in.

mod failed;
mod folder;
mod journal;
mod run_file;

pub use failed::write_failed;
pub use folder::{Lock, find_unfinished, new_folder};
pub use journal::{Journal, Rows, Syncer, Totals, read_results};
pub use run_file::{Identity, Learnt, RunFile, State};
