//! The counts of a scan. An object on several pages counts once, and unreadable objects are counted
//! separately.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::Exit;
use crate::model::{ErrorFilter, ObjectKind};
use crate::report::{count, thousands};
use crate::scan::{Fit, Ids, Object, Page, Problem, Unknown};

/// Counts of a scan.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Counts {
    /// Objects read.
    pub(crate) read: u64,
    /// With an unresolved service error that was looked for.
    pub(crate) found: u64,
    /// By service, code and what is known of the cause, in words.
    pub(crate) causes: BTreeMap<String, BTreeMap<String, BTreeMap<String, u64>>>,
    /// With a directory-sync error.
    pub(crate) sync: u64,
    /// With a licence error.
    pub(crate) licence: u64,
    #[serde(default)]
    pub(crate) gaps: Gaps,
}

/// Objects and properties that a scan could not read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Gaps {
    /// Objects whose service errors were left out.
    absent: u64,
    /// Objects whose service errors cannot be read.
    unreadable: u64,
    /// Entries of pages without a readable id.
    nameless: u64,
    /// Entries of pages that are null.
    nulls: u64,
    /// Objects whose directory-sync errors were left out.
    sync: u64,
    /// Objects whose licence states were left out.
    licence: u64,
}

impl Gaps {
    /// Whether objects may stand in the tenant of which not even the id is known.
    pub(crate) fn hide_ids(&self) -> bool {
        self.nameless + self.nulls > 0
    }

    /// The exit code of a scan that read `read` objects without another error.
    pub(crate) fn exit(&self, read: u64) -> Exit {
        match self.absent + self.unreadable + self.nameless {
            0 => Exit::Done,
            _ if self.absent == read => Exit::SignIn,
            _ => Exit::SomeFailed,
        }
    }

    /// The message about them. `permission` names the permission that may be missing.
    pub(crate) fn sentences(&self, read: u64, kind: ObjectKind, permission: &str) -> Vec<String> {
        let objects = kind.plural();
        let mut said = Vec::new();
        if self.absent > 0 {
            said.push(format!(
                "Microsoft 365 left out serviceProvisioningErrors for {} of {}, although it was asked for. Whether they have an \
                 error is not known. {permission}",
                thousands(self.absent),
                count(read, objects)
            ));
        }
        for (number, what) in [
            (
                self.unreadable,
                "have an entry in serviceProvisioningErrors that cannot be read. Whether they have an error is not known",
            ),
            (self.nameless, "have no readable id and are not listed"),
        ] {
            if number > 0 {
                said.push(format!("{} of {} {what}", thousands(number), count(read, objects)));
            }
        }
        if self.nulls > 0 {
            said.push(format!("{} (null) of pages skipped", count(self.nulls, "empty entries")));
        }
        for (number, what) in [(self.sync, "directory-sync errors"), (self.licence, "licence errors")] {
            if number > 0 {
                said.push(format!(
                    "Microsoft 365 left out the {what} of {}, which are not in their count",
                    count(number, objects)
                ));
            }
        }
        said
    }
}

/// Counts, and which objects are in them.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) counts: Counts,
    read: Ids,
    found: Ids,
    absent: Ids,
    unreadable: Ids,
}

impl Tally {
    /// Continues with the counts of an earlier invocation, which found the objects `found`.
    pub(crate) fn continued(counts: Counts, found: impl Iterator<Item = String>) -> Self {
        let mut tally = Self { counts, ..Self::default() };
        found.for_each(|id| {
            tally.read.insert(&id);
            tally.found.insert(&id);
        });
        tally
    }

    /// Counts what is not an object on a page.
    pub(crate) fn page(&mut self, page: &Page) {
        self.counts.read += page.nameless;
        self.counts.gaps.nameless += page.nameless;
        self.counts.gaps.nulls += page.nulls;
    }

    /// Counts an object. Returns the newest error that is looked for and how many are, the first time that it
    /// has one.
    pub(crate) fn meet<'a>(
        &mut self,
        object: &'a Object,
        filter: &ErrorFilter,
        now: Timestamp,
    ) -> Option<(&'a Problem, usize)> {
        let Counts { read, found, sync, licence, gaps, .. } = &mut self.counts;
        let is_new = self.read.insert(&object.id);
        if is_new {
            *read += 1;
            *sync += u64::from(object.sync_error == Some(true));
            *licence += u64::from(object.licence_error == Some(true));
            gaps.sync += u64::from(object.sync_error.is_none());
            gaps.licence += u64::from(object.licence_error.is_none());
        }
        match Fit::of(filter, object, now) {
            Fit::Unknown(Unknown::Absent) if is_new => {
                self.absent.insert(&object.id);
                gaps.absent += 1;
            }
            Fit::Unknown(Unknown::Unreadable) if is_new => {
                self.unreadable.insert(&object.id);
                gaps.unreadable += 1;
            }
            Fit::Unknown(_) => {}
            known @ (Fit::Found(..) | Fit::Nothing) => {
                // What one page left out another one shows.
                gaps.absent -= u64::from(!is_new && self.absent.remove(&object.id));
                gaps.unreadable -= u64::from(!is_new && self.unreadable.remove(&object.id));
                if let Fit::Found(problem, count) = known
                    && self.found.insert(&object.id)
                {
                    *found += 1;
                    return Some((problem, count));
                }
            }
        }
        None
    }
}
