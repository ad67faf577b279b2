//! One HTTP client, and what a network fault means.

mod address;
mod fault;
mod network;
mod proxy;

pub use address::{is_loopback, root, without_user};
pub use fault::{Lasting, NetFault, Trouble, fault, requires_http1, trouble};
pub use network::{Network, client};
pub use proxy::{ask_proxy, idle_exceptions, proxy_name};
