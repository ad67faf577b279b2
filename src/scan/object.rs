//! Objects as pages show them, and the errors that stand on them.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::detail::{Detail, detail};
use crate::model::{ErrorFilter, MAX_MESSAGE, ObjectKind, sanitize};

/// Largest page that Graph gives, in objects (`docs/graph.md#reading-pages`); each page costs one resource unit.
pub(super) const LARGEST_PAGE: u32 = 999;
/// Longest name shown, in characters.
const LONGEST_NAME: usize = 256;

/// A page of a collection.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// The objects, in the service's order.
    pub objects: Vec<Object>,
    /// Entries that are null: they say nothing of any object.
    pub nulls: u64,
    /// Entries from which not even an id can be read.
    pub nameless: u64,
    /// Where the next page is, as the service wrote it; `None` on the last page.
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
    /// Why `problems` may not be all of them.
    pub unknown: Option<Unknown>,
    /// Whether directory synchronisation left an error, which the action does not clear. `None`: it was not told.
    pub sync_error: Option<bool>,
    /// Whether a licence could not be assigned, which the action does not clear. `None`: it was not told.
    pub licence_error: Option<bool>,
}

/// Why it is not known which errors an object has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// `serviceProvisioningErrors` was asked for, and is missing or null.
    Absent,
    /// It is there, and not all of it can be read.
    Unreadable,
}

impl Unknown {
    /// What it is, as a sentence without a full stop.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Absent => {
                "Microsoft 365 left out serviceProvisioningErrors, although it was asked for: the permission to read it may be missing"
            }
            Self::Unreadable => "an entry of serviceProvisioningErrors cannot be read",
        }
    }
}

/// One service's error.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Problem {
    /// `exchange`, `SharePoint`, …: the part of the service instance before the slash.
    pub service: String,
    /// The first record's code.
    pub code: String,
    /// When it was published, by the service's clock; `None` where that is missing or cannot be read.
    pub since: Option<Timestamp>,
    /// For people.
    pub text: String,
    /// Whether it is resolved: resolved errors stay in the list. `None`: it was not told.
    pub resolved: Option<bool>,
}

#[derive(Deserialize)]
struct RawPage<'a> {
    #[serde(borrow)]
    value: Vec<&'a RawValue>,
    #[serde(rename = "@odata.nextLink")]
    next: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawObject<'a> {
    id: String,
    #[serde(default, deserialize_with = "if_readable")]
    user_principal_name: Option<String>,
    #[serde(default, deserialize_with = "if_readable")]
    display_name: Option<String>,
    #[serde(borrow)]
    service_provisioning_errors: Option<&'a RawValue>,
    #[serde(default, deserialize_with = "if_readable")]
    on_premises_provisioning_errors: Option<Vec<IgnoredAny>>,
    #[serde(default, deserialize_with = "if_readable")]
    license_assignment_states: Option<Vec<RawLicence>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawProblem {
    #[serde(default, deserialize_with = "if_readable")]
    created_date_time: Option<String>,
    #[serde(default, deserialize_with = "if_readable")]
    is_resolved: Option<bool>,
    #[serde(default, deserialize_with = "if_readable")]
    service_instance: Option<String>,
    #[serde(default, deserialize_with = "if_readable")]
    error_detail: Option<String>,
}

#[derive(Deserialize)]
struct RawLicence {
    #[serde(default, deserialize_with = "if_readable")]
    state: Option<String>,
}

/// A value of another type than expected counts as missing, so that one odd property costs neither object nor page.
fn if_readable<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Option<T>, D::Error> {
    let raw = <&RawValue>::deserialize(from)?;
    Ok(serde_json::from_str(raw.get()).ok())
}

/// The structure of a JSON object; `None` for anything else.
fn read<'a, T: Deserialize<'a>>(raw: &'a RawValue) -> Option<T> {
    raw.get().starts_with('{').then(|| serde_json::from_str(raw.get()).ok()).flatten()
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

/// Path and query of the first page of a collection, below root and version, with at most `size` objects on a page.
/// Without `$filter`: the service refuses it for these errors.
pub(super) fn page_path(kind: ObjectKind, size: u32) -> (String, String) {
    (format!("/{}", kind.path()), format!("$select={}&$top={size}", select(kind)))
}

/// One object's path below root and version; `path` comes from `graph::object_path`.
pub(super) fn object_query(kind: ObjectKind, path: &str) -> String {
    format!("{path}?$select={}", select(kind))
}

/// Reads a page. An entry that cannot be read costs no other.
///
/// # Errors
/// What is wrong with the page: a page without its list is not an empty one.
pub fn page(body: &[u8]) -> Result<Page, String> {
    let raw: RawPage<'_> = serde_json::from_slice(without_mark(body))
        .map_err(|error| format!("the page cannot be read: {error}"))?;
    // An empty link is how some services write that this page is the last one.
    let next = raw.next.filter(|link| !link.trim().is_empty());
    let mut page = Page { next, ..Page::default() };
    for entry in raw.value {
        match read::<RawObject<'_>>(entry).filter(|object| !object.id.trim().is_empty()) {
            Some(object) => page.objects.push(object.into()),
            None if entry.get() == "null" => page.nulls += 1,
            None => page.nameless += 1,
        }
    }
    Ok(page)
}

/// Reads one object.
///
/// # Errors
/// What is wrong with it.
pub fn parse_object(body: &[u8]) -> Result<Object, String> {
    let raw: RawObject<'_> = serde_json::from_slice(without_mark(body))
        .map_err(|error| format!("the object cannot be read: {error}"))?;
    Ok(raw.into())
}

fn without_mark(body: &[u8]) -> &[u8] {
    body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body)
}

impl From<RawObject<'_>> for Object {
    fn from(raw: RawObject<'_>) -> Self {
        let text = |text: Option<String>| text.unwrap_or_default();
        let (problems, unknown) = problems(raw.service_provisioning_errors);
        Self {
            id: sanitize(&raw.id, LONGEST_NAME),
            name: text(raw.user_principal_name),
            shown: text(raw.display_name),
            problems,
            unknown,
            sync_error: raw.on_premises_provisioning_errors.map(|errors| !errors.is_empty()),
            licence_error: raw.license_assignment_states.map(|states| {
                let failed = |state: &str| {
                    state.eq_ignore_ascii_case("error") || state.eq_ignore_ascii_case("activeWithError")
                };
                states.iter().any(|licence| licence.state.as_deref().is_some_and(failed))
            }),
        }
    }
}

/// The errors that can be read, and why these may not be all.
fn problems(raw: Option<&RawValue>) -> (Vec<Problem>, Option<Unknown>) {
    let Some(raw) = raw else { return (Vec::new(), Some(Unknown::Absent)) };
    let Ok(entries) = serde_json::from_str::<Vec<&RawValue>>(raw.get()) else {
        return (Vec::new(), Some(Unknown::Unreadable));
    };
    let problems: Vec<_> =
        entries.iter().filter_map(|entry| read::<RawProblem>(entry)).map(Problem::from).collect();
    let unknown = (problems.len() < entries.len()).then_some(Unknown::Unreadable);
    (problems, unknown)
}

impl From<RawProblem> for Problem {
    fn from(raw: RawProblem) -> Self {
        let instance = raw.service_instance.unwrap_or_default();
        let Detail { code, text } = detail(raw.error_detail.as_deref().unwrap_or_default());
        Self {
            service: sanitize(instance.split('/').next().unwrap_or_default().trim(), 80),
            code,
            since: raw.created_date_time.as_deref().and_then(time),
            text,
            resolved: raw.is_resolved,
        }
    }
}

impl Problem {
    /// Whether it counts as unresolved: also where the service does not say it.
    pub fn is_open(&self) -> bool {
        self.resolved != Some(true)
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
        let open = || self.problems.iter().filter(|problem| problem.is_open());
        Some((open().max_by_key(|problem| problem.since)?, open().count()))
    }
}

/// What a filter makes of an object.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fit<'a> {
    /// The newest unresolved error that is looked for, and how many are.
    Found(&'a Problem, usize),
    /// No error that is looked for.
    Nothing,
    /// None that can be seen, but there may be one; why it is not known.
    Unknown(Unknown),
}

impl<'a> Fit<'a> {
    /// Judges an object at the service's time `now`.
    pub fn of(filter: &ErrorFilter, object: &'a Object, now: Timestamp) -> Self {
        let found = || object.problems.iter().filter(|problem| problem.fits(filter, now));
        if let Some(newest) = found().max_by_key(|problem| problem.since) {
            return Self::Found(newest, found().count());
        }
        let is_ageless = |problem: &Problem| problem.since.is_none() && problem.is_among(filter);
        match object.unknown {
            Some(unknown) => Self::Unknown(unknown),
            None if object.problems.iter().any(is_ageless) => Self::Unknown(Unknown::Unreadable),
            None => Self::Nothing,
        }
    }
}

impl Problem {
    /// Whether the error is unresolved and looked for, at the service's time `now`.
    pub fn fits(&self, filter: &ErrorFilter, now: Timestamp) -> bool {
        self.is_among(filter)
            && filter.older_than.is_none_or(|age| {
                let age = SignedDuration::try_from(age).unwrap_or(SignedDuration::MAX);
                self.since.is_some_and(|since| now.duration_since(since) >= age)
            })
    }

    /// Whether the error is unresolved and looked for, whatever its age.
    fn is_among(&self, filter: &ErrorFilter) -> bool {
        let among = |list: &[String], word: &str| {
            list.is_empty() || list.iter().any(|wanted| wanted.eq_ignore_ascii_case(word))
        };
        self.is_open() && among(&filter.services, &self.service) && among(&filter.codes, &self.code)
    }
}

/// Text of a problem for a cell, with what else stands on the object.
pub fn told(problem: &Problem, count: usize) -> String {
    match count {
        0 | 1 => problem.text.clone(),
        more => sanitize(&format!("{} (and {} more)", problem.text, more - 1), MAX_MESSAGE),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

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
        assert_eq!(
            (first.problems.len(), first.unknown, first.sync_error, first.licence_error),
            (3, None, Some(true), Some(true))
        );
        assert_eq!((&*first.problems[0].service, &*first.problems[0].code), ("exchange", "C"));
        assert_eq!(first.problems[0].since, Some("2020-01-31T17:45:18Z".parse().expect("a time")));
        assert_eq!(
            first.unresolved().map(|(problem, count)| (&*problem.service, count)),
            Some(("exchange", 2))
        );
        assert!(second.unresolved().is_none() && second.unknown.is_none());
        assert_eq!((second.sync_error, second.licence_error), (None, Some(false)));
        assert_eq!(third.unknown, Some(Unknown::Absent));
        for broken in ["", "{}", "[]", "{\"value\":null}", "{\"value\":7}", "{\"value\":{}}"] {
            assert!(super::page(broken.as_bytes()).is_err(), "{broken}");
        }
    }

    #[test]
    fn absent_or_odd_errors_are_not_taken_for_no_errors() {
        let fine = r#"{"createdDateTime":"2020-01-31T17:45:18Z","isResolved":false}"#;
        for (errors, readable, unknown) in [
            ("", 0, Some(Unknown::Absent)),
            (r#","serviceProvisioningErrors":null"#, 0, Some(Unknown::Absent)),
            (r#","serviceProvisioningErrors":[]"#, 0, None),
            (r#","serviceProvisioningErrors":{}"#, 0, Some(Unknown::Unreadable)),
            (r#","serviceProvisioningErrors":"none""#, 0, Some(Unknown::Unreadable)),
            (r#","serviceProvisioningErrors":[null]"#, 0, Some(Unknown::Unreadable)),
            (r#","serviceProvisioningErrors":[[]]"#, 0, Some(Unknown::Unreadable)),
            (&format!(r#","serviceProvisioningErrors":[7,{fine}]"#), 1, Some(Unknown::Unreadable)),
            (&format!(r#","serviceProvisioningErrors":[{fine}]"#), 1, None),
        ] {
            let one = format!(r#"{{"id":"1"{errors}}}"#);
            let object = parse_object(one.as_bytes()).expect("an object");
            assert_eq!((object.problems.len(), object.unknown), (readable, unknown), "{one}");
            let page = page(format!(r#"{{"value":[{one}]}}"#).as_bytes()).expect("a page");
            assert_eq!(page.objects, std::slice::from_ref(&object), "{one}");
            let fit = Fit::of(&ErrorFilter::default(), &object, Timestamp::UNIX_EPOCH);
            match (readable, unknown) {
                (1, _) => assert!(matches!(fit, Fit::Found(_, 1)), "{one}: {fit:?}"),
                (_, Some(unknown)) => assert_eq!(fit, Fit::Unknown(unknown), "{one}"),
                _ => assert_eq!(fit, Fit::Nothing, "{one}"),
            }
        }
        // An error whose age is not known may be old enough.
        let ageless =
            r#"{"id":"1","serviceProvisioningErrors":[{"createdDateTime":"soon","isResolved":false}]}"#;
        let object = parse_object(ageless.as_bytes()).expect("an object");
        let old = ErrorFilter { older_than: Some(Duration::from_secs(1)), ..ErrorFilter::default() };
        assert_eq!(Fit::of(&old, &object, Timestamp::UNIX_EPOCH), Fit::Unknown(Unknown::Unreadable));
        assert!(matches!(Fit::of(&ErrorFilter::default(), &object, Timestamp::UNIX_EPOCH), Fit::Found(..)));
        let odd = Problem { resolved: None, ..Problem::default() };
        assert!(odd.is_open(), "not told is not resolved");
    }

    #[test]
    fn odd_entries_of_a_page_cost_no_other_and_an_empty_link_is_the_end() {
        let body = r#"{"value":[null,{"id":"1","displayName":7,"licenseAssignmentStates":{}},"x",{"id":null},{},[],{"id":" "},
            {"id":"2","serviceProvisioningErrors":[]}],"@odata.nextLink":""}"#;
        for body in [body.to_owned(), format!("\u{feff}{body}")] {
            let page = page(body.as_bytes()).expect("a page");
            assert_eq!((page.nulls, page.nameless, page.next), (1, 5, None));
            let ids: Vec<_> = page.objects.iter().map(|object| &*object.id).collect();
            assert_eq!(ids, ["1", "2"]);
        }
        for (link, next) in [("null", None), (r#"" ""#, None), (r#""?x""#, Some("?x"))] {
            let body = format!(r#"{{"value":[],"@odata.nextLink":{link}}}"#);
            assert_eq!(page(body.as_bytes()).expect("a page").next.as_deref(), next, "{link}");
        }
    }

    #[test]
    fn filters_choose_by_service_code_and_age() {
        let page = page(BODY.as_bytes()).expect("a page");
        let now: Timestamp = "2020-02-01T17:45:18Z".parse().expect("a time");
        let found = |filter: ErrorFilter| match Fit::of(&filter, &page.objects[0], now) {
            Fit::Found(problem, _) => Some(problem.code.clone()),
            Fit::Nothing | Fit::Unknown(_) => None,
        };
        let of = |word: &str| vec![word.to_owned()];
        assert!(found(ErrorFilter::default()).is_some());
        assert_eq!(
            found(ErrorFilter { services: of("EXCHANGE"), ..ErrorFilter::default() }),
            Some("C".to_owned())
        );
        assert_eq!(
            found(ErrorFilter { services: of("sharepoint"), ..ErrorFilter::default() }),
            None,
            "it is resolved"
        );
        assert_eq!(found(ErrorFilter { codes: of("c"), ..ErrorFilter::default() }), Some("C".to_owned()));
        assert_eq!(found(ErrorFilter { codes: of("d"), ..ErrorFilter::default() }), None);
        let day = Duration::from_secs(86_400);
        assert_eq!(
            found(ErrorFilter { older_than: Some(day), ..ErrorFilter::default() }),
            Some("C".to_owned())
        );
        assert_eq!(found(ErrorFilter { older_than: Some(day * 2), ..ErrorFilter::default() }), None);
    }
}
