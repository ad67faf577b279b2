//! The files of a run: lock, `run.json`, `results.csv` (the journal), `state.json`, `failed.csv`, and the folder they stand in.

mod failed;
mod find;
mod folder;
mod hashes;
mod journal;
mod line;
mod page;
mod read_back;
#[cfg(test)]
mod resume_tests;
mod run_file;

pub use failed::{Failed, Original, write_original};
pub use find::{find_run, newest_of, newest_run};
pub use folder::{
    Lock, MatchingRuns, RUNS, find_matching_runs, lock_runs, new_folder, newest_state, remove_debris,
};
pub use hashes::{FileHash, hashes, is_accounted};
pub use journal::{Journal, Syncer};
pub use line::Written;
pub use page::write_page;
pub use read_back::{Expected, ReadBack, RowSet, Totals, each_record, read_account, read_results};
pub use run_file::{
    Identity, NextCommands, READ_WITH, RunFile, SCENARIO, SCHEMA, SavedRate, State, TENANT_NAME,
};
