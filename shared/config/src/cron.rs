//! Reads the section `cron:`, the recurring jobs.

use std::collections::BTreeMap;

use longshore_policy::cron::{CronDefinition, CronDefinitionText};
use longshore_protocol::{envelope::MessageLimits, id::CronName};
use longshore_settings::{Reader, Text};
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

    /// The text of this setting, or else the first text of the job, for its line.
    fn nearest_text(&self, setting: &str) -> Option<&Text> {
        let texts = self.texts();
        let own = texts.iter().find(|(name, _)| *name == setting);
        own.and_then(|(_, text)| *text)
            .or_else(|| self.first_text())
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
            r.problem_near(raw.nearest_text("name"), twice);
        }
    }
    jobs
}

fn one(
    r: &mut Reader<'_>,
    raw: &RawCron,
    limits: &MessageLimits,
) -> Option<(CronName, CronDefinition)> {
    let problems_before = r.problem_count();
    let [name, schedule, every, timezone, missed, queue] = raw
        .texts()
        .map(|(name, text)| r.resolve(&format!("cron.{name}"), text, text?.as_str()));
    let Some(name) = name else {
        if r.problem_count() == problems_before {
            let text = "`cron.name` is needed; expected 1 to 64 characters of [A-Za-z0-9._-]";
            r.problem_near(raw.nearest_text("name"), text);
        }
        return None;
    };
    let job = job(r, raw)?;
    if r.problem_count() > problems_before {
        return None;
    }
    let written = CronDefinitionText {
        schedule,
        every,
        timezone,
        missed,
        queue,
        job,
    };
    let name = match CronName::parse(&name) {
        Ok(name) => name,
        Err(bad) => {
            r.problem_near(raw.nearest_text("name"), format!("`cron.name`: {bad}"));
            return None;
        }
    };
    let read = CronDefinition::read(&written);
    match read.and_then(|definition| definition.check(&name, limits).map(|()| definition)) {
        Ok(definition) => Some((name, definition)),
        Err(wrong) => {
            let text = format!("`cron.{}` of `{name}`: {}", wrong.field, wrong.message);
            r.problem_near(raw.nearest_text(wrong.field), text);
            None
        }
    }
}

/// The job with its variables replaced.
fn job(r: &mut Reader<'_>, raw: &RawCron) -> Option<Map<String, Value>> {
    let mut job = raw.job.clone().unwrap_or_default();
    replace_variables(r, raw, &mut job);
    let Value::Object(job) = job else {
        let text = "`cron.job` is not a map; expected a job, such as `job: { prompt: \"…\" }`";
        r.problem_near(raw.nearest_text("job"), text);
        return None;
    };
    Some(job)
}

fn replace_variables(r: &mut Reader<'_>, raw: &RawCron, value: &mut Value) {
    match value {
        Value::String(text) => {
            if let Some(resolved) = r.resolve("cron.job", raw.nearest_text("job"), text) {
                *text = resolved;
            }
        }
        Value::Array(list) => list
            .iter_mut()
            .for_each(|value| replace_variables(r, raw, value)),
        Value::Object(map) => map
            .values_mut()
            .for_each(|value| replace_variables(r, raw, value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
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
        longshore.yaml:2: `cron.name` is needed; expected 1 to 64 characters of [A-Za-z0-9._-]
        longshore.yaml:2: `cron.name`: recurring job `a b` is not valid: expected a name of 1 to 64 characters of [A-Za-z0-9._-]
        longshore.yaml:2: `cron.schedule` of `a`: expected a `schedule`, such as "0 3 * * *", or `every`, such as 30s
        longshore.yaml:3: `cron.schedule` of `a`: expected minute, hour, day, month and weekday (and seconds before them, if you like), such as "0 3 * * *", or @hourly, @daily, @weekly, @monthly, @yearly, but got `0 3 * *`: Invalid pattern: Pattern must have 5 or 6 fields when years are disallowed.
        longshore.yaml:4: `cron[0].time_zone` is not a setting; did you mean `timezone`?
        longshore.yaml:4: `cron.timezone` of `a`: expected a time zone, such as UTC or Europe/Berlin, but got `Mars`
        longshore.yaml:2: `cron.job` is not a map; expected a job, such as `job: { prompt: "…" }`
        longshore.yaml:2: `cron.job` of `a`: `timeout`: expected seconds, a number over 0 and up to 86400, but got "soon"
        longshore.yaml:2: `cron.job` needs the variable NOPE, which is not set; set it, or write ${NOPE:-default}
        longshore.yaml:3: the recurring job `a` is defined twice; rename one
        "#);
    }
}
