//! Reads built-in scenarios and scenario files. Errors name line and column.

use std::io;
use std::path::Path;

use super::checks;
use super::scenario::Scenario;

/// Names and texts of the built-in scenarios.
const BUILT_IN: [(&str, &str); 9] = [
    ("calm", include_str!("../../samples/scenarios/calm.toml")),
    ("default", include_str!("../../samples/scenarios/default.toml")),
    ("documented", include_str!("../../samples/scenarios/documented.toml")),
    ("expiring-token", include_str!("../../samples/scenarios/expiring-token.toml")),
    ("flaky", include_str!("../../samples/scenarios/flaky.toml")),
    ("hostile", include_str!("../../samples/scenarios/hostile.toml")),
    ("outage", include_str!("../../samples/scenarios/outage.toml")),
    ("throttled", include_str!("../../samples/scenarios/throttled.toml")),
    ("window", include_str!("../../samples/scenarios/window.toml")),
];

impl Scenario {
    /// Names of the built-in scenarios.
    pub fn names() -> impl Iterator<Item = &'static str> {
        BUILT_IN.iter().map(|(name, _)| *name)
    }

    /// Loads the built-in scenario `name`, or the file `name` with `read`.
    ///
    /// # Errors
    /// A message that names the file, the place and the key.
    pub fn load(name: &str, read: impl FnOnce(&Path) -> io::Result<Vec<u8>>) -> Result<Self, String> {
        if let Some((_, text)) = BUILT_IN.iter().find(|(known, _)| *known == name) {
            return Self::parse(text).map_err(|error| format!("scenario {name}: {error}"));
        }
        let bytes = read(Path::new(name)).map_err(|error| {
            let known: Vec<_> = Self::names().collect();
            format!("scenario {name}: {error}. Name a file or a built-in scenario: {}", known.join(", "))
        })?;
        let text = std::str::from_utf8(&bytes).map_err(|error| {
            let before = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
            let at = checks::line_and_column(&before, before.len());
            format!("scenario {name}: {at}: this is not UTF-8. Save the file as UTF-8")
        })?;
        Self::parse(text).map_err(|error| format!("scenario {name}: {error}"))
    }

    /// Reads a scenario from TOML.
    ///
    /// # Errors
    /// A message that names line and column, the key, and what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let scenario: Self = toml::from_str(text).map_err(|error| {
            let at = checks::line_and_column(text, error.span().map_or(0, |span| span.start));
            format!("{at}: {}", checks::message_without_values(error.message()))
        })?;
        if let Some((key, what)) = checks::first_invalid_value(&scenario) {
            return Err(format!(
                "{}: {key}: {what}",
                checks::line_and_column(text, checks::value_offset(text, key))
            ));
        }
        Ok(scenario)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_in_scenarios_are_valid_and_wrong_keys_are_named() {
        for name in Scenario::names() {
            let scenario = Scenario::load(name, |path| std::fs::read(path)).expect(name);
            assert!(!scenario.title.is_empty() && !scenario.expect.is_empty(), "{name}");
        }
        for (text, message) in [
            ("\ntitel = 'x'", "line 2, column 1: unknown field `titel`"),
            ("[objects]\nusers = [1]", "line 2, column 9: expected u64"),
            ("a = ", "line 1, column 5: "),
            ("[faults]\nslow = 2.0", "line 1, column 1: faults: shares are 0 to 1"),
            ("seed = 1\nmissing = -1.0", "line 2, column 11: missing: a share"),
            ("refill = 'window'", "line 1, column 1: window_s: a window needs"),
            ("throttle_wait_s = [5, 3]", "line 1, column 19: throttle_wait_s: the first value is above"),
            ("objects.broken = nan", "line 1, column 18: objects.broken: a share"),
            ("writes_per_second = inf", "line 1, column 21: writes_per_second: 0 to 1e12"),
            ("objects = { users = 9223372036854775807 }", "line 1, column 21: objects.users: at most"),
            ("[token]\nfaults = [503, 0]", "line 2, column 10: token.faults: a status"),
            ("[limits]\nrequests = [1.0, 0.0]", "line 2, column 12: limits.requests: an amount"),
        ] {
            let error = Scenario::parse(text).expect_err(text);
            assert!(error.starts_with(message), "{text}: {error}");
        }
        let latin =
            Scenario::load("x", |_| Ok(b"seed = 1\ntitle = 'caf\xe9'".to_vec())).expect_err("Latin-1");
        assert!(latin.starts_with("scenario x: line 2, column 13: this is not UTF-8"), "{latin}");
    }

    #[test]
    fn error_for_another_file_does_not_repeat_its_values() {
        let secret = "s3cr3t";
        for text in [
            format!("password = '{secret}'"),
            format!("seed = '{secret}'"),
            format!("refill = '{secret}'"),
            format!("[expect]\na = '{secret}, expected no'"),
            format!("title = '{secret}"),
            format!("title = {secret}"),
            format!("throttle_after = ['{secret}']"),
        ] {
            let error = Scenario::parse(&text).expect_err(&text);
            assert!(error.starts_with("line ") && !error.contains(secret), "{text}: {error}");
        }
        let long = Scenario::parse(&format!("\"a\\n\\u001b{}\" = 1", "b".repeat(9_000))).expect_err("a key");
        assert!(long.chars().count() < 500 && !long.chars().any(char::is_control), "{long}");
    }
}
