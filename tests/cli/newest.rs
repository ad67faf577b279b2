//! Which run and which history are meant where several tenants, real and simulated, share one folder.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use crate::service::Service;
use crate::sign_in_support::{reprovision, said};

/// The domain that the simulator's sign-in host knows, and the tenant that it stands for.
const DOMAIN: &str = "simulated.example";
/// Another tenant.
const OTHER: &str = "22222222-0000-4000-8000-000000000002";

const OBJECTS: &str = "[objects]\nusers = 40\nbroken = 0.5\nfails_again = 1.0\neffect_s = [1, 1]\n";

/// Two tenants whose tokens tell which they are, and a folder with a list.
struct Desk {
    folder: tempfile::TempDir,
    _scenarios: [tempfile::TempDir; 2],
    tenants: [Service; 2],
}

impl Desk {
    fn new() -> Self {
        let scenarios = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
        let rules = ["", &*format!("tenant = '{OTHER}'\n")];
        let tenants = [0, 1].map(|at| {
            let rules = format!("title = 'x'\n[token]\nlife_s = 300000\n{}{OBJECTS}", rules[at]);
            Service::of(scenarios[at].path(), &rules)
        });
        let folder = tempfile::tempdir().expect("a folder");
        let list = "id\nuser1@simulated.example\nuser2@simulated.example\n";
        fs::write(folder.path().join("list.csv"), list).expect("the list");
        Self { folder, _scenarios: scenarios, tenants }
    }

    fn command(&self, tenant: usize, arguments: &[&str]) -> Command {
        let service = &self.tenants[tenant];
        let mut command = service.command(self.folder.path(), arguments);
        command.env("AZURE_AUTHORITY_HOST", &service.endpoint);
        command
    }

    /// Runs it with this exit code; what was printed.
    fn ends(&self, tenant: usize, arguments: &[&str], code: i32) -> String {
        let output = self.command(tenant, arguments).output().expect("the program runs");
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", said(&output));
        said(&output)
    }

    fn folder(&self, name: &str) -> String {
        Path::new("reprovision-runs").join(name).display().to_string()
    }
}

#[test]
fn verify_status_and_report_take_the_newest_run_of_the_named_tenant() {
    let desk = Desk::new();
    let run = |tenant: usize, named: &str, name: &str| {
        let out = desk.folder(name);
        desk.ends(tenant, &["run", "list.csv", "--yes", "--tenant", named, "--out", &out], 0);
    };
    run(0, DOMAIN, "first");
    run(1, OTHER, "other");
    let offline = |arguments: &[&str]| reprovision(desk.folder.path(), arguments);
    let simulated = offline(&["run", "list.csv", "--simulate=calm", "--out", &desk.folder("played")]);
    assert_eq!(simulated.status.code(), Some(0), "{}", said(&simulated));
    for (named, name) in
        [(DOMAIN, "first"), ("SIMULATED.example", "first"), (OTHER, "other"), ("simulated", "played")]
    {
        for command in ["status", "report"] {
            let output = offline(&[command, "--tenant", named]);
            let line = format!("{} (the newest of {named})", desk.folder(name));
            assert!(said(&output).contains(&line), "{command} {named}: {}", said(&output));
        }
    }
    for command in ["status", "report"] {
        let line = format!("{} (the newest)", desk.folder("played"));
        assert!(said(&offline(&[command])).contains(&line), "{command}");
        let none = offline(&[command, "--tenant", "fabrikam.com"]);
        assert_eq!(none.status.code(), Some(2), "{}", said(&none));
        assert!(said(&none).contains("no run of the tenant fabrikam.com"), "{}", said(&none));
        let named = offline(&[command, "other", "--tenant", DOMAIN]);
        assert!(said(&named).contains(&desk.folder("other")), "a named run is that run: {}", said(&named));
    }
    for (tenant, named, name) in [(0, DOMAIN, "first"), (1, OTHER, "other")] {
        let told = desk.command(tenant, &["verify"]).env("AZURE_TENANT_ID", named).output().expect("verify");
        assert!(told.status.code() == Some(0) || told.status.code() == Some(4), "{}", said(&told));
        assert!(said(&told).contains(&format!("Run      {}", desk.folder(name))), "{}", said(&told));
    }
    let told = offline(&["verify", "--simulate=calm"]);
    assert!(said(&told).contains(&desk.folder("played")), "{}", said(&told));
    let told = offline(&["verify", "--simulate=default"]);
    assert!(
        told.status.code() == Some(2) && said(&told).contains("no run of the simulated tenant default"),
        "{}",
        said(&told)
    );
}

#[test]
fn each_tenant_that_is_swept_from_one_folder_has_its_own_history() {
    let desk = Desk::new();
    let sweep = |tenant: usize, named: &str, first: bool| {
        let arguments = ["sweep", "--yes", "--rate", "fixed:5000", "--tenant", named];
        let told = desk.ends(tenant, &arguments, 0);
        assert_eq!(told.contains("the baseline"), first, "{told}");
        assert_eq!(told.contains("Last run"), !first, "{told}");
        desk.tenants[tenant].ask("/__advance?86400");
    };
    for first in [true, false] {
        sweep(0, DOMAIN, first);
        sweep(1, OTHER, first);
    }
    let simulated: Output = reprovision(desk.folder.path(), &["sweep", "--simulate=calm"]);
    assert!(said(&simulated).contains("the baseline"), "{}", said(&simulated));
    let runs = desk.folder.path().join("reprovision-runs");
    let history = |tenant: &str| runs.join(format!("history-{tenant}-users.csv"));
    assert!(history(OTHER).is_file() && history("simulated").is_file());
    // A history that was begun when there was one name for all tenants.
    let (own, before) = (history("51a51a51-0000-4000-8000-000000000001"), runs.join("history-users.csv"));
    for tail in ["", ".lock"] {
        let from = format!("{}{tail}", own.display());
        fs::rename(from, format!("{}{tail}", before.display())).expect("renamed");
    }
    sweep(0, DOMAIN, false);
    assert!(before.is_file() && !own.exists());
}

/// Lists that `run --from-find` left in the folder of runs.
fn lists(desk: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(desk.join("reprovision-runs")).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.path())
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("found-")))
        .collect()
}

#[test]
fn from_find_without_errors_leaves_no_list() {
    let desk = tempfile::tempdir().expect("a folder");
    let scenarios = tempfile::tempdir().expect("a folder");
    let rules = "title = 'x'\n[objects]\nusers = 30\nlater = 1.0\nlater_days = 1\n";
    let service = Service::of(scenarios.path(), rules);
    let run = |more: &[&str]| {
        let arguments = [&["run", "--from-find", "--yes", "--rate", "fixed:5000"], more].concat();
        let output = service.command(desk.path(), &arguments).output().expect("run");
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        said(&output)
    };
    service.ask("/__advance?1");
    for more in [&[][..], &["--dry-run"], &["--verify", "1s"]] {
        let told = run(more);
        // One of the thirty may have broken in the first second.
        if service.account("/__ledger/errors")["users"]["untouched"] == 0 {
            assert!(told.contains("nothing to do: none of the users"), "{told}");
            assert_eq!(lists(desk.path()), Vec::<std::path::PathBuf>::new(), "{more:?}");
        }
    }
    service.ask("/__advance?172800");
    run(&["--limit", "1"]);
    // As an earlier version left it behind.
    let [list] = &lists(desk.path())[..] else { panic!("the list of a run that is not complete") };
    let text = fs::read_to_string(list).expect("the list");
    fs::write(list, text.lines().next().expect("a header").to_owned() + "\n").expect("written");
    run(&[]);
    assert_eq!(service.account("/__ledger/errors")["users"]["untouched"], 0);
    assert_eq!(lists(desk.path()), Vec::<std::path::PathBuf>::new());
}

#[cfg(unix)]
#[test]
fn run_with_nothing_to_do_verifies_no_other_run() {
    let desk = tempfile::tempdir().expect("a folder");
    let service = Service::of(desk.path(), &format!("title = 'x'\n{OBJECTS}"));
    fs::write(desk.path().join("empty.csv"), "id\n").expect("written");
    fs::write(desk.path().join("list.csv"), "id\nuser1@simulated.example\n").expect("written");
    let run = ["run", "list.csv", "--yes", "--out", "reprovision-runs/earlier"];
    assert_eq!(service.command(desk.path(), &run).output().expect("run").status.code(), Some(0));
    // In a container every invocation has the same process id.
    let same_id = format!(
        "sed -i \"s/\\\"pid\\\": [0-9]*/\\\"pid\\\": $$/\" reprovision-runs/earlier/run.json && exec {} run empty.csv --yes --verify 1s",
        env!("CARGO_BIN_EXE_reprovision")
    );
    let mut shell = Command::new("sh");
    shell
        .args(["-c", &same_id])
        .current_dir(desk.path())
        .env("REPROVISION_ENDPOINT", &service.endpoint)
        .env("REPROVISION_TOKEN", &service.token)
        .env_remove("AZURE_TENANT_ID");
    let output = shell.output().expect("the shell");
    assert!(output.status.success() && said(&output).contains("nothing to do"), "{}", said(&output));
    assert!(
        !said(&output).contains("Verifying") && !said(&output).contains("Looked at"),
        "{}",
        said(&output)
    );
}
