//! Chooses the sign-in method: the first one that the environment offers, in a fixed order.

use super::environment::Environment;
use super::methods::{AnnouncedBy, METHODS, MethodRow};
use crate::model::SignInMethod;

/// The method that `--auth auto` chose, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The chosen method.
    pub method: SignInMethod,
    /// The variable, flag or program that offered it.
    pub because: String,
    /// Other methods that are offered too. With `--yes`, `--auth` must then name one.
    pub also: Vec<SignInMethod>,
    /// Methods that are incomplete or excluded, each with the reason.
    pub not: Vec<String>,
    /// Methods of which no variable is set.
    pub absent: Vec<SignInMethod>,
}

/// Variables that a method with `--auth` still needs; empty if nothing is missing.
pub(super) fn needs(row: &MethodRow, environment: &Environment) -> Vec<&'static str> {
    let announced = match &row.announced_by {
        AnnouncedBy::Token(names) if names.iter().all(|name| environment.get(name).is_none()) => &names[..1],
        // A way that can be found without variables needs none.
        AnnouncedBy::Variables(names) if row.probe.is_none() => names,
        AnnouncedBy::Token(_) | AnnouncedBy::Variables(_) | AnnouncedBy::Nothing => &[],
    };
    environment.lacks(&[announced, row.needs].concat())
}

/// Chooses the first method that the environment offers. `is_there` runs the probe of a method; it is called
/// only if no variable decides.
///
/// # Errors
/// An unknown value of `AZURE_TOKEN_CREDENTIALS`, or what each method lacks.
pub async fn choose(
    environment: &Environment,
    is_there: impl AsyncFn(&MethodRow) -> bool,
) -> Result<Choice, String> {
    let allowed = allowed(environment)?;
    let is_allowed = |row: &MethodRow| {
        allowed.as_ref().is_none_or(|value| row.sdk_names.iter().any(|name| name.eq_ignore_ascii_case(value)))
    };
    let (mut offered, mut not, mut absent, mut unset) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for row in &METHODS {
        let (method, name) = (row.method, row.method.name);
        let announced = match &row.announced_by {
            AnnouncedBy::Token(names) => {
                let given = names.iter().find(|name| environment.get(name).is_some());
                offered.extend(given.map(|given| (method, (*given).to_owned())));
                continue;
            }
            AnnouncedBy::Variables(names) => *names,
            AnnouncedBy::Nothing => continue,
        };
        let (missing, incomplete) = (environment.lacks(announced), environment.lacks(row.needs));
        if !is_allowed(row) {
            not.push(format!("{name}: AZURE_TOKEN_CREDENTIALS leaves it out"));
        } else if missing.len() == announced.len() {
            absent.push(method);
            if row.probe.is_none() {
                unset.push(format!("{name}: {} is not set", announced[0]));
            }
        } else if !missing.is_empty() {
            not.push(format!("{name}: {} is not set", missing.join(" and ")));
        } else if !incomplete.is_empty() {
            not.push(format!("{name}: {} is set, {} is not", announced[0], incomplete.join(" and ")));
        } else {
            offered.push((method, announced[0].to_owned()));
        }
    }
    if let Some((method, because)) = offered.first().cloned() {
        let also = offered[1..].iter().map(|(method, _)| *method).collect();
        return Ok(Choice { method, because, also, not, absent });
    }
    for row in METHODS.iter().filter(|row| is_allowed(row)) {
        let Some(probe) = &row.probe else { continue };
        if is_there(row).await {
            let (method, because) = (row.method, probe.because.to_owned());
            absent.retain(|absent| *absent != method);
            return Ok(Choice { method, because, also: Vec::new(), not, absent });
        }
        unset.push(format!("{}: {}", row.method.name, probe.not));
    }
    Err(format!(
        "no way to sign in. The quickest: install Azure CLI, az login, then the same command with --auth az; or --auth browser, \
         --auth device-code; or set REPROVISION_TOKEN. What was looked at:\n  {}",
        [not, unset].concat().join("\n  ")
    ))
}

/// `AZURE_TOKEN_CREDENTIALS` as every Azure SDK means it.
fn allowed(environment: &Environment) -> Result<Option<&str>, String> {
    let Some(value) = environment.get("AZURE_TOKEN_CREDENTIALS") else { return Ok(None) };
    let mut names: Vec<&str> = Vec::new();
    for name in METHODS.iter().flat_map(|row| row.sdk_names) {
        if !names.contains(name) {
            names.push(name);
        }
    }
    match names.iter().any(|name| name.eq_ignore_ascii_case(value.trim())) {
        true => Ok(Some(value.trim())),
        false => Err(format!(
            "AZURE_TOKEN_CREDENTIALS={value:?} names no way to sign in that reprovision has: {}; or give --auth",
            names.join(", ")
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &[(&str, &str)]) -> Environment {
        let mut environment = Environment::default();
        for (name, value) in variables {
            environment.set(name, Some(value));
        }
        environment
    }

    const APP: [(&str, &str); 2] = [("AZURE_CLIENT_ID", "a"), ("AZURE_TENANT_ID", "t")];

    async fn chosen(variables: &[(&str, &str)], machine: bool) -> Result<Choice, String> {
        choose(&environment(&[&APP, variables].concat()), async |row| {
            machine && row.method.name == "managed-identity"
        })
        .await
    }

    #[tokio::test]
    async fn the_order_is_fixed_and_every_other_offer_is_said() {
        let (mut all, mut names) = (Vec::new(), Vec::new());
        for row in &METHODS {
            let announced = match &row.announced_by {
                AnnouncedBy::Token(names) => &names[..1],
                AnnouncedBy::Variables(names) => names,
                AnnouncedBy::Nothing => continue,
            };
            all.extend([announced, row.needs].concat().into_iter().map(|name| (name, "x")));
            names.push(row.method.name);
        }
        let found = chosen(&all, true).await.expect("chosen");
        assert_eq!((found.method.name, found.because.as_str()), ("token", "REPROVISION_TOKEN"));
        let order: Vec<&str> =
            std::iter::once(found.method).chain(found.also).map(|method| method.name).collect();
        assert_eq!(order, names);
        assert!(found.not.is_empty() && found.absent.is_empty());
    }

    #[tokio::test]
    async fn an_incomplete_offer_is_none_and_says_what_is_missing() {
        let variables = [("AZURE_CLIENT_SECRET", "s"), ("AZURE_TENANT_ID", "t")];
        let found = choose(&environment(&variables), async |_| true).await.expect("chosen");
        assert_eq!(found.method.name, "managed-identity");
        assert_eq!(found.not, ["secret: AZURE_CLIENT_SECRET is set, AZURE_CLIENT_ID is not"]);
        let absent: Vec<_> = found.absent.iter().map(|method| method.name).collect();
        assert!(absent.contains(&"certificate") && !absent.contains(&"managed-identity"), "{absent:?}");
        let none = choose(&environment(&[]), async |_| false).await.expect_err("nothing there");
        assert!(none.contains("az: not installed"), "{none}");
    }

    #[tokio::test]
    async fn azure_token_credentials_narrows_the_choice() {
        let secret = ("AZURE_CLIENT_SECRET", "s");
        let found = chosen(&[secret, ("AZURE_TOKEN_CREDENTIALS", "ManagedIdentityCredential")], true).await;
        assert_eq!(found.expect("chosen").method.name, "managed-identity");
        let found = chosen(&[secret, ("AZURE_TOKEN_CREDENTIALS", "prod")], true).await;
        assert_eq!(found.expect("chosen").method.name, "secret");
        assert!(chosen(&[("AZURE_TOKEN_CREDENTIALS", "VisualStudioCredential")], true).await.is_err());
    }
}
