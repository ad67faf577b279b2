//! The engine: worker pool, retry decision, and the dispatch through which every request is sent.

pub mod dispatch;
pub mod pool;
pub mod retry;
pub mod worker;
