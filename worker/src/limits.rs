//! Limits in words.

use longshore_config::Config;
use longshore_policy::limits::MeterName;
use longshore_protocol::{envelope::Envelope, money::Usd};

use crate::{choose::Usable, verdict::Discard};

/// Why a job is given up that no limit ever has room for.
const BUDGET_EXCEEDED: &str = "budget_exceeded";

/// Whether a limit is a sum within a window: then there is no room before its end.
pub(crate) fn is_window(meter: &str) -> bool {
    MeterName::parse(meter).is_window()
}

/// The call takes more than the limit ever allows.
pub(crate) fn too_large(meter: &str, usable: &[Usable<'_>]) -> Discard {
    let least = usable
        .iter()
        .map(|usable| usable.estimate.upper_bound)
        .min()
        .unwrap_or_default();
    Discard::new(
        BUDGET_EXCEEDED,
        format!(
            "a call may cost ${least}, more than {} ever allows; name fewer max_tokens, or raise the limit",
            MeterName::parse(meter)
        ),
    )
}

/// What may be spent is spent, and jobs end there: a budget whose `at_limit` says so, or a chain's own.
pub(crate) fn refused(meter: &str) -> Discard {
    Discard::new(
        BUDGET_EXCEEDED,
        format!(
            "{} is spent: what is left of it does not allow another call",
            MeterName::parse(meter)
        ),
    )
}

/// What a job may spend in all, and what says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Allowance {
    pub(crate) most: Usd,
    said_by: &'static str,
}

impl Allowance {
    /// The job's own, or the configuration's, whichever is less.
    pub(crate) fn of(envelope: &Envelope, config: &Config) -> Option<Self> {
        let of = |most: Option<Usd>, said_by| most.map(|most| Self { most, said_by });
        let own = of(envelope.max_cost, "max_cost_usd");
        let any = of(
            config.routing.max_cost_per_task,
            "routing.max_cost_per_task",
        );
        own.into_iter().chain(any).min_by_key(|one| one.most)
    }
}

/// The job may not spend what any candidate could cost.
pub(crate) fn too_dear(could: Usd, Allowance { most, said_by }: Allowance) -> Discard {
    Discard::new(
        BUDGET_EXCEEDED,
        format!(
            "the next attempt could bring its cost to ${could}, and {said_by} allows ${most}; \
             name fewer max_tokens, or allow more"
        ),
    )
}
