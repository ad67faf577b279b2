//! The slow suites: kill storms, full disks, suspended processes, scale, and pacing over sockets.
//!
//! `tests/endurance/run` builds the release binary and starts them. `ROUNDS` (kills), `ROWS` (scale) and `SOCKETS`
//! set their size. Without them, `tests/endurance/run` runs everything at full size.

mod disk;
mod harness;
mod hostile;
mod kill;
mod pause;
mod scale;
mod sockets;
mod start;
mod unavailable;
