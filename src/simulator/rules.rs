//! The rules of the simulator, each with its source: documented by Microsoft, seen, or invented here.

/// Where a rule of the simulator comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleSource {
    /// Microsoft documents it.
    Documented,
    /// Seen in recorded replies, issues or code written against the live service.
    Seen,
    /// Chosen here, because there is no source.
    Invented,
}

impl std::fmt::Display for RuleSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Documented => "documented",
            Self::Seen => "seen",
            Self::Invented => "invented",
        })
    }
}

/// Every rule with its source, so that readers can judge a result against the simulator.
pub const RULES: [(RuleSource, &str); 24] = [
    (
        RuleSource::Documented,
        "the action answers 204 without a body, on users, groups and contacts, beta and v1.0",
    ),
    (RuleSource::Documented, "the path for contacts is /contacts; /orgContacts is unknown"),
    (RuleSource::Documented, "amounts of the limits (documented.toml); the first exhausted one throttles"),
    (
        RuleSource::Documented,
        "costs: POST one write and one resource unit; GET of a collection two, one with $select",
    ),
    (RuleSource::Documented, "x-ms-resource-unit, x-ms-throttle-scope, x-ms-throttle-information"),
    (RuleSource::Documented, "x-ms-throttle-limit-percentage from 0.8 on"),
    (RuleSource::Documented, "a UPN that starts with $ is rejected in the plain form"),
    (
        RuleSource::Documented,
        "a batch holds at most 20 parts, ids are unique without case, each part is answered on its own",
    ),
    (RuleSource::Documented, "429 may come below the limits"),
    (RuleSource::Documented, "the token request and its six-field AADSTS errors"),
    (RuleSource::Documented, "a claims challenge is a 401 with insufficient_claims"),
    (RuleSource::Seen, "bodies of 429, 401, 403, 404, 405 and of rejected batches"),
    (
        RuleSource::Seen,
        "Retry-After as a fraction, only in the message, absent, always 1, with a lower-case name",
    ),
    (RuleSource::Seen, "$filter on serviceProvisioningErrors is rejected with Request_UnsupportedQuery"),
    (RuleSource::Seen, "form of errorDetail; resolved errors stay in the list"),
    (RuleSource::Seen, "a request that was processed may be answered with an error"),
    (RuleSource::Invented, "how a quota refills: continuously, in aligned windows or in a sliding window"),
    (RuleSource::Invented, "whether throttled requests are charged, down to 0.8 of the capacity below zero"),
    (RuleSource::Invented, "Retry-After: seconds until one write fits the quota, rounded up, 1 to 300"),
    (RuleSource::Invented, "when an error clears or comes back after an acceptance"),
    (RuleSource::Invented, "411 for an action without Content-Length: 0, 415 without Content-Type"),
    (RuleSource::Invented, "400 for a client-request-id that is missing, malformed or used before"),
    (RuleSource::Invented, "the shares of faults"),
    (
        RuleSource::Invented,
        "a breach is a request that arrives in the second half of an announced pause, or 2 s after its answer was sent",
    ),
];
