//! `schedule` with the binary: each unit parses, names the command and sorts the exit codes.

use std::process::{Command, Output};

use yaml_rust2::{Yaml, YamlLoader};

fn schedule(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_reprovision"))
        .arg("schedule")
        .args(arguments)
        .env_remove("AZURE_TENANT_ID")
        .output()
        .expect("the program runs")
}

fn unit(kind: &str) -> String {
    let output = schedule(&[kind, "--tenant", "fabrikam.com", "--at", "03:05"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(text.contains("fabrikam.com") && text.contains("sweep"), "{text}");
    assert!(
        !text.contains('@') || kind == "github" || kind == "azure-devops",
        "a placeholder is left: {text}"
    );
    text
}

fn yaml(kind: &str) -> Yaml {
    let mut found = YamlLoader::load_from_str(&unit(kind)).expect("YAML");
    assert_eq!(found.len(), 1);
    found.remove(0)
}

/// Runs the shell part of a unit with a `reprovision` that ends so; the exit code and what was said.
#[cfg(unix)]
fn shell(options: &str, script: &str, code: i32) -> (Option<i32>, String) {
    let output = Command::new("bash")
        .args([options, &format!("reprovision() {{ echo talk; return {code}; }}\n{script}")])
        .output()
        .expect("bash runs");
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Codes that a person must see, and codes that the next night deals with.
#[cfg(unix)]
fn sorts_exit_codes(script: &str) {
    for code in [0, 5, 8, 130, 143] {
        assert_eq!(shell("-ec", script, code).0, Some(0), "{code}");
    }
    for code in [1, 2, 3, 4, 6, 7, 101] {
        assert_eq!(shell("-ec", script, code).0, Some(code), "{code}");
    }
}

#[test]
fn kubernetes_job_fails_only_for_codes_that_need_a_person() {
    let unit = yaml("kubernetes");
    assert_eq!(unit["kind"].as_str(), Some("CronJob"));
    assert_eq!(unit["spec"]["schedule"].as_str(), Some("5 3 * * *"));
    assert_eq!(unit["spec"]["concurrencyPolicy"].as_str(), Some("Forbid"));
    let job = &unit["spec"]["jobTemplate"]["spec"];
    let fatal = &job["podFailurePolicy"]["rules"][1];
    let codes: Vec<_> =
        fatal["onExitCodes"]["values"].as_vec().expect("codes").iter().filter_map(Yaml::as_i64).collect();
    assert_eq!((fatal["action"].as_str(), codes), (Some("FailJob"), vec![1, 2, 3, 4, 6, 7]));
    let pod = &job["template"]["spec"];
    assert_eq!(pod["restartPolicy"].as_str(), Some("Never"), "the policy asks for it");
    let container = &pod["containers"][0];
    assert_eq!(container["name"].as_str(), fatal["onExitCodes"]["containerName"].as_str());
    assert_eq!(container["args"][0].as_str(), Some("sweep"));
    assert_eq!(container["args"][2].as_str(), Some("fabrikam.com"));
}

/// The unit gives arguments alone, a user and a folder: the image must have been made for them.
#[test]
fn dockerfile_matches_the_kubernetes_unit() {
    let file = include_str!("../../samples/Dockerfile");
    let last = file.rsplit("\nFROM ").next().expect("the image that is kept");
    let said = |word: &str| {
        let line = last.lines().find_map(|line| line.strip_prefix(word));
        line.unwrap_or_else(|| panic!("no {word} in {last}")).trim().to_owned()
    };
    let unit = yaml("kubernetes");
    let pod = &unit["spec"]["jobTemplate"]["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    assert_eq!(pod["securityContext"]["runAsUser"].as_i64(), said("USER").parse().ok());
    assert_eq!(container["workingDir"].as_str(), Some(&*said("WORKDIR")));
    assert!(container["command"].is_badvalue(), "the image has its own");
    let program = said("COPY --from=build");
    let program = program.split(' ').next_back().expect("a place");
    assert_eq!(said("ENTRYPOINT"), format!("[{program:?}]"));
    let image = container["image"].as_str().expect("a name");
    assert!(image.ends_with(concat!(":", env!("CARGO_PKG_VERSION"))), "{image}");
    let build = format!("docker build -f samples/Dockerfile -t {image} .");
    assert!(file.contains(&build), "{image}");
    assert!(include_str!("../../src/commands/schedule/kubernetes").contains(&build), "{image}");
    assert!(
        !file.contains("COPY . "),
        "runs in the source folder, with ids of users, would become part of the image"
    );
}

#[test]
fn github_and_azure_devops_units_handle_each_exit_code() {
    let github = yaml("github");
    assert_eq!(github["on"]["schedule"][0]["cron"].as_str(), Some("5 3 * * *"));
    assert_eq!(github["permissions"]["id-token"].as_str(), Some("write"));
    let step = named(&github["jobs"]["sweep"]["steps"], "Sweep");
    let azure = yaml("azure-devops");
    assert_eq!(azure["schedules"][0]["cron"].as_str(), Some("5 3 * * *"));
    let task = named(&azure["jobs"][0]["steps"], "Sweep");
    assert_eq!(task["env"]["SYSTEM_ACCESSTOKEN"].as_str(), Some("$(System.AccessToken)"));
    let ended = named(&azure["jobs"][1]["steps"], "Exit code");
    #[cfg(unix)]
    {
        sorts_exit_codes(step["run"].as_str().expect("a script"));
        let desk = tempfile::tempdir().expect("a folder");
        let script = task["inputs"]["inlineScript"].as_str().expect("a script");
        let script = script.replace("$(Pipeline.Workspace)", &desk.path().display().to_string());
        let ended = ended["script"].as_str().expect("a script");
        // What one job hands over the other one takes.
        sorts_exit_codes(&format!(
            "said=$(\n{script}\n)\ncode=${{said##*]}}\n{}",
            ended.replace("$(code)", "$code")
        ));
    }
    #[cfg(not(unix))]
    assert!(step["run"].as_str().is_some() && ended["script"].as_str().is_some());
}

/// The step of that name.
fn named<'a>(steps: &'a Yaml, name: &str) -> &'a Yaml {
    let is = |step: &&Yaml| ["name", "displayName"].iter().any(|key| step[*key].as_str() == Some(name));
    steps.as_vec().expect("steps").iter().find(is).expect(name)
}

/// A cache that is saved only when all went well would forget the nights on which a person is called, and call again.
#[test]
fn history_is_cached_after_a_failed_sweep() {
    let github = yaml("github");
    let steps = github["jobs"]["sweep"]["steps"].as_vec().expect("steps");
    let uses = |action: &str| {
        let is = |step: &&Yaml| step["uses"].as_str().is_some_and(|uses| uses.starts_with(action));
        steps.iter().position(|step| is(&step)).map(|at| (at, &steps[at]))
    };
    assert!(uses("actions/cache@").is_none(), "it saves nothing when the job fails");
    let (restored, _) = uses("actions/cache/restore@").expect("restored");
    let (saved, save) = uses("actions/cache/save@").expect("saved");
    let sweep = steps.iter().position(|step| step["name"].as_str() == Some("Sweep")).expect("swept");
    assert!(restored < sweep && sweep < saved);
    assert_eq!(save["if"].as_str(), Some("always()"));
    assert_eq!(save["with"], {
        let mut with = steps[restored]["with"].clone();
        if let Yaml::Hash(with) = &mut with {
            with.remove(&Yaml::String("restore-keys".to_owned()));
        }
        with
    });
    let azure = yaml("azure-devops");
    let (sweep, ended) = (&azure["jobs"][0], &azure["jobs"][1]);
    // The job with the cache always ends well; the one behind it fails.
    let script = named(&sweep["steps"], "Sweep")["inputs"]["inlineScript"].as_str().expect("a script");
    assert!(!script.contains("exit "), "{script}");
    assert_eq!(ended["dependsOn"].as_str(), sweep["job"].as_str());
    assert_eq!(
        ended["variables"]["code"].as_str(),
        Some("$[ dependencies.sweep.outputs['sweep.code'] ]"),
        "job and step of the variable"
    );
}

#[test]
fn hosted_runner_installs_the_program_first() {
    for (kind, job, key) in [("github", "sweep", "run"), ("azure-devops", "", "script")] {
        let unit = yaml(kind);
        let jobs = &unit["jobs"];
        let steps = if job.is_empty() { &jobs[0]["steps"] } else { &jobs[job]["steps"] };
        let build = named(steps, "Build")[key].as_str().expect("a script");
        assert!(build.starts_with("cargo install --path . --locked"), "{kind}: {build}");
    }
}

#[cfg(unix)]
#[test]
fn cron_mails_only_for_codes_that_need_a_person() {
    let unit = unit("cron");
    let line = unit.lines().last().expect("a line");
    // The paths of cron itself are /usr/bin and /bin alone.
    assert!(unit.lines().any(|line| line.starts_with("PATH=/usr/local/bin:")), "{unit}");
    let fields: Vec<&str> = line.splitn(7, ' ').collect();
    assert_eq!(fields[..6], ["5", "3", "*", "*", "*", "reprovision"]);
    assert!(!fields[6].contains('%'), "cron takes % for a line end");
    let (_, command) = fields[6].split_once("set +a && ").expect("the part after the secrets");
    for code in [0, 5, 8, 130, 143] {
        assert_eq!(shell("-c", command, code).1, "", "{code}");
    }
    for code in [1, 2, 3, 4, 6, 7] {
        assert_eq!(shell("-c", command, code).1, "talk\n", "{code}");
    }
}

#[test]
fn systemd_restarts_only_resumable_exit_codes() {
    let text = unit("systemd");
    let mut section = "";
    let mut settings = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        match line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            Some(name) => section = name,
            None => settings.push((section, line.split_once('=').expect("NAME=VALUE"))),
        }
    }
    for wanted in [
        ("Service", ("SuccessExitStatus", "8")),
        ("Service", ("RestartPreventExitStatus", "1 2 3 4 6 7")),
        ("Service", ("Restart", "on-failure")),
        ("Service", ("Environment", "AZURE_CLIENT_CERTIFICATE_PATH=%d/app.pem")),
        ("Timer", ("OnCalendar", "*-*-* 03:05:00 UTC")),
    ] {
        assert!(settings.contains(&wanted), "{wanted:?} in {settings:?}");
    }
    assert!(!text.to_lowercase().contains("client_secret"), "no secret in a unit");
}

#[test]
fn tenant_with_unit_syntax_is_rejected() {
    for tenant in ["a;rm -rf /", "$(id)", "a b", "", "--yes", "a\nb", "\"", "a%b"] {
        let output = schedule(&["cron", &format!("--tenant={tenant}")]);
        assert_eq!(output.status.code(), Some(2), "{tenant:?}");
    }
    for time in ["25:00", "2:60", "noon", "-1:00"] {
        assert_eq!(schedule(&["cron", &format!("--at={time}")]).status.code(), Some(2), "{time}");
    }
}
