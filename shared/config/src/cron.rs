//! Reads the section `cron:`, the recurring jobs.

use std::collections::BTreeMap;

use longshore_policy::{
    catalog::missing,
    cron::{CronDefinition, CronDefinitionText, CronFault},
};
use longshore_protocol::{envelope::MessageLimits, id::CronName};
use longshore_settings::{Placed as _, Reader, Text};
use serde_json::{Map, Value};

use crate::table::RawCron;

impl RawCron {
    /// The settings that are texts, by their names.
    fn texts(&self) -> [(&'static str, Option<&Text>); 6] {
        [
            ("name", self.name.as_ref()),
            ("schedule", self.schedule.as_ref()),
            ("every", self.every.as_ref()),
            ("timezone", self.timezone.as_ref()),
            ("missed", self.missed.as_ref()),
            ("queue", self.queue.as_ref()),
        ]
    }

    /// Where the value at fault stands, or else the recurring job.
    fn near(&self, fault: &CronFault) -> Text {
        if fault.field == "job" {
            return self.near_job(fault.job_field.as_deref());
        }
        let texts = self.texts();
        let own = texts.iter().find(|(name, _)| *name == fault.field);
        own.and_then(|(_, text)| *text)
            .unwrap_or_else(|| self.place())
            .clone()
    }

    /// Where the job stands, or this field of it.
    fn near_job(&self, field: Option<&str>) -> Text {
        let Some(job) = self.job.as_ref().filter(|job| !job.is_nothing()) else {
            return self.place().clone();
        };
        let field = field.and_then(|field| job.member(field));
        Text::place(field.map_or(job, |(name, _)| name))
    }
}

/// Reads the recurring jobs. Each is checked as if it were enqueued.
pub(crate) fn cron(
    r: &mut Reader<'_>,
    raws: &[RawCron],
    limits: &MessageLimits,
) -> BTreeMap<CronName, CronDefinition> {
    let mut jobs = BTreeMap::new();
    for raw in raws {
        let Some((name, definition)) = one(r, raw, limits) else {
            continue;
        };
        if let Some(written) = &raw.name {
            r.record_origin(&format!("cron.{name}"), written);
        }
        let twice = format!("the recurring job `{name}` is defined twice; rename one");
        if jobs.insert(name, definition).is_some() {
            r.problem_at(raw.place(), twice);
        }
    }
    jobs
}

fn one(
    r: &mut Reader<'_>,
    raw: &RawCron,
    limits: &MessageLimits,
) -> Option<(CronName, CronDefinition)> {
    let texts = raw.texts().map(|(name, text)| {
        let resolved =
            text.map(|text| r.resolve(&format!("cron.{name}"), Some(text), text.as_str()));
        (text, resolved.flatten())
    });
    let is_resolved = texts
        .iter()
        .all(|(text, resolved)| text.is_some() == resolved.is_some());
    let [name, schedule, every, timezone, missed, queue] = texts.map(|(_, resolved)| resolved);
    let name = cron_name(r, raw, name);
    let job = job(r, raw);
    let written = CronDefinitionText {
        schedule,
        every,
        timezone,
        missed,
        queue,
        job: job.clone().unwrap_or_default(),
    };
    // The job is checked even if nobody knows its name.
    let any_name = name.clone().or_else(|| CronName::parse("unnamed").ok());
    let read = match any_name.filter(|_| job.is_some()) {
        Some(name) => CronDefinition::read_checked(&written, &name, limits),
        None => CronDefinition::read(&written),
    };
    let (definition, mut faults) = match read {
        Ok(definition) => (Some(definition), Vec::new()),
        Err(wrong) => (None, wrong.0),
    };
    // What the timing lacks may be in a setting that could not be read.
    faults.retain(|fault| is_resolved || matches!(fault.field, "missed" | "queue" | "job"));
    let is_valid = faults.is_empty() && is_resolved && job.is_some();
    let of = name
        .as_ref()
        .map_or_else(String::new, |name| format!(" of `{name}`"));
    for fault in faults {
        let text = format!("`cron.{}`{of}: {}", fault.field, fault.message);
        r.problem_at(&raw.near(&fault), text);
    }
    Some((name?, definition.filter(|_| is_valid)?))
}

fn cron_name(r: &mut Reader<'_>, raw: &RawCron, name: Option<String>) -> Option<CronName> {
    let Some(written) = &raw.name else {
        let expected = "1 to 64 characters of [A-Za-z0-9._-]";
        return missing(r, Some(raw.place()), "cron.name", expected);
    };
    CronName::parse(&name?)
        .map_err(|bad| r.problem_at(written, format!("`cron.name`: {bad}")))
        .ok()
}

/// The job with its variables replaced.
fn job(r: &mut Reader<'_>, raw: &RawCron) -> Option<Map<String, Value>> {
    let near = raw.near_job(None);
    let job = raw.job.as_ref().map(serde_json::to_value);
    let Some(Ok(Value::Object(mut job))) = job else {
        let text = "`cron.job` is not a map; expected a job, such as `job: { prompt: \"…\" }`";
        r.problem_at(&near, text);
        return None;
    };
    replace_all(r, &near, job.values_mut()).then_some(job)
}

/// Whether all variables in the values could be replaced. All values are tried, so that each error is reported.
fn replace_all<'v>(
    r: &mut Reader<'_>,
    near: &Text,
    values: impl Iterator<Item = &'v mut Value>,
) -> bool {
    let mut is_resolved = true;
    for value in values {
        is_resolved &= replace_variables(r, near, value);
    }
    is_resolved
}

/// Whether all variables in the value could be replaced.
fn replace_variables(r: &mut Reader<'_>, near: &Text, value: &mut Value) -> bool {
    match value {
        Value::String(text) => {
            let resolved = r.resolve("cron.job", Some(near), text);
            let is_resolved = resolved.is_some();
            *text = resolved.unwrap_or_default();
            is_resolved
        }
        Value::Array(list) => replace_all(r, near, list.iter_mut()),
        Value::Object(map) => replace_all(r, near, map.values_mut()),
        Value::Null | Value::Bool(_) | Value::Number(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::Config;
    use longshore_settings::{ConfigError, Environment};

    fn load(yaml: &str) -> Result<Config, ConfigError> {
        let env = Environment::from_pairs([("TOPIC", "boats")]);
        Config::from_yaml(&env, Path::new("longshore.yaml"), yaml)
    }

    #[test]
    fn reads_and_shows_recurring_jobs() {
        let config = load(
            "cron:
  - name: nightly-report
    schedule: \"0 3 * * *\"
    timezone: Europe/Berlin
    missed: skip
    queue: bulk
    job: { type: research, prompt: 'On ${TOPIC} for $${MONEY}', max_tokens: 500, temperature: 0.5, metadata: { tags: [a, 1] } }
  - name: poll
    every: 30s
    job:
      prompt: |
        Anything new?
",
        )
        .unwrap();
        let shown = config.shown();
        let lines = shown.iter().filter(|line| line.name.starts_with("cron."));
        let lines: Vec<String> = lines
            .map(|line| {
                let origin = line.origin.as_ref().unwrap();
                format!("{origin} {}: {}", line.name, line.value)
            })
            .collect();
        insta::assert_snapshot!(lines.join("\n"), @r#"
        longshore.yaml:2 cron.nightly-report: 0 3 * * * (Europe/Berlin), missed skip, queue bulk, job {"max_tokens":500,"metadata":{"tags":["a",1]},"prompt":"On boats for ${MONEY}","temperature":0.5,"type":"research"}
        longshore.yaml:8 cron.poll: every 30s, missed once, queue default, job {"prompt":"Anything new?\n"}
        "#);
    }

    #[test]
    fn reports_errors_with_lines() {
        let error = |yaml: &str| load(yaml).unwrap_err().to_string();
        let all = [
            error("cron:\n  - name: a\n    every: 30s\n"),
            error("cron:\n  - every: 30s\n    job: { prompt: x }\n"),
            error("cron:\n  - name: a b\n    every: 30s\n    job: { prompt: x }\n"),
            error("cron:\n  - name: a\n    job: { prompt: x }\n"),
            error("cron:\n  - name: a\n    schedule: 0 3 * *\n    job: { prompt: x }\n"),
            error(
                "cron:\n  - name: a\n    schedule: 0 3 * * *\n    time_zone: UTC\n    job: { prompt: x }\n",
            ),
            error(
                "cron:\n  - name: a\n    schedule: 0 3 * * *\n    timezone: Mars\n    job: { prompt: x }\n",
            ),
            error("cron:\n  - name: a\n    every: 30s\n    job: hello\n"),
            error("cron:\n  - name: a\n    every: 30s\n    job: { prompt: x, timeout: soon }\n"),
            error("cron:\n  - name: a\n    every: 30s\n    job: { prompt: '${NOPE}' }\n"),
            error(
                "cron:\n  - { name: a, every: 30s, job: { prompt: x } }\n  - { name: a, every: 1m, job: { prompt: z } }\n",
            ),
        ];
        insta::assert_snapshot!(all.join("\n"), @r#"
        longshore.yaml:2: `cron.job` is not a map; expected a job, such as `job: { prompt: "…" }`
        longshore.yaml:2: `cron.name` is missing; expected 1 to 64 characters of [A-Za-z0-9._-]
        longshore.yaml:2: `cron.name`: recurring job `a b` is not valid: expected a name of 1 to 64 characters of [A-Za-z0-9._-]
        longshore.yaml:2: `cron.schedule` of `a`: expected a `schedule`, such as "0 3 * * *", or `every`, such as 30s
        longshore.yaml:3: `cron.schedule` of `a`: expected minute, hour, day, month and weekday (and seconds before them, if you like), such as "0 3 * * *", or @hourly, @daily, @weekly, @monthly, @yearly, but got `0 3 * *`: Invalid pattern: Pattern must have 5 or 6 fields when years are disallowed.
        longshore.yaml:4: `cron.time_zone` is not a setting; did you mean `timezone`?
        longshore.yaml:4: `cron.timezone` of `a`: expected a time zone, such as UTC or Europe/Berlin, but got `Mars`
        longshore.yaml:4: `cron.job` is not a map; expected a job, such as `job: { prompt: "…" }`
        longshore.yaml:4: `cron.job` of `a`: `timeout`: expected seconds, a number over 0 and up to 86400, but got "soon"
        longshore.yaml:4: `cron.job` needs the variable NOPE, which is not set; set it, or write ${NOPE:-default}
        longshore.yaml:3: the recurring job `a` is defined twice; rename one
        "#);
    }
}
