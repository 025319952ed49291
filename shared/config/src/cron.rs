//! Recurring jobs, as they are written in `longshore.yaml`.

use std::collections::BTreeMap;

use longshore_policy::cron::{Definition, Written};
use longshore_protocol::{envelope::Limits, id::CronName};
use longshore_settings::{Interpolated, Reader, Text};
use serde::Deserialize;
use serde_json::{Map, Value};

/// A recurring job.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawCron {
    name: Option<Text>,
    schedule: Option<Text>,
    every: Option<Text>,
    timezone: Option<Text>,
    missed: Option<Text>,
    queue: Option<Text>,
    job: Option<Value>,
}

impl RawCron {
    /// The values that are written, by their names.
    fn fields(&self) -> [(&'static str, Option<&Text>); 6] {
        [
            ("name", self.name.as_ref()),
            ("schedule", self.schedule.as_ref()),
            ("every", self.every.as_ref()),
            ("timezone", self.timezone.as_ref()),
            ("missed", self.missed.as_ref()),
            ("queue", self.queue.as_ref()),
        ]
    }

    /// The value of this field, or else the first that is there, for its line.
    fn near(&self, field: &str) -> Option<&Text> {
        let fields = self.fields();
        let own = fields.iter().find(|(name, _)| *name == field);
        own.and_then(|(_, text)| *text).or_else(|| {
            let all = fields.iter().filter_map(|(_, text)| *text);
            all.min_by_key(|text| text.line())
        })
    }
}

/// The recurring jobs, each checked as if it were enqueued.
pub(crate) fn cron(
    r: &mut Reader<'_>,
    raws: &[RawCron],
    limits: &Limits,
) -> BTreeMap<CronName, Definition> {
    let mut jobs = BTreeMap::new();
    for raw in raws {
        let Some((name, definition)) = one(r, raw, limits) else {
            continue;
        };
        if let Some(written) = &raw.name {
            r.stands_at(&format!("cron.{name}"), written);
        }
        let twice = format!("the recurring job `{name}` is named twice; rename one");
        if jobs.insert(name, definition).is_some() {
            r.problem_near(raw.near("name"), twice);
        }
    }
    jobs
}

fn one(r: &mut Reader<'_>, raw: &RawCron, limits: &Limits) -> Option<(CronName, Definition)> {
    let told = r.told();
    let [name, schedule, every, timezone, missed, queue] = raw.fields().map(|(field, written)| {
        let written = written?;
        let filled = r.filled(written);
        value(r, &format!("cron.{field}"), Some(written), filled)
    });
    let Some(name) = name else {
        if r.told() == told {
            let text = "`cron.name` is needed; expected 1 to 64 characters of [A-Za-z0-9._-]";
            r.problem_near(raw.near("name"), text);
        }
        return None;
    };
    let job = job(r, raw)?;
    if r.told() > told {
        return None;
    }
    let written = Written {
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
            r.problem_near(raw.near("name"), format!("`cron.name`: {bad}"));
            return None;
        }
    };
    let read = Definition::read(&written);
    match read.and_then(|definition| definition.check(&name, limits).map(|()| definition)) {
        Ok(definition) => Some((name, definition)),
        Err(wrong) => {
            let text = format!("`cron.{}` of `{name}`: {}", wrong.field, wrong.message);
            r.problem_near(raw.near(wrong.field), text);
            None
        }
    }
}

/// The job with its variables filled in.
fn job(r: &mut Reader<'_>, raw: &RawCron) -> Option<Map<String, Value>> {
    let mut job = raw.job.clone().unwrap_or_default();
    fill(r, raw, &mut job);
    let Value::Object(job) = job else {
        let text = "`cron.job` is not a map; expected a job, such as `job: { prompt: \"…\" }`";
        r.problem_near(raw.near("job"), text);
        return None;
    };
    Some(job)
}

fn fill(r: &mut Reader<'_>, raw: &RawCron, value: &mut Value) {
    match value {
        Value::String(text) => {
            let filled = r.fill(text);
            if let Some(filled) = self::value(r, "cron.job", raw.near("job"), filled) {
                *text = filled;
            }
        }
        Value::Array(list) => list.iter_mut().for_each(|value| fill(r, raw, value)),
        Value::Object(map) => map.values_mut().for_each(|value| fill(r, raw, value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// A value that was filled in, or what is to be said.
fn value(
    r: &mut Reader<'_>,
    at: &str,
    near: Option<&Text>,
    filled: Interpolated,
) -> Option<String> {
    let text = match filled {
        Interpolated::Value(value) => return Some(value),
        Interpolated::Missing(variable) => format!(
            "`{at}` needs the variable {variable}, which is not set; set it, or write \
             ${{{variable}:-default}}"
        ),
        Interpolated::Malformed => format!(
            "`{at}` has a ${{ that is neither ${{NAME}} nor ${{NAME:-default}}; write $${{ for a plain ${{"
        ),
    };
    r.problem_near(near, text);
    None
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
    fn recurring_jobs_are_read_and_shown() {
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
    fn what_is_wrong_is_told_with_its_line() {
        let told = |yaml: &str| load(yaml).unwrap_err().to_string();
        let all = [
            told("cron:\n  - name: a\n    every: 30s\n"),
            told("cron:\n  - every: 30s\n    job: { prompt: x }\n"),
            told("cron:\n  - name: a b\n    every: 30s\n    job: { prompt: x }\n"),
            told("cron:\n  - name: a\n    job: { prompt: x }\n"),
            told("cron:\n  - name: a\n    schedule: 0 3 * *\n    job: { prompt: x }\n"),
            told(
                "cron:\n  - name: a\n    schedule: 0 3 * * *\n    time_zone: UTC\n    job: { prompt: x }\n",
            ),
            told(
                "cron:\n  - name: a\n    schedule: 0 3 * * *\n    timezone: Mars\n    job: { prompt: x }\n",
            ),
            told("cron:\n  - name: a\n    every: 30s\n    job: hello\n"),
            told("cron:\n  - name: a\n    every: 30s\n    job: { prompt: x, timeout: soon }\n"),
            told("cron:\n  - name: a\n    every: 30s\n    job: { prompt: '${NOPE}' }\n"),
            told(
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
        longshore.yaml:3: the recurring job `a` is named twice; rename one
        "#);
    }
}
