//! What a report tells, gathered in one pass over the records in bounded memory.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::quantiles::Quantiles;
use super::timeline::Timeline;
use crate::catalogue;
use crate::error::Error;
use crate::model::{Outcome, Reason, Record};
use crate::rundir::{ReadBack, each_record};

/// Users named in the report; the rest stands in failed.csv.
pub const MOST_HANDS: usize = 200;
/// Different causes kept apart; more, which only a broken service sends, are counted without their code.
const MOST_CAUSES: usize = 60;
/// Rows named for a cause.
const SAMPLES: usize = 5;
/// Length of `2026-11-24T10:00:00`.
const SECOND: usize = 19;
/// Numbers of attempts that are counted apart; the last counts itself and all above.
const MOST_ATTEMPTS: usize = 7;

/// Users who were not accepted for one cause.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// Word of the `reason` column.
    pub reason: String,
    /// Graph's error code; empty where none came.
    pub error_code: String,
    /// A few words.
    pub title: String,
    /// Who puts it right.
    pub who: String,
    /// What to do.
    pub next_step: String,
    /// How many.
    pub count: u64,
    /// The input's lines of the first rows, ascending.
    pub lines: Vec<u64>,
}

/// Durations of users who were sent, from the first request to the end, waits included, in milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Durations {
    /// Users counted.
    pub users: u64,
    /// Half of them took no longer; at most 1/32 too large, as all quantiles here.
    pub p50: u64,
    /// 95 of 100 took no longer.
    pub p95: u64,
    /// 99 of 100 took no longer.
    pub p99: u64,
    /// The longest, exactly.
    pub longest: u64,
}

/// Somebody who needs a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hand {
    /// Which of the merged runs, from 0.
    pub part: usize,
    /// Row of the input.
    pub row: u64,
    /// Id or sign-in name.
    pub name: String,
    /// Where it failed: a service, Graph, or the input.
    pub service: String,
    /// A few words.
    pub cause: String,
    /// What the service said; may be empty.
    pub message: String,
    /// Who puts it right.
    pub who: String,
    /// What to do.
    pub next_step: String,
}

/// First request and last answer of a run. The times of records are UTC with a fixed number of digits, so that their
/// texts compare as the times do.
#[derive(Clone, Debug, Default)]
pub struct Span {
    first_sent: String,
    last_finished: String,
}

impl Span {
    /// Adds a record; one that was not sent changes nothing.
    pub fn add<T: Deref<Target = str>>(&mut self, record: &Record<T>) {
        let sent: &str = &record.first_sent_at;
        if !sent.is_empty() && (self.first_sent.is_empty() || sent < self.first_sent.as_str()) {
            sent.clone_into(&mut self.first_sent);
        }
        let finished: &str = &record.finished_at;
        if record.attempts > 0 && finished > self.last_finished.as_str() {
            finished.clone_into(&mut self.last_finished);
        }
    }

    /// Zero where nobody was sent.
    pub fn length(&self) -> Duration {
        let at = |text: &str| text.parse::<Timestamp>().ok();
        let ends = at(&self.first_sent).zip(at(&self.last_finished));
        ends.and_then(|(first, last)| Duration::try_from(last.duration_since(first)).ok()).unwrap_or_default()
    }
}

/// The figures of one run, or of several that are merged.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    causes: BTreeMap<(Reason, Box<str>), (u64, Vec<u64>)>,
    durations: Quantiles,
    /// Users by number of requests: 1, 2, … and the last for all above.
    pub attempts: [u64; MOST_ATTEMPTS],
    /// When, for each run.
    pub timelines: Vec<Timeline>,
    hands: BTreeMap<(usize, u64), Hand>,
    /// The second read last, as text and as time.
    last: (String, Option<Timestamp>),
    /// Failed and invalid rows, all of them.
    pub failed: u64,
    /// First request and last answer.
    pub span: Span,
}

impl Figures {
    /// Of one run, to which records are added.
    pub fn begun() -> Self {
        Self { timelines: vec![Timeline::default()], ..Self::default() }
    }

    /// Reads them from a folder.
    ///
    /// # Errors
    /// As `each_record`.
    pub fn of(folder: &Path, rows: u64) -> Result<Self, Error> {
        let mut figures = Self::default();
        figures.read(folder, rows, |_| {})?;
        Ok(figures)
    }

    /// Adds another run, handing each row's number on.
    ///
    /// # Errors
    /// As `each_record`.
    pub fn read(&mut self, folder: &Path, rows: u64, mut each: impl FnMut(u64)) -> Result<ReadBack, Error> {
        self.timelines.push(Timeline::default());
        each_record(folder, rows, |record| {
            each(record.row);
            self.add(record);
        })
    }

    /// Adds a record to the last run.
    pub fn add<T: Deref<Target = str>>(&mut self, record: &Record<T>) {
        self.span.add(record);
        if record.attempts > 0 {
            let at = (record.attempts as usize).min(MOST_ATTEMPTS) - 1;
            self.attempts[at] += 1;
            if let Some(finished) = self.second(&record.finished_at) {
                let accepted = record.outcome == Outcome::Accepted;
                if let Some(timeline) = self.timelines.last_mut() {
                    timeline.add(finished, accepted, u64::from(record.throttled));
                }
            }
        }
        if let Some(millis) = record.duration_ms {
            self.durations.add(millis);
        }
        if let (Outcome::Failed | Outcome::Invalid, Some(reason)) = (record.outcome, record.reason) {
            self.failed += 1;
            self.count(reason, record);
            let advice = Advice::of(reason, &record.error_code);
            let part = self.timelines.len().saturating_sub(1);
            self.hands.insert(
                (part, record.row),
                Hand {
                    part,
                    row: record.row,
                    name: (*record.id).to_owned(),
                    service: if record.outcome == Outcome::Invalid { "input" } else { "Graph" }.to_owned(),
                    cause: advice.title.to_owned(),
                    message: (*record.message).to_owned(),
                    who: advice.who.to_owned(),
                    next_step: advice.next_step.to_owned(),
                },
            );
            if self.hands.len() > MOST_HANDS {
                self.hands.pop_last();
            }
        }
    }

    /// The second in which a user was finished: most stand in a row, and reading a time costs as much as the rest.
    fn second(&mut self, stamp: &str) -> Option<Timestamp> {
        let (text, second) = &mut self.last;
        let to_the_second = stamp.get(..SECOND).unwrap_or(stamp);
        if text != to_the_second {
            *second = stamp.parse().ok();
            *text = to_the_second.to_owned();
        }
        *second
    }

    fn count<T: Deref<Target = str>>(&mut self, reason: Reason, record: &Record<T>) {
        let full = self.causes.len() >= MOST_CAUSES;
        let mut key = (reason, Box::from(&*record.error_code));
        if full && !self.causes.contains_key(&key) {
            key.1 = "".into();
        }
        let (count, lines) = self.causes.entry(key).or_default();
        *count += 1;
        // Records stand in the order in which they were finished; people look from the top of their list.
        let at = lines.partition_point(|line| *line < record.line);
        if at < SAMPLES {
            lines.insert(at, record.line);
            lines.truncate(SAMPLES);
        }
    }

    /// The most frequent first.
    pub fn causes(&self) -> Vec<Cause> {
        let mut causes: Vec<Cause> = self
            .causes
            .iter()
            .map(|((reason, code), (count, lines))| {
                let advice = Advice::of(*reason, code);
                Cause {
                    reason: reason.as_str().to_owned(),
                    error_code: code.to_string(),
                    title: advice.title.to_owned(),
                    who: advice.who.to_owned(),
                    next_step: advice.next_step.to_owned(),
                    count: *count,
                    lines: lines.clone(),
                }
            })
            .collect();
        causes.sort_by_key(|cause| std::cmp::Reverse(cause.count));
        causes
    }

    /// Quantiles; all zero where nobody was sent.
    pub fn durations(&self) -> Durations {
        let at = |share| self.durations.at(share).unwrap_or(0);
        Durations {
            users: self.durations.total(),
            p50: at(0.5),
            p95: at(0.95),
            p99: at(0.99),
            longest: self.durations.longest(),
        }
    }

    /// Failed and invalid rows, the first [`MOST_HANDS`] of the input.
    pub fn hands(&self) -> impl Iterator<Item = &Hand> {
        self.hands.values()
    }
}

/// The reason's advice, or that for the code where the reason alone says little.
struct Advice {
    title: &'static str,
    who: &'static str,
    next_step: &'static str,
}

impl Advice {
    fn of(reason: Reason, code: &str) -> Self {
        let entry = catalogue::of_reason(reason);
        let vague = matches!(reason, Reason::BadRequest | Reason::Rejected);
        let told = catalogue::of_graph_code(code).filter(|_| vague).unwrap_or(entry);
        Self { title: &entry.title, who: &told.who, next_step: &told.next }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(row: u64, outcome: Outcome, reason: Option<Reason>, code: &str) -> Record {
        Record {
            error_code: code.into(),
            attempts: 2,
            throttled: 1,
            first_sent_at: "2026-11-23T00:00:00.000Z".into(),
            finished_at: "2026-11-23T00:00:01.000Z".into(),
            duration_ms: Some(1_000),
            ..Record::unsent(row, row + 1, format!("user{row}@contoso.com").into(), outcome, reason)
        }
    }

    #[test]
    fn a_service_that_invents_codes_costs_no_memory_and_no_count() {
        let mut figures = Figures::default();
        for row in 0..10_000 {
            let code = format!("Invented{row}");
            figures.add(&record(10_000 - row, Outcome::Failed, Some(Reason::BadRequest), &code));
        }
        let causes = figures.causes();
        assert!(causes.len() <= MOST_CAUSES + 1, "{}", causes.len());
        assert_eq!(causes.iter().map(|cause| cause.count).sum::<u64>(), 10_000);
        assert_eq!(causes[0].error_code, "");
        let rows: Vec<_> = figures.hands().map(|hand| hand.row).collect();
        assert_eq!(
            rows,
            (1..=MOST_HANDS as u64).collect::<Vec<_>>(),
            "the first of the input, not the first finished"
        );
        assert_eq!(figures.failed, 10_000);
    }

    #[test]
    fn a_known_code_says_more_than_a_vague_reason() {
        let mut figures = Figures::default();
        figures.add(&record(1, Outcome::Failed, Some(Reason::BadRequest), "Request_BadRequest"));
        figures.add(&record(2, Outcome::Failed, Some(Reason::BadRequest), "NeverSeen"));
        figures.add(&record(3, Outcome::Accepted, None, ""));
        let causes = figures.causes();
        assert_eq!(causes.len(), 2);
        assert_eq!(causes[0].next_step, catalogue::of_reason(Reason::BadRequest).next);
        assert!(causes[1].next_step.contains("portal"));
        assert_eq!(figures.attempts, [0, 3, 0, 0, 0, 0, 0]);
        assert_eq!(figures.durations().users, 3);
    }

    #[test]
    fn what_is_counted_is_what_was_recorded() {
        let mut figures = Figures::begun();
        let sent = |row, outcome, reason, attempts, second: u32, duration| Record {
            attempts,
            finished_at: format!("2026-11-23T00:00:{second:02}.900Z").into(),
            duration_ms: Some(duration),
            ..record(row, outcome, reason, "")
        };
        // A hundred users in ten seconds, of whom every tenth failed; the slowest took ten seconds.
        for row in 1..=100_u64 {
            let (outcome, reason) = match row % 10 {
                0 => (Outcome::Failed, Some(Reason::NotFound)),
                _ => (Outcome::Accepted, None),
            };
            let attempts = if row <= 3 { 7 + row as u32 } else { 1 };
            figures.add(&sent(row, outcome, reason, attempts, (row as u32 - 1) / 10, row * 100));
        }
        let unsent = |row, outcome, reason| Record {
            attempts: 0,
            throttled: 0,
            finished_at: "".into(),
            duration_ms: None,
            ..record(row, outcome, Some(reason), "")
        };
        figures.add(&sent(101, Outcome::Failed, Some(Reason::GaveUp), 6, 9, 10_100));
        figures.add(&unsent(102, Outcome::Invalid, Reason::BadId));
        figures.add(&unsent(103, Outcome::Duplicate, Reason::SameId));
        // Whatever order reasons have among themselves.
        let mut other = Figures::begun();
        for (row, reason) in
            [(1, Reason::NotFound), (2, Reason::BadId), (3, Reason::BadId), (4, Reason::GaveUp)]
        {
            other.add(&unsent(row, Outcome::Failed, reason));
        }
        (5..8).for_each(|row| other.add(&unsent(row, Outcome::Failed, Reason::GaveUp)));
        let counts: Vec<_> = other.causes().into_iter().map(|cause| cause.count).collect();
        assert_eq!(counts, [4, 2, 1]);
        let causes: Vec<_> =
            figures.causes().into_iter().map(|cause| (cause.reason, cause.count, cause.lines)).collect();
        let word = |reason: Reason| reason.as_str().to_owned();
        assert_eq!(
            causes[0],
            (word(Reason::NotFound), 10, vec![11, 21, 31, 41, 51]),
            "the most frequent first, its first rows"
        );
        assert!(causes.contains(&(word(Reason::GaveUp), 1, vec![102])));
        assert!(causes.contains(&(word(Reason::BadId), 1, vec![103])));
        assert_eq!((causes.len(), figures.failed), (3, 12));
        assert_eq!(figures.attempts, [97, 0, 0, 0, 0, 1, 3], "who was not sent has none");
        let durations = figures.durations();
        assert_eq!((durations.users, durations.longest), (101, 10_100));
        for (quantile, exact) in [(durations.p50, 5_100), (durations.p95, 9_600), (durations.p99, 10_000)] {
            assert!((exact..=exact + exact / 32).contains(&quantile), "{quantile} for {exact}");
        }
        let [timeline] = &figures.timelines[..] else { panic!("one run") };
        let bins: Vec<_> = timeline.bins.iter().map(|bin| (bin.accepted, bin.throttled)).collect();
        assert_eq!(bins, [vec![(9, 10); 9], vec![(9, 11)]].concat());
        let hands: Vec<_> = figures.hands().map(|hand| (hand.part, hand.row, &*hand.service)).collect();
        assert_eq!(hands.len(), 12);
        assert_eq!((hands[0], hands[11]), ((0, 10, "Graph"), (0, 102, "input")));
    }

    #[test]
    fn the_rows_named_for_a_cause_are_the_first_of_the_list_in_whatever_order_they_were_finished() {
        let mut figures = Figures::begun();
        for row in [9, 30, 25, 31, 40, 8, 2, 50, 1] {
            figures.add(&record(row, Outcome::Failed, Some(Reason::NotFound), ""));
        }
        let causes = figures.causes();
        assert_eq!((causes[0].count, &causes[0].lines[..]), (9, &[2, 3, 9, 10, 26][..]));
    }
}
