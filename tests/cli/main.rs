//! One test binary: the list of integration tests.

mod account;
mod answer_during_abort;
mod batch;
#[cfg(unix)]
mod blocked;
mod bug;
mod columns;
mod continues;
mod conventions;
mod differential;
mod pool_support;
// Pages say the same everywhere; their commands are for a shell.
#[cfg(unix)]
mod docs;
mod doctor;
mod edge_cases;
mod ending;
mod explain;
mod exports;
mod help;
mod input;
mod kill;
mod lists;
mod mistakes;
mod network;
mod newest;
mod pace;
mod pages;
mod raw;
mod raw_batch;
mod raw_h2;
mod raw_late;
mod reads;
mod refusals;
mod refused;
mod report;
mod rows;
mod run;
mod scan;
mod scenarios;
mod schedule;
mod secrets;
mod service;
mod shard;
mod sign_in;
mod sign_in_support;
mod sign_in_trouble;
mod signals;
mod simulated;
mod status;
mod sweep;
#[cfg(target_os = "linux")]
mod terminal;
mod token_wait;
mod toml_files;
mod units;
mod waits;
