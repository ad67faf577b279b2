//! Names of columns: which are known to hold ids, and which belong to something else than the row's user.

use super::cell::trim;
use crate::model::ObjectKind;

/// Names of id columns by rank, without case, blanks and punctuation; object ids before UPNs. A group or a
/// contact has no UPN, and `groupId` and `contactId` stand also in lists of users, where they are not the
/// users' ids.
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
        // In a log, `userId` may name the person who made the change.
        ObjectKind::Users => &["userobjectid", "externaldirectoryobjectid"],
        ObjectKind::Groups => &["groupid", "externaldirectoryobjectid"],
        ObjectKind::Contacts => &["contactid", "externaldirectoryobjectid"],
    }
}

/// Properties in brackets in the headers of Entra's bulk templates that hold ids, and how the label before
/// them begins in the languages of the portal, without blanks and punctuation. Others write brackets as well:
/// `manager[id]`.
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
/// Words in the names of columns about something that is not a person.
pub(super) const THINGS: [&str; 16] = [
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

/// The header of `find`'s list.
const FOUND: [&str; 7] =
    ["id", "userPrincipalName", "displayName", "service", "error_code", "error_since", "error_text"];

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

/// The parts of a name before and inside the first brackets.
fn bracketed(name: &str) -> Option<(&str, &str)> {
    let (label, rest) = name.split_once('[')?;
    Some((label, rest.split_once(']')?.0.trim()))
}

/// Whether the column with this name belongs to another person or thing than the user of the row.
pub(super) fn is_of_another(name: &str) -> bool {
    let name = bare(name);
    PERSONS.iter().chain(&THINGS).any(|word| name.contains(word))
}

/// Whether the column with this name belongs to another person than the user of the row.
pub(super) fn is_of_another_person(name: &str) -> bool {
    let name = bare(name);
    PERSONS.iter().any(|word| name.contains(word))
}

/// The rank of a name as that of an id column.
pub(super) fn rank(name: &str, object: ObjectKind) -> Option<usize> {
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

/// Columns that hold users, groups or contacts by their own name, in a list that is about something else. A
/// second UPN in such a list may be anybody's.
pub(super) fn self_telling(header: &[String], object: ObjectKind) -> Vec<usize> {
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

/// Columns that are called so: the exact name, else without case, else without blanks and punctuation, else
/// in brackets.
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

/// The word to type after `--column`: the name of the column if a shell needs no quotes for it, otherwise its
/// number.
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
