//! One test binary: the list of integration tests.

mod account;
mod batch;
#[cfg(unix)]
mod blocked;
mod bug;
mod columns;
mod continues;
mod conventions;
mod crew;
// Pages say the same everywhere; their commands are for a shell.
mod differential;
#[cfg(unix)]
mod docs;
mod doctor;
mod ending;
mod explain;
mod exports;
mod help;
mod input;
mod kill;
mod last_answer;
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
mod second_look;
mod secrets;
mod service;
mod shard;
mod sign_in;
mod sign_in_trouble;
mod signals;
mod simulated;
mod small;
mod stage;
mod status;
mod sweep;
#[cfg(target_os = "linux")]
mod terminal;
mod toml_files;
mod units;
mod waits;
