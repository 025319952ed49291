//! The permit to make one call, and what the call then says about the model's health.

use std::sync::Arc;

use longshore_broker::CircuitName;
use longshore_protocol::call::{CallCost, CallError, ErrorClass};

use super::{
    Circuits,
    cell::{Cell, CircuitState},
};

/// The permit to make one call. Dropped unused, as when the job is parked or cancelled, it reports nothing;
/// another worker can claim the probe when the claim has expired.
#[must_use]
pub struct CallPermit<'a> {
    circuits: &'a Circuits,
    cell: Arc<Cell>,
    is_probe: bool,
}

impl<'a> CallPermit<'a> {
    pub(super) fn regular(circuits: &'a Circuits, cell: Arc<Cell>) -> Self {
        Self {
            circuits,
            cell,
            is_probe: false,
        }
    }

    pub(super) fn probe(circuits: &'a Circuits, cell: Arc<Cell>) -> Self {
        Self {
            circuits,
            cell,
            is_probe: true,
        }
    }

    /// Whether the call probes a half-open circuit.
    pub fn is_probe(&self) -> bool {
        self.is_probe
    }

    /// Reports that the provider answered.
    pub async fn succeeded(self) {
        if self.is_probe {
            // Boxed: most calls are no probes.
            Box::pin(self.report_probe(None)).await;
        } else {
            self.cell.count_success();
        }
    }

    /// Reports that the call failed. Returns whether the circuit is open now, so that another attempt on
    /// this model is pointless.
    pub async fn failed(self, error: &CallError) -> bool {
        match health_sign(error) {
            HealthSign::Unhealthy(class) if self.is_probe => self.report_probe(Some(class)).await,
            HealthSign::Unhealthy(class) => return self.report_failure(class).await,
            HealthSign::Healthy if self.is_probe => self.report_probe(None).await,
            HealthSign::Healthy | HealthSign::Unknown => {}
        }
        self.is_open()
    }

    fn is_open(&self) -> bool {
        self.cell.state(self.circuits.clock.now()) != CircuitState::Closed
    }

    async fn report_failure(&self, class: ErrorClass) -> bool {
        if self.is_open() {
            return true;
        }
        // Successes are reported with the failure; later, they would not count towards its share.
        let calls = self.cell.take_successes() + 1;
        match self
            .circuits
            .report(&self.cell, calls, Some((1, class)))
            .await
        {
            Ok(is_open) => is_open,
            Err(error) => {
                let CircuitName { platform, model } = &self.cell.name;
                tracing::warn!(%platform, model, "circuit failure not reported: {error}");
                false
            }
        }
    }

    async fn report_probe(&self, failed: Option<ErrorClass>) {
        if let Err(error) = self.circuits.report_probe(&self.cell, failed).await {
            let CircuitName { platform, model } = &self.cell.name;
            tracing::warn!(%platform, model, "circuit probe not reported: {error}");
        }
    }
}

impl Drop for CallPermit<'_> {
    fn drop(&mut self) {
        if self.is_probe {
            self.cell.end_probe();
        }
    }
}

/// What a failed call says about the model's health.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HealthSign {
    Unhealthy(ErrorClass),
    /// The model works; the job or the account's limits caused the failure.
    Healthy,
    Unknown,
}

fn health_sign(error: &CallError) -> HealthSign {
    match error.class {
        // With a wrong key every call fails, so that the model is unusable.
        class @ (ErrorClass::Overloaded
        | ErrorClass::Timeout
        | ErrorClass::Network
        | ErrorClass::Auth) => HealthSign::Unhealthy(class),
        // A billed answer came from the model and only does not suit the job; any other is garbage.
        class @ ErrorClass::BadOutput => match error.spend {
            CallCost::Known(_) => HealthSign::Healthy,
            CallCost::Nothing | CallCost::Unknown => HealthSign::Unhealthy(class),
        },
        ErrorClass::RateLimited
        | ErrorClass::QuotaExhausted
        | ErrorClass::BadRequest
        | ErrorClass::ContextTooLong
        | ErrorClass::Refused => HealthSign::Healthy,
        ErrorClass::Internal => HealthSign::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use longshore_protocol::call::Usage;

    use super::*;

    #[test]
    fn only_failures_that_the_provider_causes_count_against_it() {
        let unhealthy: Vec<&str> = ErrorClass::ALL
            .iter()
            .filter(|class| {
                let error = CallError::new(**class, "no");
                matches!(health_sign(&error), HealthSign::Unhealthy(_))
            })
            .map(|class| class.as_str())
            .collect();
        assert_eq!(
            unhealthy,
            ["overloaded", "timeout", "network", "auth", "bad_output"]
        );
    }

    #[test]
    fn a_billed_answer_shows_that_the_model_is_healthy() {
        let error = CallError::new(ErrorClass::BadOutput, "no JSON")
            .spend(CallCost::Known(Usage::default()));
        assert_eq!(health_sign(&error), HealthSign::Healthy);
        assert_eq!(
            health_sign(&CallError::new(ErrorClass::Internal, "ours")),
            HealthSign::Unknown
        );
    }
}
