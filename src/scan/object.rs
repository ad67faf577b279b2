//! Objects as pages show them, and the errors that stand on them.

use std::time::Duration;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

use super::detail::{Detail, detail};
use crate::model::{MAX_MESSAGE, ObjectKind, neutral};

/// Largest page that Graph gives; each costs one resource unit.
const PAGE: u32 = 999;
/// Longest name shown, in characters.
const LONGEST_NAME: usize = 256;

/// A page of a collection.
#[derive(Debug)]
pub struct Page {
    /// The objects, in the service's order.
    pub objects: Vec<Object>,
    /// Where the next page is: opaque, followed as it is.
    pub next: Option<String>,
}

/// One object.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Object {
    /// Object id.
    pub id: String,
    /// Sign-in name; empty for groups and contacts.
    pub name: String,
    /// Display name.
    pub shown: String,
    /// Errors of services, resolved ones too.
    pub problems: Vec<Problem>,
    /// Whether directory synchronisation left an error: not cleared by the action.
    pub sync_error: bool,
    /// Whether a licence could not be assigned: not cleared by the action.
    pub licence_error: bool,
}

/// One service's error.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Problem {
    /// `exchange`, `SharePoint`, …: the part of the service instance before the slash.
    pub service: String,
    /// The first record's code.
    pub code: String,
    /// When it was published, by the service's clock.
    pub since: Option<Timestamp>,
    /// For people.
    pub text: String,
    /// Resolved errors stay in the list.
    pub resolved: bool,
}

#[derive(Deserialize)]
struct RawPage {
    value: Vec<RawObject>,
    #[serde(rename = "@odata.nextLink")]
    next: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawObject {
    id: String,
    user_principal_name: Option<String>,
    display_name: Option<String>,
    service_provisioning_errors: Option<Vec<RawProblem>>,
    on_premises_provisioning_errors: Option<Vec<serde::de::IgnoredAny>>,
    license_assignment_states: Option<Vec<RawLicence>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawProblem {
    created_date_time: Option<String>,
    is_resolved: Option<bool>,
    service_instance: Option<String>,
    error_detail: Option<String>,
}

#[derive(Deserialize)]
struct RawLicence {
    state: Option<String>,
}

/// What is asked of each object.
fn select(kind: ObjectKind) -> &'static str {
    match kind {
        ObjectKind::Users => {
            "id,userPrincipalName,displayName,serviceProvisioningErrors,onPremisesProvisioningErrors,licenseAssignmentStates"
        }
        ObjectKind::Groups | ObjectKind::Contacts => {
            "id,displayName,serviceProvisioningErrors,onPremisesProvisioningErrors"
        }
    }
}

/// The first page of a collection, below root and version. Without `$filter`: the service refuses it for these errors.
pub fn page_path(kind: ObjectKind) -> String {
    format!("/{}?$select={}&$top={PAGE}", kind.path(), select(kind))
}

/// One object's path below root and version; `path` comes from `graph::object_path`.
pub(super) fn object_query(kind: ObjectKind, path: &str) -> String {
    format!("{path}?$select={}", select(kind))
}

/// Reads a page.
///
/// # Errors
/// What is wrong with it.
pub fn page(body: &[u8]) -> Result<Page, String> {
    let raw: RawPage =
        serde_json::from_slice(body).map_err(|error| format!("the page cannot be read: {error}"))?;
    Ok(Page { objects: raw.value.into_iter().map(Object::from).collect(), next: raw.next })
}

/// Reads one object.
///
/// # Errors
/// What is wrong with it.
pub fn parse_object(body: &[u8]) -> Result<Object, String> {
    let raw: RawObject =
        serde_json::from_slice(body).map_err(|error| format!("the object cannot be read: {error}"))?;
    Ok(raw.into())
}

impl From<RawObject> for Object {
    fn from(raw: RawObject) -> Self {
        let text = |text: Option<String>| text.unwrap_or_default();
        Self {
            id: neutral(&raw.id, LONGEST_NAME),
            name: text(raw.user_principal_name),
            shown: text(raw.display_name),
            problems: raw
                .service_provisioning_errors
                .unwrap_or_default()
                .into_iter()
                .map(Problem::from)
                .collect(),
            sync_error: raw.on_premises_provisioning_errors.is_some_and(|errors| !errors.is_empty()),
            licence_error: raw.license_assignment_states.is_some_and(|states| {
                let failed = |state: &str| {
                    state.eq_ignore_ascii_case("error") || state.eq_ignore_ascii_case("activeWithError")
                };
                states.iter().any(|licence| licence.state.as_deref().is_some_and(failed))
            }),
        }
    }
}

impl From<RawProblem> for Problem {
    fn from(raw: RawProblem) -> Self {
        let instance = raw.service_instance.unwrap_or_default();
        let Detail { code, text } = detail(raw.error_detail.as_deref().unwrap_or_default());
        Self {
            service: neutral(instance.split('/').next().unwrap_or_default().trim(), 80),
            code,
            since: raw.created_date_time.as_deref().and_then(time),
            text,
            resolved: raw.is_resolved == Some(true),
        }
    }
}

/// A time with a zone, or without one, which is UTC then.
fn time(text: &str) -> Option<Timestamp> {
    text.parse::<Timestamp>().ok().or_else(|| {
        let civil: DateTime = text.parse().ok()?;
        TimeZone::UTC.to_timestamp(civil).ok()
    })
}

impl Object {
    /// The newest error that is not resolved, and how many there are.
    pub fn unresolved(&self) -> Option<(&Problem, usize)> {
        let open = || self.problems.iter().filter(|problem| !problem.resolved);
        Some((open().max_by_key(|problem| problem.since)?, open().count()))
    }
}

/// Which errors are looked for.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// `--only-service`: any of them, without case; empty: all.
    pub services: Vec<String>,
    /// `--only-code`
    pub codes: Vec<String>,
    /// `--older-than`
    pub older_than: Option<Duration>,
}

impl Filter {
    /// The newest unresolved error that fits, at the service's time `now`, with how many fit.
    pub fn find<'a>(&self, object: &'a Object, now: Timestamp) -> Option<(&'a Problem, usize)> {
        let found = || object.problems.iter().filter(|problem| self.fits(problem, now));
        Some((found().max_by_key(|problem| problem.since)?, found().count()))
    }

    /// Whether an error is unresolved and looked for, at the service's time `now`.
    pub fn fits(&self, problem: &Problem, now: Timestamp) -> bool {
        let among = |list: &[String], word: &str| {
            list.is_empty() || list.iter().any(|wanted| wanted.eq_ignore_ascii_case(word))
        };
        let old = self.older_than.is_none_or(|age| {
            let age = SignedDuration::try_from(age).unwrap_or(SignedDuration::MAX);
            problem.since.is_some_and(|since| now.duration_since(since) >= age)
        });
        !problem.resolved
            && among(&self.services, &problem.service)
            && among(&self.codes, &problem.code)
            && old
    }

    /// The same in words that tell one filter from another.
    pub fn words(&self) -> String {
        let age = self.older_than.map_or_else(String::new, |age| format!("{} s", age.as_secs()));
        format!("{}|{}|{age}", self.services.join(","), self.codes.join(","))
    }
}

/// Text of a problem for a cell, with what else stands on the object.
pub(super) fn told(problem: &Problem, count: usize) -> String {
    match count {
        0 | 1 => problem.text.clone(),
        more => neutral(&format!("{} (and {} more)", problem.text, more - 1), MAX_MESSAGE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &str = r##"{"@odata.context":"x","value":[
        {"id":"1","userPrincipalName":"a@b","displayName":"A","serviceProvisioningErrors":[
            {"@odata.type":"#microsoft.graph.serviceProvisioningXmlError","createdDateTime":"2020-01-31T17:45:18.00","isResolved":false,
             "serviceInstance":"exchange/NAMPRD09-001-01","errorDetail":"<S><ErrorRecord><ErrorCode>C</ErrorCode></ErrorRecord></S>","new":1},
            {"createdDateTime":"2020-02-01T00:00:00Z","isResolved":true,"serviceInstance":"SharePoint/Dublin"},
            {"createdDateTime":null,"isResolved":null,"serviceInstance":null,"errorDetail":null}],
         "onPremisesProvisioningErrors":[{"category":"PropertyConflict"}],"licenseAssignmentStates":[{"state":"Active"},{"state":"Error"}]},
        {"id":"2","serviceProvisioningErrors":[],"licenseAssignmentStates":[{"state":"Active"}]},{"id":"3"}],
        "@odata.nextLink":"https://h/next"}"##;

    #[test]
    fn a_page_is_read_with_all_that_may_be_missing() {
        let page = page(BODY.as_bytes()).expect("a page");
        assert_eq!(page.next.as_deref(), Some("https://h/next"));
        let [first, second, third] = &page.objects[..] else { panic!("three objects") };
        assert_eq!((first.problems.len(), first.sync_error, first.licence_error), (3, true, true));
        assert_eq!((&*first.problems[0].service, &*first.problems[0].code), ("exchange", "C"));
        assert_eq!(first.problems[0].since, Some("2020-01-31T17:45:18Z".parse().expect("a time")));
        assert_eq!(
            first.unresolved().map(|(problem, count)| (&*problem.service, count)),
            Some(("exchange", 2))
        );
        assert!(second.unresolved().is_none() && !second.licence_error && third.problems.is_empty());
        for broken in ["", "{}", "[]", "{\"value\":[{}]}", "{\"value\":7}"] {
            assert!(super::page(broken.as_bytes()).is_err(), "{broken}");
        }
    }

    #[test]
    fn filters_choose_by_service_code_and_age() {
        let page = page(BODY.as_bytes()).expect("a page");
        let now: Timestamp = "2020-02-01T17:45:18Z".parse().expect("a time");
        let found =
            |filter: Filter| filter.find(&page.objects[0], now).map(|(problem, _)| problem.code.clone());
        let of = |word: &str| vec![word.to_owned()];
        assert!(found(Filter::default()).is_some());
        assert_eq!(found(Filter { services: of("EXCHANGE"), ..Filter::default() }), Some("C".to_owned()));
        assert_eq!(found(Filter { services: of("sharepoint"), ..Filter::default() }), None, "it is resolved");
        assert_eq!(found(Filter { codes: of("c"), ..Filter::default() }), Some("C".to_owned()));
        assert_eq!(found(Filter { codes: of("d"), ..Filter::default() }), None);
        let day = Duration::from_secs(86_400);
        assert_eq!(found(Filter { older_than: Some(day), ..Filter::default() }), Some("C".to_owned()));
        assert_eq!(found(Filter { older_than: Some(day * 2), ..Filter::default() }), None);
    }
}
