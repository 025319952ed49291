//! Reads the section `queue_limits:`.

use longshore_policy::limits::{LimitedQueues, QueueLimits};
use longshore_protocol::id::QueueName;
use longshore_settings::{Entries, Form, Reader, Text, form::whole};

use crate::table::RawQueueLimits;

/// Reads the limits of queues.
pub(crate) fn queue_limits(r: &mut Reader<'_>, raws: &Entries<RawQueueLimits>) -> LimitedQueues {
    let mut queues = LimitedQueues::new();
    for (name, raw) in &raws.0 {
        let queue = match QueueName::parse(name.as_str()) {
            Ok(queue) => queue,
            Err(error) => {
                r.problem_at(name, format!("`queue_limits`: {error}"));
                continue;
            }
        };
        let at = format!("queue_limits.{queue}");
        r.record_origin(&at, name);
        if raw.max_concurrent.is_none() && raw.requests_per_minute.is_none() {
            let problem =
                format!("`{at}` has no limit; set `max_concurrent` or `requests_per_minute`");
            r.problem_at(name, problem);
        }
        let mut limit = |name: &str, written: Option<&Text>, form: &Form<u32>| {
            r.value(&format!("{at}.{name}"), written?, form)
        };
        // As in the limits of an account.
        let limits = QueueLimits {
            max_concurrent: limit(
                "max_concurrent",
                raw.max_concurrent.as_ref(),
                &whole(1..=100_000),
            ),
            requests_per_minute: limit(
                "requests_per_minute",
                raw.requests_per_minute.as_ref(),
                &whole(1..=600_000),
            ),
        };
        queues.insert(queue, limits);
    }
    queues
}
