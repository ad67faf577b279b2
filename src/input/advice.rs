//! Why a list is refused, and what to type instead. Each piece of advice is tried on the list before it is given.

use std::io::{self, BufReader};
use std::path::Path;

use encoding_rs::Encoding;

use super::cell::id_text;
use super::check::{Options, attempt};
use super::encoding::Utf8Reader;
use super::first::Start;
use super::names::{bare, word_for};
use super::records::Records;
use crate::error::Error;
use crate::model::{ObjectKind, neutral};

/// Rows looked at for a sample of each column.
const SAMPLED: usize = 1_000;
/// Columns named in a message; exports have up to fifty.
const LISTED: usize = 60;
/// Longest sample and column name, in characters.
const SHOWN: usize = 40;

/// Words in the names of columns whose cells are shown to nobody.
const SECRET: [&str; 8] = ["passw", "pwd", "kennwort", "motdepasse", "contraseña", "secret", "token", "key"];

/// The list as it was given, and its copy.
pub(super) struct Given<'a> {
    pub(super) input: &'a Path,
    pub(super) copy: &'a Path,
    pub(super) bytes: u64,
    pub(super) encoding: &'static Encoding,
}

impl Given<'_> {
    pub(super) fn records(&self, delimiter: u8) -> Result<Records<BufReader<Utf8Reader>>, Error> {
        let reader = self.read(Utf8Reader::open(self.copy, self.encoding))?;
        Ok(Records::new(BufReader::new(reader), delimiter))
    }

    pub(super) fn read<T>(&self, result: io::Result<T>) -> Result<T, Error> {
        result.map_err(|source| Error::file("read", self.copy, source))
    }
}

/// A flag that may help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Advice {
    /// `--column`, by place from 0.
    Column(usize),
    /// `--object`.
    Object(ObjectKind),
    /// `--delimiter`.
    Delimiter(u8),
}

/// Why a list cannot be used as it was asked for.
#[derive(Debug)]
pub(super) struct Refusal {
    /// Physical line and column, where there is one.
    pub(super) line: Option<u64>,
    pub(super) column: Option<u64>,
    /// What is wrong, and what to do where no flag would help; no full stop at the end.
    pub(super) why: String,
    /// Flags to try.
    pub(super) advice: Vec<Advice>,
    /// The sentence around those that work, with `{flag}` and `{what}` in it.
    pub(super) lead: &'static str,
    /// Whether the first that works is enough.
    pub(super) one: bool,
    /// Whether the columns are listed.
    listing: Listing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Listing {
    Never,
    IfNoneWorks,
    Always,
    /// Without advice to choose one.
    Only,
}

/// Why a list was not read: refused, or out of reach.
#[derive(Debug)]
pub(super) enum Fault {
    Refused(Box<Refusal>),
    Failed(Error),
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(Box::new(refusal))
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl Refusal {
    pub(super) fn new(why: String) -> Self {
        Self {
            line: None,
            column: None,
            why,
            advice: Vec::new(),
            lead: "",
            one: false,
            listing: Listing::Never,
        }
    }

    pub(super) fn at(self, line: u64) -> Self {
        Self { line: Some(line), ..self }
    }

    pub(super) fn listing(self) -> Self {
        Self { listing: Listing::Always, ..self }
    }

    pub(super) fn only_listing(self) -> Self {
        Self { listing: Listing::Only, ..self }
    }

    pub(super) fn listing_if_none(self) -> Self {
        Self { listing: Listing::IfNoneWorks, ..self }
    }

    /// The message, with the flags that work.
    pub(super) fn into_error(self, given: &Given<'_>, options: &Options) -> Error {
        let mut working = self.advice.iter().filter(|advice| works(**advice, given, options));
        let working: Vec<_> = if self.one { working.next().into_iter().collect() } else { working.collect() };
        let start = Start::find(given, options).ok();
        let header = start.as_ref().and_then(Start::header);
        let mut message = self.why;
        if let Some(first) = working.first() {
            let what = match first {
                Advice::Column(at) => match header.and_then(|header| header.get(*at)) {
                    Some(name) => format!("those in column {} {:?}", at + 1, neutral(name.trim(), SHOWN)),
                    None => format!("those in column {}", at + 1),
                },
                Advice::Object(kind) => kind.plural().to_owned(),
                Advice::Delimiter(_) => "its rows".to_owned(),
            };
            let flags: Vec<_> = working.iter().map(|advice| flag(**advice, header)).collect();
            message.push_str(". ");
            message.push_str(&self.lead.replace("{what}", &what).replace("{flag}", &flags.join(" or ")));
        }
        let lists = match self.listing {
            Listing::Never => false,
            Listing::IfNoneWorks => working.is_empty(),
            Listing::Always | Listing::Only => true,
        };
        if lists && let Some(start) = start {
            if working.is_empty() && self.listing != Listing::Only {
                message.push_str(". Choose the id column with --column, by its name or number from 1");
            }
            message.push_str(&format!(". The columns are: {}", columns(given, &start)));
        }
        Error::Input { file: given.input.to_owned(), line: self.line, column: self.column, message }
    }
}

/// What to type.
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
fn works(advice: Advice, given: &Given<'_>, options: &Options) -> bool {
    let mut options = options.clone();
    match advice {
        Advice::Column(at) => {
            let Ok(start) = Start::find(given, &options) else { return false };
            options.column = Some(word_for(start.header(), at));
        }
        Advice::Object(object) => options.object = object,
        Advice::Delimiter(delimiter) => options.delimiter = Some(delimiter),
    }
    attempt(given, &options).is_ok_and(|checked| match advice {
        Advice::Column(at) => checked.layout.column == at,
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
                *sample = Some(neutral(text, SHOWN));
            }
        }
    }
    let name = |at: usize| {
        let name = start.header().map(|header| &*header[at]);
        name.map_or_else(String::new, |name| format!(" {:?}", neutral(name.trim(), SHOWN)))
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
