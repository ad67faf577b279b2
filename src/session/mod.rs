//! Where and as whom: endpoint, sign-in, tenant and permission checks.

mod endpoint;
mod options;
#[expect(clippy::module_inception, reason = "the file holds the type of the same name")]
mod session;
mod sign_in;

pub use endpoint::{EmbeddedSimulator, Endpoint, is_scenario, load_scenario};
pub use options::ServiceOptions;
pub use session::{Purpose, Session, UNKNOWN_TENANT};
pub use sign_in::network;
