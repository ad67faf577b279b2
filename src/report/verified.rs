//! `verified.csv` as a report needs it: verdicts counted, and those whose error is still there.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::Path;

use serde::Deserialize;

use super::figures::{Hand, MOST_HANDS};
use crate::catalogue;
use crate::error::Error;
use crate::model::{MAX_MESSAGE, sanitize};

/// Verdicts that need a person.
const STILL_THERE: [&str; 2] = ["failed_again", "changed"];

/// What a later look at the users of a run found.
#[derive(Clone, Debug, Default)]
pub struct Verified {
    /// Users by verdict.
    pub verdicts: BTreeMap<String, u64>,
    /// When the last of them was looked at.
    pub checked_at: String,
    /// The first [`MOST_HANDS`] whose error is still there or is another one now.
    pub hands: BTreeMap<u64, Hand>,
}

#[derive(Deserialize)]
struct Line {
    row: u64,
    id: String,
    #[serde(default, rename = "userPrincipalName")]
    user_principal_name: String,
    verdict: String,
    #[serde(default)]
    service: String,
    #[serde(default)]
    error_code: String,
    #[serde(default)]
    error_text: String,
    #[serde(default)]
    checked_at: String,
}

impl Verified {
    /// Reads it; `None` where nobody has looked yet.
    ///
    /// # Errors
    /// `Error::Damaged` where it is not ours; `Error::File`.
    pub fn read(folder: &Path) -> Result<Option<Self>, Error> {
        let path = folder.join("verified.csv");
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(Error::file("read", path, source)),
        };
        let mut found = Self::default();
        for line in csv::Reader::from_reader(io::BufReader::new(file)).into_deserialize::<Line>() {
            let line = line.map_err(|error| Error::Damaged {
                path: path.clone(),
                message: format!("{error}; `reprovision verify` writes it again"),
            })?;
            found.add(line);
        }
        Ok(Some(found))
    }

    /// Users whose error is still there or is another one now.
    pub fn still_there(&self) -> u64 {
        STILL_THERE.iter().filter_map(|verdict| self.verdicts.get(*verdict)).sum()
    }

    fn add(&mut self, line: Line) {
        if line.checked_at > self.checked_at {
            self.checked_at.clone_from(&line.checked_at);
        }
        if STILL_THERE.contains(&line.verdict.as_str()) {
            self.hands.insert(line.row, hand(&line));
            if self.hands.len() > MOST_HANDS {
                self.hands.pop_last();
            }
        }
        *self.verdicts.entry(line.verdict).or_default() += 1;
    }
}

fn hand(line: &Line) -> Hand {
    let entry = catalogue::of_service_error(&line.error_code, &line.error_text);
    let name = if line.user_principal_name.is_empty() { &line.id } else { &line.user_principal_name };
    let service = line.service.split('/').next().unwrap_or_default();
    Hand {
        part: 0,
        row: line.row,
        name: name.clone(),
        service: sanitize(service, MAX_MESSAGE),
        cause: entry.map_or_else(
            || format!("{} (not in the catalogue)", sanitize(&line.error_code, MAX_MESSAGE)),
            |entry| entry.title.clone(),
        ),
        message: sanitize(&line.error_text, MAX_MESSAGE),
        who: entry.map_or("the administrator of the service", |entry| &entry.who).to_owned(),
        next_step: entry.map_or("read the message", |entry| &entry.next).to_owned(),
    }
}
