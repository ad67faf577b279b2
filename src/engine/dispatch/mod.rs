//! Dispatch: sends all requests through one gate, single or in batches, writes and reads.

mod batcher;
mod contact;
mod exchange;
mod gate;
mod reads;
mod refusals;
mod sender;

pub use exchange::Exchange;
pub use gate::{Whose, may_be_of_sign_in};
pub use reads::{ReadRequest, Reads};
pub use sender::Dispatch;
