//! Retries Microsoft 365 / Entra service provisioning in bulk: the map of modules.
//!
//! The way of one user: `input` (its own thread) → bounded channel → `pool` slot → `worker`
//! { `dispatch` → `retry` → sleep } → `Event` on a bounded channel → journal thread → `results.csv`.
//! Dependencies point one way only; `docs/architecture.md` has the table, a test holds the code to it.

pub mod auth;
pub mod catalogue;
pub mod cli;
pub mod commands;
pub mod engine;
pub mod error;
pub mod graph;
pub mod input;
mod jobs;
pub mod model;
pub mod net;
pub mod pace;
pub mod report;
pub mod rundir;
pub mod scan;
pub mod session;
pub mod simulator;
pub mod stop;
pub mod sys;
pub mod terminal;
