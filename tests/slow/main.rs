//! The slow suites: kill storms, full disks, pauses, scale. `tests/slow/run` builds the release binary and starts them.
//!
//! `ROUNDS` (kills) and `ROWS` (scale) set their size; `tests/slow/run` without them shows everything whole.

mod disk;
mod harness;
mod hostile;
mod kill;
mod pause;
mod scale;
