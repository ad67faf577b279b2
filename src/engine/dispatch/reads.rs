//! Reads through the gate, for `find` and `verify`.

use std::future::Future;

use url::Url;

use super::{Dispatch, Exchange};
use crate::graph::{Client, MOST_PARTS, Pass, Reading};
use crate::pace::Settled;

/// What can be read as well: pages and objects, through the same gate.
pub trait Reads: Exchange {
    /// Reads an absolute URL on the origin of the endpoint.
    fn get(&self, pass: &Self::Pass, url: &Url) -> impl Future<Output = Reading> + Send;

    /// Reads up to [`MOST_PARTS`] paths in one request: as many readings, in their order.
    fn get_batch(&self, pass: &Self::Pass, paths: &[String]) -> impl Future<Output = Vec<Reading>> + Send;
}

/// One read: which is asked for again under the same number, as a user under that of his row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Tells an outage (many fail) from one page that fails again and again.
    pub number: u64,
    /// Below root and version, such as `/users/{id}?$select=id`; `graph::object_path` encodes the id.
    pub path: String,
}

impl<E: Reads> Dispatch<E> {
    /// Reads one URL as soon as it may leave, as [`Dispatch::attempt`] sends for a row. Whether and when it is asked
    /// again is for the caller to decide; `number` stays the same then.
    pub async fn get(&self, number: u64, url: &Url) -> Option<(Reading, Settled)> {
        let (mut ticket, pass) = self.gate.leave(1).await?;
        let reading = tokio::select! {
            biased;
            reading = self.gate.exchange.get(&pass, url) => reading,
            () = self.gate.stop.aborting() => return None,
        };
        let settled = self.gate.settle(&mut ticket, number, &reading.attempt);
        Some((reading, settled))
    }

    /// Reads as many of the first [`MOST_PARTS`] as may leave together, in one request, and answers in their order:
    /// fewer than asked while a single probe is allowed, never more than the group of the `Pace`. The rest is asked
    /// again; what has the code [`UNTOLD`](crate::graph::UNTOLD) better alone.
    pub async fn get_batch(&self, asked: &[Asked]) -> Option<Vec<(Reading, Settled)>> {
        let most = asked.len().min(MOST_PARTS);
        if most == 0 {
            return Some(Vec::new());
        }
        let (mut ticket, pass) = self.gate.leave(most).await?;
        let asked = &asked[..most.min(ticket.parts() as usize)];
        let paths: Vec<_> = asked.iter().map(|asked| asked.path.clone()).collect();
        let readings = tokio::select! {
            biased;
            readings = self.gate.exchange.get_batch(&pass, &paths) => readings,
            () = self.gate.stop.aborting() => return None,
        };
        readings.iter().for_each(|reading| self.gate.heed(&reading.attempt));
        let mut settling = self.gate.pace.settling(&mut ticket);
        let settled = asked.iter().zip(readings).map(|(one, reading)| {
            let number = if reading.of_whole { asked[0].number } else { one.number };
            let settled = settling.part(number, &reading.attempt);
            (reading, settled)
        });
        Some(settled.collect())
    }
}

impl Reads for Client {
    async fn get(&self, pass: &Pass, url: &Url) -> Reading {
        Self::get(self, pass, url).await
    }

    async fn get_batch(&self, pass: &Pass, paths: &[String]) -> Vec<Reading> {
        Self::get_batch(self, pass, paths).await
    }
}
