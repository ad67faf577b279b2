//! The bare minimum with the same HTTP client: a loop of POSTs without input, pacing, retry and records.

#![allow(clippy::print_stdout, reason = "this program prints its count")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use futures::{StreamExt, stream};
use reqwest::header::{CONTENT_LENGTH, HeaderMap, HeaderValue};

/// The allocator of the program, so that the two differ only in their work.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Printed without arguments, as `cargo bench` starts it. The measurement needs a server.
const USAGE: &str = "bare_reqwest URL COUNT IN_FLIGHT: posts to URL/beta/users/N/retryServiceProvisioning";

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let [url, count, in_flight] = &arguments[..] else {
        println!("{USAGE}");
        return;
    };
    let count: u64 = count.parse().expect("a number of requests");
    let in_flight: usize = in_flight.parse().expect("a number in flight");
    let _ = rustls::crypto::ring::default_provider().install_default();
    // One thread, as in the program. More threads would cost the loop more CPU time too.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let accepted = runtime.block_on(run(url, count, in_flight));
    println!("{accepted} of {count} accepted");
    assert_eq!(accepted, count);
}

async fn run(url: &str, count: u64, in_flight: usize) -> u64 {
    let mut headers = HeaderMap::new();
    headers.insert("authorization", HeaderValue::from_static("Bearer simulated-token-of-no-value"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    headers.insert("content-type", HeaderValue::from_static("application/json"));
    let client = reqwest::Client::builder()
        .default_headers(headers)
        .http1_only()
        .no_proxy()
        .tls_certs_only([])
        .build()
        .expect("a client");
    let accepted = Arc::new(AtomicU64::new(0));
    stream::iter(1..=count)
        .map(|number| {
            let (client, accepted) = (client.clone(), accepted.clone());
            let url = format!(
                "{url}/beta/users/{number:08x}-0000-4000-8000-{number:012x}/retryServiceProvisioning"
            );
            tokio::spawn(async move {
                let own = uuid::Uuid::new_v4().to_string();
                let answer = client.post(url).header("client-request-id", own).send().await;
                if answer.is_ok_and(|answer| answer.status() == 204) {
                    accepted.fetch_add(1, Relaxed);
                }
            })
        })
        .buffer_unordered(in_flight)
        .for_each(|_| std::future::ready(()))
        .await;
    accepted.load(Relaxed)
}
