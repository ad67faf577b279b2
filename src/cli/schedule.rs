//! Flags of `schedule`.

use clap::{Args, ValueEnum};

/// For which scheduler.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Scheduler {
    Cron,
    Systemd,
    Kubernetes,
    Github,
    AzureDevops,
}

/// Flags of `schedule`.
#[derive(Debug, Args)]
pub struct Schedule {
    /// For which scheduler
    pub kind: Scheduler,
    /// Tenant id or domain
    #[arg(long, env = "AZURE_TENANT_ID", value_name = "ID or DOMAIN", default_value = "contoso.onmicrosoft.com", value_parser = plain)]
    pub tenant: String,
    /// Time of day, in UTC
    #[arg(long, value_name = "HH:MM", default_value = "02:10", value_parser = time)]
    pub at: (u8, u8),
}

/// The value stands in shell, YAML and unit files: only what means nothing in any of them.
fn plain(text: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
    if !text.is_empty() && text.chars().all(plain) && !text.starts_with('-') {
        Ok(text.to_owned())
    } else {
        Err(format!("{text:?} is not a tenant: an id or a domain"))
    }
}

fn time(text: &str) -> Result<(u8, u8), String> {
    let expected = || format!("{text:?} is not a time of day: such as 02:10");
    let (hour, minute) = text.split_once(':').ok_or_else(expected)?;
    match (hour.parse(), minute.parse()) {
        (Ok(hour), Ok(minute)) if hour < 24 && minute < 60 => Ok((hour, minute)),
        _ => Err(expected()),
    }
}
