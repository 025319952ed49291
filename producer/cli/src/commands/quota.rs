//! `longshore quota`: what is used of every limit, and who waits for one.

pub(super) mod amount;
pub(super) mod limit;
pub(super) mod report;
pub(super) mod table;
pub(super) mod warning;

use chrono::Utc;
use longshore_shared::{config::Config, limits::Meters};

use self::{
    limit::{Limit, Subject, limits},
    report::Report,
};
use crate::{
    error::{CommandError, Done},
    output::{self, Format},
    session::Session,
};

/// Options.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Only the limits of this platform
    #[arg(long)]
    platform: Option<String>,
    /// How to answer
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Asks Redis and prints.
pub(crate) async fn run(arguments: Arguments, session: &Session) -> Result<Done, CommandError> {
    let broker = session.broker().await?;
    let config = session.fleet_config(&broker).await?;
    let meters = Meters::new(&config);
    let reports = broker.all_meters(&meters, Utc::now()).await?;
    let report = report(
        arguments.platform.as_deref(),
        limits(reports, &config),
        &config,
    )?;
    match arguments.format {
        Format::Text => output::line(&report),
        Format::Json => output::json(&report),
    }
    Ok(Done::Success)
}

fn report(
    platform: Option<&str>,
    mut limits: Vec<Limit>,
    config: &Config,
) -> Result<Report, CommandError> {
    let asked = platform
        .map(|name| config.catalog.require_platform(name))
        .transpose()
        .map_err(|error| CommandError::Input(format!("--platform: {error}")))?;
    if let Some(asked) = asked {
        limits.retain(|limit| match &limit.of {
            Subject::Account(account) => account == asked.account.as_str(),
            Subject::Budget { platform, .. } => platform.as_deref() == Some(asked.name.as_str()),
        });
    }
    Ok(Report {
        platform: asked.map(|asked| asked.name.to_string()),
        limits,
        alerts: config.alerts.at.clone(),
    })
}
