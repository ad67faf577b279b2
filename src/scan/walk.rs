//! All pages of a collection: which link is followed, how large a page is, and when a scan starts again.

use std::collections::HashSet;
use std::hash::Hasher;

use jiff::Timestamp;
use siphasher::sip::SipHasher13;
use url::Url;

use super::object::{LARGEST_PAGE, Page, page_path};
use super::reader::{ReadEnd, Reader};
use crate::engine::dispatch::Reads;
use crate::error::Error;
use crate::model::{Attempt, AttemptResult, ObjectKind};

/// Pages in a row without an object that are followed: a service may show some, but not for ever.
const MOST_EMPTY: u64 = 1_000;

/// What a walk hands on.
#[derive(Debug)]
pub enum Step {
    /// The next page.
    Page {
        /// Its number, from 1.
        number: u64,
        /// What is on it.
        page: Page,
        /// Where the following page is; `None` on the last.
        next: Option<Url>,
        /// The service's time of the answer.
        at: Timestamp,
    },
    /// What was handed on before does not count: the position in the collection is lost, or its pages cannot be trusted.
    Again {
        /// Whether the walk starts again now; otherwise it ends with [`Stopped::Lost`].
        restarts: bool,
    },
}

/// Why a walk did not reach its end.
#[derive(Debug)]
pub enum Stopped {
    /// No answer, or a final refusal.
    Ended(ReadEnd),
    /// The service names a next page that cannot be used; why.
    Lost(String),
    /// What was handed on could not be taken.
    Error(Error),
}

impl From<ReadEnd> for Stopped {
    fn from(ended: ReadEnd) -> Self {
        Self::Ended(ended)
    }
}

impl From<Error> for Stopped {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

/// A collection that is read page by page.
#[derive(Debug)]
pub struct Walk<'a, E> {
    reader: &'a Reader<E>,
    /// Graph root with version.
    base: Url,
}

impl<'a, E: Reads> Walk<'a, E> {
    /// Of the reader's collection below `base`, the Graph root with its version.
    pub fn new(reader: &'a Reader<E>, base: Url) -> Self {
        Self { reader, base }
    }

    /// The collection.
    pub fn kind(&self) -> ObjectKind {
        self.reader.kind()
    }

    /// Whether a position that an earlier invocation noted can be used; else why not.
    ///
    /// # Errors
    /// A sentence about the link.
    pub fn position(&self, noted: &str) -> Result<Url, String> {
        self.link(&self.base, noted)
    }

    /// Hands on every page, from the first one or from a position with its number on. `each` may end the walk with `false`.
    ///
    /// A page size that the service refuses is halved. A position that the service does not know any more starts the walk
    /// again, once.
    ///
    /// # Errors
    /// [`Stopped`].
    pub async fn pages(
        &self,
        from: Option<(Url, u64)>,
        mut each: impl FnMut(Step) -> Result<bool, Error>,
    ) -> Result<(), Stopped> {
        let (mut size, mut restarted, mut handed_on) = (LARGEST_PAGE, false, from.is_some());
        let mut is_first = from.is_none();
        let (mut url, mut number) = from.unwrap_or_else(|| (self.first(size), 1));
        let mut way = Way::default();
        loop {
            let (page, date) = match self.reader.page(number, &url).await {
                Ok(read) => read,
                Err(ReadEnd::Refused(attempt)) => {
                    if is_about_page_size(&attempt) && size > 1 {
                        size /= 2;
                    } else if !is_first && !restarted && is_lost_position(&attempt) {
                        restarted = true;
                    } else {
                        return Err(ReadEnd::Refused(attempt).into());
                    }
                    if std::mem::take(&mut handed_on) {
                        each(Step::Again { restarts: true })?;
                    }
                    (url, number, is_first, way) = (self.first(size), 1, true, Way::default());
                    continue;
                }
                Err(ended) => return Err(ended.into()),
            };
            let next = match way
                .leads_on(&url, page.objects.is_empty(), page.next.as_deref(), |link| self.link(&url, link))
            {
                Ok(next) => next,
                Err(why) => {
                    each(Step::Again { restarts: false })?;
                    return Err(Stopped::Lost(format!("{why}. Nothing after page {number} was read")));
                }
            };
            handed_on = true;
            let at = date.unwrap_or_else(Timestamp::now);
            if !each(Step::Page { number, page, next: next.clone(), at })? {
                return Ok(());
            }
            let Some(next) = next else { return Ok(()) };
            (url, number, is_first) = (next, number + 1, false);
        }
    }

    fn first(&self, size: u32) -> Url {
        let mut url = self.base.clone();
        let (path, query) = page_path(self.reader.kind(), size);
        url.set_path(&format!("{}{path}", url.path().trim_end_matches('/')));
        url.set_query(Some(&query));
        url
    }

    /// A link of a page at `from`, resolved; only the origin of the endpoint may get the token.
    fn link(&self, from: &Url, link: &str) -> Result<Url, String> {
        let url = from.join(link).map_err(|error| {
            format!("Microsoft 365 names a next page whose link cannot be read ({error})")
        })?;
        if url.origin() != self.base.origin() {
            return Err(format!(
                "Microsoft 365 names {} as the next place to read, which is not the endpoint: not followed",
                url.origin().ascii_serialization()
            ));
        }
        Ok(url)
    }
}

/// The pages of a walk so far. A service that leads round in circles, or on and on through nothing, is not followed.
#[derive(Debug, Default)]
struct Way {
    /// Hashes of the links: 8 bytes for some hundred objects.
    seen: HashSet<u64>,
    empty: u64,
}

impl Way {
    /// A page was read at `url`; where the next one is.
    fn leads_on(
        &mut self,
        url: &Url,
        is_empty: bool,
        next: Option<&str>,
        resolve: impl FnOnce(&str) -> Result<Url, String>,
    ) -> Result<Option<Url>, String> {
        self.seen.insert(hash(url));
        self.empty = if is_empty { self.empty + 1 } else { 0 };
        let Some(next) = next.map(resolve).transpose()? else { return Ok(None) };
        if self.seen.contains(&hash(&next)) {
            return Err("Microsoft 365 leads back to a page that was read before".to_owned());
        }
        if self.empty >= MOST_EMPTY {
            return Err(format!("Microsoft 365 shows {MOST_EMPTY} pages in a row without an object"));
        }
        Ok(Some(next))
    }
}

fn hash(url: &Url) -> u64 {
    let mut hasher = SipHasher13::new();
    hasher.write(url.as_str().as_bytes());
    hasher.finish()
}

/// Whether a refusal is about the number of objects on a page (`docs/graph.md#reading-pages`).
fn is_about_page_size(attempt: &Attempt) -> bool {
    let text = attempt.message.to_ascii_lowercase();
    let mut words = text.split(|c: char| !c.is_ascii_alphanumeric());
    attempt.status == Some(400)
        && (words.any(|word| matches!(word, "top" | "pagesize" | "maxpagesize"))
            || text.contains("page size")
            || text.contains("query data for more than"))
}

/// Whether a refusal of a next page says that its token is not known any more. The codes differ; the statuses do not.
fn is_lost_position(attempt: &Attempt) -> bool {
    matches!(attempt.status, Some(400 | 404 | 410)) && matches!(attempt.kind, AttemptResult::Rejected(_))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(number: u64) -> Url {
        Url::parse(&format!("https://h/users?$skiptoken={number}")).expect("a URL")
    }

    fn refused(status: u16, message: &str) -> Attempt {
        let kind = AttemptResult::Rejected(crate::model::Reason::BadRequest);
        Attempt { status: Some(status), message: message.into(), ..Attempt::of(kind) }
    }

    #[test]
    fn a_service_that_leads_nowhere_is_not_followed_for_ever() {
        let leads = |way: &mut Way, from: u64, to: u64, is_empty| {
            way.leads_on(&link(from), is_empty, Some("x"), |_| Ok(link(to)))
        };
        let mut circle = Way::default();
        assert!((1..=3).all(|number| leads(&mut circle, number, number + 1, false).is_ok()));
        let back = leads(&mut circle, 4, 2, false).expect_err("read before");
        assert!(back.contains("leads back to a page"), "{back}");
        assert!(leads(&mut Way::default(), 1, 1, false).is_err(), "to itself");
        let mut desert = Way::default();
        assert!((1..MOST_EMPTY).all(|number| leads(&mut desert, number, number + 1, true).is_ok()));
        assert!(leads(&mut desert, MOST_EMPTY, MOST_EMPTY + 1, false).is_ok(), "an object at last");
        assert!(
            (1..MOST_EMPTY).all(|number| leads(&mut desert, 2_000 + number, 2_001 + number, true).is_ok())
        );
        assert!(leads(&mut desert, 9_000, 9_001, true).is_err());
        assert!(desert.leads_on(&link(9_999), true, None, |_| Ok(link(1))).is_ok(), "the end is the end");
    }

    #[test]
    fn a_refused_page_size_is_told_from_other_refusals() {
        for text in [
            "Cannot query data for more than 120 users.",
            "Invalid page size specified: '999'. Must be between 1 and 500 inclusive.",
            "The limit of '100' for Top query has been exceeded.",
            "The value of $top is too large",
            "odata.maxpagesize must be at most 100",
        ] {
            assert!(is_about_page_size(&refused(400, text)), "{text}");
            assert!(!is_about_page_size(&refused(403, text)), "{text}");
        }
        for text in ["Unsupported query.", "The token has expired: stop", "Bad property 'topic'"] {
            assert!(!is_about_page_size(&refused(400, text)), "{text}");
        }
    }
}
