//! The slow suites: kill storms, full disks, pauses, scale, pace over sockets. `tests/slow/run` builds the release binary and starts them.
//!
//! `ROUNDS` (kills), `ROWS` (scale) and `SOCKETS` set their size; `tests/slow/run` without them shows everything whole.

mod disk;
mod harness;
mod hostile;
mod kill;
mod pause;
mod scale;
mod sockets;
mod start;
mod unavailable;
