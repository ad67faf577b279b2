//! Flags of `run`.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::{Args, ValueEnum};

use super::find::Only;
use super::service::Service;
use super::values::{self, duration, per_second, rate};
use crate::model::{
    DEFAULT_CONCURRENCY, DEFAULT_MAX_ATTEMPTS, MaxFailures, ObjectKind, Priority, RateLimit, Shard,
};

/// `--progress`
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[expect(missing_docs, reason = "the names say it")]
pub enum ProgressFlag {
    Auto,
    Bar,
    Lines,
    None,
}

/// Flags of `run`.
#[derive(Debug, Args)]
#[command(next_line_help = false, args_override_self = true)]
pub struct Run {
    /// CSV of users; `-` is standard input
    pub input: Option<PathBuf>,
    /// Which Graph, as whom.
    #[command(flatten)]
    pub service: Service,
    /// Column with the ids, by name or number from 1 [default: found by its name]
    #[arg(long, env = "REPROVISION_COLUMN", value_name = "NAME")]
    pub column: Option<String>,
    /// Stop after N users; the same command without it does the rest
    #[arg(long, env = "REPROVISION_LIMIT", value_name = "N", value_parser = values::some_users)]
    pub limit: Option<u64>,
    /// Find the users with unresolved service errors instead of reading a list
    #[arg(long, env = "REPROVISION_FROM_FIND", value_parser = BoolishValueParser::new(), hide_short_help = true)]
    pub from_find: bool,
    /// Verify this long after the run, such as 5m: cleared, pending, failed again (exit 4 while errors remain)
    #[arg(long, env = "REPROVISION_VERIFY", value_name = "D", value_parser = duration)]
    pub verify: Option<Duration>,
    /// Check everything, say what would happen and how long it takes; nothing is sent
    #[arg(long, env = "REPROVISION_DRY_RUN", value_parser = BoolishValueParser::new())]
    pub dry_run: bool,
    /// Run folder [default: reprovision-runs/TIME-TENANT-INPUT]
    #[arg(long, env = "REPROVISION_OUT", value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Do not ask for confirmation; needs --tenant unless the endpoint is on loopback
    #[arg(long, env = "REPROVISION_YES", value_parser = BoolishValueParser::new())]
    pub yes: bool,

    /// comma, semicolon, tab, pipe or one character [default: found in the header]
    #[arg(long, env = "REPROVISION_DELIMITER", value_name = "D", value_parser = values::delimiter, help_heading = "Input", hide_short_help = true)]
    pub delimiter: Option<u8>,
    /// Kind of object that the ids name
    #[arg(
        long,
        env = "REPROVISION_OBJECT",
        value_name = "KIND",
        value_enum,
        default_value_t,
        help_heading = "Input",
        hide_short_help = true
    )]
    pub object: ObjectKind,
    /// Only this share of the rows, such as 2/4, so that several machines split one list; `4` alone takes the share's
    /// number from JOB_COMPLETION_INDEX. --rate and --initial-rate are totals for all shards
    #[arg(long, env = "REPROVISION_SHARD", value_name = "I/N", value_parser = values::shard, help_heading = "Input", hide_short_help = true)]
    pub shard: Option<Shard>,
    /// Start over in a new folder even if an unfinished run of the same input exists
    #[arg(long, env = "REPROVISION_NEW_RUN", value_parser = BoolishValueParser::new(), help_heading = "Run", hide_short_help = true)]
    pub new_run: bool,
    /// Kept in run.json and summary.json
    #[arg(
        long,
        env = "REPROVISION_LABEL",
        value_name = "TEXT",
        help_heading = "Run",
        hide_short_help = true
    )]
    pub label: Option<String>,
    /// Kept in run.json and summary.json
    #[arg(
        long,
        env = "REPROVISION_TICKET",
        value_name = "TEXT",
        help_heading = "Run",
        hide_short_help = true
    )]
    pub ticket: Option<String>,
    /// Highest number of writes per second, 0.01 to 1000000, such as 16 or 16/s; fixed:16 sends at exactly that
    /// [default: as many as the service takes, found while running]
    #[arg(long, env = "REPROVISION_RATE", value_name = "R", value_parser = rate, help_heading = "Pace", hide_short_help = true)]
    pub rate: Option<RateLimit>,
    /// Initial rate in writes per second; the first burst is 150 times this rate [default: 20, the documented limit]
    #[arg(long, env = "REPROVISION_INITIAL_RATE", value_name = "R", value_parser = per_second, help_heading = "Pace", hide_short_help = true)]
    pub initial_rate: Option<f64>,
    /// Maximum number of users in flight, 1 to 1000. You need about rate × latency; more does not make a run faster
    #[arg(long, env = "REPROVISION_CONCURRENCY", value_name = "N", default_value_t = DEFAULT_CONCURRENCY, value_parser = clap::value_parser!(u16).range(1..=1000), help_heading = "Pace", hide_short_help = true)]
    pub concurrency: u16,
    /// Users in one HTTP request, 1 to 20, at most --concurrency: saves requests, never quota
    #[arg(long, env = "REPROVISION_BATCH", value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=20), help_heading = "Pace", hide_short_help = true)]
    pub batch: u16,
    /// Priority that Microsoft Graph uses when it throttles (x-ms-throttle-priority). With low, interactive requests are served first
    #[arg(
        long,
        env = "REPROVISION_PRIORITY",
        value_name = "P",
        default_value = "low",
        help_heading = "Pace",
        hide_short_help = true
    )]
    pub priority: Priority,
    /// Attempts per user on server errors and network faults; throttled attempts are not counted
    #[arg(long, env = "REPROVISION_MAX_ATTEMPTS", value_name = "N", default_value_t = DEFAULT_MAX_ATTEMPTS, value_parser = clap::value_parser!(u32).range(1..=100), help_heading = "Pace", hide_short_help = true)]
    pub max_attempts: u32,
    /// Stop (exit 5) after this long without an answer for any user [default: 10m on a terminal, else 30m]
    #[arg(long, env = "REPROVISION_MAX_STALL", value_name = "D", value_parser = duration, help_heading = "Guards", hide_short_help = true)]
    pub max_stall: Option<Duration>,
    /// Start no new work after this long (exit 5)
    #[arg(long, env = "REPROVISION_DEADLINE", value_name = "D", value_parser = duration, help_heading = "Guards", hide_short_help = true)]
    pub deadline: Option<Duration>,
    /// Stop (exit 7) when more users than this failed in this call: a number, or a share of those answered (at least 20)
    #[arg(
        long,
        env = "REPROVISION_MAX_FAILURES",
        value_name = "N or P",
        default_value = "5%",
        help_heading = "Guards",
        hide_short_help = true
    )]
    pub max_failures: MaxFailures,
    /// Refuse an input with more users than this (exit 7)
    #[arg(
        long,
        env = "REPROVISION_EXPECT_MAX",
        value_name = "N",
        help_heading = "Guards",
        hide_short_help = true
    )]
    pub expect_max: Option<u64>,
    /// auto, bar, lines (one a minute) or none
    #[arg(
        long,
        env = "REPROVISION_PROGRESS",
        value_name = "MODE",
        default_value = "auto",
        help_heading = "Output",
        hide_short_help = true
    )]
    pub progress: ProgressFlag,
    /// Which errors, for --from-find. Last: its heading would hold for all that follows.
    #[command(flatten)]
    pub only: Only,
}
