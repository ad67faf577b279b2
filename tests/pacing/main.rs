//! The pacing bench: the real gate, worker pool and rate controller against modeled services in paused time.
//!
//! To add a scenario, add a file to `samples/scenarios/pacing/`.
//! `cargo test --release --test pacing -- --include-ignored --nocapture` runs everything.

mod limits;
mod scenario;
mod scenarios;
mod sharing;
mod world;
