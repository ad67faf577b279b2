//! The vocabulary of a run: rows, ids, attempts, outcomes, records and events. Depends on nothing of ours.

mod attempt;
mod clock;
mod csv_layout;
mod event;
mod limits;
mod neutral;
mod next_command;
mod number;
mod object;
mod outcome;
mod output;
mod progress;
mod record;
mod row;
mod shard;
mod text;
mod user_id;
mod verdict;

pub use attempt::{Attempt, AttemptResult, Scope, Throttle, TransientFailure};
pub use clock::{WallClock, stamp};
pub use csv_layout::CsvLayout;
pub use event::{Event, Finished};
pub use limits::{MaxFailures, Priority, RateLimit};
pub use neutral::{MAX_MESSAGE, is_invisible, neutral, plain};
pub use next_command::{DEFAULT_SCENARIO, NextCommand};
pub use number::{count, noun, thousands};
pub use object::ObjectKind;
pub use outcome::{Outcome, Reason};
pub use output::{LogFormat, Severity};
pub use progress::{Progress, ProgressForm};
pub use record::{COLUMNS, Cell, HEADER, Record};
pub use row::{Item, Row};
pub use shard::{MOST_SHARDS, Shard};
pub use text::Text;
pub use user_id::{BadId, UserId};
pub use verdict::Verdict;
