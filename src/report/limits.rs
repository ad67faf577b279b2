//! What the limits of the service did to a call, for machines and people.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::words::human_s;
use crate::model::{Scope, thousands};

/// Throttled requests and pauses of one invocation, including rows that have no record yet.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Limits {
    /// Throttled requests by whose limit it was.
    pub throttled: BTreeMap<String, u64>,
    /// Number of pauses, each from the first throttled request to the next response that is not throttled.
    pub pauses: u64,
    /// Total length of the pauses, in seconds.
    pub waited_s: f64,
    /// Writes per second that the service gives, where it was learned.
    pub rate: Option<f64>,
    /// Share of that rate that was used since the first throttled request, 0 to 1; `None` where it cannot be measured.
    pub used: Option<f64>,
}

impl Limits {
    /// For people; nothing where no limit was met.
    pub fn text(&self) -> Option<String> {
        let owner = |(name, count): (&String, &u64)| {
            let owner = Scope::from_name(name).map_or_else(|| name.clone(), |scope| scope.owner().to_owned());
            format!("{owner}: {} throttled", thousands(*count))
        };
        let owners: Vec<_> = self.throttled.iter().map(owner).collect();
        if owners.is_empty() {
            return None;
        }
        let used = match (self.rate, self.used) {
            (Some(rate), Some(used)) => {
                format!("; {:.0} % of its {rate:.1} writes/s were used", used * 100.0)
            }
            _ => String::new(),
        };
        let waited = human_s(self.waited_s);
        let times = if self.pauses == 1 { "once".to_owned() } else { format!("{} times", self.pauses) };
        Some(format!("paused by Microsoft 365 {times}, {waited} in all ({}){used}", owners.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_are_told_whose_limit_it_was_and_what_was_used() {
        assert_eq!(Limits::default().text(), None);
        let limits = Limits {
            throttled: BTreeMap::from([("app_in_tenant".to_owned(), 1_234)]),
            pauses: 2,
            waited_s: 61.0,
            rate: Some(19.96),
            used: Some(0.984),
        };
        let said = limits.text().expect("a limit was met");
        let (paused, used) = said.split_once("; ").expect("two parts");
        let owner = "(your app's limit in this tenant: 1,234 throttled)";
        assert_eq!(paused, format!("paused by Microsoft 365 2 times, 1 min 1 s in all {owner}"));
        assert_eq!(used, "98 % of its 20.0 writes/s were used");
    }
}
