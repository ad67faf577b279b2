//! The command line as a whole: the commands, and the flags of every command.

use std::path::PathBuf;

use clap::builder::BoolishValueParser;
use clap::{Args, Parser, Subcommand};

use super::doctor::Doctor;
use super::explain::Explain;
use super::find::Find;
use super::report::{Report, Status};
use super::run::Run;
use super::schedule::Schedule;
use super::simulate::Simulate;
use super::sweep::Sweep;
use super::verify::Verify;
use crate::model::{LogFormat, action};

/// The arguments of the program.
#[derive(Debug, Parser)]
#[command(name = "reprovision", about = action::ABOUT, version, propagate_version = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// How to tell about it.
    #[command(flatten)]
    pub telling: Telling,
}

/// Flags of every command.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Output")]
pub struct Telling {
    /// Only the result, warnings and errors
    #[arg(short, long, global = true, env = "REPROVISION_QUIET", value_parser = BoolishValueParser::new(), hide_short_help = true)]
    pub quiet: bool,
    /// Log what happens to each user (-v), to each request (-vv), in the network client (-vvv)
    #[arg(short, long, global = true, action = clap::ArgAction::Count, env = "REPROVISION_VERBOSE", hide_short_help = true)]
    pub verbose: u8,
    /// Append the log to a file instead of standard error; with at least -v
    #[arg(long, global = true, env = "REPROVISION_LOG_FILE", value_name = "FILE", hide_short_help = true)]
    pub log_file: Option<PathBuf>,
    /// Form of the log
    #[arg(
        long,
        global = true,
        env = "REPROVISION_LOG_FORMAT",
        value_name = "FORM",
        default_value = "text",
        hide_short_help = true
    )]
    pub log_format: LogFormat,
    /// Settings file in TOML: long flags of run without dashes, such as `rate = 16`; a flag or a variable wins
    #[arg(long, global = true, env = "REPROVISION_CONFIG", value_name = "FILE", hide_short_help = true)]
    pub config: Option<PathBuf>,
}

/// The commands. Only `run` and `sweep` write to a tenant.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// The action, for every user of a list.
    #[command(about = action::ABOUT_RUN)]
    Run(Box<Run>),
    /// List users, groups or contacts with unresolved service errors, as a CSV that run accepts
    Find(Box<Find>),
    /// Read the accepted users of a run again: cleared, pending, failed again, changed, no error, gone
    Verify(Box<Verify>),
    /// Check sign-in, tenant, permissions, clock, proxy and TLS; nothing is written
    Doctor(Box<Doctor>),
    /// Render summary and report.html of a run again, or of several together
    Report(Report),
    /// Show how far a run is, from its files; also after a crash
    Status(Status),
    /// Print a job definition that runs sweep every night
    Schedule(Schedule),
    /// Run the scheduled job: verify the last run, find errors, retry those that are due, and report new failures
    Sweep(Box<Sweep>),
    /// Say what an error means, who can fix it, and what to do next; offline
    Explain(Explain),
    /// Run a local Graph simulator on loopback, to try everything; prints its ledger when stopped
    Simulate(Simulate),
    /// Print a completion script: `source <(reprovision completions bash)`, in PowerShell
    /// `reprovision completions powershell | Out-String | Invoke-Expression`
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page, of the program or of one command
    Man {
        /// The command [default: the program itself]
        command: Option<String>,
    },
}
