//! What the simulated tenant is like: parameters read from TOML.

use std::fs;

use serde::Deserialize;

/// The scenarios that are built in.
const BUILT_IN: [(&str, &str); 6] = [
    ("calm", include_str!("../../samples/scenarios/calm.toml")),
    ("default", include_str!("../../samples/scenarios/default.toml")),
    ("throttled", include_str!("../../samples/scenarios/throttled.toml")),
    ("window", include_str!("../../samples/scenarios/window.toml")),
    ("outage", include_str!("../../samples/scenarios/outage.toml")),
    ("hostile", include_str!("../../samples/scenarios/hostile.toml")),
];

/// How the write quota of one app in one tenant refills. Invented: Microsoft documents the amount, not the shape.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refill {
    /// Continuously.
    #[default]
    Bucket,
    /// The whole stock at aligned instants.
    Window,
}

/// A scenario file. Everything has a default: no quota, no faults, every well-formed id exists.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Scenario {
    /// One line for people.
    pub title: String,
    /// Seed of everything random.
    pub seed: u64,
    /// Writes a second that a client may plan with; 0 is no quota.
    pub writes_per_second: f64,
    /// Stock of writes; 0 is one second's worth.
    pub stock: f64,
    /// Shape of the refill.
    pub refill: Refill,
    /// Length of a window in seconds, with `refill = "window"`.
    pub window_s: f64,
    /// Whether refused requests are charged.
    pub charge_refused: bool,
    /// After how many accepted requests an unannounced throttle begins.
    pub throttle_after: Vec<u64>,
    /// Its Retry-After in seconds, from and to.
    pub throttle_wait_s: [u64; 2],
    /// Answering time in milliseconds.
    pub latency_ms: u64,
    /// Shares of requests, 0 to 1, that meet a fault.
    pub faults: Faults,
    /// Outages as seconds after the first request, from and to; every request is answered 503 without a wait.
    pub outages_s: Vec<[f64; 2]>,
    /// Share of ids that do not exist.
    pub missing: f64,
}

/// Shares of requests that meet each fault.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Faults {
    /// The connection is reset and nothing was done.
    pub reset_before: f64,
    /// The work was done and the connection is reset.
    pub reset_after: f64,
    /// 500 with an OData error.
    pub error_500: f64,
    /// 502 with a web page.
    pub html_502: f64,
    /// 503 with Retry-After 1.
    pub wait_503: f64,
    /// 503 without.
    pub plain_503: f64,
    /// 429 in turn with whole seconds, a fraction, a date, in the message only, without any wait, in lower case.
    pub throttle_429: f64,
    /// 200 with a web page, as from a captive portal.
    pub html_200: f64,
}

impl Scenario {
    /// Names of the built-in ones.
    pub fn names() -> impl Iterator<Item = &'static str> {
        BUILT_IN.iter().map(|(name, _)| *name)
    }

    /// A built-in name or a file.
    ///
    /// # Errors
    /// A sentence that names the file and the key.
    pub fn load(name: &str) -> Result<Self, String> {
        if let Some((_, text)) = BUILT_IN.iter().find(|(known, _)| *known == name) {
            return Self::parse(text).map_err(|error| format!("scenario {name}: {error}"));
        }
        let text = fs::read_to_string(name).map_err(|error| {
            let known: Vec<_> = Self::names().collect();
            format!("scenario {name}: {error}; built in are {}", known.join(", "))
        })?;
        Self::parse(&text).map_err(|error| format!("scenario {name}: {error}"))
    }

    /// Reads TOML.
    ///
    /// # Errors
    /// Names the key, the line and what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let scenario: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        let f = &scenario.faults;
        let shares = [
            f.reset_before,
            f.reset_after,
            f.error_500,
            f.html_502,
            f.wait_503,
            f.plain_503,
            f.throttle_429,
            f.html_200,
        ];
        if shares.iter().any(|share| !(0.0..=1.0).contains(share)) || shares.iter().sum::<f64>() > 1.0 {
            return Err("[faults]: shares are 0 to 1 and at most 1 together".to_owned());
        }
        if scenario.refill == Refill::Window && scenario.window_s <= 0.0 {
            return Err("window_s: refill = \"window\" needs its length in seconds".to_owned());
        }
        if scenario.throttle_wait_s[0] > scenario.throttle_wait_s[1] {
            return Err("throttle_wait_s: from is above to".to_owned());
        }
        Ok(scenario)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_scenario_reads_and_a_wrong_key_is_named() {
        for name in Scenario::names() {
            assert!(!Scenario::load(name).expect(name).title.is_empty());
        }
        assert!(Scenario::parse("titel = 'x'").expect_err("unknown").contains("titel"));
    }
}
