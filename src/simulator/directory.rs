//! Who is in the tenant, which errors stand on them, and what an acceptance does to those later.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;
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
    done: HashMap<Box<str>, (u32, Duration)>,
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
        found.or_else(|| self.objects.strangers.then_some(id))
    }

    /// The action ran. Returns how often by now.
    pub(super) fn accept(&mut self, id: &str, now: Duration) -> u32 {
        let entry = self.done.entry(id.into()).or_default();
        entry.0 += 1;
        entry.1 = now;
        entry.0
    }

    pub(super) fn accepted(&self) -> impl Iterator<Item = (&str, u32)> {
        self.done.iter().map(|(id, (count, _))| (&**id, *count))
    }

    /// The object as a read shows it; members as in `$select`, without one the default set.
    pub(super) fn show(&self, set: Set, id: &str, select: Option<&str>, now: Duration) -> Value {
        let number = id.rsplit_once('-').and_then(|(_, tail)| u64::from_str_radix(tail, 16).ok());
        let name = match number.filter(|_| self.is_made_up()) {
            Some(number) => format!("user{number}@simulated.example"),
            None if id.contains('@') => id.to_owned(),
            None => format!("{}@simulated.example", &id[..id.len().min(8)]),
        };
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

    fn errors(&self, id: &str, now: Duration) -> Value {
        let (since, resolved) = match self.condition(id, now) {
            Condition::Fine => return json!([]),
            Condition::Broken { since, .. } => (since, false),
            Condition::Cleared { since } => (since, true),
        };
        let (service, code, text) = match (share_of(id, "service") * 4.0) as u8 {
            0 => (
                "exchange/NAMPRD09-001-01",
                "ProxyAddressConflict",
                "The proxy address \"SMTP:taken@simulated.example\" is already being used by the proxy addresses or LegacyExchangeDN.",
            ),
            1 => (
                "exchange/NAMPRD09-001-01",
                "RecipientNotFound",
                "The name \"taken\" is already being used. Please try another name.",
            ),
            2 => (
                "SharePoint/Dublin",
                "UserProfileError",
                "The user profile could not be created. <b>=1+1</b>",
            ),
            _ => (
                "MicrosoftCommunicationsOnline/NOAM-4A-S7",
                "SipAddressConflict",
                "The SIP address is used by another user.",
            ),
        };
        let record = |code: &str, text: &str| {
            let escaped = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
            format!(
                "<ErrorRecord><ErrorCode>{code}</ErrorCode><ErrorDescription>{escaped}</ErrorDescription></ErrorRecord>"
            )
        };
        let mut records = record(code, text);
        if share_of(id, "many") < 0.2 {
            records.push_str(&record("SecondaryError", "A second record of the same error."));
        }
        let mut detail = format!(
            "<ServiceInstance><Name>{service}</Name><ObjectErrors>{records}</ObjectErrors></ServiceInstance>"
        );
        if share_of(id, "xml") < self.objects.broken_xml {
            detail.truncate(detail.len() / 2);
        }
        // The page's own sample has no zone.
        let zone = if service.starts_with("SharePoint") { "" } else { "Z" };
        let since = self.epoch.as_second() + since as i64;
        let created =
            Timestamp::from_second(since).unwrap_or(self.epoch).strftime("%Y-%m-%dT%H:%M:%S").to_string();
        let error = json!({ "@odata.type": "#microsoft.graph.serviceProvisioningXmlError", "createdDateTime": format!("{created}{zone}"),
            "isResolved": resolved, "serviceInstance": service, "errorDetail": detail });
        json!([error])
    }

    /// Pure in id, the last acceptance and the time.
    fn condition(&self, id: &str, now: Duration) -> Condition {
        let now = now.as_secs_f64();
        let began = if share_of(id, "broken") < self.objects.broken {
            -share_of(id, "age") * OLDEST_DAYS * DAY
        } else if share_of(id, "later") < self.objects.later {
            share_of(id, "day") * self.objects.later_days as f64 * DAY
        } else {
            return Condition::Fine;
        };
        if began > now {
            return Condition::Fine;
        }
        let Some((_, at)) = self.done.get(id) else {
            return Condition::Broken { since: began, again: false };
        };
        let [from, to] = self.objects.effect_s.map(|s| s as f64);
        let effect = at.as_secs_f64() + from + share_of(id, "effect") * (to - from);
        match effect <= now {
            false => Condition::Broken { since: began, again: false },
            true if share_of(id, "stubborn") < self.objects.stubborn => {
                Condition::Broken { since: effect, again: true }
            }
            true => Condition::Cleared { since: began },
        }
    }

    /// Ids of the collection from number `skip` on.
    pub(super) fn page(&self, set: Set, skip: u64, top: u64) -> (Vec<String>, bool) {
        let last = self.count(set).min(skip + top);
        ((skip + 1..=last).map(|number| object_id(set, number)).collect(), last < self.count(set))
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
            stubborn: 0.25,
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
}
