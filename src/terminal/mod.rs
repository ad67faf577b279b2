//! The only module that prints: streams, console, status line, log.

pub mod console;
pub mod log;
mod panic_hook;
pub mod status_line;
pub mod streams;

pub use panic_hook::guarded;
