//! All telling: words for reasons, the summary, the figures, the page for people.

mod figures;
mod files;
mod html;
mod html_chart;
mod limits;
mod merge;
mod part;
mod quantiles;
mod summary;
mod timeline;
mod verified;
mod words;

pub use crate::model::{count, thousands};
pub use figures::{Cause, Durations, Figures, Hand, MOST_HANDS};
pub use files::{complete, rewrite};
pub use html::{Redact, ReportPage};
pub use limits::Limits;
pub use merge::{Group, Merged, MergedSummary};
pub use part::{Part, load};
pub use summary::{Summary, shard_sentence};
pub use timeline::{Bin, Silence, Timeline};
pub use verified::Verified;
pub use words::{cause, human, next_step};
