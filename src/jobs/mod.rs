//! What the program can do, as functions from plans to ends.

pub(crate) mod chosen_run;
pub mod doctor;
pub(crate) mod explain;
pub(crate) mod files;
pub mod find;
pub(crate) mod next_commands;
pub(crate) mod report;
pub mod run;
pub(crate) mod signals;
pub(crate) mod simulate;
pub(crate) mod simulated;
pub(crate) mod status;
pub mod sweep;
mod tenant_reader;
pub mod verify;
