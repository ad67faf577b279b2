//! The closed loop without a tenant: what one call with `--simulate` did is known to the next.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use crate::sign_in_support::{reprovision, said};

/// The built-in scenario without its waits.
fn quick(folder: &Path) {
    let text = include_str!("../../samples/scenarios/default.toml")
        .replace("writes_per_second = 60.0", "writes_per_second = 6000.0")
        .replace("capacity = 120.0", "capacity = 6000.0")
        .replace("latency_ms = 60", "latency_ms = 1")
        .replace("throttle_after = [400, 1300]", "throttle_after = []")
        .replace("users = 12000", "users = 4000")
        .replace("effect_s = [2, 20]", "effect_s = [0, 0]");
    fs::write(folder.join("quick.toml"), text).expect("the scenario");
}

/// With `--simulate=quick.toml`, to this exit code.
fn ended(folder: &Path, arguments: &[&str], code: i32) -> String {
    let output = reprovision(folder, &[arguments, &["--simulate=quick.toml"]].concat());
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", said(&output));
    said(&output)
}

/// A column of a CSV by its number from 0.
fn column(path: &Path, number: usize) -> Vec<String> {
    let text = fs::read_to_string(path).expect("the file");
    let mut reader = csv::Reader::from_reader(text.trim_start_matches('\u{feff}').as_bytes());
    reader.records().map(|row| row.expect("a row")[number].to_owned()).collect()
}

/// Ids by their verdict.
fn verdicts(run: &Path) -> BTreeMap<String, BTreeSet<String>> {
    let path = run.join("verified.csv");
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (verdict, id) in column(&path, 4).into_iter().zip(column(&path, 1)) {
        found.entry(verdict).or_default().insert(id);
    }
    found
}

#[test]
fn find_run_and_verify_work_with_the_simulator() {
    let desk = tempfile::tempdir().expect("a folder");
    let folder = desk.path();
    quick(folder);
    // What a real sweep remembers is none of a simulated one's business.
    let real = "id,service,error_code,tries,tried_at,known\na,exchange,X,1,2026-11-01T00:00:00Z,true\n";
    fs::create_dir(folder.join("reprovision-runs")).expect("a folder");
    fs::write(folder.join("reprovision-runs/history-users.csv"), real).expect("written");

    ended(folder, &["find", "--out", "broken.csv"], 0);
    let broken: BTreeSet<_> = column(&folder.join("broken.csv"), 0).into_iter().collect();
    assert!((150..250).contains(&broken.len()), "{}", broken.len());
    // A run elsewhere is known where it is named.
    ended(folder, &["run", "broken.csv", "--out", "elsewhere"], 0);
    let told = ended(folder, &["verify", "elsewhere"], 4);
    let first = verdicts(&folder.join("elsewhere"));
    assert_eq!(first.keys().collect::<Vec<_>>(), ["cleared", "failed_again"], "{told}");
    assert_eq!(first.values().map(BTreeSet::len).sum::<usize>(), broken.len());
    assert!(first["cleared"].len() > first["failed_again"].len() && first["failed_again"].len() > 10);
    assert!(told.contains("e-mail address in use") && told.contains("SIP address in use"), "{told}");

    // One below reprovision-runs is known to all.
    ended(folder, &["run", "broken.csv", "--yes"], 0);
    ended(folder, &["find", "--out", "again.csv"], 0);
    let again: BTreeSet<_> = column(&folder.join("again.csv"), 0).into_iter().collect();
    assert_eq!(again, first["failed_again"], "who was cleared has no error any more");
    let told = ended(folder, &["verify"], 4);
    assert_eq!(verdicts(&newest(folder)), first, "{told}");
    let list = newest(folder).join("still-failing.csv");
    assert_eq!(column(&list, 0).into_iter().collect::<BTreeSet<_>>(), again);
    assert!(told.contains("still-failing.csv --simulate=quick.toml"), "a command to go on: {told}");
    ended(folder, &["run", list.to_str().expect("UTF-8")], 0);
    ended(folder, &["verify"], 4);
    assert_eq!(
        verdicts(&newest(folder))["failed_again"],
        again,
        "nobody fixes a cause in a simulated tenant"
    );

    // The nightly job: it meets who still fails, then leaves them alone.
    let told = ended(folder, &["sweep", "--yes"], 0);
    assert!(told.contains("Last run  ") && told.contains("this sweep sets the baseline"), "{told}");
    assert!(told.contains(&format!("{} new, 0 to be retried again", again.len())), "{told}");
    let told = ended(folder, &["sweep", "--yes"], 0);
    assert!(told.contains(&format!("{} left alone after a recent retry", again.len())), "{told}");
    let kept = fs::read_to_string(folder.join("reprovision-runs/history-users.csv")).expect("there");
    assert_eq!(kept, real);
    let memory = column(&folder.join("reprovision-runs/history-simulated-users.csv"), 0);
    assert_eq!(memory.into_iter().collect::<BTreeSet<_>>(), again);
}

/// The run below `reprovision-runs` that began last.
fn newest(folder: &Path) -> std::path::PathBuf {
    let runs = fs::read_dir(folder.join("reprovision-runs")).expect("runs").flatten();
    let begun = |path: &Path| {
        let text = fs::read(path.join("run.json")).ok()?;
        let run: serde_json::Value = serde_json::from_slice(&text).ok()?;
        Some(run["started_at"].as_str()?.to_owned())
    };
    runs.map(|entry| entry.path()).filter(|path| path.is_dir()).max_by_key(|path| begun(path)).expect("a run")
}

#[test]
fn run_from_find_with_verify_works_with_the_simulator() {
    let desk = tempfile::tempdir().expect("a folder");
    quick(desk.path());
    let told = ended(desk.path(), &["run", "--from-find", "--verify", "1s"], 4);
    assert!(told.contains("cleared") && told.contains("failed_again"), "{told}");
    let later = format!("verify reprovision-runs{}", std::path::MAIN_SEPARATOR);
    assert!(told.contains(&later) && told.contains(" --simulate=quick.toml"), "{told}");
    // Groups are another list of the same tenant.
    let told = ended(desk.path(), &["run", "--from-find", "--object", "groups", "--verify", "1s"], 4);
    assert!(told.contains("800 groups read"), "{told}");
}

#[test]
fn list_found_in_one_tenant_is_not_sent_to_another() {
    let desk = tempfile::tempdir().expect("a folder");
    quick(desk.path());
    let asked = ["run", "--from-find", "--tenant", "contoso.com", "--limit", "3"];
    ended(desk.path(), &asked, 0);
    assert!(ended(desk.path(), &asked, 0).contains("found by an earlier call"), "the same tenant");
    let output = reprovision(desk.path(), &[&asked[..], &["--simulate=calm"]].concat());
    let told = said(&output);
    assert!(output.status.code() == Some(0) && told.contains("0 users read"), "calm has nobody: {told}");
}

#[test]
fn simulator_gives_users_of_any_list_an_error() {
    let desk = tempfile::tempdir().expect("a folder");
    let rows: String = (1..=40).map(|row| format!("ann{row}@contoso.com,Ann {row}\n")).collect();
    fs::write(desk.path().join("own.csv"), format!("userPrincipalName,name\n{rows}")).expect("written");
    quick(desk.path());
    ended(desk.path(), &["run", "own.csv"], 0);
    ended(desk.path(), &["verify"], 4);
    let found = verdicts(&newest(desk.path()));
    assert_eq!(found.keys().collect::<Vec<_>>(), ["cleared", "failed_again"]);
    assert_eq!(found.values().map(BTreeSet::len).sum::<usize>(), 40);
    let list = fs::read_to_string(newest(desk.path()).join("still-failing.csv")).expect("the list");
    assert!(list.starts_with("\u{feff}userPrincipalName,name,reprovision_run,"), "{list}");
}

#[test]
fn built_in_tenant_has_only_known_error_codes() {
    let desk = tempfile::tempdir().expect("a folder");
    let output = reprovision(desk.path(), &["find", "--simulate", "--summary"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let told = said(&output);
    assert!(told.contains("12,000 users read"), "{told}");
    for cause in ["e-mail address in use", "name in use", "ExchangeGuid in use", "SIP address in use"] {
        assert!(told.contains(cause), "{cause}: {told}");
    }
    assert!(!told.contains("Next"), "there is no list to go on with: {told}");
}

#[test]
fn run_is_verified_in_its_own_tenant() {
    let desk = tempfile::tempdir().expect("a folder");
    let folder = desk.path();
    quick(folder);
    fs::write(folder.join("one.csv"), "id\nuser1@simulated.example\n").expect("written");
    ended(folder, &["run", "one.csv", "--out", "one"], 0);
    for other in
        [&["verify", "one"][..], &["verify", "one", "--simulate"], &["verify", "one", "--simulate=calm"]]
    {
        let output = reprovision(folder, other);
        assert_eq!(output.status.code(), Some(2), "{}", said(&output));
        let told = said(&output);
        assert!(told.contains("reprovision verify one --simulate=quick.toml"), "{told}");
    }
    // One that was sent to a service of its own.
    let json = fs::read_to_string(folder.join("one/run.json")).expect("run.json");
    let mut run: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    run["simulated"] = false.into();
    run["identity"]["endpoint"] = "https://graph.microsoft.com/".into();
    fs::write(folder.join("one/run.json"), run.to_string()).expect("written");
    let told = ended(folder, &["verify", "one"], 2);
    assert!(told.contains("https://graph.microsoft.com/ and not to a simulated tenant"), "{told}");
}
