//! `run.json`, what was asked; `state.json`, what a restart must know.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::read_back::holds_records;
use crate::error::Error;
use crate::model::{CsvLayout, ObjectKind, Shard};
use crate::sys::{self, SinceBoot};

/// Version of the form of `run.json`.
pub const SCHEMA: u32 = 1;
/// The setting that names the scenario of a simulated run.
pub const SCENARIO: &str = "scenario";
/// The setting that holds the tenant as it was asked for, which may be a domain.
pub const TENANT_NAME: &str = "tenant_name";
/// The setting that says how far the service's clock was ahead, in milliseconds.
const CLOCK: &str = "clock_ahead_ms";
/// Settings that hold `--column` and `--delimiter`, where they were given.
pub const READ_WITH: [&str; 2] = ["column", "delimiter"];

/// What makes two calls the same run. All else may differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// SHA-256 of the input as given.
    pub input_sha256: String,
    /// Tenant of the token, or as asked.
    pub tenant: String,
    /// App of the token.
    pub app: String,
    /// Graph root.
    pub endpoint: String,
    /// Users, groups or contacts.
    pub object: ObjectKind,
    /// Name of the id column.
    pub column: String,
    /// The share of the rows; `None`: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<Shard>,
}

impl Identity {
    /// What differs, in words; empty where nothing does.
    pub fn differences(&self, now: &Self) -> Vec<String> {
        let pairs = [
            ("tenant", &self.tenant, &now.tenant),
            ("app", &self.app, &now.app),
            ("endpoint", &self.endpoint, &now.endpoint),
            ("id column", &self.column, &now.column),
        ];
        let mut found: Vec<_> = pairs
            .into_iter()
            .filter(|(_, then, now)| then != now)
            .map(|(what, then, now)| format!("{what}: {then} then, {now} now"))
            .collect();
        if self.input_sha256 != now.input_sha256 {
            found.insert(0, "the input has changed".to_owned());
        }
        if self.shard != now.shard {
            let words = |shard: Option<Shard>| shard.map_or("all rows".to_owned(), |shard| shard.to_string());
            found.push(format!("shard: {} then, {} now", words(self.shard), words(now.shard)));
        }
        if self.object != now.object {
            found.push(format!("objects: {} then, {} now", self.object.plural(), now.object.plural()));
        }
        found
    }
}

/// `run.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunFile {
    /// Version of this form: [`SCHEMA`].
    pub schema: u32,
    /// Version of the tool that created the run.
    pub version: String,
    /// What the run is.
    pub identity: Identity,
    /// Name of the input as given.
    pub input: String,
    /// Size of the input in bytes.
    #[serde(default)]
    pub bytes: u64,
    /// Data rows of the input.
    pub rows: u64,
    /// Those of the shard; `None`: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selected: Option<u64>,
    /// How the input was split; older versions did not keep it.
    #[serde(default)]
    pub reading: Option<CsvLayout>,
    /// `--label`.
    pub label: Option<String>,
    /// `--ticket`.
    pub ticket: Option<String>,
    /// The runs whose `failed.csv` the input was, as its `reprovision_run` column says.
    #[serde(default)]
    pub retry_of: Vec<String>,
    /// Whether the tenant was the simulator's.
    pub simulated: bool,
    /// When the run was created.
    pub created_at: Timestamp,
    /// When the last call began.
    pub started_at: Timestamp,
    /// Who runs it.
    pub operator: String,
    /// Where.
    pub host: String,
    /// As which process.
    pub pid: u32,
    /// Rate, concurrency and the like of the last call.
    pub settings: serde_json::Value,
    /// What to type next; `None` before the first request, and in runs of older versions.
    #[serde(flatten)]
    pub next: Option<NextCommands>,
}

/// The commands to type after an invocation, quoted for the shell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NextCommands {
    /// Continues the run while it is not complete.
    #[serde(rename = "continue")]
    pub resume: String,
    /// Retries what failed, after its causes were fixed.
    pub retry: String,
    /// Reads the accepted users again.
    pub verify: String,
}

impl RunFile {
    /// Rows that are to have a record.
    pub fn rows_in(&self) -> u64 {
        self.selected.unwrap_or(self.rows)
    }

    /// The scenario of a simulated run, as it was asked for; older versions did not keep it.
    pub fn scenario(&self) -> Option<&str> {
        self.settings.get(SCENARIO)?.as_str().filter(|_| self.simulated)
    }

    /// The tenant as it was asked for; `None` where none was named, and for a simulated run.
    pub fn tenant_name(&self) -> Option<&str> {
        self.settings.get(TENANT_NAME)?.as_str().filter(|_| !self.simulated)
    }

    /// The flags with which the list was read, and which a list made from it needs as well.
    pub fn read_with(&self) -> impl Iterator<Item = (String, &str)> {
        READ_WITH.iter().filter_map(|name| Some((format!("--{name}"), self.settings.get(*name)?.as_str()?)))
    }

    /// How far the service's clock was ahead of this machine's while the run was sent, in milliseconds; `None` if it is not
    /// known.
    pub fn clock_ahead_ms(&self) -> Option<i64> {
        self.settings.get(CLOCK)?.as_i64()
    }

    /// Records how far the service's clock was ahead, in seconds: the clock may be corrected before `verify` compares times.
    pub fn set_clock_ahead(&mut self, seconds: i64) {
        if let Some(settings) = self.settings.as_object_mut() {
            settings.insert(CLOCK.to_owned(), (seconds * 1_000).into());
        }
    }

    /// Reads it; `None` where it is missing or torn.
    pub fn read(folder: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(folder.join("run.json")).ok()?).ok()
    }

    /// Reads `run.json` to resume the run; `None` if the folder holds no run yet. A file of a newer version is refused,
    /// because what it means is not known. So is a folder that has results but no readable `run.json`, because the results
    /// may be those of another run.
    ///
    /// # Errors
    /// `Error::Damaged`; `Error::File`.
    pub fn load(folder: &Path) -> Result<Option<Self>, Error> {
        let path = folder.join("run.json");
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(source) => return Err(Error::file("read", path, source)),
        };
        let schema = serde_json::from_slice::<serde_json::Value>(&bytes).ok();
        if schema
            .and_then(|json| json.get("schema")?.as_u64())
            .is_some_and(|schema| schema > u64::from(SCHEMA))
        {
            let message =
                "written by a newer version of reprovision. Resume the run with that version".to_owned();
            return Err(Error::Damaged { path, message });
        }
        match serde_json::from_slice(&bytes) {
            Ok(run) => Ok(Some(run)),
            Err(_) => {
                if holds_records(folder)? {
                    let message = "it is missing or damaged, and results.csv beside it holds records that cannot be told \
                                   from those of another run: put run.json back, or give another --out";
                    return Err(Error::Damaged { path, message: message.to_owned() });
                }
                Ok(None)
            }
        }
    }

    /// Replaces it as a whole.
    ///
    /// # Errors
    /// `Error::File`.
    pub fn write(&self, folder: &Path) -> Result<(), Error> {
        write_json(&folder.join("run.json"), self)
    }
}

/// The rate that was learned, as `state.json` holds it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SavedRate {
    /// The service's rate in writes per second; `None`: not known yet.
    pub rate: Option<f64>,
    /// Writes that the service is expected to accept in a burst.
    pub credit: f64,
    /// When the last write was sent.
    pub last_sent: Timestamp,
}

/// Version of the form of `state.json`.
const STATE_SCHEMA: u32 = 1;

/// `state.json`: cool-downs as (scope, end, length in ms), so that a restart sends nothing early.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Running cool-downs.
    pub cooldowns: Vec<(String, Timestamp, u64)>,
    /// Rate and burst, where the rate controller learns them.
    #[serde(default)]
    pub learned: Option<SavedRate>,
    /// When it was written.
    pub saved_at: Option<Timestamp>,
    /// The same by a clock that nobody sets: which boot of which machine, and milliseconds after it.
    #[serde(default)]
    pub since_boot: Option<(String, u64)>,
}

impl State {
    /// Reads it; missing or torn is empty. From a file of another version the fields that this version knows are read,
    /// because a pause holds for every version. Times are by this machine's clock as it is now, also where it was set since.
    pub fn read(folder: &Path) -> Self {
        let bytes = fs::read(folder.join("state.json")).unwrap_or_default();
        let state: Self = serde_json::from_slice(&bytes).unwrap_or_default();
        let set = state.clock_set(sys::since_boot(), Timestamp::now());
        set.and_then(|set| state.moved(set)).unwrap_or(state)
    }

    /// By how much this machine's clock was set since it was written; `None` where nobody knows.
    fn clock_set(&self, now: Option<SinceBoot>, wall: Timestamp) -> Option<SignedDuration> {
        let ((boot, then), now) = (self.since_boot.as_ref()?, now?);
        let passed = now.passed.checked_sub(Duration::from_millis(*then)).filter(|_| *boot == now.boot)?;
        let expected = self.saved_at?.checked_add(SignedDuration::try_from(passed).ok()?).ok()?;
        Some(wall.duration_since(expected))
    }

    /// With all times later by so much.
    fn moved(&self, by: SignedDuration) -> Option<Self> {
        let later = |at: Timestamp| at.checked_add(by).ok();
        let cooldowns = self
            .cooldowns
            .iter()
            .map(|(scope, until, length)| Some((scope.clone(), later(*until)?, *length)));
        let learned = match self.learned {
            Some(learned) => Some(SavedRate { last_sent: later(learned.last_sent)?, ..learned }),
            None => None,
        };
        Some(Self {
            cooldowns: cooldowns.collect::<Option<_>>()?,
            learned,
            saved_at: Some(later(self.saved_at?)?),
            since_boot: self.since_boot.clone(),
        })
    }

    /// Replaces it as a whole.
    ///
    /// # Errors
    /// `Error::File`.
    pub fn write(&self, folder: &Path) -> Result<(), Error> {
        #[derive(Serialize)]
        struct Versioned<'a> {
            schema: u32,
            #[serde(flatten)]
            state: &'a State,
        }
        write_json(&folder.join("state.json"), &Versioned { schema: STATE_SCHEMA, state: self })
    }
}

fn write_json(path: &Path, value: &impl Serialize) -> Result<(), Error> {
    let bytes = serde_json::to_vec_pretty(value)
        .map_err(|error| Error::file("write", path, io::Error::other(error)))?;
    sys::replace(path, &bytes).map_err(|source| Error::file("replace", path, source))
}

#[cfg(test)]
mod tests {
    use super::super::journal::Journal;
    use super::super::read_back::tests::{expected, record};
    use super::*;
    use crate::model::Outcome;

    #[test]
    fn a_clock_that_was_set_moves_what_was_written_by_it() {
        let at = |second: i64| Timestamp::from_second(second).expect("a time");
        let state = State {
            cooldowns: vec![("tenant".to_owned(), at(1_060), 60_000)],
            learned: Some(SavedRate { rate: Some(20.0), credit: 3.0, last_sent: at(999) }),
            saved_at: Some(at(1_000)),
            since_boot: Some(("b".to_owned(), 500_000)),
        };
        // Ten seconds have passed; the clock says so, or that it was an hour more, or an hour less.
        let now = |boot: &str, second| {
            Some(SinceBoot { boot: boot.to_owned(), passed: Duration::from_secs(second) })
        };
        for (wall, until, last_sent) in [(1_010, 1_060, 999), (4_610, 4_660, 4_599), (-2_590, -2_540, -2_601)]
        {
            let set = state.clock_set(now("b", 510), at(wall)).expect("the same boot");
            let moved = state.moved(set).expect("a time");
            assert_eq!(moved.cooldowns, [("tenant".to_owned(), at(until), 60_000)]);
            assert_eq!(moved.learned.map(|learned| learned.last_sent), Some(at(last_sent)));
        }
        let unknown = [now("another", 510), now("b", 499), None];
        assert!(unknown.into_iter().all(|now| state.clock_set(now, at(4_610)).is_none()));
    }

    #[test]
    fn state_of_an_older_or_newer_version_keeps_its_pauses() {
        let folder = tempfile::tempdir().expect("a folder");
        let state = State {
            cooldowns: vec![("tenant".to_owned(), Timestamp::UNIX_EPOCH, 60_000)],
            ..State::default()
        };
        state.write(folder.path()).expect("written");
        let path = folder.path().join("state.json");
        let mut file: serde_json::Value =
            serde_json::from_slice(&fs::read(&path).expect("read")).expect("JSON");
        assert_eq!(file["schema"], 1);
        assert_eq!(State::read(folder.path()), state);
        let older = serde_json::json!({ "cooldowns": file["cooldowns"], "saved_at": null });
        file["schema"] = 2.into();
        file["new_field"] = "unknown".into();
        for other in [older, file] {
            fs::write(&path, other.to_string()).expect("written");
            assert_eq!(State::read(folder.path()), state, "{other}");
        }
    }

    #[test]
    fn run_file_of_an_older_version_gets_default_values() {
        let folder = tempfile::tempdir().expect("a folder");
        let identity = serde_json::json!({
            "input_sha256": "", "tenant": "t", "app": "a", "endpoint": "e", "object": "users", "column": "id",
        });
        let at = "2026-11-23T00:00:00Z";
        let file = serde_json::json!({
            "schema": 1, "version": "0.0.9", "identity": identity, "input": "users.csv", "rows": 3, "label": null,
            "ticket": null, "simulated": false, "created_at": at, "started_at": at, "operator": "ann", "host": "pc",
            "pid": 7, "settings": {}, "unknown": 1,
        });
        fs::write(folder.path().join("run.json"), file.to_string()).expect("written");
        let run = RunFile::load(folder.path()).expect("read").expect("a run");
        assert_eq!((run.rows_in(), run.bytes, run.reading, run.next), (3, 0, None, None));
        assert_eq!(run.identity.shard, None);
    }

    #[test]
    fn a_torn_run_file_is_a_fresh_start_only_where_nothing_was_recorded() {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path();
        assert_eq!(RunFile::load(folder).expect("nothing there"), None);
        fs::write(folder.join("run.json"), "{\"schema\": 1, \"ver").expect("torn");
        let (mut journal, _) = Journal::open(folder, 3, || Ok(expected(3))).expect("created");
        assert_eq!(RunFile::load(folder).expect("a header alone"), None);
        journal.append([&record(1, Outcome::Accepted)]).expect("written");
        let said = RunFile::load(folder).expect_err("whose record?");
        assert!(said.exit().code() == 2 && said.chain().contains("put run.json back"), "{}", said.chain());
        // Without run.json nothing bounds the numbers of the rows.
        journal.append([&record(u64::MAX - 1, Outcome::Accepted)]).expect("written");
        let said = RunFile::load(folder).expect_err("whose record?");
        assert!(said.chain().contains("put run.json back"), "{}", said.chain());
        fs::write(folder.join("run.json"), "{\"schema\": 2}").expect("of the future");
        assert!(RunFile::load(folder).expect_err("newer").chain().contains("newer version"));
    }
}
