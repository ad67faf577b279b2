//! Tokens: where they come from, the one cache with one renewal for all workers, and what can be read in them.

mod claims;
mod exchange;
mod tokens;

pub use claims::Claims;
pub use exchange::Exchange;
pub use tokens::{Token, TokenSource, Tokens};
