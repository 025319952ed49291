//! Forms of settings that name things of the protocol.

use longshore_protocol::id::{Namespace, QueueName};
use longshore_settings::Form;

use crate::queues::QueueShare;

/// A namespace.
pub fn namespace() -> Form<Namespace> {
    Form::new("1 to 64 characters of [A-Za-z0-9._-]", |text| {
        Namespace::parse(text).ok()
    })
}

/// The name of a queue.
pub fn queue() -> Form<QueueName> {
    Form::new(
        "queue names of 1 to 64 characters of [A-Za-z0-9._-]",
        |text| QueueName::parse(text).ok(),
    )
}

/// The name of a queue, and perhaps its weight.
pub fn queue_share() -> Form<QueueShare> {
    Form::new(
        "queue names of 1 to 64 characters of [A-Za-z0-9._-], or NAME=WEIGHT with a weight from 1 to 1000",
        QueueShare::parse,
    )
}
