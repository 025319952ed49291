//! Leave to make one call, and what the call then says of the model's health.

use std::sync::Arc;

use longshore_protocol::call::{CallError, ErrorClass, Spend};

use super::{Circuits, cell::Cell};

/// Leave to make one call. Dropped without a word, as when the job was parked or cancelled, it says
/// nothing; a probe can then be claimed by another once the claim has run out.
#[must_use]
pub struct Pass<'a> {
    circuits: &'a Circuits,
    cell: Arc<Cell>,
    probe: bool,
}

impl<'a> Pass<'a> {
    pub(super) fn call(circuits: &'a Circuits, cell: Arc<Cell>) -> Self {
        Self {
            circuits,
            cell,
            probe: false,
        }
    }

    pub(super) fn probe(circuits: &'a Circuits, cell: Arc<Cell>) -> Self {
        Self {
            circuits,
            cell,
            probe: true,
        }
    }

    /// Whether the call tries out a model that failed.
    pub fn is_probe(&self) -> bool {
        self.probe
    }

    /// The provider answered.
    pub async fn succeeded(self) {
        if self.probe {
            self.end(None).await;
        } else {
            self.cell.succeeded();
        }
    }

    /// It did not. Whether the circuit is open now, so that another try here makes no sense.
    pub async fn failed(self, error: &CallError) -> bool {
        match sign(error) {
            Sign::Down(class) if self.probe => self.end(Some(class)).await,
            Sign::Down(class) => return self.tell(class).await,
            Sign::Up if self.probe => self.end(None).await,
            Sign::Up | Sign::Nothing => {}
        }
        self.is_open()
    }

    fn is_open(&self) -> bool {
        self.cell.health(self.circuits.clock.now()) != super::Health::Closed
    }

    async fn tell(&self, class: ErrorClass) -> bool {
        if self.is_open() {
            return true;
        }
        // The successes go with it: told apart, they would come too late for a fair share.
        let calls = self.cell.take_successes() + 1;
        match self
            .circuits
            .count(&self.cell, calls, Some((1, class)))
            .await
        {
            Ok(open) => open,
            Err(error) => {
                tracing::warn!(circuit = %self.cell.name, "a failure is not counted: {error}");
                false
            }
        }
    }

    async fn end(&self, failed: Option<ErrorClass>) {
        if let Err(error) = self.circuits.probed(&self.cell, failed).await {
            tracing::warn!(circuit = %self.cell.name, "a probe is not told of: {error}");
        }
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if self.probe {
            self.cell.end_probe();
        }
    }
}

/// What a failed call says of the model's health.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sign {
    /// It does not work.
    Down(ErrorClass),
    /// It works; the job, or the account's limits, are in the way.
    Up,
    /// Nothing.
    Nothing,
}

fn sign(error: &CallError) -> Sign {
    match error.class {
        // With a wrong key every call fails, which is as good as down.
        class @ (ErrorClass::Overloaded
        | ErrorClass::Timeout
        | ErrorClass::Network
        | ErrorClass::Auth) => Sign::Down(class),
        // One that was billed came from the model, and does not suit the job; any other is rubbish.
        class @ ErrorClass::BadOutput => match error.spend {
            Spend::Known(_) => Sign::Up,
            Spend::Nothing | Spend::Unknown => Sign::Down(class),
        },
        ErrorClass::RateLimited
        | ErrorClass::QuotaExhausted
        | ErrorClass::BadRequest
        | ErrorClass::ContextTooLong
        | ErrorClass::Refused => Sign::Up,
        ErrorClass::Internal => Sign::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use longshore_protocol::call::Usage;

    use super::*;

    #[test]
    fn only_what_the_provider_is_to_blame_for_counts() {
        let down: Vec<&str> = ErrorClass::ALL
            .iter()
            .filter(|class| matches!(sign(&CallError::new(**class, "no")), Sign::Down(_)))
            .map(|class| class.as_str())
            .collect();
        assert_eq!(
            down,
            ["overloaded", "timeout", "network", "auth", "bad_output"]
        );
    }

    #[test]
    fn an_answer_that_was_billed_is_a_sign_of_life() {
        let error =
            CallError::new(ErrorClass::BadOutput, "no JSON").spend(Spend::Known(Usage::default()));
        assert_eq!(sign(&error), Sign::Up);
        assert_eq!(
            sign(&CallError::new(ErrorClass::Internal, "ours")),
            Sign::Nothing
        );
    }
}
