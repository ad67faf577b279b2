//! `run.json`, what was asked; `state.json`, what a restart must know.

use std::fs;
use std::io;
use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::model::ObjectKind;
use crate::sys;

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
}

impl Identity {
    /// What differs, in words; empty where nothing does.
    pub fn differences(&self, now: &Self) -> Vec<String> {
        let pairs = [
            ("input", &self.input_sha256, &now.input_sha256),
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
        if self.object != now.object {
            found.push(format!("objects: {} then, {} now", self.object.plural(), now.object.plural()));
        }
        found
    }
}

/// `run.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunFile {
    /// Version of this form: 1.
    pub schema: u32,
    /// Version of the tool that created the run.
    pub version: String,
    /// What the run is.
    pub identity: Identity,
    /// Name of the input as given.
    pub input: String,
    /// Data rows of the input.
    pub rows: u64,
    /// `--label`.
    pub label: Option<String>,
    /// `--ticket`.
    pub ticket: Option<String>,
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
}

impl RunFile {
    /// Reads it; `None` where it is missing or torn.
    pub fn read(folder: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(folder.join("run.json")).ok()?).ok()
    }

    /// Replaces it as a whole.
    ///
    /// # Errors
    /// `Error::File`.
    pub fn write(&self, folder: &Path) -> Result<(), Error> {
        write_json(&folder.join("run.json"), self)
    }
}

/// What the pace learned.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Learnt {
    /// The service's rate in writes per second; `None`: not known yet.
    pub rate: Option<f64>,
    /// Writes that the service must have in stock.
    pub credit: f64,
    /// When the last write left.
    pub last_sent: Timestamp,
}

/// `state.json`: cool-downs as (scope, end, length in ms), so that a restart sends nothing early.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Running cool-downs.
    pub cooldowns: Vec<(String, Timestamp, u64)>,
    /// Rate and credit, where a law learns them.
    #[serde(default)]
    pub learned: Option<Learnt>,
    /// When it was written.
    pub saved_at: Option<Timestamp>,
}

impl State {
    /// Reads it; missing or torn is empty.
    pub fn read(folder: &Path) -> Self {
        let bytes = fs::read(folder.join("state.json")).unwrap_or_default();
        serde_json::from_slice(&bytes).unwrap_or_default()
    }

    /// Replaces it as a whole.
    ///
    /// # Errors
    /// `Error::File`.
    pub fn write(&self, folder: &Path) -> Result<(), Error> {
        write_json(&folder.join("state.json"), self)
    }
}

fn write_json(path: &Path, value: &impl Serialize) -> Result<(), Error> {
    let bytes = serde_json::to_vec_pretty(value)
        .map_err(|error| Error::file("write", path, io::Error::other(error)))?;
    sys::replace(path, &bytes).map_err(|source| Error::file("replace", path, source))
}
