//! Which rule of the simulator is documented, which was seen, which is invented here.

/// Where a rule comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// Microsoft documents it.
    Documented,
    /// Seen in recorded replies, issues or code written against the live service.
    Seen,
    /// Chosen here because nobody says.
    Invented,
}

impl std::fmt::Display for Basis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Documented => "documented",
            Self::Seen => "seen",
            Self::Invented => "invented",
        })
    }
}

/// Every rule, for people who want to know what a result against the simulator is worth.
pub const RULES: [(Basis, &str); 24] = [
    (
        Basis::Documented,
        "the action answers 204 without a body, on users, groups and contacts, beta and v1.0",
    ),
    (Basis::Documented, "the path for contacts is /contacts; /orgContacts is unknown"),
    (Basis::Documented, "amounts of the limits (documented.toml); the first empty one refuses"),
    (
        Basis::Documented,
        "costs: POST one write and one resource unit; GET of a collection two, one with $select",
    ),
    (Basis::Documented, "x-ms-resource-unit, x-ms-throttle-scope, x-ms-throttle-information"),
    (Basis::Documented, "x-ms-throttle-limit-percentage from 0.8 on"),
    (Basis::Documented, "a sign-in name that starts with $ is refused in the plain form"),
    (
        Basis::Documented,
        "a batch holds at most 20 parts, ids are unique without case, each part is judged alone",
    ),
    (Basis::Documented, "429 may come below the limits"),
    (Basis::Documented, "the token call and its six-field AADSTS errors"),
    (Basis::Documented, "a claims challenge is a 401 with insufficient_claims"),
    (Basis::Seen, "bodies of 429, 401, 403, 404, 405 and of refused batches"),
    (
        Basis::Seen,
        "Retry-After as a fraction, in the message alone, absent, always 1, with a lower-case name",
    ),
    (Basis::Seen, "$filter on serviceProvisioningErrors is refused with Request_UnsupportedQuery"),
    (Basis::Seen, "shape of errorDetail; resolved errors stay in the list"),
    (Basis::Seen, "a request whose work was done may be answered with an error"),
    (Basis::Invented, "how a quota refills: continuously, by aligned or by sliding window"),
    (Basis::Invented, "whether throttled requests are charged, and down to 0.8 of the capacity below zero"),
    (Basis::Invented, "Retry-After: seconds until one write is there, rounded up, 1 to 300"),
    (Basis::Invented, "when an error clears or comes back after an acceptance"),
    (Basis::Invented, "411 for an action without Content-Length: 0, 415 without Content-Type"),
    (Basis::Invented, "400 for a client-request-id that is missing, malformed or used before"),
    (Basis::Invented, "the shares of faults"),
    (
        Basis::Invented,
        "a breach is a request that arrives in the second half of an announced wait, or 2 s after its answer left",
    ),
];
