//! One exchange with Graph: the request, and what its answer means.

mod batch;
mod body;
mod challenge;
mod classify;
mod client;
mod connections;
mod read;
mod replies;
mod retry_after;

/// The token of a request.
pub type Pass = std::sync::Arc<crate::auth::Token>;

pub use batch::{BatchPart, MOST_PARTS, NO_ANSWER};
pub use classify::{Meaning, classify};
pub use client::{Client, ClientConfig, Clocks, object_path};
pub use connections::Connections;
pub use read::{LONGEST_PAGE, ReadResponse};
