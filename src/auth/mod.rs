//! Tokens: where they come from, the one cache with one renewal for all workers, and what can be read in them.

mod aadsts;
mod assertion;
mod build;
mod choice;
mod claims;
mod failure;
mod host;
mod managed;
mod notices;
mod outside;
mod permission;
mod person;
mod redact;
#[cfg(test)]
mod renewal;
#[cfg(test)]
mod renewal_told;
mod secret_file;
mod skew;
mod source;
mod token;
mod tokens;

pub use build::Plan;
pub use choice::{Choice, Surroundings, choose};
pub use claims::Claims;
pub use failure::Failure;
pub use host::SignInHost;
pub use notices::{Notices, Show};
pub use permission::{Permitted, hidden_text, missing_text, permitted};
pub use skew::said_of_clock;
pub use source::TokenSource;
pub use token::Token;
pub use tokens::Tokens;
