//! The simulator: a local Microsoft Graph on loopback that checks every request strictly.
//!
//! It imports nothing of the rest of the program.
//! A mistake in shared code would be made on both sides and not be found.

mod batch;
mod checks;
mod credentials;
mod directory;
mod identity;
mod ledger;
mod listing;
mod quota;
mod router;
mod rules;
mod scenario;
mod scenario_file;
mod server;
mod tenant;
mod tls;
mod token;
mod wire;

pub use directory::{Collection, ErrorCounts};
pub use ledger::Ledger;
pub use rules::{RULES, RuleSource};
pub use scenario::{Refill, Scenario};
pub use server::Simulator;
pub use tenant::Tenant;
pub use wire::{BodyDelivery, SimulatedResponse};
