//! The directory: objects, their service provisioning errors, and the later effect of an acceptance.

use std::collections::HashMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::{Value, json};

use super::scenario::ObjectRules;

/// Length of a day, in seconds.
const DAY_SECS: f64 = 86_400.0;
/// Age of the oldest error at the start, in days.
const MAX_ERROR_AGE_DAYS: f64 = 30.0;

/// A collection of the directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Collection {
    /// `/users`
    Users,
    /// `/groups`
    Groups,
    /// `/contacts`
    Contacts,
}

impl Collection {
    pub(super) const ALL: [(Self, &'static str); 3] =
        [(Self::Users, "users"), (Self::Groups, "groups"), (Self::Contacts, "contacts")];

    /// Returns the name of the Graph type of its objects.
    pub(super) fn type_name(self) -> &'static str {
        match self {
            Self::Users => "user",
            Self::Groups => "group",
            Self::Contacts => "orgContact",
        }
    }

    /// Returns the digit by which object ids of the collections differ.
    fn digit(self) -> u64 {
        match self {
            Self::Users => 1,
            Self::Groups => 2,
            Self::Contacts => 3,
        }
    }
}

/// Numbers of objects by the state of their error, as the tenant counts them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ErrorCounts {
    /// Objects in the collection.
    pub objects: u64,
    /// Objects with an unresolved error now.
    pub unresolved: u64,
    /// Objects whose error the action cleared.
    pub cleared: u64,
    /// Objects whose error came back after the action.
    pub failed_again: u64,
    /// Objects with an error for which the action was accepted and has no effect yet.
    pub pending: u64,
    /// Objects with an error for which the action was never accepted.
    pub untouched: u64,
}

/// The objects, and the acceptances of each.
#[derive(Debug)]
pub(super) struct Directory {
    rules: ObjectRules,
    /// Wall time of the start.
    epoch: Timestamp,
    /// Number of acceptances and time of the last one, by object id.
    /// The time is in seconds after the start; below zero if an earlier tenant accepted it.
    acceptances: HashMap<Box<str>, (u32, f64)>,
}

/// The state of an object's error. Instants are seconds after the start.
#[derive(Clone, Copy, Debug, PartialEq)]
enum ErrorState {
    NoError,
    /// Unresolved since `since`; `again` if it came back after an acceptance.
    Unresolved {
        since: f64,
        again: bool,
    },
    /// Cleared by the action; it had begun at `since`.
    Cleared {
        since: f64,
    },
}

impl Directory {
    pub(super) fn new(rules: ObjectRules, epoch: Timestamp) -> Self {
        Self { rules, epoch, acceptances: HashMap::new() }
    }

    fn count(&self, collection: Collection) -> u64 {
        match collection {
            Collection::Users => self.rules.users,
            Collection::Groups => self.rules.groups,
            Collection::Contacts => self.rules.contacts,
        }
    }

    /// Whether the scenario defines objects. If not, every well-formed id exists.
    fn has_population(&self) -> bool {
        self.rules.users + self.rules.groups + self.rules.contacts > 0
    }

    /// Returns the object id of an object id or UPN, in lower case; `None` if there is no such object.
    pub(super) fn resolve(&self, collection: Collection, id: &str) -> Option<String> {
        let id = id.to_ascii_lowercase();
        if !self.has_population() {
            return Some(id);
        }
        let number = match id.strip_suffix("@simulated.example").and_then(|name| name.strip_prefix("user")) {
            Some(number) => number.parse().ok(),
            None => id.rsplit_once('-').and_then(|(_, tail)| u64::from_str_radix(tail, 16).ok()),
        };
        let found =
            number.filter(|number| (1..=self.count(collection)).contains(number)).and_then(|number| {
                let found = object_id(collection, number);
                (found == id || !id.contains('-')).then_some(found)
            });
        found.or_else(|| self.rules.unknown_ids_exist.then_some(id))
    }

    /// Records that the action was accepted for the object `id`. Returns how often it was by now.
    pub(super) fn accept(&mut self, id: &str, now: Duration) -> u32 {
        let entry = self.acceptances.entry(id.into()).or_default();
        entry.0 += 1;
        entry.1 = now.as_secs_f64();
        entry.0
    }

    /// Records that an earlier tenant accepted the action for `id` at `at`.
    pub(super) fn record_earlier_acceptance(&mut self, collection: Collection, id: &str, at: Timestamp) {
        let Some(found) = self.resolve(collection, id) else { return };
        let at = at.duration_since(self.epoch).as_secs_f64().min(0.0);
        let before = self.acceptances.entry(found.into()).or_insert((0, at));
        *before = (before.0 + 1, before.1.max(at));
    }

    /// Object ids for which the action was accepted, with the number of acceptances.
    pub(super) fn accepted(&self) -> impl Iterator<Item = (&str, u32)> {
        self.acceptances.iter().map(|(id, (count, _))| (&**id, *count))
    }

    /// Returns the object as a read shows it at `now`: the members in `select`, or the default set.
    pub(super) fn show(
        &self,
        collection: Collection,
        id: &str,
        select: Option<&str>,
        now: Duration,
    ) -> Value {
        let name = self.name(id);
        let display = format!("Simulated {}", name.split('@').next().unwrap_or_default());
        let mut whole = json!({ "id": id, "displayName": display, "userPrincipalName": name, "mail": name });
        if collection != Collection::Users
            && let Some(members) = whole.as_object_mut()
        {
            members.remove("userPrincipalName");
        }
        let Some(select) = select else { return whole };
        let wanted: Vec<_> = select.split(',').map(str::trim).collect();
        if let Some(members) = whole.as_object_mut() {
            members.retain(|name, _| wanted.contains(&name.as_str()));
            if wanted.contains(&"serviceProvisioningErrors") {
                members.insert("serviceProvisioningErrors".to_owned(), self.errors(id, now));
            }
            let other = share_of(id, "other") < self.rules.other_errors;
            let sync = share_of(id, "sync") < 0.5;
            if wanted.contains(&"onPremisesProvisioningErrors") {
                let error = json!([{ "category": "PropertyConflict", "occurredDateTime": "2026-01-31T17:45:18Z",
                    "propertyCausingError": "ProxyAddress", "value": "smtp:other@simulated.example" }]);
                members.insert(
                    "onPremisesProvisioningErrors".to_owned(),
                    if other && sync { error } else { json!([]) },
                );
            }
            if wanted.contains(&"licenseAssignmentStates") {
                let error = json!([{ "skuId": "6fd2c87f-b296-42f0-b197-1e91e994b900", "state": "Error",
                    "error": "CountViolation", "disabledPlans": [], "assignedByGroup": null }]);
                members.insert(
                    "licenseAssignmentStates".to_owned(),
                    if other && !sync { error } else { json!([]) },
                );
            }
        }
        whole
    }

    /// Returns the collection and number of the defined object with this object id.
    fn member(&self, id: &str) -> Option<(Collection, u64)> {
        let number = u64::from_str_radix(id.get(24..)?, 16).ok()?;
        let is = |collection: Collection| {
            (1..=self.count(collection)).contains(&number) && object_id(collection, number) == id
        };
        Collection::ALL
            .into_iter()
            .map(|(collection, _)| (collection, number))
            .find(|(collection, _)| is(*collection))
    }

    /// Returns the UPN of an object; for an unknown id one that is made from it.
    fn name(&self, id: &str) -> String {
        match self.member(id) {
            Some((_, number)) => format!("user{number}@simulated.example"),
            None if id.contains('@') => id.to_owned(),
            None => format!("{}@simulated.example", id.chars().take(8).collect::<String>()),
        }
    }

    /// Returns `serviceProvisioningErrors` of an object at `now`.
    fn errors(&self, id: &str, now: Duration) -> Value {
        let (since, resolved) = match self.error_state(id, now) {
            ErrorState::NoError => return json!([]),
            ErrorState::Unresolved { since, .. } => (since, false),
            ErrorState::Cleared { since } => (since, true),
        };
        let name = self.name(id);
        let alias = name.split('@').next().unwrap_or_default();
        let (service, code, text) = match (share_of(id, "service") * 8.0) as u8 {
            0..3 => (
                "exchange/NAMPRD09-001-01",
                "ProxyAddressConflict",
                format!(
                    "The proxy address \"SMTP:{name}\" is already being used by the proxy addresses or LegacyExchangeDN of \"{alias} (former)\". Please choose another proxy address."
                ),
            ),
            3 => (
                "exchange/NAMPRD09-001-01",
                "NameConflict",
                format!("The name \"{alias}\" is already being used. Please try another name."),
            ),
            4 => (
                "exchange/NAMPRD09-001-01",
                "ExchangeGuidConflict",
                format!(
                    "The value \"{:08x}-0000-4000-9000-000000000000\" of property \"ExchangeGuid\" is used by another recipient object. Please specify a unique value.",
                    (share_of(id, "guid") * f64::from(u32::MAX)) as u32
                ),
            ),
            5 => {
                // If details may be malformed, they also hold text that looks like HTML and a spreadsheet
                // formula.
                let markup = if self.rules.broken_xml > 0.0 { " <b>=1+1</b>" } else { "" };
                (
                    "SharePoint/Dublin",
                    "UserProfileError",
                    format!("The user profile could not be created.{markup}"),
                )
            }
            _ => (
                "MicrosoftCommunicationsOnline/NOAM-4A-S7",
                "SipAddressConflict",
                format!("The SIP address \"sip:{name}\" is used by another user."),
            ),
        };
        let record = |code: &str, text: &str| {
            let escaped = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
            format!(
                "<ErrorRecord><ErrorCode>{code}</ErrorCode><ErrorDescription>{escaped}</ErrorDescription></ErrorRecord>"
            )
        };
        let mut records = record(code, &text);
        if share_of(id, "many") < 0.2 {
            records.push_str(&record("NotUpdated", "The object was not updated in this service."));
        }
        let mut detail = format!(
            "<ServiceInstance><Name>{service}</Name><ObjectErrors>{records}</ObjectErrors></ServiceInstance>"
        );
        if share_of(id, "xml") < self.rules.broken_xml {
            detail = detail.chars().take(detail.chars().count() / 2).collect();
        }
        // The sample in the API reference has no time zone. Here the errors of SharePoint have none.
        let zone = if service.starts_with("SharePoint") { "" } else { "Z" };
        let at = SignedDuration::try_from_secs_f64(since)
            .ok()
            .and_then(|since| self.epoch.checked_add(since).ok());
        let created = at.unwrap_or(self.epoch).strftime("%Y-%m-%dT%H:%M:%S").to_string();
        let error = json!({ "@odata.type": "#microsoft.graph.serviceProvisioningXmlError", "createdDateTime": format!("{created}{zone}"),
            "isResolved": resolved, "serviceInstance": service, "errorDetail": detail });
        json!([error])
    }

    /// Returns the last midnight (UTC) at or before `at`, both in seconds after the start.
    ///
    /// Ages of errors count from there, so that a restarted tenant shows the same times all day.
    fn midnight(&self, at: f64) -> f64 {
        let epoch = self.epoch.as_millisecond() as f64 / 1_000.0;
        ((epoch + at) / DAY_SECS).floor() * DAY_SECS - epoch
    }

    /// Whether an object has an error from the beginning.
    /// An id outside the directory always has one if any object has.
    fn is_broken(&self, id: &str) -> bool {
        let is_unknown = self.has_population() && self.member(id).is_none();
        self.rules.broken > 0.0 && (is_unknown || share_of(id, "broken") < self.rules.broken)
    }

    /// Returns the state of an object's error at `now`: a pure function of id, last acceptance and `now`.
    fn error_state(&self, id: &str, now: Duration) -> ErrorState {
        let now = now.as_secs_f64();
        let accepted_at = self.acceptances.get(id).map(|(_, at)| *at);
        let began = if self.is_broken(id) {
            self.midnight(accepted_at.unwrap_or(0.0).min(0.0))
                - share_of(id, "age") * MAX_ERROR_AGE_DAYS * DAY_SECS
        } else if share_of(id, "later") < self.rules.later {
            share_of(id, "day") * self.rules.later_days as f64 * DAY_SECS
        } else {
            return ErrorState::NoError;
        };
        if began > now {
            return ErrorState::NoError;
        }
        let Some(at) = accepted_at else {
            return ErrorState::Unresolved { since: began, again: false };
        };
        let [from, to] = self.rules.effect_s.map(|s| s as f64);
        let effect = at + from + share_of(id, "effect") * (to - from);
        match effect <= now {
            false => ErrorState::Unresolved { since: began, again: false },
            true if share_of(id, "stubborn") < self.rules.fails_again => {
                ErrorState::Unresolved { since: effect, again: true }
            }
            true => ErrorState::Cleared { since: began },
        }
    }

    /// Returns the ids of at most `top` objects after the first `skip`, and whether more follow.
    pub(super) fn page(&self, collection: Collection, skip: u64, top: u64) -> (Vec<String>, bool) {
        let last = self.count(collection).min(skip.saturating_add(top));
        (
            (skip.saturating_add(1)..=last).map(|number| object_id(collection, number)).collect(),
            last < self.count(collection),
        )
    }

    /// Counts the objects of a collection by the state of their error at `now`.
    pub(super) fn error_counts(&self, collection: Collection, now: Duration) -> ErrorCounts {
        let mut counts = ErrorCounts { objects: self.count(collection), ..ErrorCounts::default() };
        for number in 1..=self.count(collection) {
            let id = object_id(collection, number);
            let was_accepted = self.acceptances.contains_key(id.as_str());
            match self.error_state(&id, now) {
                ErrorState::NoError => {}
                ErrorState::Cleared { .. } => counts.cleared += 1,
                ErrorState::Unresolved { again, .. } => {
                    counts.unresolved += 1;
                    match (again, was_accepted) {
                        (true, _) => counts.failed_again += 1,
                        (false, true) => counts.pending += 1,
                        (false, false) => counts.untouched += 1,
                    }
                }
            }
        }
        counts
    }
}

/// Returns the object id of an object by its number from 1.
fn object_id(collection: Collection, number: u64) -> String {
    format!(
        "{:08x}-5eed-4000-800{}-{number:012x}",
        (number.wrapping_mul(2_654_435_761)) as u32,
        collection.digit()
    )
}

/// Returns a number from 0 to 1 that depends on `id` and `salt` alone.
pub(super) fn share_of(id: &str, salt: &str) -> f64 {
    let fnv = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let hash = salt.bytes().chain(id.bytes()).fold(0xcbf2_9ce4_8422_2325, fnv);
    // FNV gives similar ids similar high bits; one round of a finalizer spreads them.
    let hash = (hash ^ (hash >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    ((hash ^ (hash >> 32)) >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory() -> Directory {
        let objects = ObjectRules {
            users: 2_000,
            broken: 0.1,
            fails_again: 0.25,
            later: 0.01,
            later_days: 10,
            effect_s: [60, 600],
            broken_xml: 0.1,
            ..ObjectRules::default()
        };
        Directory::new(objects, Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn id_and_upn_resolve_to_one_object_and_unknown_ids_to_none() {
        let directory = directory();
        let id = directory.resolve(Collection::Users, "User7@Simulated.example").expect("there");
        assert_eq!(directory.resolve(Collection::Users, &id.to_uppercase()), Some(id.clone()));
        for wrong in ["user2001@simulated.example", "00000000-5eed-4000-8001-000000000007", "x"] {
            assert_eq!(directory.resolve(Collection::Users, wrong), None, "{wrong}");
        }
        assert_eq!(directory.resolve(Collection::Groups, &id), None);
    }

    #[test]
    fn accepted_errors_are_cleared_later_or_come_back() {
        let mut directory = directory();
        let at = Duration::from_secs;
        let before = directory.error_counts(Collection::Users, at(0));
        assert!((150..250).contains(&before.unresolved) && before.untouched == before.unresolved);
        let (ids, more) = directory.page(Collection::Users, 0, 5_000);
        assert!(!more);
        ids.iter().for_each(|id| assert_eq!(directory.accept(id, at(10)), 1));
        assert_eq!(directory.error_counts(Collection::Users, at(11)).pending, before.unresolved);
        let after = directory.error_counts(Collection::Users, at(1_000));
        assert_eq!(after.cleared + after.failed_again, before.unresolved);
        assert!(after.failed_again * 2 < after.cleared && after.failed_again > 10, "{after:?}");
        let days = directory.error_counts(Collection::Users, at(20 * 86_400));
        assert!(days.unresolved + days.cleared > before.unresolved, "some objects get an error later");
    }

    /// Returns of each error whether it is resolved and its creation time, `seconds` after the start.
    fn errors(directory: &Directory, seconds: u64) -> Vec<(bool, String)> {
        let shown = |id: &String| {
            let now = Duration::from_secs(seconds);
            let whole = directory.show(Collection::Users, id, Some("serviceProvisioningErrors"), now);
            let error = &whole["serviceProvisioningErrors"][0];
            Some((error["isResolved"].as_bool()?, error["createdDateTime"].as_str()?.to_owned()))
        };
        directory.page(Collection::Users, 0, 500).0.iter().filter_map(shown).collect()
    }

    #[test]
    fn restarted_tenant_shows_the_same_errors() {
        let objects = || ObjectRules { later: 0.0, ..directory().rules };
        let morning: Timestamp = "2026-11-23T06:00:00.700Z".parse().expect("a time");
        let (hour, ids) = (SignedDuration::from_hours(1), directory().page(Collection::Users, 0, 500).0);
        let mut first = Directory::new(objects(), morning);
        let untouched = errors(&first, 0);
        assert_eq!(
            errors(&Directory::new(objects(), morning + hour), 0),
            untouched,
            "the times of errors are the same all day"
        );
        ids.iter().for_each(|id| assert_eq!(first.accept(id, Duration::from_secs(10)), 1));
        let mut again = Directory::new(objects(), morning + hour);
        let sent = morning + SignedDuration::from_secs(10);
        ids.iter()
            .for_each(|id| again.record_earlier_acceptance(Collection::Users, &id.to_uppercase(), sent));
        assert_eq!(
            again.error_counts(Collection::Users, Duration::ZERO),
            first.error_counts(Collection::Users, Duration::from_hours(1))
        );
        assert_eq!(errors(&again, 0), errors(&first, 3_600));
        // An error that came back is not older than the second of its request.
        let sent = format!("{:.0}", sent);
        let came_back = errors(&again, 0).into_iter().filter(|(resolved, _)| !resolved);
        assert!(came_back.clone().count() > 3);
        assert!(came_back.clone().all(|(_, since)| *since >= *sent.trim_end_matches('Z')), "{sent}");
        let old = errors(&again, 0).into_iter().filter(|(resolved, _)| *resolved);
        assert!(old.clone().count() > 3 && old.clone().all(|(_, since)| *since < *sent), "{sent}");
    }

    #[test]
    fn unknown_ids_have_errors_if_the_directory_has_any() {
        for (broken, found) in [(0.1, true), (0.0, false)] {
            let objects = ObjectRules { unknown_ids_exist: true, broken, ..directory().rules };
            let directory = Directory::new(objects, Timestamp::UNIX_EPOCH);
            for id in ["ann@contoso.com", "2265b1f5-91b7-4d8f-8cd6-000000000007", "é-\u{1f600}"] {
                let id = directory.resolve(Collection::Users, id).expect("an unknown id");
                let whole = directory.show(
                    Collection::Users,
                    &id,
                    Some("id,serviceProvisioningErrors"),
                    Duration::ZERO,
                );
                assert_eq!(!whole["serviceProvisioningErrors"][0].is_null(), found, "{id}");
                assert_ne!(directory.name(&id), "user7@simulated.example");
            }
        }
    }
}
