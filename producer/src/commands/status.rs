//! `longshore status`: platforms, quotas, services and queues, whichever of them can be asked.

mod adapters;
mod quotas;
mod report;

use chrono::{DateTime, Days, NaiveDate, NaiveTime, Utc};
use longshore_broker::{CircuitReport, QueueDepth};
use longshore_config::Config;
use longshore_ledger::CostScope;
use longshore_policy::{
    catalog::{Enabled, ProviderEntry},
    limits::Meters,
};

use self::{
    adapters::{Adapter, Down, Health},
    quotas::{Quotas, Used},
    report::{Leader, Places, Report, Service},
};
use super::{
    migrate,
    pause::Shown,
    quota::limit::{Limit, limits},
    words::of_ms,
};
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
    /// What the services run by.
    config: Config,
    limits: Vec<Limit>,
    circuits: Vec<CircuitReport>,
    /// Until when accounts are not to be called, in ms since the epoch.
    limited: Vec<(String, i64)>,
    workers: Places,
    leader: Option<String>,
    queues: Vec<QueueDepth>,
    lanes: Vec<(String, u64)>,
    pauses: Vec<Shown>,
    dead_letters: u64,
    unrecorded_events: u64,
}

/// Asks everybody and prints; exit code 1 if somebody did not answer.
pub(crate) async fn run(arguments: Arguments, session: &Session) -> Result<Done, CommandError> {
    let today = Utc::now().date_naive();
    let (standing, used) = tokio::join!(standing(session), used(session, today));
    let all_answered = standing.is_ok() && used.is_ok();
    let report = report(&session.config, standing, used, tomorrow(today));
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
    let config = session.fleet_config(&broker).await?;
    // Budgets of each tenant are for `longshore quota`.
    let meters = Meters::new(&config.catalog, &config.budgets).all(Utc::now());
    let workers = broker.workers().await?;
    let mut queues = Vec::new();
    for queue in broker.queues().await? {
        queues.push(broker.depth(&queue).await?);
    }
    Ok(Standing {
        address: broker.address().to_owned(),
        limits: limits(broker.meters(&meters).await?, &config),
        config,
        circuits: broker.circuits().await?,
        limited: broker.limited_accounts().await?,
        workers: Places {
            alive: workers.len(),
            in_flight: workers.iter().map(|worker| worker.in_flight).sum(),
            concurrency: workers.iter().map(|worker| worker.concurrency).sum(),
        },
        leader: broker.leader().await?,
        queues,
        lanes: broker.lanes().await?,
        pauses: Shown::all(&broker.pauses().await?, Utc::now()),
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
            Ok((ledger.address().to_owned(), used.collect()))
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
    own: &Config,
    standing: Result<Standing, CommandError>,
    used: Result<(String, Vec<(String, u64)>), CommandError>,
    reset_at: Option<DateTime<Utc>>,
) -> Report {
    let mut report = Report::default();
    let used = match used {
        Ok((at, used)) => {
            report.postgres = Service::Answers(at);
            Some(used)
        }
        Err(error) => {
            report.postgres = Service::Silent(first_line(&error));
            None
        }
    };
    let (config, limits) = match standing {
        Ok(standing) => {
            report.adapters = adapters(&standing, Utc::now());
            report.redis = Service::Answers(standing.address);
            report.workers = Some(standing.workers);
            report.leader = standing.leader.map_or(Leader::Nobody, Leader::Leads);
            report.queues = Some(standing.queues);
            report.lanes = standing.lanes;
            report.pauses = standing.pauses;
            report.dead_letters = Some(standing.dead_letters);
            report.unrecorded_events = Some(standing.unrecorded_events);
            (standing.config, Some(standing.limits))
        }
        Err(error) => {
            report.redis = Service::Silent(first_line(&error));
            let providers = own.catalog.providers.iter();
            report.adapters = providers
                .map(|provider| adapter(provider, Health::Ready))
                .collect();
            (own.clone(), None)
        }
    };
    report.quotas = Quotas {
        limits,
        used: used.map(|used| used_of(&config.catalog.providers, &used)),
        reset_at,
        alerts: config.alerts.at,
    };
    report
}

fn adapters(standing: &Standing, now: DateTime<Utc>) -> Vec<Adapter> {
    let health = |provider: &ProviderEntry| {
        let own = standing
            .circuits
            .iter()
            .filter(|circuit| circuit.name.platform == provider.name);
        let down: Vec<Down> = own
            .filter_map(|circuit| {
                let open = circuit.open.as_ref()?;
                Some(Down {
                    model: circuit.name.model.clone(),
                    since: open.since,
                    until: open.until,
                    class: open.class,
                })
            })
            .collect();
        let mut limited = standing.limited.iter();
        let limited = limited
            .find(|(account, _)| account == provider.account.as_str())
            .map(|(_, until)| of_ms(*until))
            .filter(|until| *until > now);
        match limited {
            _ if !down.is_empty() => Health::Down(down),
            Some(until) => Health::Limited(until),
            None => Health::Ready,
        }
    };
    let providers = standing.config.catalog.providers.iter();
    providers
        .map(|provider| adapter(provider, health(provider)))
        .collect()
}

/// A platform that is as well as said, if it is on at all.
fn adapter(provider: &ProviderEntry, health: Health) -> Adapter {
    Adapter {
        name: provider.name.to_string(),
        health: match &provider.enabled {
            Enabled::On => health,
            Enabled::Off(why) => Health::Off(why.clone()),
        },
    }
}

/// The platforms that are on, and those that were used before they were turned off.
fn used_of(providers: &[ProviderEntry], used: &[(String, u64)]) -> Vec<Used> {
    let requests = |name: &str| {
        used.iter()
            .find(|(other, _)| other == name)
            .map(|(_, requests)| *requests)
    };
    let known = providers.iter().filter_map(|provider| {
        let requests = requests(provider.name.as_str());
        (provider.is_on() || requests.is_some()).then(|| Used {
            platform: provider.name.to_string(),
            account: provider.account.to_string(),
            requests: requests.unwrap_or_default(),
        })
    });
    let is_known = |name: &String| {
        let mut names = providers.iter().map(|provider| provider.name.as_str());
        names.any(|known| known == name)
    };
    let removed = used.iter().filter(|(name, _)| !is_known(name));
    known
        .chain(removed.map(|(name, requests)| Used {
            platform: name.clone(),
            account: name.clone(),
            requests: *requests,
        }))
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
