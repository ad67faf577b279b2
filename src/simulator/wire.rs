//! Responses of the simulator, and the bodies that Graph was seen to send.

use serde_json::{Value, json};

use super::scenario::RequestFault;

/// Size of a huge body, in bytes.
const HUGE_BODY_BYTES: usize = 4 * 1024 * 1024;

/// A response of the simulator, before it is sent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SimulatedResponse {
    /// HTTP status; 0 resets the connection.
    pub status: u16,
    /// Headers in addition to those of every response.
    pub headers: Vec<(&'static str, String)>,
    /// Content type and body; an empty body has no content type.
    pub body: (&'static str, Vec<u8>),
    /// How the body is sent.
    pub delivery: BodyDelivery,
}

/// How a body is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BodyDelivery {
    /// Whole and immediately.
    #[default]
    Whole,
    /// Shorter than its Content-Length.
    CutOff,
    /// In small chunks, over two seconds.
    Slow,
}

impl SimulatedResponse {
    /// A response without a body.
    pub(super) fn status(status: u16) -> Self {
        Self { status, ..Self::default() }
    }

    /// Adds a header.
    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// A response with a JSON body.
    pub(super) fn json(status: u16, body: &Value) -> Self {
        Self { status, body: ("application/json", body.to_string().into_bytes()), ..Self::default() }
    }
}

/// An OData error, as Graph sends it.
pub(super) fn error(status: u16, code: &str, message: &str) -> SimulatedResponse {
    let inner = json!({ "date": "2026-02-20T11:46:51", "request-id": "", "client-request-id": "" });
    SimulatedResponse::json(
        status,
        &json!({ "error": { "code": code, "message": message, "innerError": inner } }),
    )
}

/// A web page, as a captive portal or an edge server sends it.
pub(super) fn html(status: u16) -> SimulatedResponse {
    let page = b"<!doctype html><h1>Sign in to the network</h1>".to_vec();
    SimulatedResponse { status, body: ("text/html", page), ..SimulatedResponse::default() }
}

/// A sign-in error with the six documented fields.
pub(super) fn aadsts(status: u16, error: &str, code: u64, text: &str) -> SimulatedResponse {
    SimulatedResponse::json(
        status,
        &json!({ "error": error, "error_description": format!("AADSTS{code}: {text}"), "error_codes": [code],
            "timestamp": "2026-02-20 11:46:51Z", "trace_id": "00000000-0000-4000-8000-000000000001",
            "correlation_id": "00000000-0000-4000-8000-000000000002" }),
    )
}

/// A response whose body is malformed, or comes from a proxy or a gateway.
pub(super) fn odd_body(fault: RequestFault) -> SimulatedResponse {
    let mut answer = error(500, "UnknownError", "An answer with an odd body.");
    match fault {
        RequestFault::Json200 => {
            return SimulatedResponse::json(
                200,
                &json!({ "odata.error": { "code": "Gateway", "message": "no" } }),
            );
        }
        RequestFault::Text403 => {
            answer.status = 403;
            answer.body = ("text/plain", b"Access denied by policy WEB-17".to_vec());
        }
        RequestFault::CutOff => answer.delivery = BodyDelivery::CutOff,
        RequestFault::Slow => answer.delivery = BodyDelivery::Slow,
        RequestFault::Huge => answer.body.1 = vec![b'['; HUGE_BODY_BYTES],
        _ => answer.body.1 = vec![0xff, 0xfe, b'{', 0x80],
    }
    answer
}
