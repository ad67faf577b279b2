//! `explain` with the binary: what is known, what is near, what is not.

use std::process::{Command, Output};

fn explain(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_reprovision"))
        .arg("explain")
        .args(arguments)
        .output()
        .expect("the program runs")
}

#[test]
fn a_code_a_reason_and_a_text_are_explained_offline() {
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
        for part in ["  cause  ", "  who  ", "  next  ", "  source  "] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }
}

#[test]
fn without_a_code_all_are_listed() {
    let output = explain(&[]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0));
    for key in ["ProxyAddressInUse", "CountViolation", "TooManyRequests", "broken_row"] {
        assert!(text.contains(key), "{key} in {text}");
    }
}

#[test]
fn an_unknown_code_is_said_to_be_unknown_and_what_is_near_is_named() {
    let output = explain(&["Authorisation_RequestDenied"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("not known here; near it: Authorization_RequestDenied"), "{said}");
    assert!(output.stdout.is_empty());
    let hostile = explain(&["\u{1b}[31mExFFFFFF"]);
    let said = String::from_utf8_lossy(&hostile.stderr).into_owned();
    assert_eq!(hostile.status.code(), Some(2));
    assert!(said.contains("is not known here") && !said.contains('\u{1b}'), "{said}");
}
