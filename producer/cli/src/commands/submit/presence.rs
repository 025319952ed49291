//! Whether anybody is there to do the work.

use longshore_client::QueueName;
use longshore_shared::broker::{Broker, BrokerError};

/// In words, why nothing will happen for now; `None` when a worker takes from the queue.
pub(in crate::commands) async fn nobody(
    broker: &Broker,
    queue: &QueueName,
) -> Result<Option<String>, BrokerError> {
    let workers = broker.workers().await?;
    Ok(if workers.is_empty() {
        Some("No worker is running".to_owned())
    } else if workers.iter().any(|worker| worker.queues.contains(queue)) {
        None
    } else {
        Some(format!(
            "No running worker takes jobs from the queue `{queue}`"
        ))
    })
}
