//! Which column of a list is taken: lists as people have them, from the program's own mouth. Whatever a message advises is typed,
//! and has to work.

use std::fs;
use std::path::Path;

use crate::sign_in_support::{reprovision, said};

/// What becomes of a list.
pub(crate) enum Right {
    /// Read: its id column, users and unusable rows, and parts of what is said.
    Reads(&'static str, u64, u64, &'static [&'static str]),
    /// Exit 2 with parts of the message, and each flag that is advised with the column that it leads to.
    Refused(&'static [&'static str], &'static [(&'static str, &'static str)]),
}
use Right::{Reads, Refused};

/// The id of user `n`, and of an object that is not a user.
fn fill(text: &str) -> String {
    let mut text = text.to_owned();
    for n in 0..10 {
        text = text
            .replace(&format!("<u{n}>"), &format!("0000000{n}-aaaa-4000-8000-00000000000{n}"))
            .replace(&format!("<x{n}>"), &format!("0000000{n}-bbbb-4000-8000-00000000000{n}"));
    }
    text
}

fn dry_run(folder: &Path, file: &str, flags: &str) -> (Option<i32>, String) {
    let mut arguments = vec!["run", file, "--dry-run"];
    // A shell takes quotes away; no value in these tests holds a blank outside them.
    let mut quoted = false;
    let parts: Vec<_> = flags
        .split(|c| {
            quoted ^= c == '"';
            c == ' ' && !quoted
        })
        .map(|part| part.trim_matches('"'))
        .filter(|part| !part.is_empty())
        .collect();
    arguments.extend(parts);
    let output = reprovision(folder, &arguments);
    (output.status.code(), said(&output))
}

/// Each flag with a value that a message tells to type.
fn advised(message: &str) -> Vec<String> {
    let words: Vec<_> = message.split_whitespace().collect();
    words
        .windows(2)
        .filter(|pair| {
            pair[0].starts_with("--") && pair[0].chars().all(|c| c.is_ascii_lowercase() || c == '-')
        })
        .map(|pair| format!("{} {}", pair[0], pair[1].trim_end_matches([',', '.', ';'])))
        .collect()
}

/// Reads a list without sending anything, and types whatever is advised.
pub(crate) fn check(name: &str, text: &str, flags: &str, right: &Right) {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("list.csv"), fill(text)).expect("the list");
    let (code, message) = dry_run(folder.path(), "list.csv", flags);
    assert!(!message.contains("Summer26!"), "{name}: {message}");
    match right {
        Reads(column, users, invalid, parts) => {
            assert_eq!(code, Some(0), "{name}: {message}");
            let kinds = ["users", "groups", "contacts"]
                .map(|kind| kind.trim_end_matches(if *users == 1 { "s" } else { "" }));
            let counts = kinds.iter().any(|kind| message.contains(&format!("{users} {kind} ·")));
            assert!(counts && message.contains(&format!("· {invalid} unusable")), "{name}: {message}");
            assert!(message.contains(&format!("id column {column:?}")), "{name}: {message}");
            for part in *parts {
                assert!(message.contains(part), "{name}, {part:?}: {message}");
            }
        }
        Refused(parts, advice) => {
            assert_eq!(code, Some(2), "{name}: {message}");
            for part in *parts {
                assert!(message.contains(part), "{name}, {part:?}: {message}");
            }
            let flags_given: Vec<_> = advice.iter().map(|(flag, _)| (*flag).to_owned()).collect();
            assert_eq!(advised(&message), flags_given, "{name}: {message}");
            for (flag, column) in *advice {
                // The flag takes the place of one that was given.
                let kept = if flag.split(' ').next() == flags.split(' ').next() { "" } else { flags };
                let (code, typed) = dry_run(folder.path(), "list.csv", &format!("{kept} {flag}"));
                assert_eq!(code, Some(0), "{name} {flag}: {typed}");
                assert!(typed.contains(&format!("id column {column:?}")), "{name} {flag}: {typed}");
            }
        }
    }
}

#[test]
fn an_id_column_is_the_users_own_or_a_question() {
    let members = "\"GroupName\",\"GroupId\",\"MemberName\",\"UserPrincipalName\"\n\
                   Sales,<x0>,U0,u0@contoso.com\nSales,<x0>,U1,u1@contoso.com\nIT,<x1>,U2,u2@contoso.com\n";
    let google = "First Name [Required],Last Name [Required],Email Address [Required],Status [READ ONLY]\n\
                  F0,L0,u0@contoso.com,Active\nF1,L1,u1@contoso.com,Active\n";
    for (name, text, flags, right) in [
        ("a group's id among users", members, "", Reads("UserPrincipalName", 3, 0, &[])),
        ("a group's id for groups", members, "--object groups", Reads("GroupId", 2, 0, &["1 duplicate"])),
        (
            "only a group's id",
            "GroupId,GroupName\n<x0>,Sales\n<x1>,IT\n",
            "",
            Refused(
                &["no column is known to hold ids", "If groups are meant"],
                &[("--object groups", "GroupId")],
            ),
        ),
        (
            "only a contact's id",
            "ContactId,Name\n<x0>,Ann\n",
            "",
            Refused(&["If contacts are meant"], &[("--object contacts", "ContactId")]),
        ),
        (
            "brackets that Entra does not write",
            "manager[id],Name,UPN\n<x0>,Ann,u0@contoso.com\n",
            "",
            Reads("UPN", 1, 0, &[]),
        ),
        (
            "a template's property of the manager",
            "Manager [userPrincipalName],Name\nm0@contoso.com,Ann\n",
            "",
            Refused(&["no column is known to hold ids"], &[]),
        ),
        (
            "a template in another language",
            "version:v1.0\nNom d'utilisateur [userPrincipalName] Obligatoire,Nom [displayName] Obligatoire\nu0@contoso.com,Ann\n",
            "",
            Reads("Nom d'utilisateur [userPrincipalName] Obligatoire", 1, 0, &[]),
        ),
        (
            "names in brackets, asked for",
            google,
            "--column \"Email Address [Required]\"",
            Reads("Email Address [Required]", 2, 0, &[]),
        ),
        (
            "names in brackets, none asked for",
            google,
            "",
            Refused(&["3 \"Email Address [Required]\" (such as \"u0@contoso.com\")"], &[]),
        ),
        (
            "the exact name comes first",
            "mail,Mail,MAIL\nx,u0@contoso.com,y\n",
            "--column Mail",
            Reads("Mail", 1, 0, &[]),
        ),
        (
            "a name that two have",
            "mail,Mail\nu0@contoso.com,u1@contoso.com\n",
            "--column MAIL",
            Refused(
                &["2 columns are called \"MAIL\""],
                &[("--column mail", "mail"), ("--column Mail", "Mail")],
            ),
        ),
        (
            "names with the same letters",
            "E-Mail,E Mail\nu0@contoso.com,x@contoso.com\n",
            "--column email",
            Refused(&["2 columns are called"], &[("--column E-Mail", "E-Mail"), ("--column 2", "E Mail")]),
        ),
        (
            "two candidates, one of them empty",
            "id,Object Id\n,<u0>\n,<u1>\n",
            "",
            Refused(&["two columns could hold the ids"], &[("--column 2", "Object Id")]),
        ),
        (
            "an id that is empty, and a manager's",
            "DisplayName,Id,ManagerId,UserPrincipalName\nU0,,<x0>,u0@contoso.com\nU1,,<x1>,u1@contoso.com\n",
            "",
            Refused(
                &["2 of 2 rows hold no usable id in column \"Id\""],
                &[("--column UserPrincipalName", "UserPrincipalName")],
            ),
        ),
        (
            "only the manager has an id",
            "Employee,Id,Manager UPN\nAnn,7,m0@contoso.com\nBo,8,m1@contoso.com\n",
            "",
            Refused(
                &["2 of 2 rows hold no usable id", "3 \"Manager UPN\" (such as \"m0@contoso.com\")"],
                &[],
            ),
        ),
        (
            "a list of managers alone",
            "Manager UPN\nm0@contoso.com\n",
            "",
            Refused(&["does not name the users of the list"], &[("--column 1", "Manager UPN")]),
        ),
        (
            "one object id for several users",
            "Team,ObjectId,UserPrincipalName\nA,<x0>,u0@contoso.com\nA,<x0>,u1@contoso.com\nB,<x1>,u2@contoso.com\n",
            "",
            Refused(
                &["columns 2 and 3 do not mean the same user: lines 2 and 3"],
                &[("--column UserPrincipalName", "UserPrincipalName")],
            ),
        ),
        (
            "several object ids for one user",
            "Id,UserPrincipalName,Method\n<x0>,u0@contoso.com,phone\n<x1>,u0@contoso.com,mail\n<x2>,u1@contoso.com,phone\n",
            "",
            Refused(&["do not mean the same user"], &[("--column UserPrincipalName", "UserPrincipalName")]),
        ),
        (
            "a user who stands there twice",
            "Id,UserPrincipalName\n<u0>,u0@contoso.com\n<u0>,U0@contoso.com\n<u1>,u1@contoso.com\n",
            "",
            Reads("Id", 2, 0, &["1 duplicate"]),
        ),
    ] {
        check(name, text, flags, &right);
    }
}

#[test]
fn lines_above_the_header_are_left_out_and_said() {
    let rows = "User 0,<u0>,u0@contoso.com\nUser 1,<u1>,u1@contoso.com\nTotal: 2,,\n";
    let titled = format!(
        "Users without a mailbox\nGenerated on 20 Nov 2026 by Ann Berg\n\nDisplay name,Object Id,User principal name\n{rows}"
    );
    let titled = titled.as_str();
    const SAID: &str =
        "2 title lines above the header in line 4 left out, beginning with \"Users without a mailbox\"";
    for (name, text, flags, right) in [
        ("title lines", titled, "", Reads("Object Id", 2, 1, &[SAID, "(line 7)"])),
        ("title lines and a number", titled, "--column 3", Reads("User principal name", 2, 1, &[SAID])),
        (
            "title lines and a name",
            titled,
            "--column \"User principal name\"",
            Reads("User principal name", 2, 1, &[SAID]),
        ),
        (
            "saved by Excel",
            "Report, as of today;;\n;;\nName;UPN;Town\nAnn;u0@contoso.com;Bern\n",
            "",
            Reads("UPN", 1, 0, &["1 title line above the header in line 3", "';' separated"]),
        ),
        (
            "a comma in the header of a semicolon list",
            "Name, Vorname;UPN\nBerg, Ann;u0@contoso.com\n",
            "",
            Reads("UPN", 1, 0, &["';' separated"]),
        ),
        (
            "a title and an unknown name that is asked for",
            "Report\nName,Mail\nAnn,u0@contoso.com\n",
            "--column Mail",
            Reads("Mail", 1, 0, &["1 title line"]),
        ),
        (
            "a title and no known name",
            "Report\nName,Mail\nAnn,u0@contoso.com\n",
            "",
            Refused(
                &[
                    "line 1 has one column, \"Report\", and the lines below have more",
                    "delete the lines above the header",
                ],
                &[],
            ),
        ),
        (
            "a title and a number",
            "Report\nName,Mail\nAnn,u0@contoso.com\n",
            "--column 2",
            Refused(&["line 1 has 1 column", "delete the lines above the header"], &[]),
        ),
        (
            "a row above the header",
            "u7@contoso.com,Ann\nUPN,Name\nu0@contoso.com,Bo\n",
            "",
            Refused(&["line 1: ", "stands above the header in line 2 and could hold an id"], &[]),
        ),
        (
            "the names of two groups of columns",
            "Manager,,User,\nId,Name,UPN,Name\n<x0>,Max,u0@contoso.com,Ann\n",
            "",
            Refused(&["could say whose the columns below are"], &[]),
        ),
        (
            "a filter by a known name",
            "User name:,all\nDate:,2026\nManagerId,UPN\n<x0>,u0@contoso.com\n",
            "",
            Refused(&["line 1: lines 1 and 3 could both be the header"], &[]),
        ),
        (
            "a row that ends with a known name",
            "Name,Mail,Kind\nAnn,u0@contoso.com,UPN\nBo,,UPN\nCem,u2@contoso.com,UPN\n",
            "--column 2",
            Reads("Mail", 2, 1, &[]),
        ),
        (
            "a directory extension",
            "userPrincipalName,extension_0a1b2c3d4e5f60718293a4b5c6d7e8f9_id\nu0@contoso.com,7\n",
            "",
            Reads("userPrincipalName", 1, 0, &[]),
        ),
        (
            "a cell that is called so far below",
            &format!("Name,Mail\n{}UPN,x\n", "Ann,u0@contoso.com\n".repeat(30)),
            "--column 2",
            Reads("Mail", 1, 1, &["29 duplicates"]),
        ),
    ] {
        check(name, text, flags, &right);
    }
}

#[test]
fn a_first_line_with_an_id_is_a_row() {
    let broken = "\"Ann\",\"ann@@contoso.com\"\n\"U0\",\"u0@contoso.com\"\n\"U1\",\"u1@contoso.com\"\n";
    let two = "<u0>,u0@contoso.com,Ann\n<u1>,u1@contoso.com,Bo\n";
    for (name, text, flags, right) in [
        (
            "broken, by number",
            broken,
            "--column 2",
            Reads("2", 2, 1, &["no header: the first line is a row", "(line 1)"]),
        ),
        ("broken", broken, "", Refused(&["the first line looks like data"], &[("--column 2", "2")])),
        (
            "two ids in a row",
            two,
            "",
            Refused(&["2 of its columns could hold the ids"], &[("--column 1", "1"), ("--column 2", "2")]),
        ),
        ("two ids in a row, by number", two, "--column 2", Reads("2", 2, 0, &["no header"])),
        ("a cut object id", "<u0>,Ann\n", "--column 1", Reads("1", 1, 0, &["no header"])),
        (
            "addresses on one line",
            "u0@contoso.com; u1@contoso.com; u2@contoso.com\n",
            "",
            Refused(&["one id a line"], &[]),
        ),
        (
            "two addresses on one line",
            "u0@contoso.com;u1@contoso.com\n",
            "",
            Refused(&["2 ids on one line", "one id a line"], &[]),
        ),
        (
            "with commas",
            "u0@contoso.com, u1@contoso.com\nu2@contoso.com, u3@contoso.com\n",
            "",
            Refused(&["one id a line"], &[]),
        ),
        (
            "with names",
            "Ann Berg <u0@contoso.com>; Bo Lee <u1@contoso.com>\n",
            "",
            Refused(&["one id a line"], &[]),
        ),
        (
            "with names in quotes",
            "\"Berg, Ann\" <u0@contoso.com>, \"Lee, Bo\" <u1@contoso.com>\n",
            "",
            Refused(&["line 1"], &[]),
        ),
        ("with blanks", "u0@contoso.com u1@contoso.com\n", "", Refused(&["one id a line"], &[])),
        ("object ids", "<u0>,<u1>,<u2>\n", "", Refused(&["one id a line"], &[])),
        ("with slashes", "u0@contoso.com/u1@contoso.com\n", "", Refused(&["one id a line"], &[])),
        ("links", "mailto:u0@contoso.com\nmailto:u1@contoso.com\n", "", Refused(&["Leave only the id"], &[])),
        ("in brackets", "<u0@contoso.com>\n<u1@contoso.com>\n", "", Refused(&["Leave only the id"], &[])),
        ("in apostrophes", "'u0@contoso.com',\n'u1@contoso.com'\n", "", Reads("1", 2, 0, &["no header"])),
        (
            "a delimiter behind each",
            "u0@contoso.com;\nu1@contoso.com;\n",
            "",
            Reads("1", 2, 0, &["no header"]),
        ),
        (
            "a delimiter behind each, and two in one line",
            "u0@contoso.com;\nu1@contoso.com; u2@contoso.com\n",
            "",
            Refused(&["line 2", "more than one id"], &[]),
        ),
        (
            "several in one cell",
            "UPN\nu0@contoso.com; u1@contoso.com\nu2@contoso.com; u3@contoso.com\n",
            "",
            Refused(&["one id a line"], &[]),
        ),
        (
            "names around",
            "UPN\nAnn Berg <u0@contoso.com>\nBo Lee <u1@contoso.com>\n",
            "",
            Refused(&["Leave only the id in the cell"], &[]),
        ),
    ] {
        check(name, text, flags, &right);
    }
}

#[test]
fn own_list_is_not_checked_by_majority() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = fill("name,id\nn1,<u1>\nn2,<u2>\nn3,<u3>\nn4,<u4>\na,x\nb,\nc,n/a\n");
    fs::write(folder.path().join("62.csv"), text).expect("the list");
    let run = |list: &str, out: &str| {
        let output = reprovision(folder.path(), &["run", list, "--simulate=calm", "--out", out]);
        (output.status.code(), said(&output))
    };
    let (code, message) = run("62.csv", "first");
    assert_eq!(code, Some(3), "{message}");
    let failed = fs::read_to_string(folder.path().join("first/failed.csv")).expect("failed.csv");
    assert_eq!(failed.lines().count(), 4, "{failed}");
    let (code, message) = run("first/failed.csv", "second");
    assert_eq!(code, Some(3), "{message}");
    assert!(message.contains("3 unusable"), "{message}");
    assert_eq!(
        fs::read_to_string(folder.path().join("second/failed.csv")).expect("failed.csv").lines().count(),
        4
    );
    // Once one of them is corrected it is sent.
    fs::write(folder.path().join("corrected.csv"), failed.replace("a,x,", &fill("a,<u5>,")))
        .expect("the list");
    let (code, message) = run("corrected.csv", "third");
    assert_eq!(code, Some(3), "{message}");
    assert!(message.contains("1 user · 0 duplicates · 2 unusable"), "{message}");
}

#[test]
fn a_command_for_a_list_of_ours_reads_it_as_the_list_was_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = "name:mail\nAnn:u0@contoso.com\nBo:u1@contoso.com\nCem:x\n";
    fs::write(folder.path().join("list.csv"), text).expect("the list");
    let run = |line: &str| {
        let output = reprovision(folder.path(), &line.split(' ').collect::<Vec<_>>());
        (output.status.code(), said(&output))
    };
    let (code, message) = run("run list.csv --simulate --out first --column mail --delimiter :");
    assert_eq!(code, Some(3), "{message}");
    let (_, report) = run("report first");
    let next = report.lines().find_map(|line| line.split("then: ").nth(1)).expect("a next command");
    let (_program, next) = next.split_once(' ').expect("a command");
    assert!(next.contains("--column mail") && next.contains("--delimiter :"), "{report}");
    let (code, message) = run(&next.replace(" --simulate", " --simulate --out second"));
    assert_eq!((code, message.contains("1 unusable")), (Some(3), true), "{message}");
}
