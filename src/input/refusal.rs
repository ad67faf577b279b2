//! Why a list cannot be used, with the flags that may help; and the list as it was given.

use std::io::{self, BufReader};
use std::path::Path;

use encoding_rs::Encoding;

use super::encoding::Utf8Reader;
use super::records::Records;
use crate::error::Error;
use crate::model::ObjectKind;

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

/// Why a list cannot be used.
#[derive(Debug)]
pub(super) struct Refusal {
    /// Physical line and column, where there is one.
    pub(super) line: Option<u64>,
    pub(super) column: Option<u64>,
    /// What is wrong, and what to do if no flag helps. Without a full stop at the end.
    pub(super) why: String,
    /// Flags to try.
    pub(super) advice: Vec<Advice>,
    /// The sentence around those that work, with `{flag}` and `{what}` in it.
    pub(super) lead: &'static str,
    /// Whether the first that works is enough.
    pub(super) one: bool,
    /// Whether the columns are listed.
    pub(super) listing: Listing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Listing {
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
}
