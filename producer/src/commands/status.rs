//! `longshore status`: platforms, quotas, services and queues, whichever of them can be asked.

mod report;

use chrono::{DateTime, Days, NaiveDate, NaiveTime, Utc};
use longshore_shared::{
    broker::QueueDepth,
    catalog::{Catalog, Enabled},
    ledger::CostScope,
};

use self::report::{Adapter, Leader, Places, Quota, Report, Service};
use super::migrate;
use crate::{
    error::{CommandError, Done},
    output::{self, Format},
    session::Session,
};

/// Options.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// How to answer
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// What Redis knows.
struct Standing {
    address: String,
    workers: Places,
    leader: Option<String>,
    queues: Vec<QueueDepth>,
    lanes: Vec<(String, u64)>,
    dead_letters: u64,
    unrecorded_events: u64,
}

/// Asks everybody and prints; exit code 1 if somebody did not answer.
pub(crate) async fn run(arguments: Arguments, session: &Session) -> Result<Done, CommandError> {
    let today = Utc::now().date_naive();
    let (standing, used) = tokio::join!(standing(session), used(session, today));
    let all_answered = standing.is_ok() && used.is_ok();
    let report = report(&session.config.catalog, standing, used, tomorrow(today));
    match arguments.format {
        Format::Text => output::line(&report),
        Format::Json => output::json(&report),
    }
    Ok(if all_answered {
        Done::Success
    } else {
        Done::Failure
    })
}

async fn standing(session: &Session) -> Result<Standing, CommandError> {
    let broker = session.broker().await?;
    let workers = broker.workers().await?;
    let mut queues = Vec::new();
    for queue in broker.queues().await? {
        queues.push(broker.depth(&queue).await?);
    }
    Ok(Standing {
        address: broker.address().to_owned(),
        workers: Places {
            alive: workers.len(),
            in_flight: workers.iter().map(|worker| worker.in_flight).sum(),
            concurrency: workers.iter().map(|worker| worker.concurrency).sum(),
        },
        leader: broker.leader().await?,
        queues,
        lanes: broker.lanes().await?,
        dead_letters: broker.dead_count().await?,
        unrecorded_events: broker.unrecorded().await?,
    })
}

/// Where the record is, and the requests of a day by platform.
async fn used(
    session: &Session,
    day: NaiveDate,
) -> Result<(String, Vec<(String, u64)>), CommandError> {
    let ledger = session.ledger().await?;
    match ledger.costs(CostScope::Day(day)).await {
        Ok(summary) => {
            let used = summary
                .by_platform
                .into_iter()
                .map(|line| (line.name, line.attempts));
            Ok((ledger.at().to_owned(), used.collect()))
        }
        Err(error) => Err(migrate::explained(&ledger, error).await),
    }
}

/// Midnight after a day, when its requests no longer count.
fn tomorrow(today: NaiveDate) -> Option<DateTime<Utc>> {
    let day = today.checked_add_days(Days::new(1))?;
    Some(day.and_time(NaiveTime::MIN).and_utc())
}

fn report(
    catalog: &Catalog,
    standing: Result<Standing, CommandError>,
    used: Result<(String, Vec<(String, u64)>), CommandError>,
    reset_at: Option<DateTime<Utc>>,
) -> Report {
    let adapters: Vec<Adapter> = catalog
        .providers
        .iter()
        .map(|provider| Adapter {
            name: provider.name.to_string(),
            off: match &provider.enabled {
                Enabled::On => None,
                Enabled::Off(why) => Some(why.clone()),
            },
        })
        .collect();
    let (postgres, quota) = match used {
        Ok((at, used)) => (
            Service::Answers(at),
            Some(quota(&adapters, &used, reset_at)),
        ),
        Err(error) => (Service::Silent(first_line(&error)), None),
    };
    let mut report = Report {
        adapters,
        quota,
        postgres,
        ..Report::default()
    };
    match standing {
        Ok(standing) => {
            report.redis = Service::Answers(standing.address);
            report.workers = Some(standing.workers);
            report.leader = standing.leader.map_or(Leader::Nobody, Leader::Leads);
            report.queues = Some(standing.queues);
            report.lanes = standing.lanes;
            report.dead_letters = Some(standing.dead_letters);
            report.unrecorded_events = Some(standing.unrecorded_events);
        }
        Err(error) => report.redis = Service::Silent(first_line(&error)),
    }
    report
}

/// The platforms that are on, and those that were used before they were turned off.
fn quota(
    adapters: &[Adapter],
    used: &[(String, u64)],
    reset_at: Option<DateTime<Utc>>,
) -> Vec<Quota> {
    let requests = |name: &str| {
        used.iter()
            .find(|(other, _)| other == name)
            .map(|(_, requests)| *requests)
    };
    let on = adapters
        .iter()
        .filter(|adapter| adapter.off.is_none() || requests(&adapter.name).is_some())
        .map(|adapter| adapter.name.clone());
    let removed = used
        .iter()
        .map(|(name, _)| name.clone())
        .filter(|name| adapters.iter().all(|adapter| adapter.name != *name));
    on.chain(removed)
        .map(|platform| Quota {
            used: requests(&platform).unwrap_or_default(),
            platform,
            reset_at,
        })
        .collect()
}

/// What is wrong; what to do about it is `longshore doctor`'s to say.
fn first_line(error: &CommandError) -> String {
    error
        .to_string()
        .lines()
        .next()
        .unwrap_or_default()
        .to_owned()
}
