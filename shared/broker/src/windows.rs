//! Windows of quotas and budgets that are over.

use super::{Broker, BrokerError, scripts};

impl Broker {
    /// Closes at most `most` windows that are over: each goes to the record once with what was used of
    /// it. Sums without an end whose meters begin with one of `forgettable` are forgotten once nothing was
    /// spent on them for 30 days. Gives how many were looked at; `most` means that there may be more.
    pub async fn close_windows(
        &self,
        most: usize,
        forgettable: &[String],
    ) -> Result<usize, BrokerError> {
        let mut call = scripts::CLOSE_WINDOWS.key(self.keys().windows());
        call.arg(self.keys().prefix()).arg(most).arg(forgettable);
        self.step(&call).await
    }
}
