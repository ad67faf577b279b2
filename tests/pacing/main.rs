//! The pacing bench: the real gate, pool and controller against services in paused time. A new scenario is a new file in
//! `samples/scenarios/pacing/`. `cargo test --release --test pacing -- --include-ignored --nocapture` runs everything.

mod limits;
mod scenario;
mod scenarios;
mod sharing;
mod world;
