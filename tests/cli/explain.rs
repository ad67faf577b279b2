//! `explain` with the binary: what is known, what is near, what is not.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use reprovision::error::Exit;
use reprovision::model::Verdict;
use reprovision::model::{Outcome, Reason};

use crate::sign_in_support::reprovision;

fn explain(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_reprovision"))
        .arg("explain")
        .args(arguments)
        .output()
        .expect("the program runs")
}

#[test]
fn explain_knows_codes_reasons_and_messages_offline() {
    for (asked, found) in [
        (&["authorization_requestdenied"][..], "Authorization_RequestDenied: not permitted"),
        (&["gave_up"], "gave_up: no success"),
        // What stands in the column beside it.
        (&["404"], "not_found:"),
        (&["403"], "no_permission:"),
        (&["429"], "TooManyRequests:"),
        (&["503"], "Service_InternalServerError:"),
        (&["Exchange: The name \"ann\" is already being used. Please try another name"], "NameInUse:"),
        (&["the", "proxy", "address", "x", "is", "already", "being", "used"], "ProxyAddressInUse:"),
    ] {
        let output = explain(asked);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(0), "{asked:?}");
        assert!(text.starts_with(found), "{text}");
        for part in ["  cause  ", "  who  ", "  next  "] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(!text.contains("docs/"), "the program is installed without its documents: {text}");
    }
}

#[test]
fn explain_without_code_lists_all() {
    let output = explain(&[]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0));
    for key in ["ProxyAddressInUse", "CountViolation", "TooManyRequests", "broken_row"] {
        assert!(text.contains(key), "{key} in {text}");
    }
}

#[test]
fn unknown_code_is_reported_with_near_matches() {
    let output = explain(&["Authorisation_RequestDenied"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("similar codes: Authorization_RequestDenied"), "{said}");
    assert!(output.stdout.is_empty());
    let hostile = explain(&["\u{1b}[31mExFFFFFF"]);
    let said = String::from_utf8_lossy(&hostile.stderr).into_owned();
    assert_eq!(hostile.status.code(), Some(2));
    assert!(said.contains("no explanation for") && !said.contains('\u{1b}'), "{said}");
}

/// Codes between `before` and `after` in the sources below `folder`, tests apart.
fn between(folder: &str, before: &str, after: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut open = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)];
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(fs::read_dir(path).expect("listed").flatten().map(|entry| entry.path()));
            continue;
        }
        let text = fs::read_to_string(&path).expect("text");
        let text = text.split("#[cfg(test)]").next().unwrap_or_default().replace(char::is_whitespace, "");
        for (at, _) in text.match_indices(before) {
            let rest = &text[at + before.len()..];
            let end = rest.find(after).unwrap_or_else(|| panic!("{}: {before}", path.display()));
            found.insert(rest[..end].to_owned());
        }
    }
    assert!(!found.is_empty(), "nothing between {before:?} and {after:?}: the sources have changed");
    found
}

/// Everything in quotes in these texts that looks like a code.
fn quoted(texts: BTreeSet<String>) -> BTreeSet<String> {
    let is_code = |word: &&str| {
        word.len() > 2
            && !word.starts_with('_')
            && word.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    let words = texts.iter().flat_map(|text| text.split('"').skip(1).step_by(2)).filter(is_code);
    words.map(str::to_owned).collect()
}

fn numbers(texts: BTreeSet<String>) -> BTreeSet<String> {
    let numbers = texts.iter().flat_map(|text| text.split(|c: char| !c.is_ascii_digit() && c != '_'));
    let numbers = numbers.map(|number| number.replace('_', "")).filter(|number| number.len() >= 5);
    numbers.map(|number| format!("AADSTS{number}")).collect()
}

#[test]
fn every_code_of_program_and_simulator_is_explained() {
    let mut codes = BTreeSet::new();
    // What stands in error_code without Graph.
    codes.extend(quoted(between("src/graph", "attempt.code=", ";")));
    codes.extend(quoted(between("src/graph", "pubconstNO_ANSWER", ";")));
    codes.extend(quoted(between("src/graph", "let(fault,code)=matchwhich{", "};")));
    // What the sign-in host says.
    codes.extend(numbers(between("src/auth/aadsts.rs", "lettext=matchcode{", "_=>returnNone")));
    codes.extend(quoted(between("src/auth/methods/device_code.rs", "\"authorization_pending\"", "=>{")));
    // The simulator.
    codes.extend(quoted(between("src/simulator", "error(4", ",\"")));
    for status in ["4", "5"] {
        codes.extend(quoted(between("src/simulator", &format!("error({status}"), ")")));
    }
    let refused = between("src/simulator", "aadsts(4", ")");
    codes.extend(numbers(refused.iter().cloned().collect()));
    codes
        .extend(quoted(refused.iter().filter_map(|text| Some(text.split(',').nth(1)?.to_owned())).collect()));
    codes.extend(quoted(between("src/simulator/directory.rs", "*8.0)asu8{", "format!(")));
    // Words of the columns.
    codes.extend(Reason::ALL.map(|reason| reason.as_str().to_owned()));
    codes.extend(Outcome::ALL.map(|outcome| outcome.as_str().to_owned()));
    codes.extend(Verdict::ALL.map(|verdict| verdict.as_str().to_owned()));
    for exit in Exit::ALL {
        codes.extend([exit.code().to_string(), format!("exit {}", exit.code())]);
    }
    // What people meet besides, and codes of the sources that must be among the collected ones.
    for code in ["50076", "50079", "50158", "53003", "530003", "70043", "700082"] {
        codes.extend([code.to_owned(), format!("AADSTS{code}")]);
    }
    for sure in [
        "no_answer_in_batch",
        "timeout",
        "too_long",
        "other_origin",
        "TooManyRequests",
        "AADSTS7000215",
        "invalid_client",
    ] {
        assert!(codes.contains(sure), "{sure} was not collected: {codes:?}");
    }
    let desk = tempfile::tempdir().expect("a folder");
    let rules = "title = 'all'\nseed = 7\n[objects]\nusers = 400\nbroken = 1.0\n";
    fs::write(desk.path().join("all.toml"), rules).expect("written");
    let list = reprovision(desk.path(), &["find", "--simulate=all.toml"]);
    assert_eq!(list.status.code(), Some(0));
    let mut reader = csv::Reader::from_reader(&list.stdout[..]);
    let at = reader.headers().expect("a header").iter().position(|name| name == "error_code").expect("codes");
    let of_services: BTreeSet<String> = reader
        .records()
        .map(|row| row.expect("a row")[at].to_owned())
        .filter(|code| !code.is_empty())
        .collect();
    assert!(of_services.len() >= 5, "{of_services:?}");
    codes.extend(of_services);
    let unknown: Vec<_> = codes.iter().filter(|code| explain(&[code]).status.code() != Some(0)).collect();
    assert!(unknown.is_empty(), "explain does not know {unknown:?} of {}", codes.len());
}

#[test]
fn sign_in_message_is_explained_by_its_code() {
    let output = explain(&["ERROR: AADSTS50076: Due to a configuration change made by your administrator"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.starts_with("AADSTS50076: "), "{text}");
    for (typed, offered) in [
        ("AADSTS50067", "AADSTS50076"),
        ("ProxyAdressConflict", "ProxyAddressConflict"),
        ("failed_agian", "failed_again"),
    ] {
        let said = String::from_utf8_lossy(&explain(&[typed]).stderr).into_owned();
        assert!(said.contains(offered), "{typed}: {said}");
    }
}

#[test]
fn own_error_codes_are_documented() {
    let page = include_str!("../../docs/reference.md");
    for entry in reprovision::catalogue::all().iter().filter(|entry| entry.source.ends_with("#error-codes")) {
        assert!(page.contains(&format!("| `{}` |", entry.key)), "{}", entry.key);
    }
}
