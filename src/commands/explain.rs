//! `explain`: cause, who puts it right, next step; offline.

use crate::catalogue::{self, CatalogueSection, Entry};
use crate::cli::Explain;
use crate::error::{Error, Exit};
use crate::model::{MAX_MESSAGE, neutral};
use crate::terminal::Console;

/// Explains one error, or lists all known ones.
///
/// # Errors
/// `Error::Usage` for an error that is not known, with what is near.
pub(super) fn explain(asked: &Explain, console: &Console) -> Result<Exit, Error> {
    if asked.code.is_empty() {
        console.result(&listing());
        return Ok(Exit::Done);
    }
    let code = asked.code.join(" ");
    match catalogue::find(&code) {
        Some(entry) => {
            console.result(&text(entry));
            Ok(Exit::Done)
        }
        None => Err(Error::Usage(unknown(&code))),
    }
}

fn unknown(code: &str) -> String {
    let near = catalogue::near(code);
    let near = if near.is_empty() { String::new() } else { format!("; near it: {}", near.join(", ")) };
    format!(
        "{} is not known here{near}. `reprovision explain` alone lists what is known. A service's own words stand \
         in the message column; Exchange's can be looked into with Invoke-ProvisioningRecipientDiagnostic",
        neutral(code, MAX_MESSAGE)
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
    lines.push("One of them: reprovision explain CODE. What is not listed is not known here.".to_owned());
    lines.join("\n")
}
