//! The three kinds of directory objects that the action exists for.

use serde::{Deserialize, Serialize};

/// What the ids of the input name. The action exists on all three (`docs/graph.md#the-action`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ObjectKind {
    /// `/users/{id}`
    Users,
    /// `/groups/{id}`
    Groups,
    /// `/contacts/{id}`: organisational contacts; the path is not `/orgContacts`.
    Contacts,
}

impl ObjectKind {
    /// The entity set in the path of a request.
    pub fn path(self) -> &'static str {
        match self {
            Self::Users => "users",
            Self::Groups => "groups",
            Self::Contacts => "contacts",
        }
    }

    /// The plural for people, such as "2,981 users".
    pub fn plural(self) -> &'static str {
        self.path()
    }

    /// The singular for people.
    pub fn singular(self) -> &'static str {
        match self {
            Self::Users => "user",
            Self::Groups => "group",
            Self::Contacts => "contact",
        }
    }
}
