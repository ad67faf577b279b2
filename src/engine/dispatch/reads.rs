//! Reads for `find` and `verify`, sent through the same gate as writes.

use std::future::Future;

use url::Url;

use super::exchange::Exchange;
use super::gate::Whose;
use super::refusals::SendOrder;
use super::sender::Dispatch;
use crate::graph::{Client, MOST_PARTS, Pass, ReadResponse};
use crate::model::AttemptResult;
use crate::pace::AttemptFeedback;

/// An exchange that can also read pages and objects.
pub trait Reads: Exchange {
    /// Reads an absolute URL on the origin of the endpoint.
    fn get(&self, pass: &Self::Pass, url: &Url) -> impl Future<Output = ReadResponse> + Send;

    /// Reads up to [`MOST_PARTS`] paths in one request and returns the responses in the same order.
    fn get_batch(
        &self,
        pass: &Self::Pass,
        paths: &[String],
    ) -> impl Future<Output = Vec<ReadResponse>> + Send;
}

/// One read. Further attempts keep its number, as the attempts of a user keep the number of the row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadRequest {
    /// Number of the read. It distinguishes an outage, in which many reads fail, from one page that always
    /// fails.
    pub number: u64,
    /// Path below root and version, such as `/users/{id}?$select=id`. `graph::object_path` encodes the id.
    pub path: String,
}

impl<E: Reads> Dispatch<E> {
    /// Reads one URL as soon as sending is allowed. The caller decides about another attempt, with the same
    /// `number`. A 401 that is caused by the token is handled here, so a returned 401 is about this read.
    pub async fn get(&self, number: u64, url: &Url) -> Option<(ReadResponse, AttemptFeedback)> {
        loop {
            let mut departure = self.gate.leave(1).await?;
            let mut reading = tokio::select! {
                biased;
                reading = self.gate.exchange.get(&departure.pass, url) => reading,
                () = self.gate.stop.aborting() => return None,
            };
            let settled = self.gate.settle(&mut departure, number, &reading.attempt);
            settled.apply_to(&mut reading.attempt);
            if !self.is_to_repeat(number, &reading).await? {
                return Some((reading, settled));
            }
        }
    }

    /// Reads as many of the first [`MOST_PARTS`] as may be sent together, in one request, and returns the
    /// responses in the same order. It returns fewer while only a probe is allowed, and never more than the
    /// batch size of the `Pace`. Call again for the rest; a read with the code
    /// [`NO_ANSWER`](crate::graph::NO_ANSWER) is best sent alone. For a 401 see [`Dispatch::get`].
    pub async fn get_batch(&self, asked: &[ReadRequest]) -> Option<Vec<(ReadResponse, AttemptFeedback)>> {
        let most = asked.len().min(MOST_PARTS);
        if most == 0 {
            return Some(Vec::new());
        }
        let mut departure = self.gate.leave(most).await?;
        let asked = &asked[..most.min(departure.ticket.parts() as usize)];
        let paths: Vec<_> = asked.iter().map(|asked| asked.path.clone()).collect();
        let readings = tokio::select! {
            biased;
            readings = self.gate.exchange.get_batch(&departure.pass, &paths) => readings,
            () = self.gate.stop.aborting() => return None,
        };
        let counted = |one: &ReadRequest, reading: &ReadResponse| match reading.of_whole {
            true => asked[0].number,
            false => one.number,
        };
        for (part, (one, reading)) in asked.iter().zip(&readings).enumerate() {
            let sent = SendOrder { request: departure.request, part };
            self.gate.heed(sent, one.number, counted(one, reading), &reading.attempt);
        }
        let mut settling = self.gate.pace.settling(&mut departure.ticket);
        let settle = |(one, mut reading): (&ReadRequest, ReadResponse)| {
            let settled = settling.part(counted(one, &reading), &reading.attempt);
            settled.apply_to(&mut reading.attempt);
            (reading, settled)
        };
        let mut answers: Vec<_> = asked.iter().zip(readings).map(settle).collect();
        drop(settling);
        let mut repeated = Vec::new();
        for (place, (one, (reading, _))) in asked.iter().zip(&answers).enumerate() {
            if self.is_to_repeat(one.number, reading).await? {
                repeated.push(place);
            }
        }
        while !repeated.is_empty() {
            let again: Vec<_> = repeated.iter().map(|place| asked[*place].clone()).collect();
            let more = Box::pin(self.get_batch(&again)).await?;
            for (place, answer) in repeated.drain(..more.len()).zip(more) {
                answers[place] = answer;
            }
        }
        Some(answers)
    }

    /// Whether the response is a 401 that is not about this read. `None` if the run stops.
    async fn is_to_repeat(&self, number: u64, reading: &ReadResponse) -> Option<bool> {
        match reading.attempt.kind {
            AttemptResult::Unauthorized { .. } => {
                let whose = self.gate.whose(number, &reading.attempt).await?;
                // If the response names a wait, the caller waits.
                Some(whose == Whose::SignIn && reading.attempt.retry_after.is_none())
            }
            _ => Some(false),
        }
    }
}

impl Reads for Client {
    async fn get(&self, pass: &Pass, url: &Url) -> ReadResponse {
        let mut reading = Self::get(self, pass, url).await;
        pass.hide_in(&mut reading.attempt);
        reading
    }

    async fn get_batch(&self, pass: &Pass, paths: &[String]) -> Vec<ReadResponse> {
        let mut readings = Self::get_batch(self, pass, paths).await;
        readings.iter_mut().for_each(|reading| pass.hide_in(&mut reading.attempt));
        readings
    }
}
