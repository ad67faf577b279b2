//! All telling: words for reasons, the summary, the guard rails' sentences.

mod summary;
mod words;

pub use summary::Summary;
pub use words::{ACCEPTED_MEANS, cause, human, next_step, thousands};
