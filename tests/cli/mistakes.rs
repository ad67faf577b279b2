//! What people get wrong in the first hour: what each is told, and how the program ends.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// Runs it with nothing of the surroundings but these variables; both streams.
fn told(folder: &Path, arguments: &str, variables: &[(&str, &str)]) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_reprovision"))
        .args(arguments.split_whitespace())
        .current_dir(folder)
        .env_clear()
        // Nobody asks the machine for an identity of its own.
        .env("AZURE_TOKEN_CREDENTIALS", "AzureCliCredential")
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .output()
        .expect("the program runs");
    let said = [output.stdout, output.stderr].concat();
    (output.status.code().expect("a code"), String::from_utf8_lossy(&said).into_owned())
}

const GOOD: &str = "id\n00000001-0000-4000-8000-000000000000\n";

#[test]
fn each_mistake_is_reported_with_its_place_and_advice() {
    let desk = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| fs::write(desk.path().join(name), text).expect("a file");
    write("users.csv", GOOD);
    write("empty.csv", "");
    write("names.csv", "name,mail\nAnn,ann@contoso.com\n");
    write("two.csv", "id,objectId\n00000001-0000-4000-8000-000000000000,x\n");
    write("book.xlsx", "PK\u{3}\u{4}");
    write(
        "semicolons.csv",
        "id;name\n00000001-0000-4000-8000-000000000000;Ann\n00000002-0000-4000-8000-000000000000;Bob\n",
    );
    fs::create_dir(desk.path().join("exports")).expect("a folder");
    let here = fs::canonicalize(desk.path()).expect("its path");
    let missing = format!(
        "no-such.csv: there is no such file in {}: give the path of your CSV",
        here.display().to_string().trim_start_matches(r"\\?\")
    );
    for (arguments, code, parts) in [
        // The list is looked at before anybody signs in.
        ("run no-such.csv", 2, vec![missing.as_str()]),
        ("run exports", 2, vec!["exports: this is a folder: give the CSV in it"]),
        ("run empty.csv --dry-run", 2, vec!["empty.csv: the input is empty"]),
        ("run book.xlsx --dry-run", 2, vec!["book.xlsx: this is an Excel workbook", "Save As"]),
        (
            "run names.csv --dry-run",
            2,
            vec!["no column is known to hold ids", "2 \"mail\" (such as \"ann@contoso.com\")"],
        ),
        ("run two.csv --dry-run", 2, vec!["two columns could hold the ids", "--column"]),
        (
            "run names.csv --dry-run --column UPN",
            2,
            vec!["no column \"UPN\"", "1 \"name\" (such as \"Ann\"), 2 \"mail\""],
        ),
        (
            "run semicolons.csv --dry-run --delimiter ,",
            2,
            vec!["no usable id in column \"id;name\"", "use --delimiter semicolon"],
        ),
        ("run --simulate hostile", 2, vec!["hostile is a scenario, not a list: --simulate=hostile"]),
        ("run", 2, vec!["which users? give a CSV, or - for standard input"]),
        (
            "run users.csv",
            6,
            vec!["no way to sign in. The quickest: install Azure CLI, az login", "reprovision help sign-in"],
        ),
        (
            "run users.csv --auth secret",
            2,
            vec!["--auth secret needs AZURE_CLIENT_SECRET and AZURE_CLIENT_ID", "reprovision help sign-in"],
        ),
        ("run users.csv --auth az", 6, vec!["Azure CLI (az) is not installed, or not in PATH"]),
        ("run users.csv --yes", 2, vec!["--yes needs --tenant"]),
        ("run users.csv --rate 0", 2, vec!["'--rate <R>': \"0\" is not a rate", "such as 16 or 16/s"]),
        ("run users.csv --concurrency 0", 2, vec!["'--concurrency <N>': 0 is not in 1..=1000"]),
        ("run users.csv --limit 0", 2, vec!["'--limit <N>'", "a number of users, 1 or more"]),
        ("run users.csv --timeout 30", 2, vec!["\"30\" is not a duration: such as 30s, 5m, 2h or 1d"]),
        ("run users.csv --concurency 8", 2, vec!["'--concurency'", "'--concurrency'"]),
        ("run users.csv --auth certificat", 2, vec!["'certificat'", "'certificate'"]),
        ("run users.csv --cloud germany", 2, vec!["'germany'", "usgov-dod"]),
        ("run users.csv --endpoint http://graph.contoso.com", 2, vec!["in the clear", "https"]),
        ("run users.csv --config settings.toml", 2, vec!["settings.toml: cannot read the settings file"]),
        // As PowerShell writes them.
        ("run users.csv -WhatIf", 2, vec!["-WhatIf: flags begin with two dashes here: --dry-run"]),
        ("run users.csv -Tenant contoso.com", 2, vec!["-Tenant: flags begin with two dashes here: --tenant"]),
        ("run users.csv -MaxStall:10m", 2, vec!["here: --max-stall"]),
        ("run users.csv -yes", 2, vec!["-yes: flags begin with two dashes here: --yes"]),
        ("run users.csv -Verbose", 2, vec!["-Verbose: flags begin with two dashes here: --verbose"]),
        ("run users.csv -Path", 2, vec!["unexpected argument '-P'"]),
        // Flags that had another name.
        ("sweep --cooldown 20h", 2, vec!["--cooldown is not a flag any more. Use --retry-interval"]),
        ("sweep --yes --give-up=5", 2, vec!["--give-up is not a flag any more. Use --max-retries"]),
        ("rum users.csv", 2, vec!["'rum'", "'run'"]),
        ("users.csv", 2, vec!["users.csv is a file, not a command: reprovision run users.csv"]),
        ("verify tuesday", 2, vec!["tuesday is not the folder of a run", "reprovision-runs"]),
        ("status", 2, vec!["reprovision-runs"]),
        (
            "explain nonsense",
            2,
            vec!["no explanation for nonsense", "Run `reprovision explain` to list all known codes"],
        ),
        ("run users.csv --simulate=nonsense", 2, vec!["nonsense", "default"]),
    ] {
        let (ended, said) = told(desk.path(), arguments, &[]);
        assert_eq!(ended, code, "{arguments}: {said}");
        for part in parts {
            assert!(said.contains(part), "{arguments}: {part:?} is not in: {said}");
        }
        assert!(!desk.path().join("reprovision-runs").exists(), "{arguments} leaves nothing behind");
    }
}

/// Beside the list that is meant, with an `id` like any other: everybody would be sent again.
#[test]
fn results_csv_as_input_is_rejected_unless_forced() {
    let desk = tempfile::tempdir().expect("a folder");
    fs::write(desk.path().join("users.csv"), GOOD).expect("the list");
    let (code, said) = told(desk.path(), "run users.csv --simulate=calm --out out", &[]);
    assert_eq!(code, 0, "{said}");
    let (code, said) = told(desk.path(), "run out/results.csv --simulate=calm --out again", &[]);
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("this is the results.csv of a run") && said.contains("give failed.csv"), "{said}");
    assert!(!desk.path().join("again").exists(), "nothing is left behind");
    let (code, said) = told(desk.path(), "verify out --simulate=calm", &[]);
    assert!(code == 0 || code == 4, "{said}");
    let (code, said) = told(desk.path(), "run out/verified.csv --dry-run", &[]);
    assert!(code == 2 && said.contains("give still-failing.csv"), "{code}: {said}");
    let insisting = "run out/results.csv --simulate=calm --out again --column id";
    assert_eq!(told(desk.path(), insisting, &[]).0, 0);
    // What is fed back is a list.
    assert_eq!(told(desk.path(), "run out/failed.csv --dry-run", &[]).0, 0);
}

#[test]
fn dry_run_explains_each_of_the_first_unusable_rows() {
    let desk = tempfile::tempdir().expect("a folder");
    let names = "ann@contoso.com\n\"o'neil@contoso.com\"\njo smith@contoso.com\nann\n\"\",x\nbob@contoso.com\nsue@contoso.com\n";
    fs::write(desk.path().join("users.csv"), format!("userPrincipalName,note\n{names}")).expect("the list");
    let (code, said) = told(desk.path(), "run users.csv --dry-run", &[]);
    assert_eq!(code, 0, "{said}");
    for line in [
        "4 users · 0 duplicates · 3 unusable (lines 4, 5, 6)",
        "line 4: \"jo smith@contoso.com\": the id holds a blank, U+0020, which no object id and no sign-in name may hold",
        "line 5: \"ann\": neither an object id (GUID) nor a sign-in name (name@domain)",
        "line 6: the id cell is empty",
    ] {
        assert!(said.lines().any(|shown| shown.trim() == line), "{line:?} is not in: {said}");
    }
}

#[test]
fn unreachable_network_is_reported_first_and_at_the_end() {
    let desk = tempfile::tempdir().expect("a folder");
    fs::write(desk.path().join("users.csv"), GOOD).expect("the list");
    // Nothing listens there: the port of a listener that is gone.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let proxy = format!("http://{}", listener.local_addr().expect("its address"));
    drop(listener);
    let asked = "run users.csv --yes --tenant contoso.com --max-stall 2s --progress none";
    let variables = [("HTTPS_PROXY", proxy.as_str()), ("REPROVISION_TOKEN", "pasted")];
    let (code, said) = told(desk.path(), asked, &variables);
    assert_eq!(code, 5, "{said}");
    let why = "does not answer: check HTTPS_PROXY";
    let lines: Vec<_> = said.lines().filter(|line| line.contains(why)).collect();
    let end = "stopped: no answer for any user for 2 s (--max-stall); the last try: ";
    let at = lines.iter().position(|line| line.starts_with(end));
    assert!(at.is_some_and(|at| at > 0), "at once, and at the end: {said}");
    // Where no user was answered yet, a fault that lasts ends the run after three tries in all.
    let many: String = (1..=30).map(|row| format!("{row:08x}-0000-4000-8000-000000000000\n")).collect();
    fs::write(desk.path().join("many.csv"), format!("id\n{many}")).expect("the list");
    let asked = "run many.csv --yes --tenant contoso.com --progress none";
    let (code, said) = told(desk.path(), asked, &variables);
    assert_eq!(code, 5, "{said}");
    let end = format!(
        "stopped: no user was answered, and 3 tries failed alike: the proxy {}",
        &proxy["http://".len()..]
    );
    assert_eq!(said.lines().filter(|line| line.starts_with(&end) && line.contains(why)).count(), 1, "{said}");
    assert!(said.contains("30 rows in, 0 done so far"), "{said}");
}

#[cfg(unix)]
#[test]
fn unwritable_folder_is_reported_with_an_alternative() {
    let desk = tempfile::tempdir().expect("a folder");
    fs::write(desk.path().join("users.csv"), GOOD).expect("the list");
    // A folder below a file can be made by nobody, not even by root.
    let (code, said) = told(desk.path(), "run users.csv --simulate --out users.csv/run", &[]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("cannot create users.csv") && said.contains("--out"), "{said}");
    // A dry run keeps nothing, so that no --out would help; nor does a list on standard output.
    for command in ["run users.csv --dry-run", "find --simulate"] {
        let (code, said) = told(desk.path(), command, &[("TMPDIR", "users.csv")]);
        assert_eq!(code, 1, "{command}: {said}");
        assert!(said.contains("set TMPDIR to a folder") && !said.contains("--out"), "{command}: {said}");
    }
}

#[test]
fn unusable_log_file_is_reported_with_advice() {
    let desk = tempfile::tempdir().expect("a folder");
    fs::write(desk.path().join("users.csv"), GOOD).expect("the list");
    let (code, said) = told(desk.path(), "run --simulate --yes --log-file users.csv/run.log", &[]);
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("--log-file users.csv/run.log: cannot be opened: "), "{said}");
    assert!(said.contains("name a file in a folder where you may write"), "{said}");
}

/// Passed by, they would have the run go without the proxy, or sign in as somebody else.
#[cfg(unix)]
#[test]
fn variable_that_is_not_utf8_is_rejected_by_name() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let desk = tempfile::tempdir().expect("a folder");
    fs::write(desk.path().join("users.csv"), GOOD).expect("the list");
    for (name, why) in [
        ("HTTPS_PROXY", "HTTPS_PROXY is not a proxy address"),
        ("https_proxy", "https_proxy is not a proxy address"),
        ("ALL_PROXY", "ALL_PROXY is not a proxy address"),
        ("NO_PROXY", "NO_PROXY is not valid text"),
        ("AZURE_CLIENT_SECRET", "AZURE_CLIENT_SECRET is not valid text (UTF-8): set it again, or unset it"),
        ("REPROVISION_TOKEN", "REPROVISION_TOKEN is not valid text (UTF-8)"),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_reprovision"))
            .args("run users.csv --yes --tenant contoso.com --max-stall 2s --progress none".split(' '))
            .current_dir(desk.path())
            .env_clear()
            .env("REPROVISION_TOKEN", "pasted")
            .env(name, OsStr::from_bytes(b"http://canary:\xe9@127.0.0.1:9"))
            .stdin(Stdio::null())
            .output()
            .expect("the program runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{name}: {said}");
        assert!(said.contains(why) && !said.contains("canary"), "{name}: {said}");
    }
}
