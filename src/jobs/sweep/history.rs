//! The memory of the nightly job: which object was retried for which error, how often, and what is already
//! known to fail.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// One object. No names: object ids and error codes only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HistoryEntry {
    /// Object id, lower case.
    pub(crate) id: String,
    /// Service of the error.
    pub(crate) service: String,
    /// Its code.
    pub(crate) error_code: String,
    /// Retries for this error.
    pub(crate) tries: u32,
    /// When it was retried last, by the service's clock.
    pub(crate) tried_at: Timestamp,
    /// Whether its failure has been reported.
    pub(crate) known: bool,
}

/// The limits for retries of an unchanged error.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// Time after a retry in which an unchanged error is not retried again.
    pub retry_interval: Duration,
    /// Maximum number of retries of an unchanged error, at least 1.
    pub max_retries: u32,
}

/// Whether an object is retried in this sweep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum RetryDecision {
    /// Never retried for this error.
    New,
    /// Retried before, and the retry interval has passed.
    Again,
    /// Retried a while ago, unchanged.
    Cooling,
    /// Retried often enough: it needs hands.
    GivenUp,
}

impl RetryDecision {
    /// Whether it is retried.
    pub(crate) fn is_retried(self) -> bool {
        matches!(self, Self::New | Self::Again)
    }
}

/// Whether a failure is new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Novelty {
    /// No sweep has reported it.
    New,
    /// It has been told before.
    Known,
}

/// Counts of failures after judging.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Judged {
    /// It has not been reported yet.
    pub(crate) news: u64,
    /// It has been reported before.
    pub(crate) known: u64,
}

/// All entries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct History {
    entries: BTreeMap<String, HistoryEntry>,
    /// Without a history, all failures of this sweep count as known.
    baseline: bool,
}

impl History {
    /// A new history: this sweep sets the baseline.
    pub(crate) fn baseline() -> Self {
        Self { entries: BTreeMap::new(), baseline: true }
    }

    /// Whether this sweep sets the baseline.
    pub(crate) fn is_baseline(&self) -> bool {
        self.baseline
    }

    /// Reads the CSV. Columns are found by their names. Columns of a newer version are ignored.
    ///
    /// # Errors
    /// With the line that cannot be read.
    pub(crate) fn read(from: impl io::Read) -> Result<Self, csv::Error> {
        let mut reader = csv::Reader::from_reader(from);
        let entries =
            reader.deserialize().map(|entry| entry.map(|entry: HistoryEntry| (entry.id.clone(), entry)));
        Ok(Self { entries: entries.collect::<Result<_, _>>()?, baseline: false })
    }

    /// Writes the history as CSV with its header.
    ///
    /// # Errors
    /// The error of the writer.
    pub(crate) fn write(&self, to: impl io::Write) -> Result<(), csv::Error> {
        let mut writer = csv::WriterBuilder::new().has_headers(false).from_writer(to);
        writer.write_record(["id", "service", "error_code", "tries", "tried_at", "known"])?;
        for entry in self.entries.values() {
            writer.serialize(entry)?;
        }
        writer.flush()?;
        Ok(())
    }

    /// Whether an object with this error is worth a retry at the service's time `now`.
    pub(crate) fn worth(
        &self,
        id: &str,
        service: &str,
        code: &str,
        now: Timestamp,
        policy: Policy,
    ) -> RetryDecision {
        let Some(entry) = self.same(id, service, code) else { return RetryDecision::New };
        let retry_interval = SignedDuration::try_from(policy.retry_interval).unwrap_or(SignedDuration::MAX);
        if entry.tries == 0 {
            RetryDecision::New
        } else if entry.tries >= policy.max_retries {
            RetryDecision::GivenUp
        } else if now.duration_since(entry.tried_at) < retry_interval {
            RetryDecision::Cooling
        } else {
            RetryDecision::Again
        }
    }

    /// A retry of it was accepted.
    pub(crate) fn tried(&mut self, id: &str, service: &str, code: &str, now: Timestamp) {
        let before = self.same(id, service, code);
        let (tries, known) = before.map_or((0, self.baseline), |entry| (entry.tries, entry.known));
        let id = id.to_ascii_lowercase();
        let (service, error_code) = (service.to_owned(), code.to_owned());
        let entry =
            HistoryEntry { id: id.clone(), service, error_code, tries: tries + 1, tried_at: now, known };
        self.entries.insert(id, entry);
    }

    /// Records that an object failed again with this error, or reached the maximum number of retries. The
    /// first time it is a new failure.
    pub(crate) fn fails(&mut self, id: &str, service: &str, code: &str) -> Novelty {
        let baseline = self.baseline;
        let id = id.to_ascii_lowercase();
        let entry = self.entries.entry(id.clone()).or_insert_with(|| HistoryEntry {
            id,
            service: service.to_owned(),
            error_code: code.to_owned(),
            tries: 0,
            tried_at: Timestamp::UNIX_EPOCH,
            known: baseline,
        });
        if entry.service != service || entry.error_code != code {
            // Another cause: the count begins again.
            (entry.service, entry.error_code) = (service.to_owned(), code.to_owned());
            (entry.tries, entry.known) = (0, baseline);
            entry.tried_at = Timestamp::UNIX_EPOCH;
        }
        if std::mem::replace(&mut entry.known, true) { Novelty::Known } else { Novelty::New }
    }

    /// Records the error of an object in this sweep. Without a history, its failure counts as known.
    pub(crate) fn observe(&mut self, id: &str, service: &str, code: &str) {
        if self.baseline && self.same(id, service, code).is_none() {
            let id = id.to_ascii_lowercase();
            let (service, error_code) = (service.to_owned(), code.to_owned());
            let (tries, tried_at, known) = (0, Timestamp::UNIX_EPOCH, true);
            self.entries.insert(id.clone(), HistoryEntry { id, service, error_code, tries, tried_at, known });
        }
    }

    /// Records that the failure was not reported.
    pub(crate) fn mark_unreported(&mut self, id: &str) {
        if let Some(entry) = self.entries.get_mut(&id.to_ascii_lowercase()) {
            entry.known = false;
        }
    }

    /// Forgets what has no error any more: how many of that had been retried.
    pub(crate) fn keep(&mut self, has_error: impl Fn(&str) -> bool) -> u64 {
        let mut cleared = 0;
        self.entries.retain(|id, entry| {
            let keep = has_error(id);
            cleared += u64::from(!keep && entry.tries > 0);
            keep
        });
        cleared
    }

    /// The entry of an object.
    pub(crate) fn entry(&self, id: &str) -> Option<&HistoryEntry> {
        self.entries.get(&id.to_ascii_lowercase())
    }

    /// Number of entries.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    fn same(&self, id: &str, service: &str, code: &str) -> Option<&HistoryEntry> {
        self.entry(id).filter(|entry| entry.service == service && entry.error_code == code)
    }
}

impl Judged {
    /// Counts one.
    pub(crate) fn count(&mut self, known: Novelty) {
        match known {
            Novelty::New => self.news += 1,
            Novelty::Known => self.known += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: Policy = Policy { retry_interval: Duration::from_secs(20 * 3_600), max_retries: 5 };

    fn night(number: i64) -> Timestamp {
        Timestamp::from_second(number * 86_400).expect("a time")
    }

    #[test]
    fn thirty_nights_tell_each_thing_once() {
        // One user always fails, one always fails with another cause from night 10, and one is cleared
        // immediately.
        let mut history = History::default();
        let mut told = Vec::new();
        let mut retried = Vec::new();
        for number in 1..=30 {
            let (now, cause) = (night(number), if number < 10 { "A" } else { "B" });
            for (id, code) in [("stubborn", "A"), ("turncoat", cause)] {
                // First the result of the previous retry, then the decision about the next one.
                if number > 1 && history.fails(id, "exchange", code) == Novelty::New {
                    told.push((number, id));
                }
                if history.worth(id, "exchange", code, now, POLICY).is_retried() {
                    history.tried(id, "exchange", code, now);
                    retried.push((number, id));
                }
            }
            if number == 3 {
                history.tried("cleared", "exchange", "A", now);
            }
            history.keep(|id| id != "cleared");
        }
        assert_eq!(told, [(2, "stubborn"), (2, "turncoat"), (10, "turncoat")]);
        let nights =
            |id: &str| retried.iter().filter(|(_, who)| *who == id).map(|(n, _)| *n).collect::<Vec<_>>();
        assert_eq!(nights("stubborn"), [1, 2, 3, 4, 5], "given up after five");
        assert_eq!(nights("turncoat"), [1, 2, 3, 4, 5, 10, 11, 12, 13, 14], "a new cause is worth five more");
        assert_eq!(history.len(), 2);
    }

    #[test]
    fn an_unchanged_error_cools_down() {
        let mut history = History::default();
        let worth = |history: &History, hour: i64, code: &str| {
            let now = Timestamp::from_second(hour * 3_600).expect("a time");
            history.worth("A", "exchange", code, now, POLICY)
        };
        assert_eq!(worth(&history, 0, "X"), RetryDecision::New);
        history.tried("a", "exchange", "X", Timestamp::UNIX_EPOCH);
        assert_eq!(worth(&history, 19, "X"), RetryDecision::Cooling);
        assert_eq!(worth(&history, 20, "X"), RetryDecision::Again);
        assert_eq!(worth(&history, 1, "Y"), RetryDecision::New, "another cause");
    }

    #[test]
    fn without_a_memory_nothing_is_news() {
        let mut history = History::baseline();
        history.tried("a", "exchange", "X", night(1));
        assert_eq!(history.fails("a", "exchange", "X"), Novelty::Known);
        assert_eq!(history.fails("b", "exchange", "X"), Novelty::Known);
        let mut file = Vec::new();
        history.write(&mut file).expect("memory");
        let text = String::from_utf8(file.clone()).expect("UTF-8");
        assert_eq!(text.lines().nth(1), Some("a,exchange,X,1,1970-01-02T00:00:00Z,true"));
        let mut tomorrow = History::read(&file[..]).expect("read back");
        assert!(!tomorrow.is_baseline());
        assert_eq!(tomorrow.fails("b", "exchange", "X"), Novelty::Known);
        assert_eq!(tomorrow.fails("c", "exchange", "X"), Novelty::New);
        assert!(History::read(&b"id,service\nx,y\n"[..]).is_err());
        let newer =
            b"known,new,id,service,error_code,tries,tried_at\ntrue,?,b,exchange,X,1,1970-01-02T00:00:00Z\n";
        let mut newer = History::read(&newer[..]).expect("columns of a newer version");
        assert_eq!(newer.fails("b", "exchange", "X"), Novelty::Known);
    }
}
