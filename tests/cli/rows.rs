//! An id counts only where it surely stands under the name of its column.

use std::fs;

use reprovision::input::{Checked, Options, check, reopen};
use reprovision::model::Item;

use crate::input::{fed_back, ids, read};

/// A GUID of one kind: 1 for the row's own id, 2 for that of another person.
fn guid(kind: u8, row: u32) -> String {
    format!("{kind}{row:07x}-0000-4000-8000-000000000000")
}

/// `1a` and `2a` become GUIDs; the line number and the id or reason of each row come back in the same short form.
fn rows(text: &str, column: Option<&str>) -> Result<(Checked, Vec<String>), String> {
    let text = long(text);
    let desk = tempfile::tempdir().expect("a folder");
    let (input, copy) = (desk.path().join("given.csv"), desk.path().join("input.csv"));
    fs::write(&input, text).expect("written");
    let options = || Options { column: column.map(str::to_owned), ..Options::default() };
    let checked = || check(&input, &copy, &options()).map_err(|error| error.chain());
    let items =
        checked()?.items(&copy, |_| false).expect("the copy").collect::<Result<Vec<_>, _>>().expect("rows");
    let line = |item: &Item| match item {
        Item::Send(row) => row.line,
        Item::Settled(record) => record.line,
    };
    let words = items.iter().zip(ids(&items)).map(|(item, word)| {
        let guid = word.len() == 36 && word.ends_with("-0000-4000-8000-000000000000");
        format!("{} {}", line(item), if guid { short(&word) } else { word })
    });
    Ok((checked()?, words.collect()))
}

fn long(text: &str) -> String {
    ('a'..='z').zip(0..).fold(text.to_owned(), |text, (letter, row)| {
        [1, 2].into_iter().fold(text, |text, kind| text.replace(&format!("{kind}{letter}"), &guid(kind, row)))
    })
}

fn short(id: &str) -> String {
    let row = u32::from_str_radix(&id[1..8], 16).expect("a row");
    format!("{}{}", &id[..1], char::from_u32(u32::from('a') + row).expect("a letter"))
}

#[track_caller]
fn expect(text: &str, column: Option<&str>, expected: &[&str]) {
    let (_, found) = rows(text, column).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert_eq!(found, expected, "{text}");
}

#[test]
fn shifted_row_is_broken_where_another_column_holds_ids() {
    for (text, expected) in [
        // A comma that was not quoted, before and behind the id.
        ("n,m,id,u\nO,2a,1a,o@c\nB, A,2b,1b,b@c\nK,2c,1c,k@c\n", &["2 1a", "3 broken_row", "4 1c"][..]),
        ("id,m,n\n1a,2a,O\n1b,2b,B, A\n1c,2c,K\n", &["2 1a", "3 broken_row", "4 1c"]),
        // Too few, also where the id is before the loss: nothing says where the loss is.
        ("n,id,m\nO,1a,2a\nA1b,2b\nK,1c,2c\n", &["2 1a", "3 broken_row", "4 1c"]),
        ("n,id,m\nO,1a,2a\nA,1b\nK,1c,2c\n", &["2 1a", "3 broken_row", "4 1c"]),
        // Too many, where the surplus cell is empty.
        ("m,id,n\n2a,1a,O\n,2b,1b,\n2c,1c,K\n", &["2 1a", "3 broken_row", "4 1c"]),
        // A line break that was not quoted.
        (
            "n,id,note,m\nO,1a,x,2a\nA,1b,x\ny,2b\nK,1c,x,2c\n",
            &["2 1a", "3 broken_row", "4 broken_row", "5 1c"],
        ),
        ("id,note,m\n1a,x,2a\n1b,x,\n2b\n1c,x,2c\n", &["2 1a", "3 1b", "4 broken_row", "5 1c"]),
        // Two lines that became one.
        ("n,id,m\nO,1a,2aA,1b,2b\nK,1c,2c\nL,1d,2d\n", &["2 broken_row", "3 1c", "4 1d"]),
        // Only one row has the other id, and the name of its column says what it holds.
        ("n,id,managerId\nA1b,2b\nK,1c,\n", &["2 broken_row", "3 1c"]),
        // One cell too many before and one too few behind: as many as in the header.
        (
            "n,m,id,u\nO,2a,1a,o@c\nB, A,2b,1bb@c\nK,2c,1c,k@c\nL,2d,1d,l@c\n",
            &["2 1a", "3 broken_row", "4 1c", "5 1d"],
        ),
        ("m,id,n\n2a,1a,O\n,2b,1bA\n2c,1c,K\n2d,1d,L\n", &["2 1a", "3 broken_row", "4 1c", "5 1d"]),
        // A quote that a program without quoting left in a cell.
        ("n,id,m\nO,1a,2a\n\"B, A\"\"\" x,1b,2b\nK,1c,2c\n", &["2 1a", "3 broken_row", "4 1c"]),
        ("n,id,m,d\nO,1a,2a,5\nA,1b,2b,5\" disk\nK,1c,2c,5\n", &["2 1a", "3 broken_row", "4 1c"]),
    ] {
        expect(text, None, expected);
    }
}

#[test]
fn rows_that_are_shifted_alike_are_broken_and_those_with_empty_cells_are_not() {
    for (text, expected) in [
        // A comma that was not quoted, and the last cell left out, in two rows.
        (
            "n,m,id,d\nO,2a,1a,S\nB, A,2b,1b\nK,2c,1c,S\nL,2d,1d,S\nB, E,2e,1e\n",
            &["2 1a", "3 broken_row", "4 1c", "5 1d", "6 broken_row"][..],
        ),
        // The same with sign-in names, of which the wrong ones look as good as the right ones.
        (
            "n,managerUpn,upn,d\nO,m@a,u@a,S\nB, A,m@b,u@b\nK,m@c,u@c,S\nL,m@d,u@d,S\nB, E,m@e,u@e\n",
            &["2 u@a", "3 broken_row", "4 u@c", "5 u@d", "6 broken_row"],
        ),
        // Some managers are none, and some people are called by their address.
        (
            "n,m,id,d\nO,2a,1a,S\nA,none,1b,S\nK,2c,1c,S\nL,none,1d,S\nM,2e,1e,S\na@c,2f,1f,S\nb@c,2g,1g,S\n",
            &["2 1a", "3 1b", "4 1c", "5 1d", "6 1e", "7 1f", "8 1g"],
        ),
        // A quote is missing twice, and what stands between is a cell by the rules of CSV.
        (
            "n,id,d\n\"O,1a,S\nA,1b,S\nK\",1c,S\nL,1d,S\nM,1e,S\n\"N,1f,S\nP\",1g,S\n",
            &["2 broken_row", "5 1d", "6 1e", "7 broken_row"],
        ),
        ("n,id,d\nO,1a,\"S\nA,1b,S\"\nK,1c,\"a, note\nof two lines\"\n", &["2 broken_row", "4 1c"]),
    ] {
        expect(text, None, expected);
    }
    // A guest who is called by an address and lacks names, and one who has neither address nor manager.
    expect(
        "n,g,id,mail,m\nA,a,1a,a@c,2a\nB,b,1b,b@c,2b\nC, D,c,1c,c@c,2c\nd@c,,1d,d@c,2d\nE,e,1e,,\nF,f,1f,f@c,2f\n",
        None,
        &["2 1a", "3 1b", "4 broken_row", "5 1d", "6 1e", "7 1f"],
    );
    // Empty cells count where the row may be what is left of the one before.
    expect(
        "id,x,m,y\n1a,n,2a,y\n1b,n,2b,y\n1c,n\n2c,y,,\n1d,n,2d,y\n",
        None,
        &["2 1a", "3 1b", "4 broken_row", "5 broken_row", "6 1d"],
    );
    // Where as many rows are shifted as not, nothing says which are right.
    let said = rows("n,m,id,d\nO,2a,1a,S\nB, A,2b,1b\nK,2c,1c,S\nB, L,2d,1d\nM,2e,1e,S\nB, N,2f,1f\n", None);
    assert!(said.expect_err("refused").contains("6 of 6 rows hold no usable id"));
}

#[test]
fn rows_that_slipped_and_kept_their_width_are_broken() {
    for (text, expected) in [
        // A comma that was not quoted and the last cell cut off: a text stands where GUIDs do.
        (
            "d,n,managerId,id\nS,O,2a,1a\nS, E,A,2b\nS,K,2c,1c\nS, E,L,2d\nS,M,2e,1e\n",
            &["2 1a", "3 broken_row", "4 1c", "5 broken_row", "6 1e"][..],
        ),
        // A delimiter lost and another one added at the end: the UPN stands where texts do.
        (
            "n,d,upn,managerUpn\nO,S,u@a,m@a\nA S,u@b,m@b,\nK,S,u@c,m@c\nL S,u@d,m@d,\nM,S,u@e,m@e\n",
            &["2 u@a", "3 broken_row", "4 u@c", "5 broken_row", "6 u@e"],
        ),
        // The same where the cells that became one hold a GUID.
        (
            "n,x,id,managerId\nO,1z,1a,2a\nA1y,1b,2b,\nK,1x,1c,2c\nL,1w,1d,2d\nM,1v,1e,2e\n",
            &["2 1a", "3 broken_row", "4 1c", "5 1d", "6 1e"],
        ),
        // The same where all columns hold ids: a GUID stands where addresses do.
        (
            "mail,other,id,managerId\nu@a,v@a,1a,2a\nu@bv@b,1b,2b,\nu@c,v@c,1c,2c\nu@d,v@d,1d,2d\n",
            &["2 1a", "3 broken_row", "4 1c", "5 1d"],
        ),
        // A line break that was not quoted, and both parts filled up with empty cells, in two rows.
        (
            "n,id,t,managerId\nO,1a,x,2a\nA,1b,x,\ny,2b,,\nK,1c,x,2c\nL,1d,x,\ny,2d,,\nM,1e,x,2e\n",
            &["2 1a", "3 1b", "4 broken_row", "5 1c", "6 1d", "7 broken_row", "8 1e"],
        ),
        // Three users without a department and a manager are users, and so is a guest who is called by an address.
        (
            "n,id,d,managerId\nO,1a,S,2a\nA,1b,,\nB,1c,,\nC,1d,,\nK,1e,S,2e\nM,1f,S,2f\n",
            &["2 1a", "3 1b", "4 1c", "5 1d", "6 1e", "7 1f"],
        ),
        (
            "n,upn,managerUpn\nO,u@a,m@a\nx@c,x@c,\nx@c,x_c#EXT#@t,n/a\nK,u@c,m@c\nL,u@d,None\nM,u@e,m@e\n",
            &["2 u@a", "3 x@c", "4 x_c#EXT#@t", "5 u@c", "6 u@d", "7 u@e"],
        ),
    ] {
        expect(text, None, expected);
    }
}

#[test]
fn cells_beyond_the_header_break_a_row_unless_all_rows_have_them_empty() {
    for (text, expected) in [
        ("id,n\n1a,O\n1b,B,x\n1c\n1d,K,,\n", &["2 1a", "3 broken_row", "4 1c", "5 1d"][..]),
        ("n,id,managerId\nO,1a,2a,\nA,1b,2b,\n", &["2 1a", "3 1b"]),
        ("n,id,managerId\nO,1a,2a,\nA,1b,2b\nK,1c,2c\n", &["2 broken_row", "3 1b", "4 1c"]),
    ] {
        expect(text, None, expected);
    }
    let lost = "x,m,id,managerId\n3,2a,1a,2b\n,2c,1c,\n".replacen(',', "", 1);
    let said = rows(&lost, None).err().unwrap_or_default();
    assert!(said.contains("2 of 2 rows hold no usable id"), "{said}");
    // The header lost its first part to a line above it.
    let said = rows("a,b,\nc,id,managerId\n,,2a,1a,\n,,2b,1b,\n", None).err().unwrap_or_default();
    assert!(said.contains("2 of 2 rows hold no usable id"), "{said}");
    // The header lost a delimiter, and the managers stand under its `id`.
    let said = rows("nmanagerId,id,department\nO,2a,1a,\nA,2b,1b,\n", None).expect_err("broken");
    assert!(said.contains("2 of 2 rows hold no usable id"), "{said}");
}

#[test]
fn short_rows_are_read_and_counted_where_no_other_column_holds_ids() {
    let (checked, found) = rows("id,n,note\n1a\n1b,B\n,x\n1c,K,y\n1d\n", None).expect("a list");
    assert_eq!(found, ["2 1a", "3 1b", "4 empty_id", "5 1c", "6 1d"]);
    assert_eq!(checked.short, 3);
    assert!(checked.assumed().join("\n").contains("3 rows with fewer cells than the header"));
    // Nothing but ids.
    expect("1a;\n1b;\n1c\n", None, &["1 1a", "2 1b", "3 1c"]);
    expect("id,\n1a,\n1b,\n1c\n", None, &["2 1a", "3 1b", "4 1c"]);
    // One delimiter or one line break too few or too many, and the row that follows is another one's.
    for (text, expected) in [
        ("n,x,id,y\nO1a,2a\nA,b,1b,c\n", &["2 broken_row", "3 1b"][..]),
        ("n,id,x\nO,1\nq,a@c\nA,1b,c\nB,1c,c\n", &["2 bad_id", "3 broken_row", "4 1b", "5 1c"]),
        ("id,n,x\n1a,O,\nm@c\n1b,A,c\n", &["2 1a", "3 broken_row", "4 1b"]),
        ("id,x\n1am@c\n1b,c\n", &["2 broken_row", "3 1b"]),
    ] {
        expect(text, None, expected);
    }
}

#[test]
fn excel_leaves_out_empty_cells_of_sixteen_rows_at_a_time() {
    let row = |row: u32, filled: bool| match filled {
        true => format!("n{row},{},{},Sales\n", guid(1, row), guid(2, row)),
        false => format!("n{row},{},{}\n", guid(1, row), guid(2, row)),
    };
    let list = |filled: &dyn Fn(u32) -> bool, rows: u32| {
        let rows: String = (1..=rows).map(|at| row(at, filled(at))).collect();
        format!("name,id,managerId,department\n{rows}")
    };
    let sent = |text: &str| {
        let Ok((_, items)) = read(text.as_bytes()) else { return Vec::new() };
        let given = ids(&items);
        assert!(given.iter().all(|id| !id.starts_with('2')), "a manager's id is sent: {given:?}");
        given.iter().zip(1_u32..).filter(|(id, _)| id.starts_with('1')).map(|(_, row)| row).collect()
    };
    // The header is row 0 of the sheet: its block has rows 1 to 15.
    assert_eq!(sent(&list(&|row| row < 16, 40)), (1..=40).collect::<Vec<_>>());
    assert_eq!(sent(&list(&|row| !(16..32).contains(&row), 40)), (1..=40).collect::<Vec<_>>());
    let (checked, _) = read(list(&|row| row < 16, 40).as_bytes()).expect("a list");
    assert_eq!(checked.short, 25);
    // The last block may hold a single row.
    assert_eq!(sent(&list(&|row| row < 16, 48)), (1..=48).collect::<Vec<_>>());
    // One full row in a block keeps the others of it whole.
    let without =
        |broken: std::ops::Range<u32>| (1..=40).filter(|row| !broken.contains(row)).collect::<Vec<_>>();
    assert_eq!(
        sent(&list(&|row| row < 16 || row == 20, 40)),
        [&without(16..32)[..0], &(1..16).chain([20]).chain(32..=40).collect::<Vec<_>>()].concat()
    );
    // A single short row, and short rows beside the header, are not Excel's.
    assert_eq!(sent(&list(&|row| row != 20, 40)), without(20..21));
    assert_eq!(sent(&list(&|row| row != 32, 32)), (1..32).collect::<Vec<_>>());
    // In the last block a row of its own that lost a delimiter is as wide as the short rows before.
    let lost = format!("{}n48{},{},Sales\n", list(&|row| row < 16, 47), guid(1, 48), guid(2, 48));
    assert_eq!(sent(&lost), (1..=47).collect::<Vec<_>>());
    // A delimiter in the header makes all rows short, and the ids of managers stand in the id column.
    assert_eq!(sent(&list(&|_| true, 60).replace("name,id", "na,me,id")), Vec::<u32>::new());
}

#[test]
fn without_header_a_row_is_as_wide_as_most_rows() {
    for (text, expected) in [
        ("O,1a,2a\nB, A,2b,1b\nK,1c,2c\n", &["1 1a", "2 broken_row", "3 1c"][..]),
        ("O1a,2a\nA,1b,2b\nK,1c,2c\n", &["1 broken_row", "2 1b", "3 1c"]),
        ("O,1a\nA,1b,x\nK,1c\n", &["1 1a", "2 1b", "3 1c"]),
    ] {
        expect(text, Some("2"), expected);
    }
    // A part of the first row, which looks like a header.
    for text in ["O,\n1a,2a\nA,1b,2b\n", "O,10\n0x,2a\nA,1b,2b\n"] {
        let said = rows(text, Some("2")).err().unwrap_or_default();
        assert!(said.contains("2 of 2 rows hold no usable id"), "{text}: {said}");
    }
    let said = rows("O1a,2a\nA,1b,2b\n", Some("2")).expect_err("no width is that of most rows");
    assert!(said.contains("2 of 2 rows hold no usable id"), "{said}");
}

#[test]
fn record_with_broken_quotes_is_broken_on_each_of_its_lines() {
    for (text, expected) in [
        (
            "n,id,notes,m,d\nO,1a,ok,2a,S\nA,1b,\"said \"on leave\"\nback in May\",2b,S\nK,1c,ok,2c,S\n",
            &["2 1a", "3 broken_row", "4 broken_row", "5 1c"][..],
        ),
        // No other row has a manager, and no name tells.
        (
            "n,id,notes,m,d\nA,1b,\"said \"on leave\"\nback in May\",2b,S\nK,1c,ok,,S\nO,1a\nL,1d\n",
            &["2 broken_row", "3 broken_row", "4 1c", "5 1a", "6 1d"],
        ),
        // Three lines; the second is quoted well by itself.
        (
            "n,id,x,m\nA,1b,\"a \"b\"\n\"q\",2b\nc\",2c,S\nK,1c,ok,2c\nL,1d,,\nM,1e,,\n",
            &["2 broken_row", "3 broken_row", "4 broken_row", "5 1c", "6 1d", "7 1e"],
        ),
        // A quote that never closes, before rows that are quoted.
        (
            "\"n\",\"id\",\"m\"\n\"A\",\"1a\",\"2a\n\"B\",\"1b\",\"2b\"\n\"C\",\"1c\",\"2c\"\n",
            &["2 broken_row", "3 1b", "4 1c"],
        ),
    ] {
        expect(text, None, expected);
    }
}

#[test]
fn byte_order_mark_of_a_later_line_is_no_part_of_a_cell() {
    for mark in ["\u{feff}", "\u{feff}\u{feff}"] {
        let text = format!(
            "{mark}\"m\",\"id\"\n{mark}\"2a, x\",\"1a\"\n\"2b\",\"1b\"\n{mark}\"m\",\"id\"\n\"2c\",\"1c\"\n"
        );
        let (checked, found) = rows(&text, None).expect("a list");
        assert_eq!((found, checked.repeats), (["2 1a", "3 1b", "5 1c"].map(str::to_owned).to_vec(), 1));
    }
    // The first file was not UTF-8, so that the mark of the second is three letters.
    let bytes = [&b"n,id\nRen\xe9,a@b\n"[..], b"\xef\xbb\xbfn,id\n\xef\xbb\xbf\"x,y\",c@d\n"].concat();
    assert_eq!(ids(&read(&bytes).expect("a list").1), ["a@b", "c@d"]);
}

#[test]
fn repeated_header_is_skipped_and_another_one_ends_the_check() {
    let (checked, found) = rows("Name,Id,m\nO,1a,2a\n name ,ID,m\nK,1c,2c\n", None).expect("a list");
    assert_eq!(found, ["2 1a", "4 1c"]);
    assert!(
        checked.assumed().join("\n").contains("1 repeated header line left out"),
        "{:?}",
        checked.assumed()
    );
    let first = "\"n\",\"m\",\"id\"\r\n\"A\",\"2a\",\"1a\"\r\n\"B\",\"2b\",\"1b\"";
    for (second, line) in [
        ("\r\n\"n\",\"id\",\"m\"\r\n", 4),
        ("\r\n\u{feff}\"ID\",\"N\",\"M\"\r\n", 4),
        // The first file has no end of line.
        ("\"n\",\"id\",\"m\"\r\n", 3),
        ("\u{feff}\"n\",\"id\",\"m\"\r\n", 3),
        // Another export, also a wider one.
        ("\r\nDepartment,Object Id,City\r\n", 4),
        ("\r\nDepartment,Object Id,City,Mail\r\n", 4),
    ] {
        let said = rows(&format!("{first}{second}\"C\",\"1c\",\"2c\"\r\n"), None).expect_err(second);
        assert!(said.contains(&format!("line {line}: ")) && said.contains("file"), "{second}: {said}");
    }
    // What is advised: each part by itself.
    expect(&format!("{first}\r\n"), None, &["2 1a", "3 1b"]);
    expect("\"n\",\"id\",\"m\"\r\n\"C\",\"1c\",\"2c\"\r\n", None, &["2 1c"]);
}

#[test]
fn id_that_was_cut_is_no_id() {
    expect(
        "UPN\nann@contoso.com...\nben@conto…\nc...@contoso.com\ndora@contoso.com\neva@contoso.com\nfay@contoso.com\n",
        None,
        &["2 bad_id", "3 bad_id", "4 bad_id", "5 dora@contoso.com", "6 eva@contoso.com", "7 fay@contoso.com"],
    );
}

#[test]
fn apostrophe_of_our_list_goes_also_without_our_columns() {
    let list = String::from_utf8(fed_back(b"UPN,n\n+ann@contoso.com,=1\nb@contoso.com,\n")).expect("UTF-8");
    let columns = |line: &str| line.split(',').take(2).collect::<Vec<_>>().join(",");
    let kept: String = list.lines().map(|line| format!("{}\n", columns(line))).collect();
    assert!(kept.contains("\n'+ann@contoso.com,'=1\n"), "{kept}");
    assert_eq!(ids(&read(kept.as_bytes()).expect("a list").1), ["+ann@contoso.com", "b@contoso.com"]);
}

#[test]
fn rows_in_one_pair_of_quotes_are_refused_and_the_advice_works() {
    let plain = "\"n\",\"id\",\"m\"\nA,1a,2a\n\"B, x\",1b,2b\n";
    let quote = |line: &str| format!("\"{}\"\n", line.replace('"', "\"\""));
    let quoted: String = plain.lines().map(quote).collect();
    for (text, column) in [
        (quoted.clone(), None),
        (quoted.clone(), Some("id")),
        (quoted.replace(',', ";"), None),
        // The header needed no quotes, or there is none.
        (quoted.replacen("\"\"\"n\"\",\"\"id\"\",\"\"m\"\"\"", "n,id,m", 1), None),
        (quoted.lines().skip(1).map(|line| format!("{line}\n")).collect(), Some("1")),
    ] {
        let said = rows(&text, column).expect_err(&text);
        assert!(said.contains("each row of this file stands in one pair of quotes"), "{text}: {said}");
    }
    let unquote = |line: &str| format!("{}\n", line[1..line.len() - 1].replace("\"\"", "\""));
    expect(&quoted.lines().map(unquote).collect::<String>(), None, &["2 1a", "3 1b"]);
}

#[test]
fn other_encodings_are_refused_by_name() {
    let text = "id,n\r\nann@contoso.com,\u{410}\u{43d}\u{43d}\u{430}\r\n";
    let wide = |order: fn(u32) -> [u8; 4], mark: bool| -> Vec<u8> {
        mark.then_some('\u{feff}').into_iter().chain(text.chars()).flat_map(|c| order(u32::from(c))).collect()
    };
    let utf_16: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    for (bytes, said) in [
        (wide(u32::to_le_bytes, true), "UTF-32"),
        (wide(u32::to_be_bytes, true), "UTF-32"),
        (wide(u32::to_le_bytes, false), "UTF-32"),
        (wide(u32::to_be_bytes, false), "UTF-32"),
        ([b"\xef\xbb\xbf\xff\xfe", &utf_16[..]].concat(), "two byte order marks"),
        ([b"\xff\xfe\xef\xbb\xbf", text.as_bytes()].concat(), "two byte order marks"),
        ([b"\xef\xbb\xbf", &utf_16[..]].concat(), "UTF-16"),
        (utf_16.clone(), "UTF-16 without a byte order mark"),
    ] {
        let error = read(&bytes).err().unwrap_or_default();
        assert!(error.contains(said) && error.contains("UTF-8"), "{said}: {error}");
    }
    // Twice the same mark is one.
    assert_eq!(
        ids(&read(&[b"\xff\xfe\xff\xfe", &utf_16[..]].concat()).expect("a list").1),
        ["ann@contoso.com"]
    );
}

#[test]
fn exact_name_of_a_column_comes_before_its_number() {
    let text = "1,2,id\n2a,2b,1a\n2c,2d,1c\n";
    expect(&text.replace("1,2,id", "2,x,id"), Some("2"), &["2 2a", "3 2c"]);
    expect(&text.replace("1,2,id", "#2,x,id"), Some("2"), &["2 2b", "3 2d"]);
    expect(text, Some("3"), &["2 1a", "3 1c"]);
    // A list that was read before is read again by number.
    let folder = tempfile::tempdir().expect("a folder");
    let (input, copy) = (folder.path().join("given.csv"), folder.path().join("input.csv"));
    fs::write(&input, long("2,x,id\n2a,2b,1a\n")).expect("written");
    let options = Options { column: Some("x".to_owned()), ..Options::default() };
    let first = check(&input, &copy, &options).expect("a list");
    let again = reopen(&copy, &Options::from(first.reading())).expect("the copy");
    assert_eq!(again.column_name, "x");
}
