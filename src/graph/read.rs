//! Reads for `find` and `verify`: a page by its absolute URL, or up to twenty GETs as one batch.

use std::time::SystemTime;

use jiff::Timestamp;
use url::Url;

use super::batch::{self, judged};
use super::classify::{classify_read, date_in};
use super::client::Client;
use super::replies::decode;
use crate::auth::Token;
use crate::model::{Attempt, AttemptResult, Reason};

/// Longest page that is read: 999 users with their errors are below 4 MiB.
pub const LONGEST_PAGE: usize = 32 * 1024 * 1024;

/// The result of a read.
#[derive(Clone, Debug, PartialEq)]
pub struct ReadResponse {
    /// `Accepted`: a JSON object came whole.
    pub attempt: Attempt,
    /// The object, at most [`LONGEST_PAGE`]; else what came of an answer.
    pub body: Vec<u8>,
    /// The time of the response by the clock of the service, if it has a `Date`.
    pub date: Option<Timestamp>,
    /// Whether a whole batch failed, or the response of this part is missing. It is one failure for all
    /// parts.
    pub of_whole: bool,
}

impl Client {
    /// Reads an absolute URL, such as a next link, on the origin of the root; any other is refused unsent,
    /// because the token would go there.
    pub async fn get(&self, token: &Token, url: &Url) -> ReadResponse {
        if url.origin() != self.origin {
            let mut attempt = self.unsent(token);
            attempt.kind = AttemptResult::Rejected(Reason::NotGraph);
            attempt.code = "other_origin".into();
            attempt.message = format!(
                "the service names {} as the next place to read, which is not the endpoint: not followed",
                url.origin().ascii_serialization()
            )
            .into();
            return ReadResponse { attempt, body: Vec::new(), date: None, of_whole: false };
        }
        let answer = self.read(token, url.clone(), LONGEST_PAGE, classify_read).await;
        let date = date_in(&answer.headers);
        ReadResponse { attempt: answer.attempt, body: answer.body, date, of_whole: false }
    }

    /// Reads the id of one object: whether Graph accepts the token at all. Whatever but a 401 it answers, it
    /// does.
    pub async fn check(&self, token: &Token) -> Attempt {
        let mut url = self.collection();
        url.query_pairs_mut().append_pair("$select", "id").append_pair("$top", "1");
        self.read(token, url, LONGEST_PAGE, classify_read).await.attempt
    }

    /// Reads up to twenty paths below root and version, such as `/users/{id}?$select=id`, in one `$batch`. As
    /// many readings as paths, in their order; a part without an answer is a broken one.
    pub async fn get_batch(&self, token: &Token, paths: &[String]) -> Vec<ReadResponse> {
        let (body, ids) = batch::encode(paths.iter().map(|path| batch::Request { method: "GET", path }));
        let answer = self.post_batch(token, body, LONGEST_PAGE).await;
        let (date, now) = (date_in(&answer.headers), SystemTime::now());
        let readings = ids.into_iter().zip(decode(&answer, paths.len())).map(|(own, reply)| {
            let attempt = Attempt { client_request_id: own, ..answer.attempt.clone() };
            match reply {
                None => {
                    let attempt = batch::without_reply(attempt).into_attempt();
                    ReadResponse { attempt, body: Vec::new(), date, of_whole: true }
                }
                Some(reply) => {
                    let own = date_in(&reply.headers).or(date);
                    let attempt = judged(attempt, &reply, now, classify_read);
                    ReadResponse { attempt, body: reply.body.into_owned(), date: own, of_whole: false }
                }
            }
        });
        readings.collect()
    }
}
