//! Which run is meant: a folder, a unique part of its name, or nothing for the newest.

use std::fs;
use std::path::{Path, PathBuf};

use super::run_file::RunFile;
use crate::error::Error;

/// Names listed when a part fits several.
const LISTED: usize = 5;

/// The folder that `wanted` means: itself where it is a run, else the one run below `parent` whose name holds it;
/// without it the run below `parent` whose last call began last.
///
/// # Errors
/// `Error::Usage` where none or several fit, with their names.
pub fn find_run(parent: &Path, wanted: Option<&Path>) -> Result<PathBuf, Error> {
    if let Some(folder) = wanted.filter(|folder| RunFile::read(folder).is_some()) {
        return Ok(folder.to_owned());
    }
    let mut runs: Vec<_> = fs::read_dir(parent)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter_map(|folder| Some((RunFile::read(&folder)?.started_at, folder)))
        .collect();
    runs.sort();
    let Some(wanted) = wanted else {
        return runs.pop().map(|(_, folder)| folder).ok_or_else(|| {
            Error::Usage(format!("no run below {}: name the folder of one", parent.display()))
        });
    };
    let part = wanted.to_string_lossy();
    runs.retain(|(_, folder)| {
        folder.file_name().is_some_and(|name| name.to_string_lossy().contains(part.as_ref()))
    });
    match runs.as_slice() {
        [(_, folder)] => Ok(folder.clone()),
        [] => Err(Error::Usage(format!(
            "{part} is no folder of a run, and part of no name below {}",
            parent.display()
        ))),
        many => {
            let names: Vec<_> = many
                .iter()
                .rev()
                .take(LISTED)
                .filter_map(|(_, folder)| Some(folder.file_name()?.to_string_lossy().into_owned()))
                .collect();
            let more = if many.len() > LISTED { ", …" } else { "" };
            Err(Error::Usage(format!("{part} is part of {} names: {}{more}", many.len(), names.join(", "))))
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::model::ObjectKind;
    use crate::rundir::Identity;

    fn run(parent: &Path, name: &str, second: i64) -> PathBuf {
        let folder = parent.join(name);
        fs::create_dir_all(&folder).expect("a folder");
        let at = Timestamp::from_second(1_800_000_000 + second).expect("in range");
        let identity = Identity {
            input_sha256: String::new(),
            tenant: String::new(),
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
            simulated: true,
            created_at: at,
            started_at: at,
            operator: String::new(),
            host: String::new(),
            pid: 0,
            settings: serde_json::Value::Null,
        };
        file.write(&folder).expect("written");
        folder
    }

    #[test]
    fn a_folder_a_unique_part_or_the_newest() {
        let parent = tempfile::tempdir().expect("a folder");
        let empty = find_run(parent.path(), None).expect_err("no run").chain();
        assert!(empty.contains("no run below"), "{empty}");
        let one = run(parent.path(), "20260101T000000Z-contoso-users", 5);
        let other = run(parent.path(), "20260102T000000Z-fabrikam-users", 1);
        fs::create_dir(parent.path().join("20260103T000000Z-not-a-run")).expect("a folder");
        let found = |wanted: &str| find_run(parent.path(), Some(Path::new(wanted)));
        assert_eq!(find_run(parent.path(), None).expect("the newest call"), one);
        assert_eq!(found("fabrikam").expect("a unique part"), other);
        assert_eq!(found(other.to_str().expect("UTF-8")).expect("a folder"), other);
        let many = found("users").expect_err("two fit").chain();
        assert!(many.contains("part of 2 names") && many.contains("fabrikam-users"), "{many}");
        let none = found("not-a-run").expect_err("no run.json").chain();
        assert!(none.contains("no folder of a run"), "{none}");
    }
}
