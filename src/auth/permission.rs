//! Checks whether the permissions of a token are sufficient (`docs/graph.md#permissions`).

use super::claims::Claims;
use crate::model::{ObjectKind, action};

/// The result of the check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Permitted {
    /// By this permission.
    Yes(String),
    /// Unknown before the first response. The text says why.
    Perhaps(String),
    /// Not sufficient. The text says what to add, and where.
    No(String),
}

/// Permissions for retrying (`writes`) or reading objects of a kind, least privileged first.
fn documented(kind: ObjectKind, writes: bool, app: bool) -> &'static [&'static str] {
    if writes { action::permissions(kind, app) } else { action::permissions_to_read(kind) }
}

fn doing(writes: bool) -> &'static str {
    if writes { action::DOING } else { "reading" }
}

/// Judges the claims for retrying (`writes`) or reading objects of a kind.
pub fn permitted(claims: &Claims, kind: ObjectKind, writes: bool) -> Permitted {
    let list = |app: bool| documented(kind, writes, app);
    let what = doing(writes);
    if let Some(scopes) = &claims.scp {
        let held: Vec<&str> = scopes.split_whitespace().collect();
        return match list(false).iter().find(|known| held.contains(known)) {
            Some(known) => Permitted::Yes((*known).to_owned()),
            None => Permitted::Perhaps(format!(
                "the token's scopes ({}) are not among those documented for {what} {} ({}): Microsoft 365 decides with your \
                 account's role",
                shown(&held),
                kind.plural(),
                list(false).join(", ")
            )),
        };
    }
    let held: Vec<&str> = claims.roles.iter().map(String::as_str).collect();
    if held.is_empty() && claims.app().is_none() {
        return Permitted::Perhaps(
            "this token cannot be read: tenant and permissions are not checked before the first request"
                .to_owned(),
        );
    }
    match list(true).iter().find(|known| held.contains(known)) {
        Some(known) => Permitted::Yes((*known).to_owned()),
        None => Permitted::No(missing_text(claims, kind, writes)),
    }
}

/// Advice on the permission to add, for a token without it and for a token that Microsoft 365 rejects with
/// 403.
pub fn missing_text(claims: &Claims, kind: ObjectKind, writes: bool) -> String {
    let what = doing(writes);
    let objects = kind.plural();
    if let Some(scopes) = &claims.scp {
        let account =
            claims.user().map_or_else(|| "your account".to_owned(), |user| format!("your account {user}"));
        let least = documented(kind, writes, false);
        return format!(
            "{account} lacks the role for {what} {objects}, or the app its scope: activate the role ({}) in PIM, then sign in again: a token keeps what it was given. The token's scopes: {}; \
             documented, least privileged first: {}",
            action::ROLES,
            shown(&scopes.split_whitespace().collect::<Vec<_>>()),
            least.join(", ")
        );
    }
    let held: Vec<&str> = claims.roles.iter().map(String::as_str).collect();
    let list = documented(kind, writes, true);
    let odd = if writes { action::doubt_about_permissions(kind) } else { "" };
    format!(
        "the app may sign in but lacks the permission for {what} {objects}. The token holds {}; add one of these application \
         permissions, least privileged first: {}{odd}. Entra admin center > App registrations > {} > API permissions > Add a \
         permission > Microsoft Graph > Application permissions, then Grant admin consent, wait a few minutes, and the same \
         command again",
        shown(&held),
        list.join(", "),
        claims.app_displayname.as_deref().or(claims.app()).unwrap_or("the app"),
    )
}

/// The permission that may be missing if Microsoft 365 omits a requested property.
pub fn hidden_text(claims: &Claims, kind: ObjectKind) -> String {
    match permitted(claims, kind, false) {
        Permitted::Yes(by) => format!(
            "The token holds {by}, which is documented as enough. Check whether these {} are in a restricted administrative unit, \
             and whether a gateway changes the answers",
            kind.plural()
        ),
        Permitted::Perhaps(_) => format!(
            "Check the permission. Documented for reading {}, least privileged first: {} (reprovision help sign-in)",
            kind.plural(),
            action::permissions_to_read(kind).join(", ")
        ),
        Permitted::No(_) => missing_text(claims, kind, false),
    }
}

fn shown(held: &[&str]) -> String {
    if held.is_empty() {
        "no permission at all".to_owned()
    } else {
        crate::model::sanitize(&held.join(", "), 300)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app(roles: &[&str]) -> Claims {
        let roles = roles.iter().map(|role| (*role).to_owned()).collect();
        Claims { appid: Some("app".to_owned()), roles, ..Claims::default() }
    }

    fn person(scopes: &str) -> Claims {
        Claims { appid: Some("app".to_owned()), scp: Some(scopes.to_owned()), ..Claims::default() }
    }

    #[test]
    fn each_kind_and_command_has_its_permissions() {
        let yes =
            |claims: &Claims, kind, writes| matches!(permitted(claims, kind, writes), Permitted::Yes(_));
        assert!(yes(&app(&["User.ManageIdentities.All"]), ObjectKind::Users, true));
        assert!(!yes(&app(&["User.ManageIdentities.All"]), ObjectKind::Users, false));
        assert!(!yes(&app(&["User.Read.All"]), ObjectKind::Users, true));
        assert!(yes(&app(&["User.Read.All"]), ObjectKind::Users, false));
        assert!(!yes(&app(&["User.ReadWrite.All"]), ObjectKind::Groups, true));
        assert!(yes(&app(&["OrgContact.Read.All"]), ObjectKind::Contacts, true));
        assert!(yes(&person("openid User.ReadWrite.All"), ObjectKind::Users, true));
    }

    #[test]
    fn an_app_without_the_permission_is_refused_with_the_least_one_first() {
        let Permitted::No(text) = permitted(&app(&["User.Read.All"]), ObjectKind::Users, true) else {
            panic!("refused");
        };
        assert!(
            text.contains("holds User.Read.All") && text.contains("first: User.ManageIdentities.All"),
            "{text}"
        );
        assert!(text.contains("Grant admin consent"), "{text}");
    }

    #[test]
    fn an_unlisted_scope_and_an_unreadable_token_are_warnings() {
        let unlisted = permitted(&person("Directory.AccessAsUser.All"), ObjectKind::Users, true);
        assert!(matches!(unlisted, Permitted::Perhaps(text) if text.contains("Directory.AccessAsUser.All")));
        let unreadable = permitted(&Claims::default(), ObjectKind::Users, true);
        assert!(matches!(unreadable, Permitted::Perhaps(text) if text.contains("cannot be read")));
    }

    #[test]
    fn a_refused_person_hears_of_pim() {
        let text = missing_text(&person("User.ReadWrite.All"), ObjectKind::Users, true);
        assert!(text.contains("PIM") && text.contains("sign in again"), "{text}");
    }
}
