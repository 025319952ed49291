//! Errors for jobs that a budget never allows.

use longshore_policy::limits::MeterName;

use crate::{
    disposition::Discard,
    route::{candidates::Usable, estimate::BUDGET_EXCEEDED},
};

/// The call needs more than the limit ever allows.
pub(super) fn exceeds_limit(meter: &str, usable: &[Usable<'_>]) -> Discard {
    let lowest = usable
        .iter()
        .map(|usable| usable.estimate.answer.cost)
        .min()
        .unwrap_or_default();
    let error = format!(
        "a call may cost ${lowest}, more than {} ever allows; lower max_tokens or raise the limit",
        MeterName::parse(meter)
    );
    Discard::new(BUDGET_EXCEEDED, error)
}

/// The budget is exhausted, and jobs end instead of waiting: its `at_limit` says so, or it is a chain's own.
pub(super) fn budget_exhausted(meter: &str) -> Discard {
    let error = format!(
        "{} is exhausted: what remains does not allow another call",
        MeterName::parse(meter)
    );
    Discard::new(BUDGET_EXCEEDED, error)
}
