//! What is special to this action of Microsoft Graph: path, method, permissions, and the words for people.
//!
//! Documented at <https://learn.microsoft.com/graph/api/user-retryserviceprovisioning>; groups and contacts have pages of
//! their own.

use super::object::ObjectKind;

/// HTTP method. The request has no body.
pub const METHOD: &str = "POST";

/// Below the path of an object.
pub const PATH: &str = "/retryServiceProvisioning";

impl Default for ObjectKind {
    /// The objects for which the action is usually sent.
    fn default() -> Self {
        Self::Users
    }
}

/// Permissions to send the action for objects of a kind, least privileged first, for an app or a signed-in person.
pub fn permissions(kind: ObjectKind, app: bool) -> &'static [&'static str] {
    match (kind, app) {
        (ObjectKind::Users, true) => &[
            "User.ManageIdentities.All",
            "User.EnableDisableAccount.All",
            "User.ReadWrite.All",
            "Directory.ReadWrite.All",
        ],
        (ObjectKind::Users, false) => &[
            "User.ReadWrite",
            "User.ManageIdentities.All",
            "User.EnableDisableAccount.All",
            "User.ReadWrite.All",
            "Directory.ReadWrite.All",
        ],
        (ObjectKind::Groups, _) => &["Group.ReadWrite.All", "Directory.ReadWrite.All"],
        (ObjectKind::Contacts, _) => {
            &["OrgContact.Read.All", "Directory.Read.All", "Directory.ReadWrite.All"]
        }
    }
}

/// Permissions to read objects of a kind and what the action changes on them, least privileged first.
pub fn permissions_to_read(kind: ObjectKind) -> &'static [&'static str] {
    match kind {
        ObjectKind::Users => {
            &["User.Read.All", "User.ReadWrite.All", "Directory.Read.All", "Directory.ReadWrite.All"]
        }
        ObjectKind::Groups => {
            &["Group.Read.All", "Group.ReadWrite.All", "Directory.Read.All", "Directory.ReadWrite.All"]
        }
        ObjectKind::Contacts => &["OrgContact.Read.All", "Directory.Read.All", "Directory.ReadWrite.All"],
    }
}

/// A sentence for a list of permissions that is documented and yet surprising; empty for others. A permission to read
/// is documented as enough for contacts (`docs/graph.md#permissions`).
pub fn doubt_about_permissions(kind: ObjectKind) -> &'static str {
    match kind {
        ObjectKind::Contacts => ". If the first is rejected in practice, take the last",
        ObjectKind::Users | ObjectKind::Groups => "",
    }
}

/// Roles with which a person may send the action.
pub const ROLES: &str = "User Administrator, or Directory Writers for contacts";

/// What is done to objects, as in "retrying users".
pub const DOING: &str = "retrying";

/// The question before the first request, up to the number of users.
pub const QUESTION: &str = "Ask Microsoft 365 to retry provisioning for";

/// Begins the title of a report.
pub const REPORT_TITLE: &str = "Provisioning retry";

/// Stands wherever `accepted` is counted for people.
pub const ACCEPTED_MEANS: &str = "accepted: Microsoft 365 accepted the request. Run verify in 5 to 30 minutes, sometimes \
up to 24 hours, to see whether the error is gone";

/// What the program does, in its help.
pub const ABOUT: &str = "Asks Microsoft 365 to retry provisioning for every user of a CSV";

/// What `run` does, in its help.
pub const ABOUT_RUN: &str = "Ask Microsoft 365 to retry every user of a CSV";
