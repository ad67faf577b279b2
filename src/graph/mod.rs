//! One exchange with Graph: the request, and what its answer means.

mod classify;
mod client;
mod clouds;
mod retry_after;

/// What a request is signed with.
pub type Pass = std::sync::Arc<crate::auth::Token>;

pub use classify::{Meaning, classify};
pub use client::{Client, ClientConfig};
pub use clouds::{CHINA, CLOUDS, Cloud, GLOBAL, USGOV, USGOV_DOD};
