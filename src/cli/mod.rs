//! Arguments: commands and flags of the command line, each also an environment variable and a key of the settings file.

mod auth_flag;
mod command_line;
mod doctor;
mod explain;
mod find;
mod help;
mod next_command;
mod report;
mod run;
mod schedule;
mod service;
mod settings;
mod sign_in_page;
mod simulate;
mod sweep;
mod values;
mod verify;

pub use auth_flag::AuthFlag;
pub use command_line::{Cli, Command, Telling};
pub use doctor::Doctor;
pub use explain::Explain;
pub use find::{Find, Only};
pub use help::command;
pub use report::{RedactKind, Report, Status};
pub use run::{ProgressFlag, Run};
pub use schedule::{Schedule, Scheduler};
pub use service::Service;
pub use settings::{Parsed, parse};
pub use simulate::Simulate;
pub use sweep::Sweep;
pub use values::{duration, per_second, rate};
pub use verify::Verify;
