//! A model of `find`: whatever the pages are like and wherever it is killed, the list has each object with an
//! error once.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::*;
use serde_json::json;
use tokio::runtime::Builder;
use url::Url;

use super::find_job::collect;
use super::list_file::ScanOutput;
use crate::engine::dispatch::{Exchange, Reads};
use crate::engine::retry::RetryPolicy;
use crate::graph::ReadResponse;
use crate::jobs::tenant_reader::reading;
use crate::model::{Attempt, AttemptResult, ErrorFilter, ObjectKind, Reason, UserId};
use crate::scan::{Reader, Walk};
use crate::stop::Stop;
use crate::terminal::Console;

/// Invocations after which the service behaves.
const TROUBLED: usize = 6;

/// Pages of a collection, and what happens to the requests for them.
#[derive(Clone, Debug)]
struct Service {
    /// Ids of the objects of each page; `None` is a null.
    pages: Vec<Vec<Option<u64>>>,
    /// Requests, from 0, whose page token has expired.
    expired: BTreeSet<u64>,
    /// Requests at which the process is killed.
    killed: BTreeSet<u64>,
    /// Pages whose link to the next one is relative.
    relative: bool,
    /// Whether the last page has an empty link.
    empty_link: bool,
}

#[derive(Debug)]
struct Played {
    service: Arc<Service>,
    requests: Arc<Mutex<u64>>,
    behaves: bool,
}

fn is_broken(id: u64) -> bool {
    id.is_multiple_of(3)
}

impl Played {
    fn answer(&self, url: &Url) -> ReadResponse {
        let number = {
            let mut requests = self.requests.lock().expect("no panic holds it");
            *requests += 1;
            *requests - 1
        };
        let at =
            url.query_pairs().find(|(name, _)| name == "page").map(|(_, at)| at.parse().expect("a number"));
        let refused = |status, reason| ReadResponse {
            attempt: Attempt { status: Some(status), ..Attempt::of(AttemptResult::Rejected(reason)) },
            body: Vec::new(),
            date: None,
            of_whole: false,
        };
        if !self.behaves && self.service.killed.contains(&number) {
            return refused(403, Reason::NoPermission);
        }
        if !self.behaves && at.is_some() && self.service.expired.contains(&number) {
            return refused(400, Reason::BadRequest);
        }
        let at: usize = at.unwrap_or(0);
        let object = |id: &Option<u64>| match id {
            None => json!(null),
            Some(id) if is_broken(*id) => json!({ "id": id.to_string(), "serviceProvisioningErrors":
                [{ "createdDateTime": "2026-01-01T00:00:00Z", "isResolved": false, "serviceInstance": "exchange/A" }] }),
            Some(id) => json!({ "id": id.to_string(), "serviceProvisioningErrors": [] }),
        };
        let mut page = json!({ "value": self.service.pages[at].iter().map(object).collect::<Vec<_>>() });
        if at + 1 < self.service.pages.len() {
            let root = if self.service.relative { "" } else { "https://h/beta/users" };
            page["@odata.nextLink"] = json!(format!("{root}?page={}", at + 1));
        } else if self.service.empty_link {
            page["@odata.nextLink"] = json!("");
        }
        let body = page.to_string().into_bytes();
        ReadResponse { attempt: Attempt::of(AttemptResult::Accepted), body, date: None, of_whole: false }
    }
}

impl Exchange for Played {
    type Pass = ();

    async fn prepare(&self) -> Result<(), String> {
        Ok(())
    }

    async fn send(&self, (): &(), _id: &UserId) -> Attempt {
        Attempt::of(AttemptResult::Accepted)
    }

    fn rejected(&self, _attempt: &Attempt) {}
}

impl Reads for Played {
    async fn get(&self, (): &(), url: &Url) -> ReadResponse {
        self.answer(url)
    }

    async fn get_batch(&self, (): &(), paths: &[String]) -> Vec<ReadResponse> {
        paths
            .iter()
            .map(|_| ReadResponse {
                attempt: Attempt::of(AttemptResult::Accepted),
                body: Vec::new(),
                date: None,
                of_whole: false,
            })
            .collect()
    }
}

prop_compose! {
    fn services()(
        pages in prop::collection::vec((0..8_usize, 0..4_usize, prop::collection::vec(0..8_usize, 0..2)), 1..12),
        expired in prop::collection::btree_set(0..40_u64, 0..5),
        killed in prop::collection::btree_set(0..40_u64, 0..4),
        relative in any::<bool>(),
        empty_link in any::<bool>(),
    ) -> Service {
        let mut objects = 0_u64;
        let pages = pages.into_iter().map(|(new, overlap, nulls)| {
            let from = objects.saturating_sub(overlap as u64);
            objects += new as u64;
            let mut page: Vec<_> = (from..objects).map(Some).collect();
            nulls.into_iter().for_each(|at| page.insert(at.min(page.len()), None));
            page
        });
        Service { pages: pages.collect(), expired, killed, relative, empty_link }
    }
}

/// Whether an invocation came to the end of the list at `out`.
async fn invocation(played: Played, out: &std::path::Path) -> bool {
    let stop = Stop::new();
    let policy = RetryPolicy { max_attempts: 3, jitter: 0.0, max_wait: Duration::MAX };
    let reader = Reader::new(reading(played, &stop), policy, stop, ObjectKind::Users);
    let walk = Walk::new(&reader, Url::parse("https://h/beta").expect("a URL"));
    let (mut list, mark) = ScanOutput::beside(out, "the same".to_owned()).expect("the list");
    match collect(&walk, &ErrorFilter::default(), &mut list, mark, &Console::silent()).await {
        Ok(_) => list.finish(false, &Console::silent()).expect("in its place"),
        Err(_) => {
            drop(list);
            // Rows of a page whose position was not noted any more.
            let partial = out.with_extension("csv.partial");
            let mut torn = OpenOptions::new().append(true).open(partial).expect("there");
            torn.write_all(b"0,a,b,c,d,e,f\n3,a,b").expect("written");
            false
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn each_object_with_an_error_is_listed_once(service in services()) {
        let desk = tempfile::tempdir().expect("a folder");
        let out = desk.path().join("list.csv");
        let runtime = Builder::new_current_thread().enable_all().start_paused(true).build().expect("a runtime");
        let (service, requests) = (Arc::new(service), Arc::new(Mutex::new(0)));
        let is_whole = (0..=TROUBLED).any(|number| {
            let played = Played { service: service.clone(), requests: requests.clone(), behaves: number == TROUBLED };
            runtime.block_on(invocation(played, &out))
        });
        prop_assert!(is_whole);
        let text = fs::read(&out).expect("the list");
        let mut reader = csv::Reader::from_reader(&text[..]);
        let listed: Vec<u64> =
            reader.records().map(|row| row.expect("a row")[0].parse().expect("an id")).collect();
        let unique: BTreeSet<_> = listed.iter().copied().collect();
        prop_assert_eq!(unique.len(), listed.len(), "none twice: {:?}", listed);
        let expected: BTreeSet<_> =
            service.pages.iter().flatten().flatten().copied().filter(|id| is_broken(*id)).collect();
        prop_assert_eq!(unique, expected);
        let left = fs::read_dir(desk.path()).expect("the folder").count();
        prop_assert_eq!(left, 1, "nothing is left next to the list");
    }
}
