//! The only module that prints: console, status line, progress display, log.

mod console;
mod layout;
mod log;
mod panic_hook;
mod progress_display;
mod question;
mod status_line;
mod streams;

pub use console::Console;
pub use log::start_log;
pub use panic_hook::{PanicHook, guarded};
pub use progress_display::ProgressDisplay;
