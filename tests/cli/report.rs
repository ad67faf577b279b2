//! `report.html` and `report`: figures as in summary.json, hostile text stays text, shards add up, nothing is overwritten.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::sign_in_support::{reprovision, said};

use serde_json::Value;

/// Twenty users, three of them by sign-in name, and three rows that nobody should send.
fn run(folder: &Path) {
    let mut text = "id,displayName\n".to_owned();
    for row in 1..=17 {
        text.push_str(&format!("{row:08x}-0000-4000-8000-000000000000,User {row}\n"));
    }
    text.push_str("ann@contoso.com,Ann\nbob@contoso.com,Bob\nZOE@contoso.com,Zoe\n");
    text.push_str("<script>alert(1)</script>,x\n=HYPERLINK(1),y\nann smith@contoso.com,z\n");
    fs::write(folder.join("users.csv"), text).expect("the input");
    let output =
        reprovision(folder, &["run", "users.csv", "--simulate=calm", "--rate", "400", "--out", "one"]);
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
}

fn figure(page: &str, name: &str) -> u64 {
    let (_, rest) = page.split_once(&format!("data-figure=\"{name}\"")).expect(name);
    let (_, rest) = rest.split_once('>').expect("the end of the tag");
    let digits: String = rest.chars().take_while(|c| *c != '<').filter(char::is_ascii_digit).collect();
    digits.parse().expect("a number")
}

/// The text of a page without its tags.
fn words(page: &str) -> String {
    let body = page.split("</style>").nth(1).expect("a body");
    body.split('<').map(|part| part.split_once('>').map_or(part, |(_, text)| text)).collect()
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).expect("the file")).expect("JSON")
}

#[test]
fn page_matches_summary_and_loads_no_external_file() {
    let folder = tempfile::tempdir().expect("a folder");
    run(folder.path());
    let page = fs::read_to_string(folder.path().join("one/report.html")).expect("report.html");
    let summary = json(&folder.path().join("one/summary.json"));
    for name in ["rows_in", "rows_out", "requests", "throttled"] {
        assert_eq!(Some(figure(&page, name)), summary[name].as_u64(), "{name}");
    }
    for name in ["accepted", "failed", "invalid", "duplicate"] {
        assert_eq!(figure(&page, name), summary["totals"][name].as_u64().unwrap_or(0), "{name}");
    }
    assert_eq!((figure(&page, "accepted"), figure(&page, "needs_hands")), (20, 3));
    let longest = summary["durations_ms"]["longest"].as_u64().expect("a number");
    assert!(page.contains(&format!("data-figure=\"longest\" data-ms=\"{longest}\"")), "{longest}");
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"), "hostile text is shown as text");
    for never in
        ["<script", "<img", "<link", "src=", "href=", "url(", "@import", "style=\"", "http:", "https:"]
    {
        assert!(!page.contains(never), "{never} in the page");
    }
    let words = page.split("</style>").nth(1).expect("a body").to_lowercase();
    assert!(!words.contains("fixed") && !words.contains("success"), "accepted is not more than accepted");
    assert!(words.contains("accepted the request"));
    assert!(page.contains("default-src 'none'") && page.contains("SIMULATED"));
}

#[test]
fn stopped_run_names_the_requests_that_it_counts() {
    let folder = tempfile::tempdir().expect("a folder");
    let lines: String = (1..=60).map(|row| format!("{row:08x}-0000-4000-8000-000000000000\n")).collect();
    fs::write(folder.path().join("a.csv"), format!("id\n{lines}")).expect("the input");
    let rules = "title = 'a pause'\nthrottle_after = [5]\nthrottle_wait_s = [41, 41]\n[objects]\nunknown_ids_exist = true\n";
    fs::write(folder.path().join("pause.toml"), rules).expect("written");
    let command = ["run", "a.csv", "--rate", "fixed:20", "--out", "a", "--deadline", "20s"];
    let output = reprovision(folder.path(), &[&command[..], &["--simulate=pause.toml"]].concat());
    assert_eq!(output.status.code(), Some(5), "{}", said(&output));
    let summary = json(&folder.path().join("a/summary.json"));
    let refused: u64 =
        summary["limits"]["throttled"].as_object().expect("owners").values().filter_map(Value::as_u64).sum();
    // Those that were refused have no record: their requests are not among the counted ones.
    assert_eq!((summary["throttled"].as_u64(), refused > 0), (Some(0), true), "{summary}");
    let counted = format!("{} requests for finished rows, over all invocations", summary["requests"]);
    let call = format!(
        "this invocation, unfinished rows included: {refused} throttled, longest wait 41 s, paused by Microsoft 365 once, "
    );
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(printed.contains(&format!("  {counted}\n  {call}")), "{printed}");
    let page = fs::read_to_string(folder.path().join("a/report.html")).expect("report.html");
    let words = words(&page);
    assert!(words.contains(&format!("{counted}; {call}")), "{words}");
    for text in [&*printed, &*words] {
        assert!(text.contains(&format!("your app's limit in this tenant: {refused} throttled")), "{text}");
        assert!(!text.contains("refused") && !text.contains(" 0 throttled"), "{text}");
    }
}

#[test]
fn report_can_be_rewritten_for_an_interrupted_run() {
    let folder = tempfile::tempdir().expect("a folder");
    run(folder.path());
    let path = folder.path().join("one/report.html");
    let before = fs::read_to_string(&path).expect("report.html");
    fs::remove_file(&path).expect("removed");
    let output = reprovision(folder.path(), &["report", "one"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let list = std::path::Path::new("one").join("failed.csv");
    let next = format!(" run {} --simulate=calm ", list.display());
    assert!(said(&output).contains(&next), "never a simulated list to a real tenant: {}", said(&output));
    assert_eq!(fs::read_to_string(&path).expect("report.html"), before);
    let results = folder.path().join("one/results.csv");
    let text = fs::read_to_string(&results).expect("results.csv");
    fs::write(&results, &text[..text.len() / 2]).expect("torn");
    fs::remove_file(folder.path().join("one/summary.json")).expect("removed");
    let output = reprovision(folder.path(), &["report", "one"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let page = fs::read_to_string(&path).expect("report.html");
    assert!(page.contains("Not complete") && page.contains("cut short"), "said");
    assert_eq!(figure(&page, "rows_in"), 23);
    assert!(figure(&page, "rows_out") < 23);
}

#[test]
fn summary_of_a_newer_version_is_made_again_from_the_records() {
    let folder = tempfile::tempdir().expect("a folder");
    run(folder.path());
    let path = folder.path().join("one/summary.json");
    let shown = |schema: u64| {
        let mut summary = json(&path);
        summary["schema"] = schema.into();
        summary["notes"] = serde_json::json!(["edited by a test"]);
        fs::write(&path, summary.to_string()).expect("written");
        let output = reprovision(folder.path(), &["report", "one"]);
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        let page = fs::read_to_string(folder.path().join("one/report.html")).expect("report.html");
        page.contains("edited by a test")
    };
    assert!(shown(1), "a summary of this version is used");
    assert!(!shown(2), "the fields of a newer version may mean something else");
}

#[test]
fn redacted_pages_contain_no_upn() {
    let folder = tempfile::tempdir().expect("a folder");
    run(folder.path());
    let full = fs::read_to_string(folder.path().join("one/report.html")).expect("report.html");
    assert!(full.contains("ann smith@contoso.com"));
    let path = folder.path().join("one/summary.json");
    let mut summary: serde_json::Value =
        serde_json::from_slice(&fs::read(&path).expect("a summary")).expect("JSON");
    summary["stopped"] =
        serde_json::json!(["no answer: User 'bea@contoso.com' (<carl@contoso.com>) is busy"]);
    summary["notes"] = serde_json::json!(["signed in as dora@contoso.com."]);
    fs::write(&path, summary.to_string()).expect("written");
    let output = reprovision(folder.path(), &["report", "one", "--redact", "upn"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let page = fs::read_to_string(folder.path().join("one/report-redacted.html")).expect("the page");
    for name in ["contoso.com", "HYPERLINK", "alert(1)"] {
        assert!(!page.contains(name), "{name}");
    }
    assert!(page.contains("row 23"));
}

/// Copies the run and leaves only the records that `keep` says.
fn part(folder: &Path, name: &str, keep: impl Fn(u64) -> bool) {
    let (from, to) = (folder.join("one"), folder.join(name));
    fs::create_dir(&to).expect("a folder");
    fs::copy(from.join("run.json"), to.join("run.json")).expect("copied");
    let text = fs::read_to_string(from.join("results.csv")).expect("results.csv");
    let kept = text
        .lines()
        .filter(|line| line.split(',').next().and_then(|row| row.parse().ok()).is_none_or(&keep))
        .map(|line| format!("{line}\n"));
    fs::write(to.join("results.csv"), kept.collect::<String>()).expect("written");
}

#[test]
fn merged_report_shows_that_shards_cover_the_input() {
    let folder = tempfile::tempdir().expect("a folder");
    run(folder.path());
    part(folder.path(), "odd", |row| row % 2 == 1);
    part(folder.path(), "even", |row| row % 2 == 0);
    part(folder.path(), "few", |row| row % 2 == 0 && row != 4 && row != 8);
    let output = reprovision(folder.path(), &["report", "--merge", "odd", "even"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(
        said(&output).contains("2 runs cover 23 of 23 rows: every row once, none twice"),
        "{}",
        said(&output)
    );
    let merged = json(&folder.path().join("merged.json"));
    let whole = json(&folder.path().join("one/summary.json"));
    assert_eq!(merged["totals"], whole["totals"]);
    assert_eq!(merged["durations_ms"], whole["durations_ms"]);
    let page = fs::read_to_string(folder.path().join("merged.html")).expect("merged.html");
    assert_eq!((figure(&page, "rows_in"), figure(&page, "rows_out")), (23, 23));

    let output = reprovision(folder.path(), &["report", "--merge", "odd", "few", "--out", "few.html"]);
    assert_eq!(output.status.code(), Some(5), "{}", said(&output));
    assert!(said(&output).contains("2 rows without a record (row 4, 8)"), "{}", said(&output));

    let output = reprovision(folder.path(), &["report", "--merge", "one", "odd", "--out", "twice.html"]);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(said(&output).contains("count users twice"), "{}", said(&output));
    assert!(!folder.path().join("twice.html").exists());
}

#[cfg(unix)]
#[test]
fn existing_file_is_not_replaced_by_a_report() {
    let folder = tempfile::tempdir().expect("a folder");
    run(folder.path());
    let precious = folder.path().join("precious.txt");
    fs::write(&precious, "precious").expect("written");
    std::os::unix::fs::symlink(&precious, folder.path().join("link.html")).expect("a link");
    fs::hard_link(&precious, folder.path().join("hard.html")).expect("a link");
    fs::create_dir(folder.path().join("folder.html")).expect("a folder");
    for (out, force, code) in [
        ("precious.txt", false, 2),
        ("hard.html", false, 2),
        ("link.html", false, 2),
        ("link.html", true, 2),
        ("folder.html", true, 2),
        ("/dev/null", true, 2),
        ("hard.html", true, 0),
    ] {
        let mut arguments = vec!["report", "one", "--out", out];
        arguments.extend(force.then_some("--force"));
        let output = reprovision(folder.path(), &arguments);
        assert_eq!(output.status.code(), Some(code), "{out} {force}: {}", said(&output));
        assert_eq!(fs::read_to_string(&precious).expect("read"), "precious", "{out} {force}");
    }
    assert!(fs::read_to_string(folder.path().join("hard.html")).expect("read").contains("<!DOCTYPE html>"));
}

/// What `results.csv` holds, counted here.
#[derive(Debug, Default)]
struct Counted {
    rows: u64,
    outcomes: BTreeMap<String, u64>,
    reasons: BTreeMap<String, u64>,
    requests: u64,
    throttled: u64,
}

fn counted(folder: &Path) -> Counted {
    let mut reader = csv::Reader::from_path(folder.join("results.csv")).expect("results.csv");
    let names = reader.headers().expect("a header").clone();
    let at = |name: &str| names.iter().position(|known| known == name).expect(name);
    let mut counted = Counted::default();
    for record in reader.records().map(|record| record.expect("a record")) {
        counted.rows += 1;
        *counted.outcomes.entry(record[at("outcome")].to_owned()).or_default() += 1;
        if matches!(&record[at("outcome")], "failed" | "invalid") {
            *counted.reasons.entry(record[at("reason")].to_owned()).or_default() += 1;
        }
        counted.requests += record[at("attempts")].parse::<u64>().expect("a number");
        counted.throttled += record[at("throttled")].parse::<u64>().expect("a number");
    }
    counted
}

/// Screen, summary, page and the lists of one folder say what its records say. `screen` is what the invocation printed.
fn agree(folder: &Path, screen: &str) {
    let counted = counted(folder);
    let summary = json(&folder.join("summary.json"));
    let page = fs::read_to_string(folder.join("report.html")).expect("report.html");
    let words = words(&page);
    let of = |name: &str| counted.outcomes.get(name).copied().unwrap_or(0);
    let thousands = reprovision::report::thousands;
    assert_eq!(summary["rows_out"].as_u64(), Some(counted.rows));
    for (name, count) in [("requests", counted.requests), ("throttled", counted.throttled)] {
        assert_eq!(summary[name].as_u64(), Some(count), "{name}");
    }
    let in_summary: u64 =
        summary["totals"].as_object().expect("totals").values().filter_map(Value::as_u64).sum();
    assert_eq!(in_summary, counted.rows);
    for name in ["accepted", "failed", "invalid", "duplicate"] {
        assert_eq!(summary["totals"][name].as_u64().unwrap_or(0), of(name), "{name}");
        assert_eq!(figure(&page, name), of(name), "{name} on the page");
        let printed = format!("{} {name}", thousands(of(name)));
        assert_eq!(screen.contains(&printed), of(name) > 0 || name == "accepted", "{printed:?} in: {screen}");
    }
    let causes: u64 = summary["causes"]
        .as_array()
        .expect("causes")
        .iter()
        .filter_map(|cause| cause["count"].as_u64())
        .sum();
    assert_eq!(causes, of("failed") + of("invalid"));
    for (reason, count) in &counted.reasons {
        assert_eq!(summary["reasons"][reason][0].as_u64(), Some(*count), "{reason}");
    }
    let failed = fs::read_to_string(folder.join("failed.csv")).expect("failed.csv");
    assert_eq!(failed.lines().count() as u64 - 1, of("failed") + of("invalid"));
    assert_eq!(words.contains("failed.csv"), of("failed") + of("invalid") > 0, "{words}");
    // One number of throttled requests on each, and never nothing beside something.
    let met: u64 =
        summary["limits"]["throttled"].as_object().expect("owners").values().filter_map(Value::as_u64).sum();
    for text in [screen, &words] {
        let mut said = Vec::new();
        for (at, _) in text.match_indices(" throttled").chain(text.match_indices(" of them throttled")) {
            let digits =
                text[..at].rsplit(|c: char| !c.is_ascii_digit() && c != ',').next().unwrap_or_default();
            said.extend(digits.replace(',', "").parse::<u64>());
        }
        said.sort_unstable();
        said.dedup();
        let right = if said.contains(&met) && met > 0 { met } else { counted.throttled };
        assert!(
            said == [right] || said.is_empty() && met == 0,
            "{said:?}, {met} met, {}: {text}",
            counted.throttled
        );
        assert!(!text.contains("0 % of its"), "{text}");
        assert!(!text.contains(" after 0 s"), "{text}");
    }
    assert_eq!(figure(&page, "requests"), counted.requests);
    let (wall, elapsed) = (&summary["wall_s"], &summary["elapsed_s"]);
    assert!(wall.as_f64() > Some(0.0) && elapsed.as_f64() > Some(0.0), "{wall} {elapsed}");
}

#[test]
fn counts_agree_on_screen_summary_page_and_records() {
    let desk = tempfile::tempdir().expect("a folder");
    let path = desk.path();
    let ids = |rows: std::ops::RangeInclusive<u64>| -> String {
        rows.map(|row| format!("{row:08x}-0000-4000-8000-000000000000\n")).collect()
    };
    fs::write(path.join("calm.csv"), format!("id\n{}", ids(1..=400))).expect("a list");
    let mixed = format!("id\n{}nobody\n=1+1\n{}", ids(1..=60), ids(1..=3));
    fs::write(path.join("mixed.csv"), mixed).expect("a list");
    fs::write(path.join("few.csv"), format!("id\n{}", ids(1..=60))).expect("a list");
    let pause = "title = 'a pause'\nthrottle_after = [395]\nthrottle_wait_s = [1, 1]\n[objects]\nunknown_ids_exist = true\n";
    fs::write(path.join("pause.toml"), pause).expect("a scenario");
    let long = "title = 'a long pause'\nthrottle_after = [5]\nthrottle_wait_s = [41, 41]\n[objects]\nunknown_ids_exist = true\n";
    fs::write(path.join("long.toml"), long).expect("a scenario");
    let absent = "title = 'few exist'\nmissing = 1.0\n[objects]\nunknown_ids_exist = true\n";
    fs::write(path.join("absent.toml"), absent).expect("a scenario");
    for (out, words, code) in [
        ("late", &["calm.csv", "--simulate=pause.toml", "--rate", "fixed:2000"][..], 0),
        ("calm", &["calm.csv", "--simulate=calm", "--rate", "fixed:2000"], 0),
        ("mixed", &["mixed.csv", "--simulate=calm", "--rate", "fixed:2000"], 3),
        ("absent", &["mixed.csv", "--simulate=absent.toml", "--max-failures", "100%"], 3),
        ("guard", &["mixed.csv", "--simulate=absent.toml"], 7),
        ("long", &["few.csv", "--simulate=long.toml", "--rate", "fixed:20", "--deadline", "20s"], 5),
        ("limit", &["calm.csv", "--simulate=calm", "--rate", "fixed:2000", "--limit", "10"], 0),
        ("limit", &["calm.csv", "--simulate=calm", "--rate", "fixed:2000", "--limit", "10"], 0),
        ("limit", &["calm.csv", "--simulate=calm", "--rate", "fixed:2000"], 0),
    ] {
        let output = reprovision(path, &[&["run", "--out", out], words].concat());
        assert_eq!(output.status.code(), Some(code), "{out}: {}", said(&output));
        agree(&path.join(out), &String::from_utf8_lossy(&output.stdout));
    }
}

#[test]
fn duration_of_a_killed_run_comes_from_its_records() {
    let desk = tempfile::tempdir().expect("a folder");
    run(desk.path());
    let folder = desk.path().join("one");
    // As a process leaves it that was killed after the last record, an hour after the first.
    let results = fs::read_to_string(folder.join("results.csv")).expect("results.csv");
    let sent = results.lines().find(|line| line.contains(",accepted,")).expect("a record");
    let first = sent.split(',').nth(9).expect("first_sent_at");
    let earlier = first.parse::<jiff::Timestamp>().expect("a time") - jiff::SignedDuration::from_hours(1);
    let earlier = earlier.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string();
    let text = results.replace(sent, &sent.replacen(first, &earlier, 1));
    fs::write(folder.join("results.csv"), text).expect("written");
    fs::remove_file(folder.join("summary.json")).expect("removed");
    for command in [&["report", "one"][..], &["run", "users.csv", "--simulate=calm", "--out", "one"]] {
        let output = reprovision(desk.path(), command);
        let printed = said(&output);
        assert!(printed.contains("Finished after 1 h 0 min"), "{command:?}: {printed}");
        assert!(printed.contains("exit 3"), "{command:?}: {printed}");
    }
    let page = fs::read_to_string(folder.join("report.html")).expect("report.html");
    assert!(words(&page).contains("1 h 0 min") && !words(&page).contains(", 0 s"), "{}", words(&page));
}

#[test]
fn page_after_verify_names_only_lists_with_rows() {
    let desk = tempfile::tempdir().expect("a folder");
    let rules = "title = 'verify'\nseed = 7\n[objects]\nusers = 20\nbroken = 1.0\nfails_again = 1.0\neffect_s = [0, 0]\n";
    fs::write(desk.path().join("t.toml"), rules).expect("a scenario");
    let output = reprovision(desk.path(), &["run", "--from-find", "--simulate=t.toml", "--out", "one"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let output = reprovision(desk.path(), &["verify", "one", "--simulate=t.toml"]);
    assert_eq!(output.status.code(), Some(4), "{}", said(&output));
    let page = words(&fs::read_to_string(desk.path().join("one/report.html")).expect("report.html"));
    assert!(page.contains("still-failing.csv") && !page.contains("failed.csv"), "{page}");
}
