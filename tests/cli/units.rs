//! The units of `schedule`, each run as its scheduler runs it, in an empty folder, two nights in a row.

#![cfg(unix)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use yaml_rust2::{Yaml, YamlLoader};

use crate::sign_in_support::{Stage, fixture, said};

/// Some users with an error, of which none is cleared: the second night meets them again.
const TENANT: &str = "writes_per_second = 0.0\nseed = 7\n[objects]\nusers = 60\nbroken = 0.5\nfails_again = 1.0\neffect_s = [0, 0]\n";

/// One machine on which a unit runs.
struct Machine {
    stage: Stage,
    /// Where the unit works: empty before the first night.
    work: PathBuf,
    /// Secrets and programs, which the unit finds in place.
    around: tempfile::TempDir,
}

impl Machine {
    fn new() -> Self {
        let stage = Stage::new(TENANT, 0);
        let around = tempfile::tempdir().expect("a folder");
        let work = around.path().join("work");
        fs::create_dir(&work).expect("a folder");
        fs::create_dir(around.path().join("bin")).expect("a folder");
        let program = around.path().join("bin/reprovision");
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_reprovision"), program).expect("a link");
        fs::copy(fixture("app.pem"), around.path().join("app.pem")).expect("copied");
        let (app, _) = stage.simulator.app();
        let pem = around.path().join("app.pem");
        let env = format!("AZURE_CLIENT_ID={app}\nAZURE_CLIENT_CERTIFICATE_PATH={}\n", pem.display());
        fs::write(around.path().join("env"), env).expect("written");
        fs::write(
            around.path().join("assertion"),
            // {"alg":"RS256"} . {"exp":99999999999}
            "eyJhbGciOiJSUzI1NiJ9.eyJleHAiOjk5OTk5OTk5OTk5fQ.c2lt",
        )
        .expect("written");
        Self { stage, work, around }
    }

    fn path(&self, name: &str) -> String {
        self.around.path().join(name).display().to_string()
    }

    /// The unit as it is printed for the tenant.
    fn unit(&self, kind: &str) -> String {
        let tenant = self.stage.simulator.tenant_id();
        let output = Command::new(env!("CARGO_BIN_EXE_reprovision"))
            .args(["schedule", kind, "--tenant", tenant])
            .output()
            .expect("the program runs");
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    /// Runs a command line of the unit with the variables that its scheduler sets.
    fn run(&self, words: &[&str], variables: &[(&str, &str)]) -> Output {
        Command::new(words[0])
            .args(&words[1..])
            .current_dir(&self.work)
            .env_clear()
            .env("PATH", format!("{}:/usr/bin:/bin", self.path("bin")))
            // No unit may need a temporary folder: some machines have a file system that is read-only elsewhere.
            .env("TMPDIR", "/nowhere")
            .env("AZURE_AUTHORITY_HOST", self.stage.simulator.url())
            .env("REPROVISION_ENDPOINT", self.stage.simulator.url())
            .env("REPROVISION_CA_FILE", self.stage.folder.path().join("ca.pem"))
            .envs(variables.iter().copied())
            .stdin(std::process::Stdio::null())
            .output()
            .expect("the unit's shell")
    }

    /// Every night ends well, and the second knows what the first did.
    fn nights(&self, history: &Path, keep: impl Fn(), night: impl Fn() -> Output) {
        for number in 1..=2 {
            let output = night();
            assert_eq!(output.status.code(), Some(0), "night {number}: {}", said(&output));
            let text = fs::read_to_string(history).unwrap_or_else(|error| {
                panic!("night {number}: {}: {error}: {}", history.display(), said(&output))
            });
            let ledger = self.stage.simulator.ledger();
            assert!(ledger.accepted > 5, "night {number} sent {}: {}", ledger.accepted, said(&output));
            assert_eq!(text.lines().count() as u64 - 1, ledger.accepted, "{text}");
            keep();
        }
    }

    /// The folder that the unit works in is kept from night to night, with history and runs.
    fn keeps_its_folder(&self) {
        let runs = fs::read_dir(self.work.join("reprovision-runs")).expect("the folder of runs").flatten();
        let complete: Vec<_> = runs.filter(|run| run.path().join("summary.json").exists()).collect();
        assert_eq!(complete.len(), 1, "the first night sent, the second had nobody to send: {complete:?}");
    }
}

fn yaml(text: &str) -> Yaml {
    YamlLoader::load_from_str(text).expect("YAML").remove(0)
}

fn step<'a>(steps: &'a Yaml, name: &str) -> &'a Yaml {
    let is = |step: &&Yaml| ["name", "displayName"].iter().any(|key| step[*key].as_str() == Some(name));
    steps.as_vec().expect("steps").iter().find(is).expect(name)
}

#[test]
fn cron_line_runs_twice_in_an_empty_folder() {
    let machine = Machine::new();
    let unit = machine.unit("cron");
    let line = unit.lines().last().expect("a line").splitn(7, ' ').last().expect("a command").to_owned();
    let line = line
        .replace("/var/lib/reprovision", &machine.work.display().to_string())
        .replace("/etc/reprovision", &machine.around.path().display().to_string());
    machine.nights(
        &machine.work.join("history.csv"),
        || machine.keeps_its_folder(),
        || {
            let output = machine.run(&["/bin/sh", "-c", &line], &[]);
            assert_eq!(said(&output), "", "cron mails what is printed");
            output
        },
    );
}

#[test]
fn systemd_service_runs_twice_in_an_empty_folder() {
    let machine = Machine::new();
    let unit = machine.unit("systemd");
    let (app, _) = machine.stage.simulator.app();
    let value = |name: &str| {
        let lines = unit.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        lines.map(|line| line.replace("%d", &machine.path("")).replace("//", "/")).collect::<Vec<_>>()
    };
    let [command] = &value("ExecStart")[..] else { panic!("one command: {unit}") };
    let command = command.replace("/usr/local/bin", &machine.path("bin"));
    let environment = value("Environment");
    let mut variables: Vec<(&str, &str)> =
        environment.iter().map(|line| line.split_once('=').expect("NAME=VALUE")).collect();
    for variable in variables.iter_mut().filter(|(name, _)| *name == "AZURE_CLIENT_ID") {
        variable.1 = app;
    }
    let words: Vec<&str> = command.split(' ').collect();
    machine.nights(
        &machine.work.join("history.csv"),
        || machine.keeps_its_folder(),
        || machine.run(&words, &variables),
    );
}

#[test]
fn kubernetes_pod_runs_twice_in_an_empty_folder() {
    let machine = Machine::new();
    let unit = yaml(&machine.unit("kubernetes"));
    let pod = &unit["spec"]["jobTemplate"]["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    assert_eq!(container["workingDir"], container["volumeMounts"][0]["mountPath"], "what is kept");
    let words =
        container["args"].as_vec().expect("arguments").iter().map(|word| word.as_str().expect("text"));
    let words: Vec<&str> = ["reprovision"].into_iter().chain(words).collect();
    // The webhook of workload identity sets these.
    let (app, assertion) = (machine.stage.simulator.app().0, machine.path("assertion"));
    let variables = [("AZURE_CLIENT_ID", app), ("AZURE_FEDERATED_TOKEN_FILE", &*assertion)];
    machine.nights(
        &machine.work.join("history.csv"),
        || machine.keeps_its_folder(),
        || machine.run(&words, &variables),
    );
}

/// A runner of the host is new every night: all that is left of the one before is what the cache holds.
fn only(folder: &Path, kept: &Path) {
    for entry in fs::read_dir(folder).expect("listed").flatten().filter(|entry| entry.path() != *kept) {
        let removed = match entry.path() {
            path if path.is_dir() => fs::remove_dir_all(path),
            path => fs::remove_file(path),
        };
        removed.expect("removed");
    }
}

#[test]
fn github_step_runs_twice_with_its_cached_history() {
    let machine = Machine::new();
    let unit = yaml(&machine.unit("github"));
    let script = step(&unit["jobs"]["sweep"]["steps"], "Sweep")["run"].as_str().expect("a script").to_owned();
    let (_, job) = machine.stage.simulator.keys();
    let url = format!("{}/github/idtoken?x=1", machine.stage.simulator.url());
    let variables = [
        ("AZURE_CLIENT_ID", machine.stage.simulator.app().0),
        ("ACTIONS_ID_TOKEN_REQUEST_URL", &*url),
        ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", job),
        ("CI", "true"),
    ];
    let history = machine.work.join("history.csv");
    machine.nights(
        &history,
        || only(&machine.work, &history),
        || machine.run(&["bash", "-e", "-c", &script], &variables),
    );
}

#[test]
fn azure_devops_steps_run_twice_with_their_cached_history() {
    let machine = Machine::new();
    let unit = yaml(&machine.unit("azure-devops"));
    let task = step(&unit["jobs"][0]["steps"], "Sweep");
    let workspace = machine.path("workspace");
    let place = |text: &str| text.replace("$(Pipeline.Workspace)", &workspace);
    let script = place(task["inputs"]["inlineScript"].as_str().expect("a script"));
    let steps = unit["jobs"][0]["steps"].as_vec().expect("steps");
    let cache = steps.iter().find(|step| step["task"].as_str() == Some("Cache@2")).expect("a cache");
    let cached = cache["inputs"]["path"].as_str().map(place);
    let ended = step(&unit["jobs"][1]["steps"], "Exit code")["script"].as_str().expect("a script");
    let (_, job) = machine.stage.simulator.keys();
    let url = format!("{}/ado/oidctoken", machine.stage.simulator.url());
    let variables = [
        ("AZURE_CLIENT_ID", machine.stage.simulator.app().0),
        ("SYSTEM_OIDCREQUESTURI", &*url),
        ("SYSTEM_ACCESSTOKEN", job),
        ("AZURESUBSCRIPTION_SERVICE_CONNECTION_ID", "connection"),
        ("TF_BUILD", "True"),
    ];
    let history = Path::new(&cached.expect("a path")).join("history.csv");
    machine.nights(
        &history,
        || only(&machine.work, &history),
        || {
            let output = machine.run(&["bash", "-c", &script], &variables);
            let text = said(&output);
            let (_, code) = text.split_once("isOutput=true]").unwrap_or_else(|| panic!("no code in {text}"));
            let code = code.lines().next().expect("a code");
            let ended = machine.run(&["bash", "-c", &ended.replace("$(code)", code)], &[]);
            assert_eq!(ended.status.code(), Some(0), "{text}{}", said(&ended));
            output
        },
    );
}
