//! `explain`: cause, who puts it right, next step; offline.

use crate::catalogue::{self, CatalogueSection, Entry};
use crate::error::Error;
use crate::model::{MAX_MESSAGE, sanitize};

/// Explains the error `code`. Without a code it lists all known errors.
///
/// # Errors
/// `Error::Usage` for an error that is not known, with what is near.
pub(crate) fn explain(code: Option<&str>) -> Result<String, Error> {
    match code {
        None => Ok(listing()),
        Some(code) => match catalogue::find(code) {
            Some(entry) => Ok(text(entry)),
            None => Err(Error::Usage(unknown(code))),
        },
    }
}

fn unknown(code: &str) -> String {
    let near = catalogue::near(code);
    let near = if near.is_empty() { String::new() } else { format!("; similar codes: {}", near.join(", ")) };
    format!(
        "no explanation for {}{near}. Run `reprovision explain` to list all known codes. The text of the service is in \
         the message column. For Exchange errors, run Invoke-ProvisioningRecipientDiagnostic",
        sanitize(code, MAX_MESSAGE)
    )
}

fn text(entry: &Entry) -> String {
    let mut lines = vec![format!("{}: {}", entry.key, entry.title)];
    let mut line = |name: &str, text: &str| {
        if !text.is_empty() {
            lines.push(format!("  {name:<8} {text}"));
        }
    };
    line("service", &entry.service);
    line("codes", &entry.codes.join(", "));
    line("cause", &entry.cause);
    line("who", &entry.who);
    line("next", &entry.next);
    line("detail", &entry.detail);
    line("source", &public_source(&entry.source));
    lines.join("\n")
}

/// The parts of a source that everyone can open. Pages of `docs/` are not installed with the program.
fn public_source(source: &str) -> String {
    let parts = source.split("; ").filter(|part| !part.starts_with("docs/"));
    parts.collect::<Vec<_>>().join("; ")
}

fn listing() -> String {
    let mut lines = Vec::new();
    for kind in CatalogueSection::ALL {
        lines.push(kind.title().to_owned());
        for entry in catalogue::all().iter().filter(|entry| entry.kind == kind) {
            lines.push(format!("  {:<34} {}", entry.key, entry.title));
        }
    }
    lines.push("For one of them, run reprovision explain CODE.".to_owned());
    lines.join("\n")
}
