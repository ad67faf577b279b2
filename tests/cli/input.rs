//! Whatever the bytes are: nothing panics, every row has its number, and what was written as an id comes back as it was.

use std::fs;

use proptest::prelude::*;
use reprovision::input::{Checked, Options, check, reopen};
use reprovision::model::{Item, Outcome};
use reprovision::rundir::{Original, write_original};

pub(crate) fn read(bytes: &[u8]) -> Result<(Checked, Vec<Item>), String> {
    let desk = tempfile::tempdir().expect("a folder");
    let (input, copy) = (desk.path().join("given.csv"), desk.path().join("input.csv"));
    fs::write(&input, bytes).expect("written");
    let again = || check(&input, &copy, &Options::default()).map_err(|error| error.chain());
    let items = again()?.items(&copy, |_| false).expect("the copy").collect::<Result<_, _>>();
    assert_eq!(fs::read(&copy).expect("the copy"), bytes, "the copy is the bytes as given");
    Ok((again()?, items.expect("rows")))
}

fn says(bytes: &[u8]) -> String {
    read(bytes).err().unwrap_or_default()
}

#[test]
fn what_cannot_be_a_list_says_what_it_is() {
    let utf16: Vec<u8> = "id\r\nann@contoso.com\r\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let utf16_swapped: Vec<u8> = utf16.chunks(2).flat_map(|pair| [pair[1], pair[0]]).collect();
    let cases: [(&[u8], &str); 21] = [
        (b"", "empty"),
        (b"\n\r\n  \n", "has only blank lines"),
        (b"#TYPE x\r\n", "has only lead-in lines"),
        (b"PK\x03\x04rest", "Excel workbook"),
        (b"\x1f\x8brest", "gzip"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "Excel workbook"),
        (b"PK\x05\x06\0\0", "zip file"),
        (b"%PDF-1.4\n", "PDF"),
        (b"\r\n <html><body>Sign in</body></html>\n", "web page"),
        (b"{\"value\":[{\"id\":\"a@b.c\"}]}\n", "JSON"),
        (b"{\n  \"value\": []\n}\n", "JSON"),
        (b"[\n{\"id\":\"a@b.c\"}]\n", "JSON"),
        (b"[\"a@b.c\"]\n", "JSON"),
        (b"id\na@b;Ann\nc@d;Ben\n", "Its rows are separated by ';', but the header is not"),
        (b"id,name\na@b\tAnn\nc@d\tBen\n", "Its rows are separated by '\\t', but the header is not"),
        (&[0; 4096], "NUL"),
        (&utf16, "UTF-16 without a byte order mark"),
        (&utf16_swapped, "UTF-16 without a byte order mark"),
        (
            b"name,town\nann,bern\n",
            "no column is known to hold ids. Choose the id column with --column, by its name or number from 1. The columns are: 1 \"name\" (such as \"ann\"), 2 \"town\" (such as \"bern\")",
        ),
        (
            b"id,Object Id\n",
            "\"id\" (column 1) and \"Object Id\" (column 2). Choose with --column id or --column 2",
        ),
        (b"0a1b2c3d-0000-1111-2222-abcdefabcdef,Ann\n", "the first line looks like data"),
    ];
    for (bytes, expected) in cases {
        let said = says(bytes);
        assert!(said.contains(expected), "{expected:?}: {said}");
    }
    assert!(says(b"id\n").is_empty(), "a header alone is a list of nobody");
    let braced = read(b"{0a1b2c3d-0000-1111-2222-abcdefabcdef}\n").expect("an object id in braces");
    assert_eq!(braced.0.users, 1);
    let bracketed = read(b"[userPrincipalName]\na@b.c\n").expect("a name in brackets");
    assert_eq!((bracketed.0.rows, bracketed.0.users), (1, 1));
}

#[test]
fn a_mistyped_id_on_the_first_line_is_a_row_and_no_header() {
    let (checked, items) = read(b"ann lee@contoso.com\nben@contoso.com\ncem@contoso.com\n").expect("a list");
    assert_eq!((checked.rows, checked.users, checked.invalid), (3, 2, 1));
    assert!(checked.header.is_none());
    assert!(
        matches!(&items[0], Item::Settled(record) if record.outcome == Outcome::Invalid && record.line == 1)
    );
}

#[test]
fn a_nul_byte_costs_its_row_only() {
    let (checked, _) = read(b"id,name\na@b,x\0\nc\0@d,y\ne@f,z\n").expect("a list");
    assert_eq!((checked.users, checked.invalid), (2, 1));
}

#[test]
fn characters_that_cannot_be_read_are_said_with_their_place_and_never_sent() {
    // Marked as UTF-8, with bytes of Windows-1252; one lost by an earlier program; UTF-16 that ends within a character.
    let marked = b"\xef\xbb\xbfname,id\r\n\"two\r\nlines, \xe9\",a@b\r\nx,\xe9\xe9@b\r\ny,c@d\r\n";
    let lost_before = "id,name\na@b,Ren\u{fffd}\nc@d,x\n".as_bytes();
    let below = "note,id\n\"two\nlines\",Ren\u{fffd}@b\nx,a@b\ny,c@d\n".as_bytes();
    let cut: Vec<u8> =
        [0xff, 0xfe].into_iter().chain("id\na@b\nc@d".encode_utf16().flat_map(u16::to_le_bytes)).collect();
    let cases = [
        (&marked[..], (2, 1), "in 2 rows, the first in line 3, column 1"),
        (lost_before, (2, 0), "in 1 row, the first in line 2, column 2"),
        (below, (2, 1), "in 1 row, the first in line 3, column 2"),
        (&cut[..cut.len() - 1], (1, 1), "in 1 row, the first in line 3, column 1"),
    ];
    for (bytes, counts, place) in cases {
        let (checked, items) = read(bytes).expect("a list");
        assert_eq!((checked.users, checked.invalid), counts, "{place}");
        let said = checked.assumed().join("\n");
        assert!(said.contains(place), "{place}: {said}");
        for item in items {
            match item {
                Item::Send(row) => assert!(!row.id.as_str().contains('\u{fffd}')),
                Item::Settled(record) => {
                    assert!(record.message.contains("could not be read"), "{}", record.message)
                }
            }
        }
    }
    assert!(!read(b"id\na@b\n").expect("a list").0.assumed().join("").contains("cannot be read"));
}

#[test]
fn the_separator_line_of_excel_says_what_separates() {
    for (bytes, delimiter) in [
        // More commas than semicolons in the header.
        (&b"sep=;\r\nid;n,a,m,e\r\na@b;\"x, y, z\"\r\n"[..], b';'),
        (b"SEP=|\nid|a,b,c\na@b|x\n", b'|'),
        (b"\"sep=\t\"\nid\ta,b,c,d\na@b\tx\n", b'\t'),
        (b"\xef\xbb\xbfsep=^\nid^a,b\na@b^x\n", b'^'),
        // Nothing named: found in the header.
        (b"sep=\nid;name\na@b;x\n", b';'),
    ] {
        let (checked, _) = read(bytes).expect("a list");
        assert_eq!((char::from(checked.delimiter), checked.users), (char::from(delimiter), 1));
    }
}

#[test]
fn a_row_that_looks_like_a_lead_in_is_a_row() {
    for (text, lead_ins) in
        [("id,name\n#TYPE x@b,Ann\na@b,Ben\nc@d,Cem\n", 0), ("sep=,\nid,name\nsep=@b,Ann\na@b,Ben\n", 1)]
    {
        let (checked, items) = read(text.as_bytes()).expect("a list");
        let lines = text.lines().count() as u64;
        assert_eq!((checked.lead_ins, checked.rows), (lead_ins, lines - 1 - lead_ins), "{text}");
        assert_eq!(items.len() as u64, checked.rows, "{text}");
    }
}

#[test]
fn quotes_behind_a_blank_are_no_part_of_an_id() {
    let (checked, items) =
        read(b"name, \"id\"\nAnn, \"ann@contoso.com\"\nBen,\t\" ben@contoso.com \" \nCem, \"\n")
            .expect("a list");
    assert_eq!(ids(&items), ["ann@contoso.com", "ben@contoso.com", "bad_id"]);
    assert_eq!(checked.trimmed, 2);
    let list = String::from_utf8(fed_back(b"name, \"id\"\nAnn, \"ann@contoso.com\"\n")).expect("UTF-8");
    assert!(list.lines().nth(1).is_some_and(|line| line.starts_with("Ann,ann@contoso.com,")), "{list}");
}

#[test]
fn a_line_that_is_too_long_is_called_so() {
    let long = "x".repeat(70_000);
    let (checked, items) = read(format!("id,name\na@b,{long}\nc@d,x\ne@f,y\n").as_bytes()).expect("a list");
    assert_eq!((checked.users, checked.invalid), (2, 1));
    assert!(
        matches!(&items[0], Item::Settled(record) if &*record.message == "the line is longer than 64 KiB" && record.line == 2)
    );
    assert!(
        says(format!("id,{long}\na@b,x\n").as_bytes())
            .contains("line 1: the header cannot be read as CSV: the line is longer")
    );
}

#[test]
fn a_message_names_no_more_columns_than_a_person_reads() {
    let said = says(format!("{}\n", vec!["x"; 5_000].join(",")).as_bytes());
    assert!(said.len() < 1_000 && said.ends_with("\"x\", …"), "{said}");
}

#[test]
fn no_name_of_a_column_reaches_a_terminal_or_a_spreadsheet_as_it_is() {
    let said = says(b"name\x1b[2J,town\nann,bern\n");
    assert!(said.contains("1 \"name\\\\u{1b}[2J\"") && !said.contains('\u{1b}'), "{said:?}");
    let list = String::from_utf8(fed_back(b"id,=1+1\na@b,-2\n")).expect("UTF-8");
    assert!(list.starts_with("\u{feff}id,'=1+1,reprovision_run"), "{list}");
    assert!(list.lines().nth(1).is_some_and(|line| line.starts_with("a@b,'-2,")), "{list}");
}

#[test]
fn a_text_that_excel_was_told_to_leave_alone_is_the_id_inside() {
    let guid = "0a1b2c3d-0000-1111-2222-abcdefabcdef";
    let text =
        format!("id,name\n=\"{guid}\",=\"007\"\n\"=\"\"ann@contoso.com\"\"\",Ann\nben@contoso.com,Ben\n");
    let (checked, items) = read(text.as_bytes()).expect("a list");
    assert_eq!(ids(&items), [guid, "ann@contoso.com", "ben@contoso.com"]);
    assert_eq!(checked.trimmed, 2);
    let list = String::from_utf8(fed_back(text.as_bytes())).expect("UTF-8");
    assert!(list.lines().nth(1).is_some_and(|line| line.starts_with(&format!("{guid},"))), "{list}");
    // Without a header the first is a row as well.
    let (checked, items) = read(format!("=\"{guid}\"\n=\"ann@contoso.com\"\n").as_bytes()).expect("a list");
    assert_eq!(
        (checked.header.is_none(), ids(&items)),
        (true, vec![guid.to_owned(), "ann@contoso.com".to_owned()])
    );
    // Nothing else is worked out.
    let (_, items) = read(b"id\na@b\nc@d\n=\"a@\"&\"b.c\"\n").expect("a list");
    assert_eq!(ids(&items)[2], "bad_id");
}

#[test]
fn a_column_whose_name_holds_what_nobody_sees_is_found_again() {
    for head in ["\u{feff}\u{feff}id,name", "name,\u{200b}UPN\u{a0}", "\u{85}id,name"] {
        let text = format!("{head}\na@b,a@b\nc@d,c@d\n");
        let (checked, items) = read(text.as_bytes()).expect("a list");
        assert!(["id", "UPN"].contains(&&*checked.column_name), "{:?}", checked.column_name);
        assert_eq!(ids(&read(&fed_back(text.as_bytes())).expect("what we wrote").1), ids(&items), "{head:?}");
    }
}

#[test]
fn an_example_row_is_a_templates_and_in_what_we_wrote_a_row() {
    let template = b"name,id\nExample: Ann,ann@contoso.com\nBo,bo@contoso.com\n";
    assert_eq!(ids(&read(template).expect("a list").1), ["bo@contoso.com"]);
    // Of a list where it was the second row, and the first was accepted.
    let failed = String::from_utf8(fed_back(b"name,id\nBo,bo@contoso.com\nExample: Ann,ann@contoso.com\n"))
        .expect("UTF-8");
    let lines: Vec<_> = failed.lines().filter(|line| !line.starts_with("Bo,")).collect();
    let (_, items) = read(lines.join("\n").as_bytes()).expect("what we wrote");
    assert_eq!(ids(&items), ["ann@contoso.com"], "{failed}");
}

#[test]
fn broken_row_is_one_cell_beside_the_id_and_stays_without_id_when_fed_back() {
    let text = b"id,name\na@b,Ann,a note,\"more, of it\"\nc@d\ne@f,\"x \"y\"\ng@h,z\n";
    let once = fed_back(text);
    assert_eq!(ids(&read(text).expect("a list").1), ["broken_row", "c@d", "broken_row", "g@h"]);
    let list = String::from_utf8(once.clone()).expect("UTF-8");
    let lines: Vec<_> = list.lines().collect();
    assert!(lines[1].starts_with(",\"a@b,Ann,a note,more, of it\","), "{list}");
    assert!(lines[2].starts_with("c@d,,") && lines[2].ends_with(",run it again"), "{list}");
    assert_eq!(ids(&read(&once).expect("what we wrote").1), ["empty_id", "c@d", "empty_id", "g@h"]);
    let twice = String::from_utf8(fed_back(&once)).expect("UTF-8");
    assert_eq!(twice.len(), list.len(), "again and again");
    // A short row would look whole if its cells were filled up.
    let short = b"name,id,managerId\nAnn,a@b,c@d\nBen\nCem,e@f,\nDora\" g@h,i@j\n";
    let once = fed_back(short);
    assert_eq!(ids(&read(&once).expect("what we wrote").1), ["a@b", "empty_id", "e@f", "empty_id"]);
}

#[test]
fn the_sample_list_has_its_bad_rows_and_duplicates() {
    let bytes = fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/samples/users.csv")).expect("the sample");
    let (checked, _) = read(&bytes).expect("a list");
    let counts = (checked.rows, checked.users, checked.duplicates, checked.invalid);
    assert_eq!(counts, (2000, 1984, 12, 4));
}

/// The list as `failed.csv` would hold it, every row picked.
#[test]
fn each_later_row_of_an_id_is_a_duplicate_of_the_first_and_counts_add_up() {
    // 300 users, each several times and in both cases; every 100th row is unusable; a blank line before each 50th.
    let first_of = |user: u64| (1..=2_000_u64).find(|row| row % 100 != 0 && row * 7 % 300 == user);
    let mut text = "name;id\n".to_owned();
    for row in 1..=2_000_u64 {
        let blank = if row % 50 == 0 { "\n" } else { "" };
        let id = format!("user{}@contoso.com", row * 7 % 300);
        let id = if row % 3 == 0 { id.to_uppercase() } else { id };
        let id = if row % 100 == 0 { "nobody".to_owned() } else { id };
        text += &format!("{blank}x;{id}\n");
    }
    let (checked, items) = read(text.as_bytes()).expect("a list");
    let users = (0..300).filter(|user| first_of(*user).is_some()).count() as u64;
    let counts = (checked.rows, checked.selected, checked.users, checked.duplicates, checked.invalid);
    assert_eq!(counts, (2_000, 2_000, users, 1_980 - users, 20));
    let line = |row: u64| row + 1 + row / 50;
    let listed: Vec<_> = (1..=10).map(|nth| line(nth * 100)).collect();
    assert_eq!(checked.unusable.iter().map(|(line, _)| *line).collect::<Vec<_>>(), listed);
    assert!(checked.unusable[0].1.starts_with("\"nobody\": "), "{:?}", checked.unusable[0]);
    assert_eq!(items.len(), 2_000);
    for (item, row) in items.iter().zip(1..) {
        let first = first_of(row * 7 % 300);
        match item {
            Item::Send(user) => assert_eq!((user.number, user.line, first), (row, line(row), Some(row))),
            Item::Settled(record) => {
                assert_eq!((record.row, record.line, record.attempts), (row, line(row), 0));
                if record.outcome == Outcome::Duplicate {
                    let first = first.expect("a first one");
                    assert!(first < row && *record.message == *format!("same as row {first}"), "{row}");
                } else {
                    assert_eq!((record.outcome, row % 100), (Outcome::Invalid, 0));
                }
            }
        }
    }
}

#[test]
fn rows_that_are_done_are_left_out_and_the_others_keep_their_numbers() {
    let desk = tempfile::tempdir().expect("a folder");
    let (input, copy) = (desk.path().join("given.csv"), desk.path().join("input.csv"));
    fs::write(&input, "id\na@b\nc@d\nnobody\na@b\ne@f\n").expect("written");
    let checked = check(&input, &copy, &Options::default()).expect("a list");
    let items = checked.items(&copy, |row| row == 1 || row == 3).expect("the copy");
    let rows: Vec<_> = items
        .map(|item| match item.expect("a row") {
            Item::Send(user) => (user.number, "send".to_owned()),
            Item::Settled(record) => (record.row, record.message.to_string()),
        })
        .collect();
    let send = || "send".to_owned();
    assert_eq!(rows, [(2, send()), (4, "same as row 1".to_owned()), (5, send())]);
}

#[test]
fn a_list_that_is_opened_again_has_the_same_rows() {
    let desk = tempfile::tempdir().expect("a folder");
    let (input, copy) = (desk.path().join("given.csv"), desk.path().join("input.csv"));
    for (text, rows, users) in [
        // The first line is a mistyped id, and no header.
        ("ann lee@contoso.com\nben@contoso.com\ncem@contoso.com\n", 3, 2),
        ("id\nben@contoso.com\ncem@contoso.com\n", 2, 2),
        ("a@b\n", 1, 1),
        ("#TYPE x\nname;id\nx;a@b\ny;c@d\n", 2, 2),
        ("#TYPE x\na@b\nc@d\n", 2, 2),
        ("Title\n\n\"of\n2026\"\n\nname,id\nx,a@b\n\ny,c@d\n", 2, 2),
    ] {
        fs::write(&input, text).expect("written");
        let first = check(&input, &copy, &Options::default()).expect("a list");
        assert_eq!((first.rows, first.users), (rows, users), "{text}");
        let again = reopen(&copy, &Options::from(first.reading())).expect("the copy");
        assert_eq!((again.rows, again.users), (rows, users), "{text}");
        assert_eq!(again.reading(), first.reading());
        assert_eq!((again.header, again.delimiter), (first.header, first.delimiter));
    }
}

pub(crate) fn fed_back(bytes: &[u8]) -> Vec<u8> {
    let desk = tempfile::tempdir().expect("a folder");
    let (input, copy) = (desk.path().join("given.csv"), desk.path().join("input.csv"));
    fs::write(&input, bytes).expect("written");
    let checked = check(&input, &copy, &Options::default()).expect("a list");
    let raw = checked.raw_rows(&copy).expect("the copy").map(|row| row.map(|row| (row.number, row.cells)));
    let names = checked.names();
    let original = Original { names: &names, delimiter: checked.delimiter };
    let out = desk.path().join("failed.csv");
    let picked = ["failed", "gave_up", "run it again"].map(str::to_owned);
    write_original(&out, desk.path(), original, raw, |_| Some(picked.clone())).expect("written");
    fs::read(&out).expect("failed.csv")
}

/// Each row's id, or the reason why it has none.
pub(crate) fn ids(items: &[Item]) -> Vec<String> {
    let word = |item: &Item| match item {
        Item::Send(row) => row.id.as_str().to_owned(),
        Item::Settled(record) => record.reason.expect("a reason").as_str().to_owned(),
    };
    items.iter().map(word).collect()
}

#[test]
fn the_wrong_column_is_answered_with_the_right_one() {
    let text = b"userId,mail,name\n1,ann@contoso.com,Ann\n2,ben@contoso.com,Ben\n3,cem@contoso.com,Cem\n";
    let said = says(text);
    for part in [
        "line 2, column 1",
        "3 of 3 rows hold no usable id in column \"userId\"",
        "2 \"mail\" (such as \"ann@contoso.com\")",
        "3 \"name\" (such as \"Ann\")",
    ] {
        assert!(said.contains(part), "{part:?}: {said}");
    }
    // Whose address it is, only a person knows.
    assert!(!said.contains("--column 2"), "{said}");
}

/// Ids of both kinds that are good.
fn id() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<u128>().prop_map(|n| uuid::Uuid::from_u128(n).to_string()),
        // An apostrophe before a sign is one that keeps a spreadsheet from reading a formula; dots at an end are what was cut off.
        "[a-z0-9._#^~!$+-][a-z0-9.'_#^~!$+-]{0,10}[a-z0-9'_]@[a-z0-9.-]{0,11}[a-z0-9]",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_an_error_or_rows_that_add_up(bytes in prop::collection::vec(prop_oneof![any::<u8>(), Just(b'"'), Just(b','), Just(b'\n'), Just(b'@')], 0..600)) {
        for head in [&b""[..], b"id,name\n", b"\xef\xbb\xbfid\r\n", b"\xff\xfei\0d\0\n\0"] {
            if let Ok((checked, items)) = read(&[head, &bytes].concat()) {
                prop_assert_eq!(checked.rows, checked.users + checked.duplicates + checked.invalid);
                prop_assert_eq!(items.len() as u64, checked.rows);
                for (at, item) in items.iter().enumerate() {
                    let number = match item { Item::Send(row) => row.number, Item::Settled(record) => record.row };
                    prop_assert_eq!(number, at as u64 + 1);
                }
            }
        }
    }

    #[test]
    fn ids_come_back_however_they_were_written(
        ids in prop::collection::vec(id(), 1..40),
        notes in prop::collection::vec("[ -~\n]{0,12}", 40),
        delimiter in prop::sample::select(vec![b',', b';', b'\t']),
        always in any::<bool>(),
        crlf in any::<bool>(),
        mark in any::<bool>(),
    ) {
        let mut writer = csv::WriterBuilder::new()
            .delimiter(delimiter)
            .quote_style(if always { csv::QuoteStyle::Always } else { csv::QuoteStyle::Necessary })
            .terminator(if crlf { csv::Terminator::CRLF } else { csv::Terminator::Any(b'\n') })
            .from_writer(if mark { b"\xef\xbb\xbf".to_vec() } else { Vec::new() });
        writer.write_record(["note", "UserPrincipalName"]).expect("memory");
        for (id, note) in ids.iter().zip(&notes) {
            writer.write_record([note, id]).expect("memory");
        }
        let (checked, items) = read(&writer.into_inner().expect("memory")).expect("a list");
        prop_assert_eq!(checked.delimiter, delimiter);
        prop_assert_eq!(items.len(), ids.len());
        let mut seen = std::collections::HashMap::new();
        for (at, (item, id)) in items.iter().zip(&ids).enumerate() {
            let first = *seen.entry(id.to_ascii_lowercase()).or_insert(at + 1);
            match item {
                Item::Send(row) => {
                    prop_assert_eq!(row.id.as_str(), id.as_str());
                    prop_assert_eq!(first, at + 1);
                }
                Item::Settled(record) => {
                    prop_assert_eq!(record.outcome, Outcome::Duplicate);
                    prop_assert_eq!(&*record.message, &format!("same as row {first}"));
                }
            }
        }
    }

    #[test]
    fn what_failed_is_the_same_users_however_often_it_is_fed_back(
        rows in prop::collection::vec(("[ \t\u{a0}\u{200b}\u{feff}]{0,2}", "['=+@-]{0,3}", id(), "['=+@\t -]{0,3}[a-z]{0,3}"), 1..12),
    ) {
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(["UPN", "note"]).expect("memory");
        writer.write_record(["first@contoso.com", ""]).expect("memory");
        for (blanks, sign, id, note) in &rows {
            writer.write_record([&format!("{blanks}{sign}{id}"), note]).expect("memory");
        }
        let given = writer.into_inner().expect("memory");
        // A list of mostly unusable ids is refused whole.
        prop_assume!(read(&given).is_ok());
        let (_, items) = read(&given).expect("a list");
        // A broken row is written without an id.
        let expected = || {
            let word = |word: String| if word == "broken_row" { "empty_id".to_owned() } else { word };
            ids(&items).into_iter().map(word).collect::<Vec<_>>()
        };
        let once = fed_back(&given);
        let (_, again) = read(&once).expect("what we wrote");
        prop_assert_eq!(ids(&again), expected());
        let twice = fed_back(&once);
        let (_, again) = read(&twice).expect("what we wrote");
        prop_assert_eq!(ids(&again), expected());
        prop_assert_eq!(fed_back(&twice).len(), twice.len(), "nothing grows");
    }

    #[test]
    fn a_broken_quote_costs_its_own_line_only(before in 0_usize..30, after in 1_usize..130, broken in "\"[a-z@.]{0,10}|\"[a-z]{1,5}\"[a-z]{1,5}") {
        let good = |n: usize| format!("user{n}@contoso.com\n");
        let text: String = std::iter::once("id\n".to_owned())
            .chain((0..before).map(good))
            .chain([format!("{broken}\n")])
            .chain((before..before + after).map(good))
            .collect();
        // More than half unusable cannot be: one line of many.
        prop_assume!(before + after > 1);
        let (checked, _) = read(text.as_bytes()).expect("a list");
        prop_assert_eq!((checked.users, checked.invalid), ((before + after) as u64, 1));
    }
}
