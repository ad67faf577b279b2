//! Which column holds the ids.

use super::cell::trim;
use super::export;
use super::first::{Start, filled, id_like, ids_in};
use super::names::{THINGS, bare, is_of_another_person, known, named, normal, rank, self_telling};
use super::options::Options;
use super::refusal::{Advice, Refusal};
use crate::model::{ObjectKind, UserId, count, sanitize};

/// Result files of a run: first columns, file name, and the list to use instead. They have an `id` column, so
/// all users would be sent again.
const ACCOUNTS: [(&[&str], &str, &str); 2] = [
    (&["row", "id", "outcome", "reason"], "results.csv", "failed.csv"),
    (&["row", "id", "userPrincipalName", "displayName", "verdict"], "verified.csv", "still-failing.csv"),
];

/// Longest column name shown, in characters.
const SHOWN: usize = 80;

/// Where the ids stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) column: usize,
    pub(super) name: String,
    /// Another column with a known id name, if the user did not choose. Both must name the same user.
    pub(super) second: Option<usize>,
    /// The only filled column of the first line, if there is no header and the user did not choose.
    pub(super) alone: bool,
}

impl Layout {
    fn of(start: &Start, column: usize) -> Self {
        let name = match start.has_header {
            true => trim(&start.first[column]).to_owned(),
            false => (column + 1).to_string(),
        };
        Self { column, name, second: None, alone: false }
    }
}

/// Chooses the id column.
///
/// # Errors
/// A refusal with the reason, and the columns or flags to try.
pub(super) fn choose(start: &Start, options: &Options) -> Result<Layout, Refusal> {
    if let Some(wanted) = options.column.as_deref() {
        return asked_for(start, wanted, options.reading.is_some());
    }
    let (first, object) = (&start.first, options.object);
    if let Some((_, own, instead)) = ACCOUNTS.iter().find(|(begins, ..)| {
        begins.len() <= first.len() && begins.iter().zip(first).all(|(name, cell)| *name == cell.trim())
    }) {
        return Err(Refusal::new(format!(
            "this is the {own} of a run, and not a list: it names also who was accepted. To try the others again give \
             {instead} beside it; to send all of them once more, add --column id"
        )));
    }
    if !start.has_header {
        return without_header(start);
    }
    if let Some((what, telltale, is)) = export::of_another(first, object) {
        let mut refusal = Refusal::new(format!(
            "this looks like an export of {what} (it has a column {:?}), not like a list of {}",
            sanitize(first[telltale].trim(), SHOWN),
            object.plural()
        ));
        refusal.advice.extend(self_telling(first, object).into_iter().map(Advice::Column));
        refusal.advice.extend(is.map(Advice::Object));
        refusal.lead = "If {what} are meant, use {flag}";
        refusal.one = true;
        return Err(refusal.listing_if_none());
    }
    let known = known(first, object);
    match known[..] {
        [] => {}
        [one, other, ..] if rank(&first[one], object) == rank(&first[other], object) => {
            let named = |at: usize| format!("{:?} (column {})", sanitize(first[at].trim(), SHOWN), at + 1);
            let mut refusal =
                Refusal::new(format!("two columns could hold the ids: {} and {}", named(one), named(other)));
            refusal.advice = vec![Advice::Column(one), Advice::Column(other)];
            refusal.lead = "Choose with {flag}";
            return Err(refusal.listing_if_none());
        }
        [one, ..] => return Ok(Layout { second: known.get(1).copied(), ..Layout::of(start, one) }),
    }
    if let [only] = filled(first)[..] {
        return one_column(start, only);
    }
    let mut refusal = Refusal::new("no column is known to hold ids".to_owned());
    refusal.advice = [(ObjectKind::Groups, "groupid"), (ObjectKind::Contacts, "contactid")]
        .into_iter()
        .filter(|(_, own)| first.iter().any(|name| normal(name) == *own))
        .map(|(kind, _)| Advice::Object(kind))
        .collect();
    refusal.lead = "If {what} are meant, use {flag}";
    Err(refusal.listing())
}

/// The column of `--column`. An exact name comes before a number, except where the list was read before, by
/// number.
fn asked_for(start: &Start, wanted: &str, by_number: bool) -> Result<Layout, Refusal> {
    let first = &start.first;
    let is_name = start.has_header && first.iter().any(|name| trim(name) == wanted.trim());
    if (by_number || !is_name)
        && let Ok(number) = wanted.trim().parse::<usize>()
        && number.checked_sub(1).is_some_and(|at| at < first.len())
    {
        return Ok(Layout::of(start, number - 1));
    }
    let found = if start.has_header { named(first, wanted) } else { Vec::new() };
    match found[..] {
        [column] => Ok(Layout::of(start, column)),
        [] if wanted.trim().parse::<usize>().is_ok() => Err(Refusal::new(format!(
            "no column {wanted}: line {} has {}. If it is a title, delete the lines above the header",
            start.first_line,
            count(first.len() as u64, "columns")
        ))
        .listing()),
        [] if !start.has_header => Err(Refusal::new(format!(
            "no column {wanted:?}: the first line is a row, and the list has no header"
        ))
        .listing()),
        [] => Err(Refusal::new(format!("no column {wanted:?}")).listing()),
        _ => {
            let mut refusal = Refusal::new(format!("{} columns are called {wanted:?}", found.len()));
            refusal.advice = found.into_iter().map(Advice::Column).collect();
            refusal.lead = "Choose with {flag}";
            Err(refusal.listing_if_none())
        }
    }
}

/// A list of one column needs no known name, but its name must not belong to another person or thing.
fn one_column(start: &Start, only: usize) -> Result<Layout, Refusal> {
    let name = start.first[only].trim();
    let wider = start.next.iter().any(|cells| filled(cells).iter().any(|at| *at != only));
    if wider {
        return Err(Refusal::new(format!(
            "line {} has one column, {:?}, and the lines below have more. If it is a title, delete the lines above \
             the header",
            start.first_line,
            sanitize(name, SHOWN)
        )));
    }
    let short = bare(name);
    let of_a_thing =
        THINGS.iter().any(|word| short.contains(word)) && (short.ends_with("id") || short.ends_with("guid"));
    if of_a_thing || is_of_another_person(&short) {
        let mut refusal = Refusal::new(format!(
            "the only column, {:?}, does not name the users of the list",
            sanitize(name, SHOWN)
        ));
        refusal.advice = vec![Advice::Column(only)];
        refusal.lead = "If {what} are meant, use {flag}";
        return Err(refusal);
    }
    Ok(Layout::of(start, only))
}

fn without_header(start: &Start) -> Result<Layout, Refusal> {
    let first = &start.first;
    let filled = filled(first);
    let ids: usize = first.iter().map(|cell| ids_in(cell)).sum();
    // Programs for mail put a blank or a name between the addresses.
    let as_mail = first.iter().skip(1).any(|cell| cell.starts_with(' ') || cell.contains('<'));
    let kind = |at: &usize| UserId::parse(trim(&first[*at])).map(|id| id.is_guid()).ok();
    let same_kind = filled.iter().all(|at| kind(at).is_some() && kind(at) == kind(&filled[0]));
    let together = first.iter().any(|cell| ids_in(cell) > 1);
    if together || (ids > 1 && as_mail) || (same_kind && (ids > 2 || (ids > 1 && start.next.is_empty()))) {
        return Err(Refusal::new(format!(
                "{ids} ids on one line, and a list has one id a line. Put each id on a line of its own, without names \
                 and brackets. If each line is about one user, add a header line with the names of the columns"
            )).at(start.first_line));
    }
    if let [only] = filled[..] {
        return Ok(Layout { alone: true, ..Layout::of(start, only) });
    }
    let like: Vec<_> = filled.into_iter().filter(|at| id_like(&first[*at])).collect();
    let mut refusal = Refusal::new(match like.len() {
        0 | 1 => "the first line looks like data, not like a header".to_owned(),
        many => format!(
            "the first line looks like data, not like a header, and {many} of its columns could hold the ids. If they \
             are of different users, write one id a line"
        ),
    });
    refusal.advice = like.into_iter().map(Advice::Column).collect();
    refusal.lead = "If each line is one user, choose the id column by number: {flag}";
    Err(refusal.listing_if_none())
}
