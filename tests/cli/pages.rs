//! What `find`, `verify` and `sweep` make of odd pages and of properties that are left out.

use std::collections::BTreeSet;
use std::fs;
use std::process::Output;

use crate::service::Service;
use crate::sign_in_support::said;

/// 1,000 users, a third of them with errors, with these oddities.
fn tenant(listing: &str) -> String {
    format!(
        "title = 'x'\n[objects]\nusers = 1000\ngroups = 150\ncontacts = 150\nbroken = 0.3\nfails_again = 0.0\neffect_s = [0, 0]\n[listing]\n{listing}\n"
    )
}

struct Desk {
    folder: tempfile::TempDir,
    _scenario: tempfile::TempDir,
    service: Service,
}

impl Desk {
    fn new(listing: &str) -> Self {
        let scenario = tempfile::tempdir().expect("a folder");
        let service = Service::of(scenario.path(), &tenant(listing));
        Self { folder: tempfile::tempdir().expect("a folder"), _scenario: scenario, service }
    }

    fn output(&self, arguments: &[&str]) -> Output {
        self.service.command(self.folder.path(), arguments).output().expect("the program runs")
    }

    fn broken(&self, object: &str) -> u64 {
        self.service.account("/__ledger/errors")[object]["unresolved"].as_u64().expect("a count")
    }

    /// The ids of a complete list: each object with an error once.
    fn is_whole(&self, list: &[u8], what: &str) {
        let mut reader = csv::Reader::from_reader(list);
        let ids: Vec<_> = reader.records().map(|row| row.expect("a row")[0].to_owned()).collect();
        assert_eq!(ids.len() as u64, self.broken("users"), "{what}");
        assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "{what}: none twice");
    }
}

#[test]
fn unusual_pages_are_read_to_a_complete_list() {
    for listing in [
        "empty_last_link = true",
        "relative_links = true",
        "largest_page = 120",
        "largest_page = 11",
        "largest_page = 120\noverlap = 7",
        "largest_page = 120\nnull_objects = 0.2",
        "largest_page = 120\nempty_pages = true",
        "largest_page = 120\nexpired = [3]",
        "largest_page = 120\nexpired = [15]\noverlap = 30\nnull_objects = 0.1\nrelative_links = true\nempty_last_link = true",
    ] {
        let desk = Desk::new(listing);
        let output = desk.output(&["find"]);
        assert_eq!(output.status.code(), Some(0), "{listing}: {}", said(&output));
        desk.is_whole(&output.stdout, listing);
        assert!(said(&output).contains("1,000 users read"), "{listing}: {}", said(&output));
        assert_eq!(said(&output).contains("(null) of pages skipped"), listing.contains("null_objects"));
        let arguments = ["find", "--out", "list.csv"];
        let output = desk.output(&arguments);
        assert_eq!(output.status.code(), Some(0), "{listing}: {}", said(&output));
        desk.is_whole(&fs::read(desk.folder.path().join("list.csv")).expect("the list"), listing);
        let swept = desk.output(&["sweep", "--yes", "--rate", "fixed:5000"]);
        assert_eq!(swept.status.code(), Some(0), "{listing}: {}", said(&swept));
        let broken = desk.service.account("/__ledger")["accepted"].as_u64().expect("a count");
        assert!(
            said(&swept).contains(&format!("{broken} with an unresolved")),
            "{listing}: {}",
            said(&swept)
        );
        let verified = desk.output(&["verify"]);
        assert_eq!(verified.status.code(), Some(0), "{listing}: {}", said(&verified));
        assert!(said(&verified).contains(&format!("{broken} cleared")), "{listing}: {}", said(&verified));
    }
}

#[test]
fn unusable_link_is_rejected_and_next_invocation_rescans() {
    let desk = Desk::new("largest_page = 120\nforeign = [3]");
    let find = || desk.output(&["find", "--out", "list.csv"]);
    let first = find();
    assert_eq!(first.status.code(), Some(5), "{}", said(&first));
    assert!(said(&first).contains("http://elsewhere.example as the next place to read"), "{}", said(&first));
    assert!(said(&first).contains("starts again with the first page"), "{}", said(&first));
    assert!(!desk.folder.path().join("list.csv").exists());
    let second = find();
    assert_eq!(second.status.code(), Some(0), "{}", said(&second));
    assert!(!said(&second).contains("continues"), "{}", said(&second));
    desk.is_whole(&fs::read(desk.folder.path().join("list.csv")).expect("the list"), "the second");
}

#[test]
fn unusable_checkpoint_restarts_scan_with_an_empty_list() {
    let desk = Desk::new("largest_page = 120\nexpired = [4, 5]");
    let find = || desk.output(&["find", "--out", "list.csv"]);
    // The scan starts again once, and the token expires once more.
    let first = find();
    assert_eq!(first.status.code(), Some(5), "{}", said(&first));
    let path = desk.folder.path().join("list.csv.partial.json");
    let noted = fs::read_to_string(&path).unwrap_or_default();
    assert!(noted.contains("skiptoken"), "it stopped in the middle: {noted}");
    let mut mark: serde_json::Value = serde_json::from_str(&noted).expect("JSON");
    for link in ["http://elsewhere.example/beta/users?$skiptoken=m~1", "http://[", "mailto:x@y"] {
        mark["next"] = link.into();
        fs::write(&path, mark.to_string()).expect("written");
        let output = find();
        assert_eq!(output.status.code(), Some(0), "{link}: {}", said(&output));
        assert!(said(&output).contains("the scan starts again"), "{link}: {}", said(&output));
        desk.is_whole(&fs::read(desk.folder.path().join("list.csv")).expect("the list"), link);
        fs::copy(desk.folder.path().join("list.csv"), desk.folder.path().join("list.csv.partial"))
            .expect("as before");
    }
}

#[test]
fn missing_errors_property_is_not_read_as_no_errors() {
    for (listing, code) in [("absent = 1.0", 6), ("null = 1.0", 6), ("absent = 0.2", 3), ("null = 0.2", 3)] {
        for object in ["users", "groups", "contacts"] {
            let desk = Desk::new(listing);
            let find = desk.output(&["find", "--object", object, "--out", "list.csv"]);
            assert_eq!(find.status.code(), Some(code), "{listing}: {}", said(&find));
            assert!(said(&find).contains("left out serviceProvisioningErrors"), "{}", said(&find));
            let permission = if object == "contacts" { "OrgContact.Read.All" } else { ".Read.All" };
            assert!(said(&find).contains(permission), "{}", said(&find));
            let listed = fs::read_to_string(desk.folder.path().join("list.csv")).unwrap_or_default();
            assert_eq!(listed.lines().count() > 1, code == 3, "what is known is listed: {}", said(&find));
            let sweep = desk.output(&["sweep", "--yes", "--object", object, "--rate", "fixed:5000"]);
            assert_eq!(sweep.status.code(), Some(code), "{listing}: {}", said(&sweep));
            let accepted = desk.service.account("/__ledger")["accepted"].as_u64();
            assert_eq!(accepted > Some(0), code == 3, "{}", said(&sweep));
        }
        let desk = Desk::new(listing);
        let ids: String = (1..=30).map(|number| format!("user{number}@simulated.example\n")).collect();
        fs::write(desk.folder.path().join("users.csv"), format!("id\n{ids}")).expect("written");
        let run = desk.output(&[
            "run",
            "users.csv",
            "--yes",
            "--out",
            "reprovision-runs/one",
            "--rate",
            "fixed:5000",
        ]);
        assert_eq!(run.status.code(), Some(0), "{}", said(&run));
        let verify = desk.output(&["verify"]);
        assert_eq!(verify.status.code(), Some(4), "{listing}: {}", said(&verify));
        assert!(said(&verify).contains("warning: Microsoft 365 left out"), "{}", said(&verify));
        let verified = fs::read_to_string(desk.folder.path().join("reprovision-runs/one/verified.csv"));
        let verified = verified.expect("verified.csv");
        let unread = verified.matches(",unread,").count();
        assert!(unread > 0 && (code == 3 || unread == 30), "{listing}: {verified}");
        assert!(
            code == 3 || !verified.contains(",cleared,") && !verified.contains(",no_error,"),
            "{verified}"
        );
    }
}

#[test]
fn from_find_retries_known_objects_and_reports_unread_ones() {
    let desk = Desk::new("absent = 0.2");
    let output = desk.output(&["run", "--from-find", "--yes", "--rate", "fixed:5000"]);
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    assert!(desk.service.account("/__ledger")["accepted"].as_u64() > Some(100), "{}", said(&output));
    let desk = Desk::new("absent = 1.0");
    for _ in 0..2 {
        let output = desk.output(&["run", "--from-find", "--yes"]);
        assert_eq!(output.status.code(), Some(6), "{}", said(&output));
    }
    assert_eq!(desk.service.account("/__ledger")["accepted"], 0);
}

#[test]
fn sweep_keeps_objects_that_it_could_not_read() {
    let scenario = tempfile::tempdir().expect("a folder");
    let rules = "title = 'x'\n[objects]\nusers = 300\nbroken = 0.5\nfails_again = 1.0\neffect_s = [1, 1]\n";
    let service = Service::of(scenario.path(), rules);
    let desk = tempfile::tempdir().expect("a folder");
    let sweep = |service: &Service, code: i32| {
        let arguments = ["sweep", "--yes", "--rate", "fixed:5000"];
        let output = service.command(desk.path(), &arguments).output().expect("sweep");
        assert_eq!(output.status.code(), Some(code), "{}", said(&output));
        let history = desk.path().join("reprovision-runs/history-users.csv");
        (said(&output), fs::read_to_string(history).expect("history").lines().count())
    };
    let (_, remembered) = sweep(&service, 0);
    assert!(remembered > 100);
    for (listing, code) in [("absent = 0.9", 3), ("null_objects = 0.5\n", 0)] {
        // Those whom the history knows seem to be cleared, or are not seen.
        let rules = format!("{}[listing]\n{listing}", rules.replace("broken = 0.5", "broken = 0.0001"));
        let blind = Service::of(scenario.path(), &rules);
        let (told, then) = sweep(&blind, code);
        assert!(then > remembered / 2, "{listing}: {then} of {remembered}: {told}");
    }
}

#[test]
fn unreadable_object_is_unread_and_does_not_end_the_scan() {
    for (listing, code) in [("forbidden = 0.3", 4), ("forbidden = 1.0", 6)] {
        let desk = Desk::new(listing);
        let ids: String = (1..=15).map(|number| format!("user{number}@simulated.example\n")).collect();
        fs::write(desk.folder.path().join("users.csv"), format!("id\n{ids}")).expect("written");
        let run = desk.output(&["run", "users.csv", "--yes", "--out", "reprovision-runs/one"]);
        assert_eq!(run.status.code(), Some(0), "{}", said(&run));
        let verify = desk.output(&["verify"]);
        assert_eq!(verify.status.code(), Some(code), "{listing}: {}", said(&verify));
        if code == 4 {
            let verified = fs::read_to_string(desk.folder.path().join("reprovision-runs/one/verified.csv"));
            let verified = verified.expect("verified.csv");
            let unread = verified.matches(",unread,").count();
            assert!(unread > 0 && unread < 15 && verified.lines().count() == 16, "{verified}");
        }
    }
}
