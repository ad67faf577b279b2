//! The real client against scripted answers to a batch: each part counts by itself, and the whole says no final word.

use std::time::Duration;

use reprovision::engine::dispatch::Exchange;
use reprovision::graph::BatchPart;
use reprovision::model::AttemptResult;

use crate::raw::{BROKEN, MISSING, NOT_GRAPH, PATIENCE, Play, Server, TIMEOUT, answer, id, say};

/// What two users of a batch are told when this is the answer to it.
async fn batched(script: Vec<Play>) -> Vec<BatchPart> {
    // Of all these, silence alone takes so long.
    let timeout = if matches!(&*script, [Play::Hang]) { TIMEOUT } else { PATIENCE };
    let server = Server::start(vec![script]);
    let client = server.client_with(timeout);
    let pass = client.prepare().await.expect("a token");
    let parts = client.send_batch(&pass, &[id(), id()]).await;
    let requests = server.requests();
    assert!(
        requests.len() == 1 && requests[0].1.starts_with("POST /beta/$batch HTTP/1.1\r\n"),
        "{requests:?}"
    );
    assert_eq!(parts.len(), 2);
    parts
}

#[tokio::test]
async fn failed_batch_is_not_final_for_any_user() {
    let error = r#"{"error":{"code":"BadRequest","message":"Invalid batch payload format."}}"#;
    let json =
        |status: &str, body: &str| answer(status, &format!("Content-Length: {}\r\n", body.len()), body);
    let one = r#"{"responses":[{"id":"1","status":204},{"id":"x","status":204}]}"#;
    for (name, bytes, kind) in [
        ("400", json("400 Bad Request", error), BROKEN),
        ("403", json("403 Forbidden", error), BROKEN),
        ("404", json("404 Not Found", MISSING), BROKEN),
        ("404 without a body", json("404 Not Found", ""), NOT_GRAPH),
        ("413", json("413 Too Large", "<html>"), NOT_GRAPH),
        ("a page", json("200 OK", "<html>"), NOT_GRAPH),
        ("204", answer("204 No Content", "", ""), NOT_GRAPH),
        ("cut off", json("200 OK", one).replace("\"x\"", ""), BROKEN),
        ("too long", json("200 OK", &format!("{{{}", " ".repeat(17 * 1024 * 1024))), BROKEN),
        ("no JSON", json("200 OK", "{<h1>"), BROKEN),
        ("no responses", json("200 OK", "{}"), BROKEN),
    ] {
        for part in batched(vec![Play::Say(bytes.clone().into_bytes()), Play::Close]).await {
            let BatchPart::NoAnswer(attempt) = part else { panic!("{name}: {part:?}") };
            assert_eq!(
                (attempt.kind, &*attempt.code),
                (kind.clone(), "no_answer_in_batch"),
                "{name}: {}",
                attempt.message
            );
        }
    }
    let throttled = answer("429 Too Many Requests", "Retry-After: 7\r\nContent-Length: 0\r\n", "");
    for (name, script) in [
        ("429", say(throttled)),
        ("401", say(json("401 Unauthorized", error))),
        ("502", say(json("502 Bad Gateway", "<html>"))),
        ("503", say(json("503 Service Unavailable", ""))),
        ("reset", vec![Play::Reset]),
        ("silence", vec![Play::Hang]),
    ] {
        for part in batched(script).await {
            assert!(matches!(part, BatchPart::BatchFailed(_)), "{name}: {part:?}");
        }
    }
    // What can be read counts, whatever the status of the whole.
    let parts = batched(say(json("424 Failed Dependency", one))).await;
    assert!(matches!(&parts[0], BatchPart::NoAnswer(attempt) if attempt.kind == NOT_GRAPH), "{parts:?}");
    assert!(
        matches!(&parts[1], BatchPart::Answered(attempt) if attempt.kind == AttemptResult::Accepted),
        "{parts:?}"
    );
    let throttled = answer("429 Busy", &format!("Retry-After: 7\r\nContent-Length: {}\r\n", one.len()), one);
    let parts = batched(say(throttled)).await;
    let wait = parts[0].attempt().retry_after;
    assert!(
        matches!(parts[0], BatchPart::BatchFailed(_)) && wait == Some(Duration::from_secs(7)),
        "{parts:?}"
    );
    assert!(
        matches!(&parts[1], BatchPart::Answered(attempt) if attempt.kind == AttemptResult::Accepted),
        "{parts:?}"
    );
    let parts = batched(say(json("200 OK", one))).await;
    assert!(matches!(&parts[0], BatchPart::NoAnswer(attempt) if attempt.kind == BROKEN), "{parts:?}");
    assert!(
        matches!(&parts[1], BatchPart::Answered(attempt) if attempt.kind == AttemptResult::Accepted),
        "{parts:?}"
    );
}
