//! Tokens: where they come from, the one cache with one renewal for all workers, and what can be read in
//! them.

mod aadsts;
mod assertion;
mod build;
mod choice;
mod claims;
mod environment;
mod external_program;
mod failure;
mod host;
mod methods;
mod notices;
mod permission;
mod person;
mod plan;
mod redact;
#[cfg(test)]
mod renewal_notice_tests;
#[cfg(test)]
mod renewal_tests;
mod secret_file;
mod skew;
mod source;
mod token;
mod tokens;

pub use choice::{Choice, choose};
pub use claims::Claims;
pub use environment::Environment;
pub use failure::Failure;
pub use host::SignInHost;
pub use methods::{METHODS, MethodRow, secret_variables};
pub use notices::{Notices, Show};
pub use permission::{Permitted, hidden_text, missing_text, permitted};
pub use plan::SignInPlan;
pub use skew::said_of_clock;
pub use source::TokenSource;
pub use token::Token;
pub use tokens::Tokens;
