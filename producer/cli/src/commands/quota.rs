//! `longshore quota`: the usage of every limit, and how many jobs wait for it.

mod report;

use longshore_broker::AccountHold;
use longshore_config::Config;
use longshore_policy::limits::Meters;
use longshore_protocol::clock::local_time;

use self::report::Report;
use crate::{
    error::{CommandError, Exit},
    output::Format,
    render::limit::{Limit, Subject, sorted_limits},
    session::Session,
};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Only the limits of this platform
    #[arg(long)]
    platform: Option<String>,
    /// Output format
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(crate) async fn run(arguments: Arguments, session: &Session) -> Result<Exit, CommandError> {
    let broker = session.broker().await?;
    let config = session.fleet_config(&broker).await?;
    let meters = Meters::new(&config.catalog, &config.budgets, &config.queue_limits);
    let reports = broker.limits().all_meters(&meters, local_time()).await?;
    let report = filtered_report(
        arguments.platform.as_deref(),
        sorted_limits(reports, &config),
        broker.limits().account_holds(local_time()).await?,
        &config,
    )?;
    arguments.format.print(&report);
    Ok(Exit::Success)
}

fn filtered_report(
    platform: Option<&str>,
    mut limits: Vec<Limit>,
    mut holds: Vec<AccountHold>,
    config: &Config,
) -> Result<Report, CommandError> {
    let selected = platform
        .map(|name| config.catalog.require_platform(name))
        .transpose()
        .map_err(|error| CommandError::Input(format!("--platform: {error}")))?;
    if let Some(selected) = selected {
        limits.retain(|limit| match &limit.subject {
            Subject::Account(account) => account == selected.account.as_str(),
            Subject::Queue(_) => false,
            Subject::Budget { platform, .. } => platform.as_deref() == Some(selected.name.as_str()),
        });
        holds.retain(|hold| hold.account == selected.account);
    }
    Ok(Report {
        platform: selected.map(|selected| selected.name.to_string()),
        limits,
        holds,
        alerts: config.alerts.at.clone(),
    })
}
