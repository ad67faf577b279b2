//! nginx with `limit_req` that throttles with 503 without `Retry-After`: no user fails, and few requests are
//! throttled.

use std::fs;
use std::time::Duration;

use crate::harness::{finish, results, stderr, users};
use crate::sockets::LimitReq;

const USERS: u64 = 600;
/// Largest number of requests: one throttled request for ten users.
const MOST_REQUESTS: usize = 660;

#[test]
fn users_are_accepted_by_a_service_that_throttles_with_503() {
    let run = |latency| {
        let folder = tempfile::tempdir().expect("a folder");
        let (input, out) = (folder.path().join("users.csv"), folder.path().join("out"));
        users(&input, USERS);
        let nginx = LimitReq::start(folder.path(), latency, include_str!("sockets/unavailable.conf"));
        let output = finish(nginx.run(&input, &out).spawn().expect("run starts"));
        assert_eq!(output.status.code(), Some(0), "{latency:?}: {}", stderr(&output));
        let accepted = results(&out).values().filter(|(_, outcome)| outcome == "accepted").count();
        let requests = fs::read_to_string(folder.path().join("access.log")).expect("the log").lines().count();
        println!("{USERS} users, latency {latency:?}: {accepted} accepted, {requests} requests");
        assert!(accepted as u64 == USERS && requests <= MOST_REQUESTS, "{accepted} accepted, {requests}");
    };
    std::thread::scope(|scope| {
        for latency in [Duration::ZERO, Duration::from_millis(50)] {
            scope.spawn(move || run(latency));
        }
    });
}
