//! Answers whose head is there and whose body is not: what the head says must not wait for the rest.

use std::time::{Duration, Instant};

use reprovision::engine::dispatch::Exchange;
use reprovision::model::{AttemptResult, Scope, Throttle, TransientFailure, UserId};

use crate::raw::{Play, Server};

/// As long as a request of a run may take.
const TIMEOUT: Duration = Duration::from_secs(30);
/// By then a refusal must be known, however busy the machine.
const SOON: Duration = Duration::from_secs(10);

#[tokio::test]
async fn throttled_response_is_handled_before_its_body_arrives() {
    let refusals = [
        (
            "429 Too Many Requests\r\nRetry-After: 41",
            AttemptResult::Throttled(Throttle { scope: Scope::default(), quota: true }),
            Some(Duration::from_secs(41)),
        ),
        // Without its words it is not surely Graph's.
        ("404 Not Found", AttemptResult::Transient(TransientFailure::NotGraph), None),
    ];
    for (head, kind, wait) in refusals {
        let head = format!("HTTP/1.1 {head}\r\nContent-Length: 1000\r\n\r\n");
        let drip = Play::Drip(vec![b'{'; 1000], Duration::from_millis(100));
        let server = Server::start(vec![vec![Play::Say(head.into_bytes()), drip]]);
        let client = server.client_with(TIMEOUT);
        let pass = client.prepare().await.expect("a token");
        let began = Instant::now();
        let attempt = client.send(&pass, &UserId::parse("ann@contoso.com").expect("an id")).await;
        assert_eq!((attempt.kind, attempt.retry_after), (kind, wait));
        assert!(began.elapsed() < SOON, "{:?}: the others went on sending", began.elapsed());
    }
}
