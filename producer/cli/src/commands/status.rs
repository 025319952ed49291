//! `longshore status`: platforms, quotas, services and queues, as far as Redis and Postgres answer.

mod adapters;
mod quotas;
mod report;
mod screen;

use std::{convert::Infallible, time::Duration};

use chrono::{DateTime, Days, NaiveDate, NaiveTime, Utc};
use longshore_broker::{AccountHold, CircuitReport, QueueDepth};
use longshore_config::Config;
use longshore_ledger::CostFilter;
use longshore_policy::{
    catalog::{Enabled, ProviderEntry},
    limits::Meters,
};
use longshore_protocol::clock::local_time;

use self::{
    adapters::{Adapter, Health, OpenCircuit},
    quotas::{PlatformUsage, Quotas},
    report::{Leader, Report, Service, WorkerSlots},
    screen::Screen,
};
use crate::{
    error::{CommandError, Exit},
    output::Format,
    render::{
        limit::{Limit, sorted_limits},
        pause::ShownPause,
        time::from_unix_ms,
    },
    session::{Session, explain_ledger_error, queue_depths},
    waiting::until_interrupted,
};

/// The pause between two reports of `--watch`.
const WATCH_EVERY: Duration = Duration::from_secs(2);

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Show it again every 2 s, until Ctrl-C
    #[arg(long)]
    watch: bool,
    /// Output format; with --watch, JSON is a line each time
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// The state in Redis.
struct RedisStatus {
    address: String,
    now: DateTime<Utc>,
    /// The configuration of the running services.
    config: Config,
    limits: Vec<Limit>,
    circuits: Vec<CircuitReport>,
    account_holds: Vec<AccountHold>,
    workers: WorkerSlots,
    leader: Option<String>,
    queues: Vec<QueueDepth>,
    lanes: Vec<(String, u64)>,
    pauses: Vec<ShownPause>,
    dead_letters: u64,
    unrecorded_events: u64,
}

/// Exit code 1 if Redis or Postgres did not answer; with `--watch`, 130 at Ctrl-C.
pub(crate) async fn run(arguments: Arguments, session: &Session) -> Result<Exit, CommandError> {
    let Arguments { watch, format } = arguments;
    if !watch {
        let (report, all_answered) = read(session).await;
        format.print(&report);
        return Ok(Exit::success_if(all_answered));
    }
    let screen = Screen::new(format);
    let forever = async {
        loop {
            let (report, _) = read(session).await;
            screen.show(&report);
            tokio::time::sleep(WATCH_EVERY).await;
        }
    };
    let _interrupted: Option<Infallible> = until_interrupted(Box::pin(forever)).await;
    Ok(Exit::Interrupted)
}

/// The status, and whether Redis and Postgres answered.
async fn read(session: &Session) -> (Report, bool) {
    let today = local_time().date_naive();
    let (redis, used) = tokio::join!(read_redis(session), read_usage(session, today));
    let all_answered = redis.is_ok() && used.is_ok();
    let report = report(&session.config, redis, used, tomorrow(today));
    (report, all_answered)
}

async fn read_redis(session: &Session) -> Result<RedisStatus, CommandError> {
    let broker = session.broker().await?;
    let config = session.fleet_config(&broker).await?;
    // `longshore quota` also shows the budgets per tenant.
    let meters =
        Meters::new(&config.catalog, &config.budgets, &config.queue_limits).all(local_time());
    let workers = broker.workers().list().await?;
    let queues = queue_depths(&broker).await?;
    Ok(RedisStatus {
        address: broker.address().to_owned(),
        now: from_unix_ms(broker.server().time_ms().await?),
        limits: sorted_limits(broker.limits().meters(&meters).await?, &config),
        config,
        circuits: broker.circuits().list().await?,
        account_holds: broker.limits().account_holds(local_time()).await?,
        workers: WorkerSlots {
            alive: workers.len(),
            in_flight: workers.iter().map(|worker| worker.in_flight).sum(),
            concurrency: workers.iter().map(|worker| worker.concurrency).sum(),
        },
        leader: broker.leader().current().await?,
        queues,
        lanes: broker.lanes().sizes().await?,
        pauses: ShownPause::all(&broker.pauses().list().await?, local_time()),
        dead_letters: broker.dead_letters().count().await?,
        unrecorded_events: broker.events().unrecorded_count().await?,
    })
}

/// The address of Postgres, and the requests of a day by platform.
async fn read_usage(
    session: &Session,
    day: NaiveDate,
) -> Result<(String, Vec<(String, u64)>), CommandError> {
    let ledger = session.ledger().await?;
    match ledger.costs(&CostFilter::day(day)).await {
        Ok(summary) => {
            let used = summary
                .by_platform
                .into_iter()
                .map(|line| (line.name, line.attempts));
            Ok((ledger.address().to_owned(), used.collect()))
        }
        Err(error) => Err(explain_ledger_error(&ledger, error).await),
    }
}

/// Midnight after `today`, when the number of requests resets.
fn tomorrow(today: NaiveDate) -> Option<DateTime<Utc>> {
    let day = today.checked_add_days(Days::new(1))?;
    Some(day.and_time(NaiveTime::MIN).and_utc())
}

fn report(
    own: &Config,
    redis: Result<RedisStatus, CommandError>,
    used: Result<(String, Vec<(String, u64)>), CommandError>,
    reset_at: Option<DateTime<Utc>>,
) -> Report {
    let mut report = Report {
        now: redis
            .as_ref()
            .map_or_else(|_| local_time(), |redis| redis.now),
        ..Report::default()
    };
    let used = match used {
        Ok((at, used)) => {
            report.postgres = Service::Reachable(at);
            Some(used)
        }
        Err(error) => {
            report.postgres = Service::Unreachable(error.first_line());
            None
        }
    };
    let (config, limits) = match redis {
        Ok(redis) => {
            report.adapters = adapters(&redis);
            report.redis = Service::Reachable(redis.address);
            report.workers = Some(redis.workers);
            report.leader = redis.leader.map_or(Leader::Missing, Leader::Leads);
            report.queues = Some(redis.queues);
            report.lanes = redis.lanes;
            report.pauses = redis.pauses;
            report.dead_letters = Some(redis.dead_letters);
            report.unrecorded_events = Some(redis.unrecorded_events);
            (redis.config, Some(redis.limits))
        }
        Err(error) => {
            report.redis = Service::Unreachable(error.first_line());
            let providers = own.catalog.providers.iter();
            report.adapters = providers
                .map(|provider| platform_status(provider, Health::Ready))
                .collect();
            (own.clone(), None)
        }
    };
    report.quotas = Quotas {
        limits,
        used: used.map(|used| usage_by_platform(&config.catalog.providers, &used)),
        reset_at,
        alerts: config.alerts.at,
    };
    report
}

fn adapters(redis: &RedisStatus) -> Vec<Adapter> {
    let health = |provider: &ProviderEntry| {
        let own = redis
            .circuits
            .iter()
            .filter(|circuit| circuit.name.platform == provider.name);
        let open_circuits: Vec<OpenCircuit> = own
            .filter_map(|circuit| {
                let open = circuit.open.as_ref()?;
                Some(OpenCircuit {
                    model: circuit.name.model.clone(),
                    since: open.since,
                    until: open.until,
                    probing_until: open.probing_until,
                    class: open.class,
                })
            })
            .collect();
        let mut holds = redis.account_holds.iter();
        let hold = holds.find(|hold| hold.account == provider.account);
        match hold {
            _ if !open_circuits.is_empty() => Health::CircuitsOpen(open_circuits),
            Some(hold) => Health::OnHold(hold.clone()),
            None => Health::Ready,
        }
    };
    let providers = redis.config.catalog.providers.iter();
    providers
        .map(|provider| platform_status(provider, health(provider)))
        .collect()
}

/// The status of a platform: its health, unless it is disabled.
fn platform_status(provider: &ProviderEntry, health: Health) -> Adapter {
    Adapter {
        name: provider.name.to_string(),
        health: match &provider.enabled {
            Enabled::On => health,
            Enabled::Off(why) => Health::Disabled(why.clone()),
        },
    }
}

/// The enabled platforms, and those that were used before they were disabled.
fn usage_by_platform(providers: &[ProviderEntry], used: &[(String, u64)]) -> Vec<PlatformUsage> {
    let requests = |name: &str| {
        used.iter()
            .find(|(other, _)| other == name)
            .map(|(_, requests)| *requests)
    };
    let known = providers.iter().filter_map(|provider| {
        let requests = requests(provider.name.as_str());
        (provider.is_on() || requests.is_some()).then(|| PlatformUsage {
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
        .chain(removed.map(|(name, requests)| PlatformUsage {
            platform: name.clone(),
            account: name.clone(),
            requests: *requests,
        }))
        .collect()
}
