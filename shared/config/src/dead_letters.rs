//! Reads the section `dead_letters:`, the rules that replay dead letters.

use std::{sync::LazyLock, time::Duration};

use longshore_policy::{
    catalog::{list, missing},
    replay::{ReplayRule, ReplayWhen},
};
use longshore_protocol::{call::ErrorClass, dead_letter::DeadLetterFilter, envelope::is_line};
use longshore_settings::{
    Form, Placed as _, Reader, Text,
    duration::format_duration,
    form::{duration, whole},
};

use crate::{
    routing::{Known, provider_form},
    table::{RawDeadLetters, RawReplayRule},
};

/// Reasons besides the classes of failed calls after which a replay can succeed. A malformed or an expired
/// message never succeeds.
const RETRYABLE: [&str; 2] = ["poison", "budget_exceeded"];

/// Reads the rules, in the order of the file.
pub(super) fn replay_rules(
    r: &mut Reader<'_>,
    raw: &RawDeadLetters,
    known: Known<'_>,
) -> Vec<ReplayRule> {
    let mut rules: Vec<ReplayRule> = Vec::new();
    for raw in raw.replay.iter().flatten() {
        let Some(rule) = rule(r, raw, known) else {
            continue;
        };
        if let Some(written) = &raw.name {
            r.record_origin(&format!("dead_letters.replay.{}", rule.name), written);
            if rules.iter().any(|other| other.name == rule.name) {
                let text = format!("the rule `{}` is defined twice; rename one", rule.name);
                r.problem_at(written, text);
            }
        }
        rules.push(rule);
    }
    rules
}

fn rule(r: &mut Reader<'_>, raw: &RawReplayRule, known: Known<'_>) -> Option<ReplayRule> {
    // Redis keys contain it.
    let word = Form::new("1 to 64 characters of [A-Za-z0-9._-]", |text| {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        ((1..=64).contains(&text.len()) && text.chars().all(allowed)).then(|| text.to_owned())
    });
    let name = match &raw.name {
        Some(name) => r.value("dead_letters.replay.name", name, &word),
        None => missing(
            r,
            Some(raw.place()),
            "dead_letters.replay.name",
            &word.expected,
        ),
    };
    let reasons = reasons(r, raw);
    let line = Form::new("1 to 200 characters without control characters", |text| {
        is_line(text, 200).then(|| text.to_owned())
    });
    let mut value = |field: &str, written: Option<&Text>, form: &Form<String>| {
        written.and_then(|text| r.value(&format!("dead_letters.replay.{field}"), text, form))
    };
    let task_type = value("type", raw.r#type.as_ref(), &line);
    let tenant = value("tenant", raw.tenant.as_ref(), &line);
    let platform = raw
        .platform
        .as_ref()
        .and_then(|text| r.value("dead_letters.replay.platform", text, &provider_form(known)));
    let queue = raw.queue.as_ref().and_then(|text| {
        r.value(
            "dead_letters.replay.queue",
            text,
            &longshore_policy::forms::queue(),
        )
    });
    let when = raw
        .when
        .as_ref()
        .and_then(|text| r.value("dead_letters.replay.when", text, &when_form()));
    let per_minute = raw.per_minute.as_ref().and_then(|text| {
        r.value(
            "dead_letters.replay.per_minute",
            text,
            &whole(1..=1_000_000),
        )
    });
    let at_most = raw
        .at_most
        .as_ref()
        .and_then(|text| r.value("dead_letters.replay.at_most", text, &whole(1..=1_000)));
    Some(ReplayRule {
        name: name?,
        filter: DeadLetterFilter {
            reasons: reasons?,
            task_type,
            platform: platform.map(|platform| platform.to_string()),
            tenant,
            queue,
            replays_below: Some(at_most.unwrap_or(3)),
            ..DeadLetterFilter::default()
        },
        when: when.unwrap_or(ReplayWhen::Healthy),
        per_minute: per_minute.unwrap_or(60),
    })
}

fn reasons(r: &mut Reader<'_>, raw: &RawReplayRule) -> Option<Vec<String>> {
    static KNOWN: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
        let classes = ErrorClass::ALL.iter().map(|class| class.as_str());
        classes.chain(RETRYABLE).collect()
    });
    let form = Form::new(format!("one of {}", list(KNOWN.iter().copied())), |text| {
        KNOWN.contains(&text).then(|| text.to_owned())
    });
    let written = raw.reasons.as_deref().unwrap_or_default();
    if written.is_empty() {
        let expected = "a list of reasons, such as [overloaded, timeout]";
        return missing(
            r,
            Some(raw.place()),
            "dead_letters.replay.reasons",
            expected,
        );
    }
    let reasons = written
        .iter()
        .filter_map(|reason| r.value("dead_letters.replay.reasons", reason, &form));
    Some(reasons.collect())
}

/// `healthy`, or `after` and a time.
pub(crate) fn when_form() -> Form<ReplayWhen> {
    let time = duration(Duration::from_secs(1)..=Duration::from_hours(30 * 24));
    Form::with_format(
        "healthy, or after and a time from 1s to 30d, such as `after 10m`",
        move |text| match text.split_once(' ') {
            Some(("after", wait)) => time.parse(wait).map(ReplayWhen::After),
            None if text == "healthy" => Some(ReplayWhen::Healthy),
            _ => None,
        },
        |when| match when {
            ReplayWhen::Healthy => "healthy".to_owned(),
            ReplayWhen::After(time) => format!("after {}", format_duration(*time)),
        },
    )
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::Config;
    use super::*;
    use longshore_protocol::id::QueueName;
    use longshore_settings::Environment;

    fn rules(yaml: &str) -> Vec<ReplayRule> {
        let env = Environment::default();
        Config::from_yaml(&env, Path::new("longshore.yaml"), yaml)
            .unwrap()
            .replay_rules
    }

    #[test]
    fn a_rule_has_defaults() {
        let rules = rules("dead_letters: { replay: [{ name: again, reasons: [timeout] }] }\n");
        let [rule] = rules.as_slice() else {
            panic!("{rules:?}")
        };
        assert_eq!((rule.when, rule.per_minute), (ReplayWhen::Healthy, 60));
        let filter = DeadLetterFilter {
            reasons: vec!["timeout".to_owned()],
            replays_below: Some(3),
            ..DeadLetterFilter::default()
        };
        assert_eq!(rule.filter, filter);
    }

    #[test]
    fn reads_every_setting_of_a_rule() {
        let yaml = "\
dead_letters:
  replay:
    - name: openai-is-back
      reasons: [overloaded, budget_exceeded]
      type: research
      platform: chatgpt
      tenant: acme
      queue: bulk
      when: after 10m
      per_minute: 600
      at_most: 1
";
        let rules = rules(yaml);
        let [rule] = rules.as_slice() else {
            panic!("{rules:?}")
        };
        let ten_minutes = ReplayWhen::After(Duration::from_mins(10));
        assert_eq!((rule.when, rule.per_minute), (ten_minutes, 600));
        let filter = &rule.filter;
        assert_eq!(filter.reasons, ["overloaded", "budget_exceeded"]);
        assert_eq!(filter.platform.as_deref(), Some("openai"), "by its alias");
        assert_eq!(filter.queue.as_ref().map(QueueName::as_str), Some("bulk"));
        assert_eq!(filter.replays_below, Some(1));
    }
}
