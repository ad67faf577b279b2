//! What goes back over the wire, and the bodies that Graph was seen to send.

use serde_json::{Value, json};

use super::scenario::Fault;

/// Bytes of a huge body.
const HUGE: usize = 4 * 1024 * 1024;

/// An answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// HTTP status; 0: the connection is reset.
    pub status: u16,
    /// Headers beside those that every answer has.
    pub headers: Vec<(&'static str, String)>,
    /// Type of the body and the body; empty: none.
    pub body: (&'static str, Vec<u8>),
    /// How the body leaves.
    pub way: Way,
}

/// How a body leaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Way {
    /// At once.
    #[default]
    Whole,
    /// It ends before its length.
    CutOff,
    /// In drops, over two seconds.
    Slow,
}

impl Answer {
    pub(super) fn status(status: u16) -> Self {
        Self { status, ..Self::default() }
    }

    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(super) fn json(status: u16, body: &Value) -> Self {
        Self { status, body: ("application/json", body.to_string().into_bytes()), ..Self::default() }
    }
}

/// An OData error.
pub(super) fn error(status: u16, code: &str, message: &str) -> Answer {
    let inner = json!({ "date": "2026-02-20T11:46:51", "request-id": "", "client-request-id": "" });
    Answer::json(status, &json!({ "error": { "code": code, "message": message, "innerError": inner } }))
}

/// A web page, as a captive portal or an edge server sends it.
pub(super) fn html(status: u16) -> Answer {
    let page = b"<!doctype html><h1>Sign in to the network</h1>".to_vec();
    Answer { status, body: ("text/html", page), ..Answer::default() }
}

/// A sign-in error in the six-field form.
pub(super) fn aadsts(status: u16, error: &str, code: u64, text: &str) -> Answer {
    Answer::json(
        status,
        &json!({ "error": error, "error_description": format!("AADSTS{code}: {text}"), "error_codes": [code],
            "timestamp": "2026-02-20 11:46:51Z", "trace_id": "00000000-0000-4000-8000-000000000001",
            "correlation_id": "00000000-0000-4000-8000-000000000002" }),
    )
}

/// An answer whose body is odd, or comes from a proxy or a gateway.
pub(super) fn odd_body(fault: Fault) -> Answer {
    let mut answer = error(500, "UnknownError", "An answer with an odd body.");
    match fault {
        Fault::Json200 => {
            return Answer::json(200, &json!({ "odata.error": { "code": "Gateway", "message": "no" } }));
        }
        Fault::Text403 => {
            answer.status = 403;
            answer.body = ("text/plain", b"Access denied by policy WEB-17".to_vec());
        }
        Fault::CutOff => answer.way = Way::CutOff,
        Fault::Slow => answer.way = Way::Slow,
        Fault::Huge => answer.body.1 = vec![b'['; HUGE],
        _ => answer.body.1 = vec![0xff, 0xfe, b'{', 0x80],
    }
    answer
}
