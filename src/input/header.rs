//! Names of columns: which are known to hold ids, which one is meant, and which belong to something else than the row's user.

use super::advice::{Advice, Refusal};
use super::cell::trim;
use super::check::Options;
use super::export;
use super::first::{Start, filled, id_like, ids_in};
use crate::model::{ObjectKind, UserId, count, neutral};

/// Names of id columns by rank, without case, blanks and punctuation; object ids before UPNs. A group or a contact has no UPN, and `groupId` and
/// `contactId` stand also in lists of users, where they are not the users' ids.
fn ranks(object: ObjectKind) -> &'static [&'static [&'static str]] {
    match object {
        ObjectKind::Users => &[
            &["id", "objectid", "userid", "azureadobjectid", "externaldirectoryobjectid"],
            &["memberobjectidorupn", "memberobjectidoruserprincipalname"],
            UPNS,
        ],
        ObjectKind::Groups => {
            &[&["id", "objectid", "groupid", "azureadobjectid", "externaldirectoryobjectid"]]
        }
        ObjectKind::Contacts => &[&["id", "objectid", "contactid", "externaldirectoryobjectid"]],
    }
}

/// Names of columns with UPNs.
const UPNS: &[&str] = &["userprincipalname", "upn", "username", "signinname"];

/// Names that say by themselves whose id they hold, in whatever list they stand.
fn telling(object: ObjectKind) -> &'static [&'static str] {
    match object {
        // In a log, `userId` may be the one who did it.
        ObjectKind::Users => &["userobjectid", "externaldirectoryobjectid"],
        ObjectKind::Groups => &["groupid", "externaldirectoryobjectid"],
        ObjectKind::Contacts => &["contactid", "externaldirectoryobjectid"],
    }
}

/// Properties in brackets in the headers of Entra's bulk templates that hold ids, and how the label before them begins in the
/// languages of the portal, without blanks and punctuation. Others write brackets as well: `manager[id]`.
const TEMPLATES: [(&str, &[&str]); 4] = [
    ("memberObjectIdOrUpn", &["member"]),
    ("memberObjectIdOrUserPrincipalName", &["member"]),
    ("objectId", &["objectid", "objektid", "iddobjet", "iddeobjeto", "iddelobjeto", "idoggetto"]),
    (
        "userPrincipalName",
        &[
            "username",
            "benutzername",
            "nomdutilisateur",
            "nombredeusuario",
            "nomeutente",
            "gebruikersnaam",
            "nomedeusuário",
            "nomedousuário",
            "nomedeutilizador",
            "användarnamn",
            "brukernavn",
            "brugernavn",
            "käyttäjänimi",
            "nazwaużytkownika",
            "uživatelskéjméno",
            "kullanıcıadı",
            "имяпользователя",
            "ユーザー名",
            "用户名",
            "使用者名稱",
            "사용자이름",
        ],
    ),
];

/// Words in the names of columns about a person other than the row's user.
const PERSONS: [&str; 26] = [
    "manager",
    "supervisor",
    "boss",
    "owner",
    "sponsor",
    "approver",
    "delegate",
    "assistant",
    "creator",
    "createdby",
    "modifiedby",
    "invitedby",
    "inviter",
    "initiat",
    "actor",
    "reportsto",
    "vorgesetzt",
    "führungskraft",
    "leiter",
    "besitzer",
    "eigentümer",
    "responsable",
    "supérieur",
    "propriétaire",
    "propietario",
    "chef",
];
/// Words in the names of columns about something that is no person.
const THINGS: [&str; 16] = [
    "group",
    "device",
    "licen",
    "sku",
    "mailbox",
    "application",
    "tenant",
    "team",
    "role",
    "request",
    "correlation",
    "gruppe",
    "gerät",
    "lizenz",
    "postfach",
    "appareil",
];

/// How the accounts of a run begin, what they are called, and the list that is meant where one is given as a list: with an
/// `id` like any other, they would have everybody sent again.
const ACCOUNTS: [(&[&str], &str, &str); 2] = [
    (&["row", "id", "outcome", "reason"], "results.csv", "failed.csv"),
    (&["row", "id", "userPrincipalName", "displayName", "verdict"], "verified.csv", "still-failing.csv"),
];

/// The header of `find`'s list.
const FOUND: [&str; 7] =
    ["id", "userPrincipalName", "displayName", "service", "error_code", "error_since", "error_text"];

/// Longest column name shown, in characters.
const SHOWN: usize = 80;

/// Whether a list with this header was written by reprovision.
pub(super) fn is_ours(header: &[String]) -> bool {
    let names = || header.iter().map(|name| name.trim());
    names().any(|name| name == "reprovision_run") || names().eq(FOUND)
}

/// A name without case, blanks and punctuation.
pub(super) fn bare(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// The same; of a name in Entra's templates the property in brackets counts.
pub(super) fn normal(name: &str) -> String {
    let property = bracketed(name).filter(|(label, property)| {
        let (label, of_members) = (bare(label), property.to_lowercase().starts_with("member"));
        TEMPLATES.iter().any(|(known, labels)| {
            known.eq_ignore_ascii_case(property)
                && (label.is_empty() || of_members || labels.iter().any(|begins| label.starts_with(begins)))
        })
    });
    bare(property.map_or(name, |(_, property)| property))
}

/// What stands before the first brackets of a name, and in them.
fn bracketed(name: &str) -> Option<(&str, &str)> {
    let (label, rest) = name.split_once('[')?;
    Some((label, rest.split_once(']')?.0.trim()))
}

/// Whether a name tells that its column is about another person or thing than the row's user.
pub(super) fn is_of_another(name: &str) -> bool {
    let name = bare(name);
    PERSONS.iter().chain(&THINGS).any(|word| name.contains(word))
}

/// The rank of a name as that of an id column.
fn rank(name: &str, object: ObjectKind) -> Option<usize> {
    let name = normal(name);
    ranks(object).iter().position(|rank| rank.contains(&&*name))
}

/// Whether a line has the name of an id column, of whatever kind of object.
pub(super) fn has_known_name(cells: &[String]) -> bool {
    const ALL: [ObjectKind; 3] = [ObjectKind::Users, ObjectKind::Groups, ObjectKind::Contacts];
    cells.iter().any(|name| ALL.iter().any(|object| rank(name, *object).is_some()))
}

/// Columns with a known id name, the best first.
pub(super) fn known(header: &[String], object: ObjectKind) -> Vec<usize> {
    let mut found: Vec<_> =
        (0..header.len()).filter_map(|at| Some((rank(&header[at], object)?, at))).collect();
    found.sort_unstable();
    found.into_iter().map(|(_, at)| at).collect()
}

/// Columns that hold users, groups or contacts by their own name, in a list that is about something else. A second UPN
/// in such a list may be anybody's.
fn self_telling(header: &[String], object: ObjectKind) -> Vec<usize> {
    let names: Vec<_> = header.iter().map(|name| normal(name)).collect();
    let with =
        |is: &dyn Fn(&str) -> bool| -> Vec<usize> { (0..names.len()).filter(|at| is(&names[*at])).collect() };
    let upns = match object {
        ObjectKind::Users => {
            let exact = with(&|name| UPNS.contains(&name));
            let ends = with(&|name| {
                ["upn", "userprincipalname"].iter().any(|end| name.ends_with(end))
                    && !PERSONS.iter().any(|word| name.contains(word))
            });
            if exact.is_empty() && ends.len() == 1 { ends } else { exact }
        }
        ObjectKind::Groups | ObjectKind::Contacts => Vec::new(),
    };
    let told = telling(object).iter().flat_map(|one| with(&|name| name == *one));
    upns.into_iter().chain(told).collect()
}

/// Columns that are called so: the exact name, else without case, else without blanks and punctuation, else in brackets.
pub(super) fn named(header: &[String], wanted: &str) -> Vec<usize> {
    let (wanted, lower, bare_wanted) = (wanted.trim(), wanted.trim().to_lowercase(), bare(wanted));
    let same: [&dyn Fn(&str) -> bool; 4] = [
        &|name| name == wanted,
        &|name| name.to_lowercase() == lower,
        &|name| !bare_wanted.is_empty() && bare(name) == bare_wanted,
        &|name| {
            bracketed(name).is_some_and(|(_, inside)| !inside.is_empty() && inside.to_lowercase() == lower)
        },
    ];
    same.iter()
        .map(|same| (0..header.len()).filter(|at| same(trim(&header[*at]))).collect::<Vec<_>>())
        .find(|found| !found.is_empty())
        .unwrap_or_default()
}

/// What to type after `--column` for a column: its name where a shell takes it as it stands, else its number.
pub(super) fn word_for(header: Option<&[String]>, at: usize) -> String {
    let name = header.and_then(|header| Some((header, trim(header.get(at)?))));
    let plain = |name: &str| {
        name.starts_with(|c: char| c.is_ascii_alphabetic())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
    };
    match name {
        Some((header, name)) if plain(name) && named(header, name) == [at] => name.to_owned(),
        _ => (at + 1).to_string(),
    }
}

/// Where the ids stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) column: usize,
    pub(super) name: String,
    /// Another column with a known id name, where nobody chose: both must mean the same user.
    pub(super) second: Option<usize>,
    /// The only column of the first line that holds anything, where there is no header and nobody chose.
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
/// Says what hinders, and which columns or flags to try.
pub(super) fn choose(start: &Start, options: &Options) -> Result<Layout, Refusal> {
    if let Some(wanted) = options.column.as_deref() {
        return asked_for(start, wanted);
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
            neutral(first[telltale].trim(), SHOWN),
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
            let named = |at: usize| format!("{:?} (column {})", neutral(first[at].trim(), SHOWN), at + 1);
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

fn asked_for(start: &Start, wanted: &str) -> Result<Layout, Refusal> {
    let first = &start.first;
    if let Ok(number) = wanted.trim().parse::<usize>()
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

/// A list of one column needs no known name, unless the name tells that it is somebody else's.
fn one_column(start: &Start, only: usize) -> Result<Layout, Refusal> {
    let name = start.first[only].trim();
    let wider = start.next.iter().any(|cells| filled(cells).iter().any(|at| *at != only));
    if wider {
        return Err(Refusal::new(format!(
            "line {} has one column, {:?}, and the lines below have more. If it is a title, delete the lines above \
             the header",
            start.first_line,
            neutral(name, SHOWN)
        )));
    }
    let short = bare(name);
    let of_a_thing =
        THINGS.iter().any(|word| short.contains(word)) && (short.ends_with("id") || short.ends_with("guid"));
    if of_a_thing || PERSONS.iter().any(|word| short.contains(word)) {
        let mut refusal = Refusal::new(format!(
            "the only column, {:?}, does not name the users of the list",
            neutral(name, SHOWN)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn cells(line: &str) -> Vec<String> {
        line.split(',').map(str::to_owned).collect()
    }

    #[test]
    fn only_brackets_of_entras_templates_name_a_column() {
        for (name, same) in [
            ("Object Id", "objectid"),
            ("User name [userPrincipalName] Required", "userprincipalname"),
            ("User name (example: chris@contoso.com) [userPrincipalName] *", "userprincipalname"),
            ("Benutzername [userPrincipalName] Erforderlich", "userprincipalname"),
            ("Vorgesetzter [userPrincipalName]", "vorgesetzteruserprincipalname"),
            ("Lead [userPrincipalName]", "leaduserprincipalname"),
            ("manager[id]", "managerid"),
            ("Email Address [Required]", "emailaddressrequired"),
            ("]a[", "a"),
            ("External_Directory-ObjectId", "externaldirectoryobjectid"),
        ] {
            assert_eq!(normal(name), same, "{name}");
        }
    }

    #[test]
    fn what_is_typed_for_a_column_means_that_column() {
        let header = cells("id,User name,a,A,2,e-mail,naïve,id2");
        for (at, word) in ["id", "2", "a", "A", "5", "e-mail", "7", "id2"].into_iter().enumerate() {
            assert_eq!(word_for(Some(&header), at), word);
        }
        assert_eq!(word_for(None, 0), "1");
        assert_eq!(word_for(Some(&cells("id,id")), 1), "2");
    }

    #[test]
    fn a_list_of_ours_is_known_by_its_header() {
        for (header, ours) in [
            ("name,reprovision_run", true),
            ("id,userPrincipalName,displayName,service,error_code,error_since,error_text", true),
            ("id,userPrincipalName,displayName", false),
            ("my_reprovision_run", false),
        ] {
            assert_eq!(is_ours(&cells(header)), ours, "{header}");
        }
    }
}
