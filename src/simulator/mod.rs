//! A local Graph on loopback: a strict judge, not a mock. Imports nothing of ours, so that no mistake can agree with itself.

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

pub use directory::{Census, Set};
pub use ledger::Ledger;
pub use rules::{Basis, RULES};
pub use scenario::{Refill, Scenario};
pub use server::Simulator;
pub use tenant::Tenant;
pub use wire::{Answer, Way};
