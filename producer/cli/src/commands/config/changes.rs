//! The differences between two configurations.

use longshore_config::{Config, Shown};
use serde::Serialize;

use crate::render::{
    table::{Cell, Table, Width, whole, wrap},
    text::printable,
};

/// A setting that would change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Change {
    name: String,
    /// The current value; absent for a new setting.
    now: Option<String>,
    /// The new value; absent for a removed setting.
    then: Option<String>,
}

/// What `then` would change.
pub(super) fn config_changes(now: &Config, then: &Config) -> Vec<Change> {
    compare_settings(&now.shown(), &then.shown())
}

fn compare_settings(now: &[Shown], then: &[Shown]) -> Vec<Change> {
    let value = |list: &[Shown], name: &str| {
        let found = list.iter().find(|line| line.name == name);
        found.map(|line| line.value.clone())
    };
    let removed = now
        .iter()
        .filter(|line| value(then, &line.name).is_none())
        .map(|line| (line, Some(line.value.clone()), None));
    then.iter()
        .map(|line| (line, value(now, &line.name), Some(line.value.clone())))
        .chain(removed)
        .filter(|(_, now, then)| now != then)
        .map(|(line, now, then)| Change {
            name: line.name.clone(),
            now,
            then,
        })
        .collect()
}

pub(super) fn change_table(changes: &[Change], width: Width) -> String {
    let mut table = Table::new([whole("SETTING"), wrap("NOW"), wrap("THEN")]);
    for change in changes {
        let shown = |value: &Option<String>| {
            let value = value.as_deref().unwrap_or("-");
            Cell::new(printable(value))
        };
        table.add_row([
            Cell::new(printable(&change.name)),
            shown(&change.now),
            shown(&change.then),
        ]);
    }
    table.fitted(width)
}

#[cfg(test)]
mod tests {
    use longshore_settings::Environment;

    use super::*;

    fn config(yaml: &str) -> Config {
        Config::from_yaml(&Environment::default(), "longshore.yaml".as_ref(), yaml).unwrap()
    }

    #[test]
    fn changed_added_and_removed_settings_are_listed() {
        let now = config(
            "retry: { max_retries: 5 }\n\
             retries: { patient: { max_retries: 20 } }\n\
             models: [{ provider: openai, model: gpt-4o, tier: fast }]\n",
        );
        let then = config(
            "retry: { max_retries: 5, jitter: 0 }\n\
             providers: { mine: { base_url: 'http://gpu:8000/v1', default_model: m } }\n",
        );
        insta::assert_snapshot!(change_table(&config_changes(&now, &then), Width::of(80)), @"
        SETTING                      NOW                        THEN
        retry.jitter                 3s                         0ms
        providers.mine               -                          on, openai at
                                                                http://gpu:8000/v1,
                                                                default_model m, no key
        retries.patient.max_retries  20                         -
        retries.patient.max_repairs  1                          -
        retries.patient.base_delay   1s                         -
        retries.patient.max_delay    1m                         -
        retries.patient.jitter       3s                         -
        retries.patient.hold_limit   10s                        -
        models.openai/gpt-4o         fast, context 128000,      -
                                     answer 16384, $2.5 in,
                                     $10 out, $1.25 cached;
                                     batch_discount 0.5 (per
                                     million), for code
                                     analysis planning review
                                     docs simple_tasks tools
                                     json_schema vision files
        ");
        insta::assert_snapshot!(change_table(&config_changes(&now, &then), Width::of(140)), @"
        SETTING                      NOW                                                      THEN
        retry.jitter                 3s                                                       0ms
        providers.mine               -                                                        on, openai at http://gpu:8000/v1, default_model m, no
                                                                                              key
        retries.patient.max_retries  20                                                       -
        retries.patient.max_repairs  1                                                        -
        retries.patient.base_delay   1s                                                       -
        retries.patient.max_delay    1m                                                       -
        retries.patient.jitter       3s                                                       -
        retries.patient.hold_limit   10s                                                      -
        models.openai/gpt-4o         fast, context 128000, answer 16384, $2.5 in, $10 out,    -
                                     $1.25 cached; batch_discount 0.5 (per million), for
                                     code analysis planning review docs simple_tasks tools
                                     json_schema vision files
        ");
        assert_eq!(config_changes(&now, &now), []);
    }
}
