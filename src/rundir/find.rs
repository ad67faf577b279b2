//! Which run is meant: a folder, a unique part of its name, or the newest of a tenant or of all.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::run_file::RunFile;
use crate::error::Error;

/// Names listed when a part fits several.
const LISTED: usize = 5;

/// The folder that `wanted` means: itself where it is a run, else the one run below `parent` whose name holds it.
///
/// # Errors
/// `Error::Usage` where none or several fit, with their names.
pub fn find_run(parent: &Path, wanted: &Path) -> Result<PathBuf, Error> {
    if RunFile::read(wanted).is_some() {
        return Ok(wanted.to_owned());
    }
    let part = wanted.to_string_lossy();
    let mut runs = runs_below(parent);
    runs.retain(|(folder, _)| {
        folder.file_name().is_some_and(|name| name.to_string_lossy().contains(part.as_ref()))
    });
    match runs.as_slice() {
        [(folder, _)] => Ok(folder.clone()),
        [] => Err(Error::Usage(format!(
            "{part} is not the folder of a run, and no run below {} has it in its name",
            parent.display()
        ))),
        many => {
            let names = many
                .iter()
                .rev()
                .filter_map(|(folder, _)| Some(folder.file_name()?.to_string_lossy().into_owned()));
            Err(Error::Usage(format!("{part} is part of {} names: {}", many.len(), listed(names))))
        }
    }
}

/// The newest run of `tenant`, which is an id or the domain that the run was asked for with; without it the newest of all.
///
/// # Errors
/// `Error::Usage` where there is none, with the tenants that have one.
pub fn newest_of(parent: &Path, tenant: Option<&str>) -> Result<(PathBuf, RunFile), Error> {
    let runs = runs_below(parent);
    let Some(tenant) = tenant else {
        return runs.into_iter().next_back().ok_or_else(|| {
            Error::Usage(format!("no run below {}: name the folder of one", parent.display()))
        });
    };
    let is_named = |run: &RunFile| {
        let own = [Some(run.identity.tenant.as_str()), run.tenant_name()];
        own.into_iter().flatten().any(|own| own.eq_ignore_ascii_case(tenant))
    };
    // One run that was asked for by its domain names the id of all others.
    let ids: BTreeSet<&str> =
        runs.iter().filter(|(_, run)| is_named(run)).map(|(_, run)| run.identity.tenant.as_str()).collect();
    if let Some((folder, run)) = runs.iter().rfind(|(_, run)| ids.contains(run.identity.tenant.as_str())) {
        return Ok((folder.clone(), run.clone()));
    }
    let mut others = Vec::new();
    for (_, run) in runs.iter().rev() {
        let other = match run.tenant_name() {
            Some(name) => format!("{name} ({})", run.identity.tenant),
            None => run.identity.tenant.clone(),
        };
        if !others.contains(&other) {
            others.push(other);
        }
    }
    let there = match others.is_empty() {
        true => String::new(),
        false => format!(" Runs are there of the tenants {}.", listed(others.into_iter())),
    };
    Err(Error::Usage(format!(
        "no run of the tenant {tenant} below {}.{there} Name the folder of a run, or its tenant with --tenant",
        parent.display()
    )))
}

/// The newest run that `fits`.
pub fn newest_run(parent: &Path, fits: impl Fn(&RunFile) -> bool) -> Option<(PathBuf, RunFile)> {
    runs_below(parent).into_iter().rfind(|(_, run)| fits(run))
}

/// The runs below a folder; the one whose last invocation began last is the last.
fn runs_below(parent: &Path) -> Vec<(PathBuf, RunFile)> {
    let entries = fs::read_dir(parent).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut runs: Vec<_> =
        entries.filter_map(|folder| RunFile::read(&folder).map(|run| (folder, run))).collect();
    runs.sort_by(|(a, one), (b, other)| (one.started_at, a).cmp(&(other.started_at, b)));
    runs
}

fn listed(mut names: impl Iterator<Item = String>) -> String {
    let some: Vec<_> = names.by_ref().take(LISTED).collect();
    let more = if names.next().is_some() { ", …" } else { "" };
    format!("{}{more}", some.join(", "))
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::model::ObjectKind;
    use crate::rundir::{Identity, TENANT_NAME};

    fn run(parent: &Path, name: &str, second: i64) -> PathBuf {
        let folder = parent.join(name);
        fs::create_dir_all(&folder).expect("a folder");
        let at = Timestamp::from_second(1_800_000_000 + second).expect("in range");
        let tenant = name.split('-').nth(1).unwrap_or_default();
        let identity = Identity {
            input_sha256: String::new(),
            tenant: format!("id-of-{tenant}"),
            app: String::new(),
            endpoint: String::new(),
            object: ObjectKind::Users,
            column: String::new(),
            shard: None,
        };
        let file = RunFile {
            schema: 1,
            version: String::new(),
            identity,
            input: String::new(),
            bytes: 0,
            rows: 0,
            reading: None,
            selected: None,
            label: None,
            ticket: None,
            retry_of: Vec::new(),
            next: None,
            simulated: false,
            created_at: at,
            started_at: at,
            operator: String::new(),
            host: String::new(),
            pid: 0,
            settings: match second {
                ..5 => serde_json::Value::Null,
                _ => serde_json::json!({ TENANT_NAME: format!("{tenant}.com") }),
            },
        };
        file.write(&folder).expect("written");
        folder
    }

    #[test]
    fn a_folder_a_unique_part_or_the_newest() {
        let parent = tempfile::tempdir().expect("a folder");
        let newest = |tenant| newest_of(parent.path(), tenant).map(|(folder, _)| folder);
        let empty = newest(None).expect_err("no run").chain();
        assert!(empty.contains("no run below"), "{empty}");
        let one = run(parent.path(), "20260101T000000Z-contoso-users", 5);
        let other = run(parent.path(), "20260102T000000Z-fabrikam-users", 1);
        fs::create_dir(parent.path().join("20260103T000000Z-not-a-run")).expect("a folder");
        let found = |wanted: &str| find_run(parent.path(), Path::new(wanted));
        assert_eq!(newest(None).expect("the newest invocation"), one);
        assert_eq!(found("fabrikam").expect("a unique part"), other);
        assert_eq!(found(other.to_str().expect("UTF-8")).expect("a folder"), other);
        let many = found("users").expect_err("two fit").chain();
        assert!(many.contains("part of 2 names") && many.contains("fabrikam-users"), "{many}");
        let none = found("not-a-run").expect_err("no run.json").chain();
        assert!(none.contains("not the folder of a run"), "{none}");
    }

    #[test]
    fn a_named_tenant_gets_its_own_newest_run() {
        let parent = tempfile::tempdir().expect("a folder");
        let newest = |tenant| newest_of(parent.path(), Some(tenant)).map(|(folder, _)| folder);
        let none = newest("contoso.com").expect_err("no run").chain();
        assert!(none.contains("no run of the tenant contoso.com"), "{none}");
        run(parent.path(), "1-contoso-named", 5);
        let contoso = run(parent.path(), "2-contoso-unnamed-and-newer", 9);
        // The name is only known from an older run.
        let file = RunFile::read(&contoso).expect("there");
        RunFile { settings: serde_json::Value::Null, ..file }.write(&contoso).expect("written");
        run(parent.path(), "3-fabrikam-older", 1);
        let fabrikam = run(parent.path(), "4-fabrikam-newer", 4);
        for (named, expected) in [
            ("contoso.com", &contoso),
            ("Contoso.COM", &contoso),
            ("id-of-contoso", &contoso),
            ("ID-of-fabrikam", &fabrikam),
        ] {
            assert_eq!(&newest(named).expect(named), expected, "{named}");
        }
        let none = newest("fabrikam.com").expect_err("no run recorded that name").chain();
        assert!(
            none.contains("id-of-fabrikam, contoso.com (id-of-contoso)") || none.contains("id-of-contoso, "),
            "{none}"
        );
        assert_eq!(
            newest_run(parent.path(), |run| run.identity.tenant == "id-of-fabrikam")
                .map(|(folder, _)| folder),
            Some(fabrikam)
        );
    }
}
