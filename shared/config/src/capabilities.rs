//! The queues of what a worker does beside calls.

use crate::Config;

/// Adds the queues of the worker's capabilities to those that it reads.
pub(crate) fn read_queues(config: &mut Config) {
    for capability in &config.capabilities {
        let queue = capability.queue();
        if config.queues.iter().all(|share| share.queue != queue) {
            config.queues.push(queue.into());
        }
    }
}
