//! Forms of settings that several modules use.

use longshore_protocol::id::{Namespace, QueueName};
use longshore_settings::Form;

pub fn namespace() -> Form<Namespace> {
    Form::new("1 to 64 characters of [A-Za-z0-9._-]", |text| {
        Namespace::parse(text).ok()
    })
}

pub fn queue() -> Form<QueueName> {
    Form::new(
        "queue names of 1 to 64 characters of [A-Za-z0-9._-]",
        |text| QueueName::parse(text).ok(),
    )
}

pub fn queues() -> Form<Vec<QueueName>> {
    let one = queue();
    Form::new(
        format!("{}, with commas between", one.expected),
        move |text| text.split(',').map(|name| one.understand(name)).collect(),
    )
}
