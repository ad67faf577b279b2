//! Every way to sign in, with the binary against a simulator that speaks TLS; and every way in which it fails.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::process::Output;
use std::time::Instant;

use crate::sign_in_support::{Stage, fixture, said};

const CALM: &str = "writes_per_second = 0.0\n";

#[test]
fn token_is_read_from_variable_file_and_command() {
    let stage = Stage::new(CALM, 3);
    let token = stage.simulator.token();
    stage.all_accepted(&stage.run("token", &[("REPROVISION_TOKEN", &token)]));
    let file = stage.folder.path().join("given.token");
    fs::write(&file, &token).expect("written");
    let command = if cfg!(windows) { "type given.token" } else { "cat given.token" };
    for (variable, value) in
        [("REPROVISION_TOKEN_FILE", "given.token"), ("REPROVISION_TOKEN_COMMAND", command)]
    {
        fs::remove_dir_all(stage.folder.path().join("out")).expect("removed");
        stage.all_accepted(&stage.run("auto", &[(variable, value)]));
    }
}

#[test]
fn client_secret_sign_in_works_and_is_reported() {
    let stage = Stage::new(CALM, 3);
    let output = stage.run("auto", &stage.secret());
    stage.all_accepted(&output);
    assert!(
        said(&output).contains(
            "Sign-in  secret (AZURE_CLIENT_SECRET)\n         not set up: certificate, workload, github, "
        ),
        "{}",
        said(&output)
    );
    assert!(said(&output).contains("(client secret)"), "{}", said(&output));
    assert_eq!(stage.simulator.ledger().tokens, 1);
}

#[test]
fn certificate_sign_in_works_with_and_without_chain() {
    for chain in ["0", "1"] {
        let stage = Stage::new(CALM, 3);
        let file = fixture("app.pem").to_string_lossy().into_owned();
        let variables = [
            stage.secret()[0],
            ("AZURE_CLIENT_CERTIFICATE_PATH", file.as_str()),
            ("AZURE_CLIENT_SEND_CERTIFICATE_CHAIN", chain),
        ];
        stage.all_accepted(&stage.run("auto", &variables));
    }
}

#[test]
fn unusable_certificate_is_reported_with_advice() {
    let stage = Stage::new(CALM, 3);
    for (name, part) in [
        ("app.pfx", "openssl pkcs12 -in"),
        ("app.pfx", "ExportPkcs8PrivateKeyPem"),
        ("encrypted.pem", "openssl pkey -in"),
        ("mismatched.pem", "do not belong together"),
        ("missing.pem", "cannot read the certificate"),
    ] {
        let file = fixture(name).to_string_lossy().into_owned();
        let variables = [stage.secret()[0], ("AZURE_CLIENT_CERTIFICATE_PATH", file.as_str())];
        stage.refused(&stage.run("certificate", &variables), part);
    }
}

#[test]
fn workload_identity_works_from_file_github_and_azure_devops() {
    let stage = Stage::new(CALM, 3);
    let app = stage.secret()[0];
    // {"alg":"RS256"} . {"exp":99999999999}
    fs::write(
        stage.folder.path().join("given.token"),
        "eyJhbGciOiJSUzI1NiJ9.eyJleHAiOjk5OTk5OTk5OTk5fQ.c2lt",
    )
    .expect("written");
    stage.all_accepted(&stage.run("auto", &[app, ("AZURE_FEDERATED_TOKEN_FILE", "given.token")]));
    let (_, job) = stage.simulator.keys();
    let (github, devops) = (
        format!("{}/github/idtoken?x=1", stage.simulator.url()),
        format!("{}/ado/oidctoken", stage.simulator.url()),
    );
    fs::remove_dir_all(stage.folder.path().join("out")).expect("removed");
    let variables =
        [app, ("ACTIONS_ID_TOKEN_REQUEST_URL", github.as_str()), ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", job)];
    stage.all_accepted(&stage.run("auto", &variables));
    fs::remove_dir_all(stage.folder.path().join("out")).expect("removed");
    let variables = [
        app,
        ("SYSTEM_OIDCREQUESTURI", devops.as_str()),
        ("SYSTEM_ACCESSTOKEN", job),
        ("AZURESUBSCRIPTION_SERVICE_CONNECTION_ID", "connection"),
    ];
    stage.all_accepted(&stage.run("auto", &variables));
}

#[test]
fn managed_identity_waits_for_a_busy_endpoint() {
    let stage = Stage::new(&format!("{CALM}[token]\nidentity_faults = [404, 429, 410]\n"), 3);
    let host = stage.simulator.url();
    let output = stage.run("managed-identity", &[("AZURE_POD_IDENTITY_AUTHORITY_HOST", &host)]);
    stage.all_accepted(&output);
    assert!(said(&output).contains("managed identity of this machine"), "{}", said(&output));
    // Found by itself as well: the endpoint refuses the question without its header.
    fs::remove_dir_all(stage.folder.path().join("out")).expect("removed");
    let output = stage.run("auto", &[("AZURE_POD_IDENTITY_AUTHORITY_HOST", &host), ("PATH", "")]);
    stage.all_accepted(&output);
}

#[test]
fn missing_managed_identity_exits_6_and_sends_nothing() {
    for status in [404, 410, 429] {
        // The wait that it asks for is longer than anybody waits.
        let stage =
            Stage::new(&format!("{CALM}[token]\nidentity_faults = [{status}]\nidentity_wait_s = 300\n"), 3);
        let host = stage.simulator.url();
        let output = stage.run("managed-identity", &[("AZURE_POD_IDENTITY_AUTHORITY_HOST", &host)]);
        stage.refused(&output, &format!("managed identity: the endpoint answered HTTP {status}"));
    }
}

#[test]
fn app_service_identity_works_and_a_missing_one_is_named() {
    let stage = Stage::new(CALM, 3);
    let (key, _) = stage.simulator.keys();
    let endpoint = format!("{}/msi/token", stage.simulator.url());
    let service = [("IDENTITY_ENDPOINT", endpoint.as_str()), ("IDENTITY_HEADER", key)];
    let wrong = [&service[..], &[("AZURE_CLIENT_ID", "another")]].concat();
    stage.refused(
        &stage.run("auto", &wrong),
        "is the user-assigned identity another (AZURE_CLIENT_ID) assigned",
    );
    stage.all_accepted(&stage.run("auto", &[&service[..], &[stage.secret()[0]]].concat()));
}

#[cfg(unix)]
#[test]
fn azure_cli_works_signed_in_and_is_reported_signed_out() {
    use std::os::unix::fs::PermissionsExt;
    let stage = Stage::new(CALM, 3);
    let (bin, token) = (stage.folder.path().join("bin"), stage.simulator.token());
    fs::create_dir(&bin).expect("a folder");
    let az = |text: &str| {
        fs::write(bin.join("az"), format!("#!/bin/sh\n{text}\n")).expect("written");
        fs::set_permissions(bin.join("az"), fs::Permissions::from_mode(0o755)).expect("set");
    };
    fs::write(stage.folder.path().join("given.token"), format!("{{\"accessToken\":\"{token}\",\"expires_on\":99999999999,\"expiresOn\":\"2026-01-01 00:00:00.000000\"}}")).expect("written");
    let path = format!("{}:/usr/bin:/bin", bin.display());
    az("echo \"ERROR: Please run 'az login' to setup account.\" >&2; exit 1");
    stage.refused(&stage.run("az", &[("PATH", &path)]), "az login --tenant");
    az("printf '%s\\n' \"$@\" > arguments; cat given.token");
    stage.all_accepted(&stage.run("az", &[("PATH", &path)]));
    let arguments = fs::read_to_string(stage.folder.path().join("arguments")).expect("the arguments");
    let tenant = stage.simulator.tenant_id();
    assert_eq!(
        arguments,
        format!(
            "account\nget-access-token\n--scope\nhttps://graph.microsoft.com/.default\n--output\njson\n--tenant\n{tenant}\n"
        )
    );
    stage.refused_without_az();
}

impl Stage {
    #[cfg(unix)]
    fn refused_without_az(&self) {
        fs::remove_dir_all(self.folder.path().join("out")).expect("removed");
        let output = self.run("az", &[("PATH", "")]);
        assert_eq!(output.status.code(), Some(6), "{}", said(&output));
        assert!(said(&output).contains("Azure CLI (az) is not installed"), "{}", said(&output));
    }

    /// Starts a run, hands the lines of standard error over until `done`, and waits for the end.
    fn talk(&self, auth: &str, mut done: impl FnMut(&str) -> bool) -> Output {
        let command = ["run", "users.csv", "--yes", "--out", "out", "--auth", auth];
        let mut child =
            self.program(&command, &[self.secret()[0], ("BROWSER", "true")]).spawn().expect("started");
        if cfg!(target_os = "linux") {
            let line = fs::read(format!("/proc/{}/cmdline", child.id())).expect("a command line");
            assert!(!String::from_utf8_lossy(&line).contains("of-no-value"));
        }
        let mut lines = BufReader::new(child.stderr.take().expect("piped"));
        let mut read = String::new();
        let mut line = String::new();
        while lines.read_line(&mut line).expect("text") > 0 {
            read.push_str(&line);
            if done(line.trim()) {
                break;
            }
            line.clear();
        }
        lines.read_to_string(&mut read).expect("text");
        let mut output = child.wait_with_output().expect("ended");
        output.stderr = read.into_bytes();
        output
    }
}

#[test]
fn device_code_waits_for_the_person() {
    let stage = Stage::new(&format!("{CALM}[token]\npending = 1\n"), 3);
    let output = stage.talk("device-code", |line| line.contains("enter the code SIM-ULATED"));
    stage.all_accepted(&output);
    assert!(said(&output).contains("(device code)"), "{}", said(&output));
}

#[test]
fn device_code_works_without_error_descriptions() {
    let stage = Stage::new(&format!("{CALM}[token]\npending = 2\nbare_errors = true\n"), 3);
    let app = [("AZURE_CLIENT_ID", stage.simulator.app().0)];
    stage.all_accepted(&stage.run("device-code", &app));
}

#[test]
fn device_code_polling_keeps_the_requested_interval() {
    let stage = Stage::new(&format!("{CALM}[token]\nfaults = [429]\nfaults_wait_s = 4\n"), 3);
    let began = std::time::Instant::now();
    let output = stage.talk("device-code", |line| line.contains("enter the code SIM-ULATED"));
    stage.all_accepted(&output);
    // One interval before the look that was refused, and the pause.
    assert!(began.elapsed() >= std::time::Duration::from_secs(1 + 4), "{:?}", began.elapsed());
}

#[cfg(unix)]
#[test]
fn ctrl_c_cancels_a_long_sign_in() {
    let stage = Stage::new(&format!("{CALM}[token]\npending = 1000\n"), 3);
    let command = ["run", "users.csv", "--yes", "--out", "out", "--auth", "device-code"];
    let mut child = stage.program(&command, &[stage.secret()[0]]).spawn().expect("started");
    let mut lines = BufReader::new(child.stderr.take().expect("piped"));
    let mut read = String::new();
    while !read.contains("enter the code") {
        assert!(lines.read_line(&mut read).expect("text") > 0, "{read}");
    }
    let killed = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(killed.expect("kill").success());
    lines.read_to_string(&mut read).expect("text");
    assert_eq!(child.wait().expect("ended").code(), Some(130), "{read}");
    assert!(read.contains("nothing was sent"), "{read}");
    assert_eq!(stage.simulator.ledger().arrivals, 0);
}

#[test]
fn browser_sign_in_uses_pkce_and_loopback_redirect() {
    let stage = Stage::new(CALM, 3);
    let authority =
        reqwest::Certificate::from_pem(stage.simulator.authority().expect("TLS").as_bytes()).expect("a CA");
    let output = stage.talk("browser", |line| {
        if !line.starts_with("https://") {
            return false;
        }
        stage.runtime.block_on(async {
            let network = reprovision::net::Network {
                timeout: std::time::Duration::from_secs(5),
                http1: false,
                roots: vec![authority.clone()],
                machine: None,
            };
            let url = url::Url::parse(line).expect("a URL");
            let browser = network.client(&url).expect("a client");
            let answer = browser.get(url).send().await.expect("the sign-in page");
            let back = answer.headers()["location"].to_str().expect("a URL").to_owned();
            // Somebody else's page guesses at the port: nothing comes of it.
            let guess = back.split('?').next().expect("a base").to_owned() + "?code=guessed&state=guessed";
            assert_eq!(browser.get(guess).send().await.expect("an answer").status(), 404);
            assert_eq!(browser.get(back).send().await.expect("an answer").status(), 200);
        });
        true
    });
    stage.all_accepted(&output);
    assert!(said(&output).contains("(browser)"), "{}", said(&output));
}

#[test]
fn two_credentials_without_terminal_are_rejected_until_named() {
    let stage = Stage::new(CALM, 3);
    let variables = [&stage.secret()[..], &[("REPROVISION_TOKEN", "opaque")]].concat();
    let output = stage.run("auto", &variables);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(said(&output).contains("--auth token or --auth secret"), "{}", said(&output));
    stage.all_accepted(&stage.run("secret", &variables));
}

#[test]
fn wrong_tenant_is_rejected_by_id_and_by_domain() {
    let other = "00000000-0000-4000-8000-00000000000f";
    let stage = Stage::new(&format!("{CALM}[token]\ntenant = \"{other}\"\n"), 3);
    stage.refused(
        &stage.run("secret", &stage.secret()),
        "wrong tenant: the token is for 00000000-0000-4000-8000-00000000000f",
    );
    let domain = [&stage.secret()[..], &[("AZURE_TENANT_ID", "simulated.example")]].concat();
    stage.refused(&stage.run("secret", &domain), "--tenant asks for simulated.example (51a51a51-");
    let nowhere = [&stage.secret()[..], &[("AZURE_TENANT_ID", "nowhere.example")]].concat();
    stage.refused(&stage.run("secret", &nowhere), "there is no tenant nowhere.example in this cloud");
}

#[test]
fn other_tenant_after_renewal_stops_the_run() {
    let rules = format!(
        "{CALM}[token]\nlife_s = 2\ntenant_after = 1\ntenant = \"00000000-0000-4000-8000-00000000000f\"\n"
    );
    let stage = Stage::new(&rules, 200);
    let command = ["run", "users.csv", "--yes", "--out", "out", "--auth", "secret", "--rate", "fixed:40"];
    let output = stage.program(&command, &stage.secret()).output().expect("the program runs");
    assert_eq!(output.status.code(), Some(6), "{}", said(&output));
    assert!(said(&output).contains("wrong tenant"), "{}", said(&output));
}

#[test]
fn sign_in_errors_have_advice_and_send_nothing() {
    for (code, part) in [
        (7_000_222_u64, "the client secret has expired"),
        (65_001, "/adminconsent?client_id="),
        (53_003, "Conditional Access blocked"),
        (700_016, "there is no app"),
        (700_024, "set this machine's clock"),
        (50_020, "is not a member of tenant"),
        (7_000_218, "Allow public client flows"),
        (900_382, "belongs to another cloud"),
    ] {
        let stage = Stage::new(&format!("{CALM}[token]\nrefuse = {code}\n"), 3);
        stage.refused(&stage.run("secret", &stage.secret()), part);
    }
    let stage = Stage::new(CALM, 3);
    let wrong = [stage.secret()[0], ("AZURE_CLIENT_SECRET", "canary-of-no-value")];
    stage.refused(&stage.run("secret", &wrong), "not its Secret ID");
}

#[test]
fn missing_permission_is_named_before_sending() {
    let stage = Stage::new(&format!("{CALM}[token]\nroles = [\"User.Read.All\"]\n"), 3);
    stage.refused(&stage.run("secret", &stage.secret()), "least privileged first: User.ManageIdentities.All");
}

#[test]
fn five_403s_from_the_start_end_the_run_with_advice() {
    // The scope is one that nobody documents, so that the tenant itself must say no.
    let stage = Stage::new(
        &format!("{CALM}[token]\nscopes = \"Directory.AccessAsUser.All\"\nroles = [\"none\"]\n"),
        40,
    );
    let output = stage.run("secret", &stage.secret());
    assert_eq!(output.status.code(), Some(6), "{}", said(&output));
    let said = said(&output);
    assert!(said.contains("warning: the token's scopes (Directory.AccessAsUser.All)"), "{said}");
    assert!(said.contains("PIM") && said.contains("the first 5 users were all rejected with 403"), "{said}");
}

/// A hundred users a second, up to 64 at once.
const QUICKLY: [&str; 11] = [
    "run",
    "users.csv",
    "--yes",
    "--out",
    "out",
    "--auth",
    "secret",
    "--rate",
    "fixed:100",
    "--concurrency",
    "64",
];

#[test]
fn ten_token_lifetimes_cost_one_request_each_and_no_401() {
    let stage = Stage::new(&format!("{CALM}latency_ms = 20\n[token]\nlife_s = 2\n"), 1_700);
    let begun = Instant::now();
    let output = stage.program(&QUICKLY, &stage.secret()).output().expect("the program runs");
    stage.all_accepted(&output);
    let (ledger, took) = (stage.simulator.ledger(), begun.elapsed().as_secs_f64());
    // On a machine so busy that a request takes a tenth of a second to leave, a few come too late: one a life at most
    // for each that is in flight. Elsewhere announced ends cost nothing.
    let late = ledger.by_status.get(&401).copied().unwrap_or_default();
    let most = if took < 18.0 { 0 } else { ledger.highest_in_flight * ledger.tokens };
    assert!(late <= most, "{late} came too late in {took:.1} s: {ledger}");
    // 17 s of work, renewed every 1.6 s.
    assert!(
        (10..=2 + (took / 1.6) as u64).contains(&ledger.tokens),
        "{} tokens in {took:.1} s",
        ledger.tokens
    );
}

#[test]
fn revoked_token_costs_at_most_one_401_per_request_in_flight() {
    let stage = Stage::new(&format!("{CALM}latency_ms = 20\n[token]\nrevoked_after_s = 2\n"), 600);
    let begun = Instant::now();
    let output = stage.program(&QUICKLY, &stage.secret()).output().expect("the program runs");
    stage.all_accepted(&output);
    let (ledger, took) = (stage.simulator.ledger(), begun.elapsed().as_secs());
    let refused = ledger.by_status.get(&401).copied().unwrap_or_default();
    assert!(refused > 0 && refused <= ledger.highest_in_flight * (ledger.tokens - 1), "{refused}: {ledger}");
    // Six seconds of work where nothing else goes on.
    assert!(ledger.tokens <= took / 2 + 2, "{} tokens in {took} s", ledger.tokens);
}

#[test]
fn expired_secret_exits_6_and_the_same_command_resumes() {
    let stage = Stage::new(&format!("{CALM}[token]\nlife_s = 5\nrefuse = 7000222\nrefuse_after = 1\n"), 480);
    let command = ["run", "users.csv", "--yes", "--out", "out", "--auth", "secret", "--rate", "fixed:80"];
    let output = stage.program(&command, &stage.secret()).output().expect("the program runs");
    assert_eq!(output.status.code(), Some(6), "{}", said(&output));
    assert!(said(&output).contains("the client secret has expired"), "{}", said(&output));
    let token = stage.simulator.token();
    stage.all_accepted(&stage.run("token", &[("REPROVISION_TOKEN", &token)]));
}

#[test]
fn claims_challenge_is_answered() {
    let stage = Stage::new(&format!("{CALM}[token]\nchallenge = true\n"), 20);
    stage.all_accepted(&stage.run("secret", &stage.secret()));
}

#[test]
fn clouds_do_not_mix() {
    let stage = Stage::new(CALM, 1);
    for (variables, part) in [
        (
            [("AZURE_AUTHORITY_HOST", "https://login.microsoftonline.us"), ("X", "")],
            "belongs to another cloud than --cloud global",
        ),
        (
            [("REPROVISION_CLOUD", "china"), ("AZURE_AUTHORITY_HOST", "login.microsoftonline.com")],
            "belongs to another cloud",
        ),
        ([("AZURE_AUTHORITY_HOST", "http://login.example"), ("X", "")], "must be https"),
    ] {
        let output = stage.run("secret", &[&stage.secret()[..], &variables[..]].concat());
        assert_eq!(output.status.code(), Some(2), "{}", said(&output));
        assert!(said(&output).contains(part), "{}", said(&output));
    }
}

#[test]
fn two_credentials_are_rejected_with_a_flag_of_the_command() {
    let stage = Stage::new("", 1);
    let run =
        stage.program(&["run", "users.csv", "--yes", "--auth", "secret", "--out", "out"], &stage.secret());
    let run = { run }.output().expect("run");
    assert_eq!(run.status.code(), Some(0), "{}", said(&run));
    let token = stage.simulator.token();
    let both = [&stage.secret()[..], &[("REPROVISION_TOKEN", &*token)]].concat();
    for command in [&["find"][..], &["verify", "out"]] {
        let output = stage.program(command, &both).output().expect("the program runs");
        assert_eq!(output.status.code(), Some(2), "{command:?}: {}", said(&output));
        let told = said(&output);
        assert!(!told.contains("--yes"), "{command:?} has no such flag: {told}");
        let flags = told.split("Name one: ").nth(1).expect("what to do").trim();
        for flag in flags.split(" or ") {
            let advised: Vec<_> = command.iter().copied().chain(flag.split(' ')).collect();
            let output = stage.program(&advised, &both).output().expect("the program runs");
            assert!(matches!(output.status.code(), Some(0 | 4)), "{advised:?}: {}", said(&output));
        }
    }
}
