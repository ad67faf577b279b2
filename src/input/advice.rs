//! The message for a list that is refused, with flags that help. Each flag is tried on the list before it is
//! advised.

use super::cell::id_text;
use super::first::Start;
use super::names::{bare, word_for};
use super::options::Options;
use super::refusal::{Advice, Given, Listing, Refusal};
use crate::error::Error;
use crate::model::sanitize;

/// Rows looked at for a sample of each column.
const SAMPLED: usize = 1_000;
/// Columns named in a message; exports have up to fifty.
const LISTED: usize = 60;
/// Longest sample and column name, in characters.
const SHOWN: usize = 40;

/// Words in the names of columns whose cells are never shown.
const SECRET: [&str; 8] = ["passw", "pwd", "kennwort", "motdepasse", "contraseña", "secret", "token", "key"];

/// The message of a refusal, with the flags that work.
///
/// `column_of` reads the whole list with other options and returns its id column, or `None` where that fails
/// too.
pub(super) fn explain_refusal(
    refusal: Refusal,
    given: &Given<'_>,
    options: &Options,
    column_of: impl Fn(&Options) -> Option<usize>,
) -> Error {
    let mut working = refusal.advice.iter().filter(|advice| works(**advice, given, options, &column_of));
    let working: Vec<_> = if refusal.one { working.next().into_iter().collect() } else { working.collect() };
    let start = Start::find(given, options).ok();
    let header = start.as_ref().and_then(Start::header);
    let mut message = refusal.why;
    if let Some(first) = working.first() {
        let what = match first {
            Advice::Column(at) => match header.and_then(|header| header.get(*at)) {
                Some(name) => format!("those in column {} {:?}", at + 1, sanitize(name.trim(), SHOWN)),
                None => format!("those in column {}", at + 1),
            },
            Advice::Object(kind) => kind.plural().to_owned(),
            Advice::Delimiter(_) => "its rows".to_owned(),
        };
        let flags: Vec<_> = working.iter().map(|advice| flag(**advice, header)).collect();
        message.push_str(". ");
        message.push_str(&refusal.lead.replace("{what}", &what).replace("{flag}", &flags.join(" or ")));
    }
    let lists = match refusal.listing {
        Listing::Never => false,
        Listing::IfNoneWorks => working.is_empty(),
        Listing::Always | Listing::Only => true,
    };
    if lists && let Some(start) = start {
        if working.is_empty() && refusal.listing != Listing::Only {
            message.push_str(". Choose the id column with --column, by its name or number from 1");
        }
        message.push_str(&format!(". The columns are: {}", columns(given, &start)));
    }
    Error::Input { file: given.input.to_owned(), line: refusal.line, column: refusal.column, message }
}

/// The flag to type.
fn flag(advice: Advice, header: Option<&[String]>) -> String {
    match advice {
        Advice::Column(at) => format!("--column {}", word_for(header, at)),
        Advice::Object(kind) => format!("--object {}", kind.plural()),
        Advice::Delimiter(b',') => "--delimiter comma".to_owned(),
        Advice::Delimiter(b';') => "--delimiter semicolon".to_owned(),
        Advice::Delimiter(b'\t') => "--delimiter tab".to_owned(),
        Advice::Delimiter(_) => "--delimiter pipe".to_owned(),
    }
}

/// Whether the list can be used with it, and the flag means what is meant.
fn works(
    advice: Advice,
    given: &Given<'_>,
    options: &Options,
    column_of: impl Fn(&Options) -> Option<usize>,
) -> bool {
    let mut options = options.clone();
    match advice {
        Advice::Column(at) => {
            let Ok(start) = Start::find(given, &options) else { return false };
            options.column = Some(word_for(start.header(), at));
        }
        Advice::Object(object) => options.object = object,
        Advice::Delimiter(delimiter) => options.delimiter = Some(delimiter),
    }
    column_of(&options).is_some_and(|column| match advice {
        Advice::Column(at) => column == at,
        Advice::Object(_) | Advice::Delimiter(_) => true,
    })
}

/// Each column that can be chosen, with a sample.
fn columns(given: &Given<'_>, start: &Start) -> String {
    let mut samples = vec![None; start.first.len()];
    let mut rows = 0;
    let Ok(mut records) = given.records(start.delimiter) else { return String::new() };
    while rows < SAMPLED
        && samples.contains(&None)
        && let Ok(Some(record)) = records.next()
    {
        if record.line <= start.skipped {
            continue;
        }
        rows += 1;
        for (cell, sample) in record.cells.iter().flatten().zip(&mut samples) {
            let text = id_text(cell).0;
            if sample.is_none() && !text.is_empty() {
                *sample = Some(sanitize(text, SHOWN));
            }
        }
    }
    let name = |at: usize| {
        let name = start.header().map(|header| &*header[at]);
        name.map_or_else(String::new, |name| format!(" {:?}", sanitize(name.trim(), SHOWN)))
    };
    let is_secret = |at: usize| {
        let name = start.header().map_or_else(String::new, |header| bare(&header[at]));
        SECRET.iter().any(|word| name.contains(word))
    };
    let told = samples.iter().enumerate().take(LISTED).map(|(at, sample)| match sample {
        Some(sample) if !is_secret(at) => format!("{}{} (such as {sample:?})", at + 1, name(at)),
        _ => format!("{}{}", at + 1, name(at)),
    });
    let more = if samples.len() > LISTED { ", …" } else { "" };
    format!("{}{more}", told.collect::<Vec<_>>().join(", "))
}
