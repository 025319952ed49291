//! `longshore failures`: what fails now, in groups.

mod report;

use chrono::{DateTime, Utc};
use longshore_ledger::{FailureFilter, FailureKey};
use longshore_protocol::clock::local_time;

use self::report::Report;
use crate::{
    error::{CommandError, Exit},
    options::{self, LabelFilter},
    output::{self, Format},
    render::text::counted,
    session::{Session, explain_ledger_error},
};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Start of the period: 30m, 2h or 7d ago, a date, or a time in RFC 3339
    #[arg(long, value_name = "TIME", value_parser = options::since, default_value = "1h")]
    since: DateTime<Utc>,
    /// What to group by
    #[arg(
        long,
        value_name = "WHAT",
        value_enum,
        value_delimiter = ',',
        default_value = "class,platform,model,type"
    )]
    by: Vec<By>,
    #[command(flatten)]
    labels: LabelFilter,
    /// Only failures of this platform
    #[arg(long)]
    platform: Option<String>,
    /// Maximum number of groups
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// Output format
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// What failures are grouped by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum By {
    Class,
    Platform,
    Model,
    Type,
    Queue,
    Tenant,
}

impl By {
    fn key(self) -> FailureKey {
        match self {
            Self::Class => FailureKey::Class,
            Self::Platform => FailureKey::Platform,
            Self::Model => FailureKey::Model,
            Self::Type => FailureKey::Type,
            Self::Queue => FailureKey::Queue,
            Self::Tenant => FailureKey::Tenant,
        }
    }
}

/// What Redis adds to the ledger.
struct InRedis {
    /// Dead letters since the time that is asked for.
    dead_letters: u64,
    /// Events that are not in the ledger yet.
    unrecorded: u64,
}

/// Prints what failed; exit code 0, whether or not anything did.
pub(crate) async fn run(arguments: Arguments, session: &Session) -> Result<Exit, CommandError> {
    let Arguments { since, labels, .. } = arguments;
    let filter = FailureFilter {
        since,
        task_type: labels.task_type,
        queue: labels.queue,
        tenant: labels.tenant,
        chain_id: labels.chain_id,
        platform: arguments.platform,
        by: arguments.by.into_iter().map(By::key).collect(),
        limit: arguments.limit,
    };
    let (failures, in_redis) = tokio::join!(recorded(&filter, session), in_redis(since, session));
    let dead_letters = match &in_redis {
        Ok(InRedis { dead_letters, .. }) => Some(*dead_letters),
        Err(_) => None,
    };
    let report = Report::new(since, failures?, dead_letters, local_time());
    arguments.format.print(&report);
    match in_redis {
        Ok(InRedis { unrecorded: 0, .. }) => {}
        Ok(InRedis { unrecorded, .. }) => {
            let events = counted(unrecorded, "event");
            output::note(format_args!(
                "Note: {events} not yet recorded in Postgres; newer failures may be missing."
            ));
        }
        Err(error) => output::warning(format_args!(
            "dead letters and unrecorded failures are unknown: {}",
            error.first_line()
        )),
    }
    Ok(Exit::Success)
}

async fn recorded(
    filter: &FailureFilter,
    session: &Session,
) -> Result<longshore_ledger::Failures, CommandError> {
    let ledger = session.ledger().await?;
    match ledger.failures(filter).await {
        Ok(failures) => Ok(failures),
        Err(error) => Err(explain_ledger_error(&ledger, error).await),
    }
}

async fn in_redis(since: DateTime<Utc>, session: &Session) -> Result<InRedis, CommandError> {
    let broker = session.broker().await?;
    let dead_letters = broker.dead_letters();
    let before = dead_letters.count_before(since.timestamp_millis()).await?;
    Ok(InRedis {
        dead_letters: dead_letters.count().await?.saturating_sub(before),
        unrecorded: broker.events().unrecorded_count().await?,
    })
}
