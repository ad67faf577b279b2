//! Reading objects of a tenant: pages and single objects, with their service provisioning errors.

mod detail;
mod ids;
mod object;
mod reader;
mod walk;

pub use crate::engine::dispatch::Reads;
pub use detail::{Detail, detail};
pub use ids::Ids;
pub use object::{Fit, Object, Page, Problem, Unknown, page, parse_object, told};
pub use reader::{ReadEnd, ReadObject, Reader};
pub use walk::{Step, Stopped, Walk};
