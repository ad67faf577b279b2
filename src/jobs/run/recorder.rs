//! The journal thread: the only consumer of events and the only writer of `results.csv`. It also writes the
//! log.

use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tracing::{debug, info};

use super::counters::Counters;
use super::safety_limits::Guards;
use crate::error::Error;
use crate::model::{Attempt, AttemptResult, Event, Finished, Outcome};
use crate::rundir::Journal;
use crate::stop::{Stop, StopReason};
use crate::terminal::Console;

/// Records that go in one write.
const BATCH: usize = 256;
/// Writes are so far apart at least: faster than 4,000 users a second, waking for each costs more than its
/// line. Twice as far, users who wait for their line keep half of 64 in flight from being sent; at nothing
/// each write wakes somebody.
const BETWEEN_WRITES: Duration = Duration::from_micros(250);

/// Writes until the last sender of events is gone. A permit is released when its line is written.
pub(super) fn record(
    mut journal: Journal,
    mut inbox: mpsc::Receiver<Event>,
    counters: &Counters,
    stop: &Stop,
    mut guards: Guards,
    console: &Console,
    written: impl Fn(),
) -> Result<(), Error> {
    let mut events = Vec::with_capacity(BATCH);
    let mut finished: Vec<Box<Finished>> = Vec::with_capacity(BATCH);
    while inbox.blocking_recv_many(&mut events, BATCH) > 0 {
        for event in events.drain(..) {
            match event {
                Event::Finished(record) => finished.push(record),
                Event::Retrying { row, attempt, wait } => {
                    let throttled = matches!(attempt.kind, AttemptResult::Throttled(_));
                    counters.throttled.fetch_add(u64::from(throttled), Relaxed);
                    log_attempt(row, &attempt);
                    if matches!(attempt.kind, AttemptResult::Transient(_)) {
                        counters.troubled(&attempt.message, console);
                    }
                    debug!(row, wait_ms = wait.as_millis() as u64, "tries again after the wait");
                }
                Event::PutOff { row, attempt } => {
                    counters.put_off.fetch_add(1, Relaxed);
                    log_attempt(row, &attempt);
                    let wait_ms = attempt.retry_after.map_or(0, |wait| wait.as_millis() as u64);
                    info!(
                        row,
                        wait_ms, "the wait is longer than --max-wait: no record, a later call does it"
                    );
                }
                Event::CutShort { row } => {
                    info!(row, "cut short by the stop: no record, the next call does it")
                }
            }
        }
        if let Err(error) = journal.append(finished.iter().map(|finished| &finished.record)) {
            stop.abort(Some(StopReason::Journal(error.chain())));
            return Err(error);
        }
        written();
        let began = Instant::now();
        release(&mut finished);
        for finished in finished.drain(..) {
            let Finished { record, latency, .. } = *finished;
            if let Some(latency) = latency {
                log_answer(&Answer {
                    row: record.row,
                    status: record.http_status,
                    code: &record.error_code,
                    said: &record.message,
                    latency,
                    client_request_id: &record.client_request_id,
                    request_id: &record.request_id,
                });
            }
            info!(
                row = record.row,
                id = &*record.id,
                outcome = record.outcome.as_str(),
                reason = record.reason.map_or("", |reason| reason.as_str()),
                attempts = record.attempts,
                "done"
            );
            let counter = match record.outcome {
                Outcome::Accepted => &counters.accepted,
                Outcome::Failed => &counters.failed,
                Outcome::Invalid | Outcome::Duplicate => continue,
            };
            counter.fetch_add(1, Relaxed);
            counters.answered.fetch_add(1, Relaxed);
            if let Some(why) = guards.judge(&record)
                && stop.is_running()
            {
                stop.drain(why);
            }
        }
        // Events that arrive meanwhile are written with the next ones.
        if let Some(early) = BETWEEN_WRITES.checked_sub(began.elapsed()) {
            thread::sleep(early);
        }
    }
    Ok(())
}

/// Releases the permits of users whose records are written, and wakes the workers that wait for one.
fn release(finished: &mut [Box<Finished>]) {
    let mut all: Option<OwnedSemaphorePermit> = None;
    for permit in finished.iter_mut().filter_map(|finished| finished.permit.take()) {
        match &mut all {
            Some(all) => all.merge(permit),
            None => all = Some(permit),
        }
    }
}

/// One request and its answer, without anything secret: no header and no body.
struct Answer<'a> {
    row: u64,
    status: Option<u16>,
    code: &'a str,
    said: &'a str,
    latency: Duration,
    client_request_id: &'a str,
    request_id: &'a str,
}

fn log_attempt(row: u64, attempt: &Attempt) {
    log_answer(&Answer {
        row,
        status: attempt.status,
        code: &attempt.code,
        said: &attempt.message,
        latency: attempt.latency,
        client_request_id: &attempt.client_request_id,
        request_id: &attempt.request_id,
    });
}

fn log_answer(answer: &Answer<'_>) {
    debug!(
        row = answer.row,
        status = answer.status.unwrap_or(0),
        code = answer.code,
        said = answer.said,
        latency_ms = answer.latency.as_millis() as u64,
        client_request_id = answer.client_request_id,
        request_id = answer.request_id,
        "answered"
    );
}
