//! Who is in the tenant, which errors stand on them, and what an acceptance does to those later.

use std::collections::HashMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::{Value, json};

use super::scenario::Objects;

/// Seconds in a day.
const DAY: f64 = 86_400.0;
/// Oldest error at the start, in days.
const OLDEST_DAYS: f64 = 30.0;

/// Which collection an id belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Set {
    /// `/users`
    Users,
    /// `/groups`
    Groups,
    /// `/contacts`
    Contacts,
}

impl Set {
    pub(super) const ALL: [(Self, &'static str); 3] =
        [(Self::Users, "users"), (Self::Groups, "groups"), (Self::Contacts, "contacts")];

    /// Name of the type of one.
    pub(super) fn of_one(self) -> &'static str {
        match self {
            Self::Users => "user",
            Self::Groups => "group",
            Self::Contacts => "orgContact",
        }
    }

    fn digit(self) -> u64 {
        match self {
            Self::Users => 1,
            Self::Groups => 2,
            Self::Contacts => 3,
        }
    }
}

/// What became of the objects that had or have an error, by the tenant's own account.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Census {
    /// Objects in the collection.
    pub objects: u64,
    /// With an unresolved error now.
    pub unresolved: u64,
    /// Whose error was cleared by the action.
    pub cleared: u64,
    /// Whose error came back after the action.
    pub failed_again: u64,
    /// With an error, accepted, and nothing has happened yet.
    pub pending: u64,
    /// With an error that nobody asked about.
    pub untouched: u64,
}

/// The objects and how often the action ran for each.
#[derive(Debug)]
pub(super) struct Directory {
    objects: Objects,
    epoch: Timestamp,
    /// How often, and when last: seconds after the start, below zero for what a tenant of before had done.
    done: HashMap<Box<str>, (u32, f64)>,
}

/// State of an object's error.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Condition {
    Fine,
    /// Unresolved since; whether it came back after an acceptance.
    Broken {
        since: f64,
        again: bool,
    },
    /// Cleared by the action.
    Cleared {
        since: f64,
    },
}

impl Directory {
    pub(super) fn new(objects: Objects, epoch: Timestamp) -> Self {
        Self { objects, epoch, done: HashMap::new() }
    }

    fn count(&self, set: Set) -> u64 {
        match set {
            Set::Users => self.objects.users,
            Set::Groups => self.objects.groups,
            Set::Contacts => self.objects.contacts,
        }
    }

    /// Whether the population is made up; otherwise every well-formed id exists.
    fn is_made_up(&self) -> bool {
        self.objects.users + self.objects.groups + self.objects.contacts > 0
    }

    /// The object id that an id or sign-in name means, in lower case.
    pub(super) fn resolve(&self, set: Set, id: &str) -> Option<String> {
        let id = id.to_ascii_lowercase();
        if !self.is_made_up() {
            return Some(id);
        }
        let number = match id.strip_suffix("@simulated.example").and_then(|name| name.strip_prefix("user")) {
            Some(number) => number.parse().ok(),
            None => id.rsplit_once('-').and_then(|(_, tail)| u64::from_str_radix(tail, 16).ok()),
        };
        let found = number.filter(|number| (1..=self.count(set)).contains(number)).and_then(|number| {
            let found = object_id(set, number);
            (found == id || !id.contains('-')).then_some(found)
        });
        found.or_else(|| self.objects.unknown_ids_exist.then_some(id))
    }

    /// The action ran. Returns how often by now.
    pub(super) fn accept(&mut self, id: &str, now: Duration) -> u32 {
        let entry = self.done.entry(id.into()).or_default();
        entry.0 += 1;
        entry.1 = now.as_secs_f64();
        entry.0
    }

    /// The action ran for an id before this tenant began, as one that was started earlier had it.
    pub(super) fn remember(&mut self, set: Set, id: &str, at: Timestamp) {
        let Some(found) = self.resolve(set, id) else { return };
        let at = at.duration_since(self.epoch).as_secs_f64().min(0.0);
        let before = self.done.entry(found.into()).or_insert((0, at));
        *before = (before.0 + 1, before.1.max(at));
    }

    pub(super) fn accepted(&self) -> impl Iterator<Item = (&str, u32)> {
        self.done.iter().map(|(id, (count, _))| (&**id, *count))
    }

    /// The object as a read shows it; members as in `$select`, without one the default set.
    pub(super) fn show(&self, set: Set, id: &str, select: Option<&str>, now: Duration) -> Value {
        let name = self.name(id);
        let display = format!("Simulated {}", name.split('@').next().unwrap_or_default());
        let mut whole = json!({ "id": id, "displayName": display, "userPrincipalName": name, "mail": name });
        if set != Set::Users
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
            let other = share_of(id, "other") < self.objects.other_errors;
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

    /// The object of the directory that an object id means.
    fn member(&self, id: &str) -> Option<(Set, u64)> {
        let number = u64::from_str_radix(id.get(24..)?, 16).ok()?;
        let is = |set: Set| (1..=self.count(set)).contains(&number) && object_id(set, number) == id;
        Set::ALL.into_iter().map(|(set, _)| (set, number)).find(|(set, _)| is(*set))
    }

    /// Sign-in name, or what stands for one.
    fn name(&self, id: &str) -> String {
        match self.member(id) {
            Some((_, number)) => format!("user{number}@simulated.example"),
            None if id.contains('@') => id.to_owned(),
            None => format!("{}@simulated.example", id.chars().take(8).collect::<String>()),
        }
    }

    fn errors(&self, id: &str, now: Duration) -> Value {
        let (since, resolved) = match self.condition(id, now) {
            Condition::Fine => return json!([]),
            Condition::Broken { since, .. } => (since, false),
            Condition::Cleared { since } => (since, true),
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
                // Where details may be odd, they also hold what a page or a spreadsheet would take for its own.
                let odd = if self.objects.broken_xml > 0.0 { " <b>=1+1</b>" } else { "" };
                (
                    "SharePoint/Dublin",
                    "UserProfileError",
                    format!("The user profile could not be created.{odd}"),
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
        if share_of(id, "xml") < self.objects.broken_xml {
            detail = detail.chars().take(detail.chars().count() / 2).collect();
        }
        // The page's own sample has no zone.
        let zone = if service.starts_with("SharePoint") { "" } else { "Z" };
        let at = SignedDuration::try_from_secs_f64(since)
            .ok()
            .and_then(|since| self.epoch.checked_add(since).ok());
        let created = at.unwrap_or(self.epoch).strftime("%Y-%m-%dT%H:%M:%S").to_string();
        let error = json!({ "@odata.type": "#microsoft.graph.serviceProvisioningXmlError", "createdDateTime": format!("{created}{zone}"),
            "isResolved": resolved, "serviceInstance": service, "errorDetail": detail });
        json!([error])
    }

    /// Seconds after the start of the last midnight (UTC) at or before an instant. Errors are counted from there: so
    /// that a restarted tenant shows them with the same times all day.
    fn midnight(&self, at: f64) -> f64 {
        let epoch = self.epoch.as_millisecond() as f64 / 1_000.0;
        ((epoch + at) / DAY).floor() * DAY - epoch
    }

    /// Whether an object is broken from the beginning. An id from the user's own list always is.
    fn is_broken(&self, id: &str) -> bool {
        let is_stranger = self.is_made_up() && self.member(id).is_none();
        self.objects.broken > 0.0 && (is_stranger || share_of(id, "broken") < self.objects.broken)
    }

    /// Pure in id, the last acceptance and the time.
    fn condition(&self, id: &str, now: Duration) -> Condition {
        let now = now.as_secs_f64();
        let asked = self.done.get(id).map(|(_, at)| *at);
        let began = if self.is_broken(id) {
            self.midnight(asked.unwrap_or(0.0).min(0.0)) - share_of(id, "age") * OLDEST_DAYS * DAY
        } else if share_of(id, "later") < self.objects.later {
            share_of(id, "day") * self.objects.later_days as f64 * DAY
        } else {
            return Condition::Fine;
        };
        if began > now {
            return Condition::Fine;
        }
        let Some(at) = asked else {
            return Condition::Broken { since: began, again: false };
        };
        let [from, to] = self.objects.effect_s.map(|s| s as f64);
        let effect = at + from + share_of(id, "effect") * (to - from);
        match effect <= now {
            false => Condition::Broken { since: began, again: false },
            true if share_of(id, "stubborn") < self.objects.fails_again => {
                Condition::Broken { since: effect, again: true }
            }
            true => Condition::Cleared { since: began },
        }
    }

    /// Ids of the collection from number `skip` on.
    pub(super) fn page(&self, set: Set, skip: u64, top: u64) -> (Vec<String>, bool) {
        let last = self.count(set).min(skip.saturating_add(top));
        (
            (skip.saturating_add(1)..=last).map(|number| object_id(set, number)).collect(),
            last < self.count(set),
        )
    }

    pub(super) fn census(&self, set: Set, now: Duration) -> Census {
        let mut census = Census { objects: self.count(set), ..Census::default() };
        for number in 1..=self.count(set) {
            let id = object_id(set, number);
            let asked = self.done.contains_key(id.as_str());
            match self.condition(&id, now) {
                Condition::Fine => {}
                Condition::Cleared { .. } => census.cleared += 1,
                Condition::Broken { again, .. } => {
                    census.unresolved += 1;
                    match (again, asked) {
                        (true, _) => census.failed_again += 1,
                        (false, true) => census.pending += 1,
                        (false, false) => census.untouched += 1,
                    }
                }
            }
        }
        census
    }
}

fn object_id(set: Set, number: u64) -> String {
    format!("{:08x}-5eed-4000-800{}-{number:012x}", (number.wrapping_mul(2_654_435_761)) as u32, set.digit())
}

/// A number from 0 to 1 that an id always has for a purpose.
pub(super) fn share_of(id: &str, salt: &str) -> f64 {
    let fnv = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let hash = salt.bytes().chain(id.bytes()).fold(0xcbf2_9ce4_8422_2325, fnv);
    // FNV leaves the high bits of near ids alike; one round of a finaliser spreads them.
    let hash = (hash ^ (hash >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    ((hash ^ (hash >> 32)) >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory() -> Directory {
        let objects = Objects {
            users: 2_000,
            broken: 0.1,
            fails_again: 0.25,
            later: 0.01,
            later_days: 10,
            effect_s: [60, 600],
            broken_xml: 0.1,
            ..Objects::default()
        };
        Directory::new(objects, Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn ids_and_sign_in_names_mean_the_same_object_and_others_do_not_exist() {
        let directory = directory();
        let id = directory.resolve(Set::Users, "User7@Simulated.example").expect("there");
        assert_eq!(directory.resolve(Set::Users, &id.to_uppercase()), Some(id.clone()));
        for wrong in ["user2001@simulated.example", "00000000-5eed-4000-8001-000000000007", "x"] {
            assert_eq!(directory.resolve(Set::Users, wrong), None, "{wrong}");
        }
        assert_eq!(directory.resolve(Set::Groups, &id), None);
    }

    #[test]
    fn an_acceptance_clears_some_errors_later_and_others_come_back_newer() {
        let mut directory = directory();
        let at = Duration::from_secs;
        let before = directory.census(Set::Users, at(0));
        assert!((150..250).contains(&before.unresolved) && before.untouched == before.unresolved);
        let (ids, more) = directory.page(Set::Users, 0, 5_000);
        assert!(!more);
        ids.iter().for_each(|id| assert_eq!(directory.accept(id, at(10)), 1));
        assert_eq!(directory.census(Set::Users, at(11)).pending, before.unresolved);
        let after = directory.census(Set::Users, at(1_000));
        assert_eq!(after.cleared + after.failed_again, before.unresolved);
        assert!(after.failed_again * 2 < after.cleared && after.failed_again > 10, "{after:?}");
        let days = directory.census(Set::Users, at(20 * 86_400));
        assert!(days.unresolved + days.cleared > before.unresolved, "some break later");
    }

    /// Whether each error is resolved, and since when it stands.
    fn errors(directory: &Directory, seconds: u64) -> Vec<(bool, String)> {
        let shown = |id: &String| {
            let now = Duration::from_secs(seconds);
            let whole = directory.show(Set::Users, id, Some("serviceProvisioningErrors"), now);
            let error = &whole["serviceProvisioningErrors"][0];
            Some((error["isResolved"].as_bool()?, error["createdDateTime"].as_str()?.to_owned()))
        };
        directory.page(Set::Users, 0, 500).0.iter().filter_map(shown).collect()
    }

    #[test]
    fn restarted_tenant_continues_where_it_was() {
        let objects = || Objects { later: 0.0, ..directory().objects };
        let morning: Timestamp = "2026-11-23T06:00:00.700Z".parse().expect("a time");
        let (hour, ids) = (SignedDuration::from_hours(1), directory().page(Set::Users, 0, 500).0);
        let mut first = Directory::new(objects(), morning);
        let untouched = errors(&first, 0);
        assert_eq!(
            errors(&Directory::new(objects(), morning + hour), 0),
            untouched,
            "the same times all day"
        );
        ids.iter().for_each(|id| assert_eq!(first.accept(id, Duration::from_secs(10)), 1));
        let mut again = Directory::new(objects(), morning + hour);
        let sent = morning + SignedDuration::from_secs(10);
        ids.iter().for_each(|id| again.remember(Set::Users, &id.to_uppercase(), sent));
        assert_eq!(
            again.census(Set::Users, Duration::ZERO),
            first.census(Set::Users, Duration::from_hours(1))
        );
        assert_eq!(errors(&again, 0), errors(&first, 3_600));
        // An error that came back is never older than the request of the same second.
        let sent = format!("{:.0}", sent);
        let came_back = errors(&again, 0).into_iter().filter(|(resolved, _)| !resolved);
        assert!(came_back.clone().count() > 3);
        assert!(came_back.clone().all(|(_, since)| *since >= *sent.trim_end_matches('Z')), "{sent}");
        let old = errors(&again, 0).into_iter().filter(|(resolved, _)| *resolved);
        assert!(old.clone().count() > 3 && old.clone().all(|(_, since)| *since < *sent), "{sent}");
    }

    #[test]
    fn ids_of_the_users_own_list_have_errors_if_the_directory_has_any() {
        for (broken, found) in [(0.1, true), (0.0, false)] {
            let objects = Objects { unknown_ids_exist: true, broken, ..directory().objects };
            let directory = Directory::new(objects, Timestamp::UNIX_EPOCH);
            for id in ["ann@contoso.com", "2265b1f5-91b7-4d8f-8cd6-000000000007", "é-\u{1f600}"] {
                let id = directory.resolve(Set::Users, id).expect("a stranger");
                let whole =
                    directory.show(Set::Users, &id, Some("id,serviceProvisioningErrors"), Duration::ZERO);
                assert_eq!(!whole["serviceProvisioningErrors"][0].is_null(), found, "{id}");
                assert_ne!(directory.name(&id), "user7@simulated.example");
            }
        }
    }
}
