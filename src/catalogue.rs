//! Known errors: cause, who puts them right, next step. What is not known is said to be unknown, never guessed.

use std::sync::LazyLock;

use serde::Deserialize;

use crate::model::Reason;

/// Most suggestions for a code that is not known.
const SUGGESTIONS: usize = 3;
/// A code that holds what was asked for is near it from this length on, in bytes: shorter parts fit everywhere.
const SHORTEST_PART: usize = 4;
/// A code is near another when at most this share of its letters must change.
const NEAR: f64 = 0.34;

static KNOWN: LazyLock<Vec<Entry>> = LazyLock::new(|| {
    #[derive(Deserialize)]
    struct Form {
        entry: Vec<Entry>,
    }
    let form: Form = toml::from_str(include_str!("catalogue/known.toml"))
        .expect("the file is part of the program and a test reads it");
    form.entry
});

/// What an error is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CatalogueSection {
    /// A service refused the object; it stands in `serviceProvisioningErrors`.
    Service,
    /// A conflict of directory synchronisation: not cleared by this action.
    Sync,
    /// A licence that could not be assigned: not cleared by this action.
    Licence,
    /// Graph refused the request.
    Graph,
    /// A word of the `reason` column.
    Reason,
    /// A word of the `outcome` column, or of the `verdict` column of `verified.csv`.
    Outcome,
    /// No answer of Graph could be used.
    Network,
    /// The sign-in host refused.
    SignIn,
    /// An exit code.
    Exit,
}

impl CatalogueSection {
    /// All kinds, in the order of the listing.
    pub const ALL: [Self; 9] = [
        Self::Service,
        Self::Sync,
        Self::Licence,
        Self::Graph,
        Self::Reason,
        Self::Outcome,
        Self::Network,
        Self::SignIn,
        Self::Exit,
    ];

    /// A heading.
    pub fn title(self) -> &'static str {
        match self {
            Self::Service => "Errors that a service left on the object",
            Self::Sync => "Directory synchronisation (not cleared by retrying)",
            Self::Licence => "Licences (not cleared by retrying)",
            Self::Graph => "Answers of Microsoft Graph",
            Self::Reason => "Reasons in results.csv and failed.csv",
            Self::Outcome => "Outcomes, and verdicts of verify",
            Self::Network => "Network, and answers that cannot be used",
            Self::SignIn => "Sign-in",
            Self::Exit => "Exit codes",
        }
    }
}

/// One known error.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Its name here.
    pub key: String,
    /// What it is about.
    pub kind: CatalogueSection,
    /// Which service; empty where it is Graph or ourselves.
    #[serde(default)]
    pub service: String,
    /// Codes seen with it.
    #[serde(default)]
    pub codes: Vec<String>,
    /// Lists of fragments of its text.
    #[serde(default)]
    texts: Vec<Vec<String>>,
    /// A few words for a table.
    pub title: String,
    /// A sentence.
    pub cause: String,
    /// Who puts it right.
    pub who: String,
    /// What to do.
    pub next: String,
    /// A command that helps, or a caution; may be empty.
    #[serde(default)]
    pub detail: String,
    /// Where it is known from.
    pub source: String,
}

impl Entry {
    fn is_called(&self, code: &str) -> bool {
        self.key.eq_ignore_ascii_case(code) || self.codes.iter().any(|known| known.eq_ignore_ascii_case(code))
    }

    fn reads(&self, lower: &str) -> bool {
        self.texts.iter().any(|fragments| fragments.iter().all(|fragment| lower.contains(fragment.as_str())))
    }
}

/// All of them, in the order of the file.
pub fn all() -> &'static [Entry] {
    &KNOWN
}

/// By its key, a code seen with it, the AADSTS code in a message, or the text of the error.
pub fn find(asked: &str) -> Option<&'static Entry> {
    let asked = asked.trim();
    let called = |name: &str| KNOWN.iter().find(|entry| entry.is_called(name));
    let of_sign_in = || {
        let mut words = asked.split(|c: char| !c.is_ascii_alphanumeric());
        words.find(|word| word.starts_with("AADSTS")).and_then(called)
    };
    called(asked).or_else(of_sign_in).or_else(|| by_text(asked))
}

/// A service's error: its text decides, then its code. `None`: not known.
pub fn of_service_error(code: &str, text: &str) -> Option<&'static Entry> {
    by_text(text).or_else(|| {
        KNOWN.iter().find(|entry| {
            matches!(
                entry.kind,
                CatalogueSection::Service | CatalogueSection::Sync | CatalogueSection::Licence
            ) && entry.is_called(code)
        })
    })
}

/// Graph's error code. `None`: not known.
pub fn of_graph_code(code: &str) -> Option<&'static Entry> {
    KNOWN.iter().find(|entry| entry.kind == CatalogueSection::Graph && entry.is_called(code))
}

/// Every reason is known.
pub fn of_reason(reason: Reason) -> &'static Entry {
    KNOWN
        .iter()
        .find(|entry| entry.kind == CatalogueSection::Reason && entry.key == reason.as_str())
        .expect("a test finds an entry for each reason")
}

fn by_text(text: &str) -> Option<&'static Entry> {
    let lower = text.to_lowercase();
    KNOWN.iter().find(|entry| entry.reads(&lower))
}

/// Keys and codes like the one asked for, the nearest first.
pub fn near(asked: &str) -> Vec<&'static str> {
    let asked = asked.trim().to_lowercase();
    let mut found: Vec<(usize, &str)> = KNOWN
        .iter()
        .flat_map(|entry| std::iter::once(&entry.key).chain(&entry.codes))
        .filter_map(|name| {
            let known = name.to_lowercase();
            let distance = strsim::levenshtein(&asked, &known);
            let longer = known.chars().count().max(asked.chars().count());
            let most = (longer as f64 * NEAR) as usize;
            let within = asked.len() >= SHORTEST_PART && known.contains(&asked);
            (distance <= most || within).then_some((distance, name.as_str()))
        })
        .collect();
    found.sort();
    found.dedup();
    found.into_iter().take(SUGGESTIONS).map(|(_, name)| name).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_file_is_whole() {
        let mut names = BTreeSet::new();
        for entry in all() {
            for name in std::iter::once(&entry.key).chain(&entry.codes) {
                assert!(names.insert(name.to_lowercase()), "{name} stands twice");
            }
            for text in [&entry.title, &entry.cause, &entry.who, &entry.next, &entry.source] {
                assert!(!text.trim().is_empty() && !text.contains('\n'), "{}", entry.key);
            }
            for fragment in entry.texts.iter().flatten() {
                assert_eq!(*fragment, fragment.to_lowercase(), "{}: fragments are lower case", entry.key);
            }
            if entry.kind == CatalogueSection::Service {
                assert!(!entry.texts.is_empty() && !entry.service.is_empty(), "{}", entry.key);
            }
        }
        for reason in Reason::ALL {
            assert_eq!(of_reason(reason).key, reason.as_str());
        }
    }

    #[test]
    fn real_texts_are_recognised_by_their_fragments() {
        for (code, text, key) in [
            (
                "",
                "The proxy address \"SMTP:a@contoso.com\" is already being used by the proxy addresses or LegacyExchangeDN of \"b\". Please choose another proxy address.",
                "ProxyAddressInUse",
            ),
            ("", "The name \"ann\" is already being used. Please try another name.", "NameInUse"),
            (
                "x",
                "The value \"01855e55-d849-4631-b160-5c9c1ad491dc\" of property \"ExchangeGuid\" is used by another recipient object. Please specify a unique value.",
                "ExchangeGuidInUse",
            ),
            (
                "",
                "The value \"ecbdbf6a-de22-4464-b5a6-332a5c2396e2\" of property \"ArchiveGuid\" is used by another recipient object.",
                "ArchiveGuidInUse",
            ),
            (
                "",
                "Failed to sync the ArchiveGuid 0 of mailbox 1 because one cloud archive 2 exists.",
                "ArchiveGuidMismatch",
            ),
            (
                "",
                "Exchange can't disable the mailbox \"a/b\" because it is on litigation hold.",
                "MailboxOnHold",
            ),
            ("exa77c31", "something else", "ArchiveGuidMismatch"),
        ] {
            assert_eq!(of_service_error(code, text).map(|entry| entry.key.as_str()), Some(key), "{text}");
        }
    }

    #[test]
    fn what_is_not_known_is_not_guessed() {
        assert!(of_service_error("ExFFFFFF", "The moon is full.").is_none());
        assert!(
            of_service_error("TooManyRequests", "").is_none(),
            "a code of Graph says nothing of a service"
        );
        assert!(of_graph_code("ProxyAddressInUse").is_none());
        assert!(find("").is_none() && find("zzzz").is_none());
        assert!(near("zzzzzzzz").is_empty());
    }

    #[test]
    fn near_misses_are_offered() {
        assert_eq!(near("Authorisation_RequestDenied").first(), Some(&"Authorization_RequestDenied"));
        assert_eq!(near("not_foud").first(), Some(&"not_found"));
        assert!(near("ArchiveGuid").contains(&"ArchiveGuidInUse"));
        assert_eq!(
            find("authorization_requestdenied").map(|entry| entry.key.as_str()),
            Some("Authorization_RequestDenied")
        );
    }
}
