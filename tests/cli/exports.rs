//! Every kind of export in samples/exports/ is read as it is: encoding, delimiter, id column, ids, and what becomes of each row.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use reprovision::input::{Checked, Options, check};
use reprovision::model::{Item, ObjectKind};

/// What a file is read as.
struct Expected {
    file: &'static str,
    encoding: &'static str,
    delimiter: u8,
    column: &'static str,
    /// One word a row: an id to send (its first eight characters, or all of a sign-in name), or a reason.
    rows: &'static [&'static str],
    /// Parts of what is said to be assumed; empty: nothing is.
    assumed: &'static [&'static str],
}

const fn plain(file: &'static str, column: &'static str, rows: &'static [&'static str]) -> Expected {
    Expected { file, encoding: "UTF-8", delimiter: b',', column, rows, assumed: &[] }
}

const LEAD_IN: &str = "1 line before the header";
const EXAMPLE: &str = "1 example line";
const UPN: &str = "User name [userPrincipalName] Required";
const MEMBER: &str = "Member object ID or user principal name [memberObjectIdOrUpn] Required";

#[rustfmt::skip]
const EXPORTS: &[Expected] = &[
    plain("entra-users-2019.csv", "objectId", &["00000001", "00000002", "00000003"]),
    plain("entra-users-2024.csv", "id", &["00000011", "00000012"]),
    Expected { assumed: &[LEAD_IN, EXAMPLE], ..plain("entra-bulk-create.csv", UPN, &["ann.lee@contoso.com", "ben.roy@contoso.com"]) },
    Expected { assumed: &[LEAD_IN], ..plain("entra-bulk-create-older.csv", "User name (example: chris@contoso.com) [userPrincipalName] *", &["ann.lee@contoso.com"]) },
    Expected { assumed: &[LEAD_IN, EXAMPLE], ..plain("entra-bulk-delete.csv", UPN, &["ann.lee@contoso.com", "ben.roy@contoso.com"]) },
    Expected { delimiter: b';', assumed: &[LEAD_IN, EXAMPLE], ..plain("entra-bulk-delete-semicolon.csv", UPN, &["ann.lee@contoso.com"]) },
    Expected { assumed: &[LEAD_IN, EXAMPLE], ..plain("entra-group-members-import-older.csv", MEMBER, &["00000021", "ann.lee@contoso.com"]) },
    Expected { assumed: &[EXAMPLE], ..plain("entra-group-members-import.csv", MEMBER, &["00000022", "ben.roy@contoso.com"]) },
    plain("entra-group-members-download.csv", "Object ID", &["00000023", "00000024"]),
    plain("entra-groups-download.csv", "Object ID", &["00000025", "00000026"]),
    plain("m365-admin-center.csv", "Object Id", &["00000031", "00000032"]),
    plain("m365-admin-center-reordered.csv", "Object Id", &["00000033"]),
    Expected { assumed: &[LEAD_IN], ..plain("powershell-5.1-export-csv.csv", "Id", &["00000041", "00000042"]) },
    Expected { encoding: "UTF-16LE", assumed: &[LEAD_IN], ..plain("powershell-5.1-unicode.csv", "Id", &["00000043", "00000044"]) },
    Expected { encoding: "windows-1252", delimiter: b';', assumed: &["Windows-1252"], ..plain("powershell-5.1-default-useculture.csv", "ObjectId", &["00000045", "00000046"]) },
    plain("powershell-5.1-utf8.csv", "UserPrincipalName", &["joerg.ott@contoso.com"]),
    plain("powershell-7-get-mguser.csv", "Id", &["00000051", "00000052"]),
    plain("get-azureaduser.csv", "ObjectId", &["00000061"]),
    plain("get-msoluser.csv", "ObjectId", &["00000062", "00000063"]),
    Expected { encoding: "UTF-16LE", assumed: &["no header"], ..plain("powershell-out-file.csv", "1", &["00000071", "00000072", "00000073"]) },
    Expected { encoding: "UTF-16BE", delimiter: b'\t', ..plain("utf-16-be-tab.csv", "id", &["00000074"]) },
    Expected { assumed: &["no header"], ..plain("one-id-a-line.txt", "1", &["00000081", "ann.lee@contoso.com", "00000082"]) },
    Expected { encoding: "windows-1252", delimiter: b';', assumed: &["Windows-1252", LEAD_IN, "around 1 id"], ..plain("excel-semicolon.csv", "Object ID", &["00000083", "00000084"]) },
    plain("graph-dump.csv", "id", &["00000085", "00000086"]),
    Expected { assumed: &["1 row with fewer cells", "around 1 id"], ..plain("by-hand.csv", "UPN", &["ann.lee@contoso.com", "empty_id", "ben.roy@contoso.com", "broken_row",
        "broken_row", "eva.gil@contoso.com", "same_id", "bad_id", "fay.hue@contoso.com"]) },
];
/// Read, but without a column that is known to hold ids of existing users.
const REFUSED: &str = "entra-bulk-invite.csv";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("samples/exports")
}

fn checked(file: &str, copy: &Path, options: &Options) -> Result<Checked, String> {
    check(&folder().join(file), copy, options).map_err(|error| error.chain())
}

fn words(checked: Checked, copy: &Path) -> Vec<String> {
    let items = checked.items(copy, |_| false).expect("the copy");
    items
        .enumerate()
        .map(|(at, item)| match item.expect("a row") {
            Item::Send(row) => {
                assert_eq!(row.number, at as u64 + 1);
                let id = row.id.as_str();
                if row.id.is_guid() { id[..8].to_owned() } else { id.to_owned() }
            }
            Item::Settled(record) => {
                assert_eq!(record.row, at as u64 + 1);
                record.reason.expect("a reason").as_str().to_owned()
            }
        })
        .collect()
}

#[test]
fn every_export_is_read_as_it_is() {
    let desk = tempfile::tempdir().expect("a folder");
    for expected in EXPORTS {
        let file = expected.file;
        let copy = desk.path().join("input.csv");
        let object = if file.contains("-groups-") { ObjectKind::Groups } else { ObjectKind::Users };
        let checked = checked(file, &copy, &Options { object, ..Options::default() }).expect(file);
        assert_eq!(checked.encoding.name(), expected.encoding, "{file}");
        assert_eq!(char::from(checked.delimiter), char::from(expected.delimiter), "{file}");
        assert_eq!(checked.column_name, expected.column, "{file}");
        assert_eq!(checked.rows, checked.users + checked.duplicates + checked.invalid, "{file}");
        assert_eq!(checked.rows, expected.rows.len() as u64, "{file}");
        let assumed = checked.assumed();
        assert_eq!(assumed.len(), expected.assumed.len(), "{file}: {assumed:?}");
        for (said, part) in assumed.iter().zip(expected.assumed) {
            assert!(said.contains(part), "{file}: {said}");
        }
        assert_eq!(words(checked, &copy), expected.rows, "{file}");
    }
}

#[test]
fn an_invitation_list_holds_no_users_yet_and_is_refused_with_its_columns() {
    let desk = tempfile::tempdir().expect("a folder");
    let copy = desk.path().join("input.csv");
    let said = checked(REFUSED, &copy, &Options::default()).expect_err("refused");
    assert!(said.contains("--column") && said.contains("[inviteeEmail]"), "{said}");
    let first = Options { column: Some("1".to_owned()), ..Options::default() };
    assert_eq!(words(checked(REFUSED, &copy, &first).expect("read"), &copy), ["eva@fabrikam.com"]);
}

#[test]
fn no_export_is_left_out() {
    let there: BTreeSet<String> = fs::read_dir(folder())
        .expect("samples/exports")
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name != "README.md")
        .collect();
    let known = EXPORTS.iter().map(|expected| expected.file).chain([REFUSED]).map(str::to_owned).collect();
    assert_eq!(there, known);
    let page = fs::read_to_string(folder().join("README.md")).expect("samples/exports/README.md");
    for name in there {
        assert!(page.contains(&format!("`{name}`")), "{name} is missing in its README.md");
    }
}

#[test]
fn the_program_reads_them_from_a_file_and_from_standard_input() {
    for (file, says) in [
        ("m365-admin-center.csv", "2 users"),
        ("powershell-5.1-unicode.csv", "2 users"),
        ("by-hand.csv", "4 users · 1 duplicate · 4 unusable (lines 5, 7, 8, 12)"),
    ] {
        let path = folder().join(file);
        for from_pipe in [false, true] {
            let output = Command::new(env!("CARGO_BIN_EXE_reprovision"))
                .args(["run", "--dry-run", if from_pipe { "-" } else { path.to_str().expect("UTF-8") }])
                .stdin(if from_pipe {
                    Stdio::from(fs::File::open(&path).expect(file))
                } else {
                    Stdio::null()
                })
                .env_remove("REPROVISION_TOKEN")
                .output()
                .expect("the program runs");
            let said = String::from_utf8_lossy(&output.stdout);
            assert_eq!(output.status.code(), Some(0), "{file}: {}", String::from_utf8_lossy(&output.stderr));
            assert!(said.contains(says), "{file}: {said}");
        }
    }
}
