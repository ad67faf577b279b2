//! The environment variables of the process, and the flags that stand for some of them.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use crate::error::Error;

/// Prefixes of the variables for the sign-in.
const SIGN_IN: [&str; 2] = ["AZURE_", "REPROVISION_"];

/// The environment variables, and what the flags say instead of some of them.
#[derive(Clone, Default)]
pub struct Environment {
    variables: BTreeMap<String, String>,
}

impl std::fmt::Debug for Environment {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Some of the values are secrets.
        out.debug_set().entries(self.variables.keys()).finish()
    }
}

impl Environment {
    /// Of this process; a variable that is empty counts as unset.
    ///
    /// # Errors
    /// `Error::Usage` names a variable about the sign-in that is not text, never its value. Others of that kind count as unset.
    pub fn of_process() -> Result<Self, Error> {
        Self::of(std::env::vars_os())
    }

    fn of(all: impl Iterator<Item = (OsString, OsString)>) -> Result<Self, Error> {
        let mut variables = BTreeMap::new();
        for (name, value) in all {
            let Ok(name) = name.into_string() else { continue };
            match value.into_string() {
                Ok(value) if value.is_empty() => {}
                Ok(value) => drop(variables.insert(name, value)),
                Err(_) if SIGN_IN.iter().any(|begins| name.starts_with(begins)) => {
                    return Err(Error::Usage(format!(
                        "{name} is not valid text (UTF-8): set it again, or unset it; nothing was sent"
                    )));
                }
                Err(_) => {}
            }
        }
        Ok(Self { variables })
    }

    /// Sets a variable from its flag, which takes precedence.
    pub fn set(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.variables.insert(name.to_owned(), value.to_owned());
        }
    }

    /// A variable's value.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }

    pub(super) fn lacks<'a>(&self, names: &[&'a str]) -> Vec<&'a str> {
        names.iter().copied().filter(|name| self.get(name).is_none()).collect()
    }

    /// Whether a program of that name is in `PATH`.
    pub(super) fn has_program(&self, name: &str) -> bool {
        let path = self.get("PATH").or_else(|| self.get("Path")).unwrap_or_default();
        std::env::split_paths(path).any(|folder| folder.join(Path::new(name)).is_file())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_value_is_printed() {
        let mut environment = Environment::default();
        environment.set("AZURE_CLIENT_SECRET", Some("canary"));
        assert_eq!(format!("{environment:?}"), r#"{"AZURE_CLIENT_SECRET"}"#);
    }
}
