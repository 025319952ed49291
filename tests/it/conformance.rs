//! The files of `tests/conformance` hold for the real system, and an expectation that is wrong is found.

use std::{collections::BTreeMap, fs, path::PathBuf};

use anyhow::{Context as _, bail, ensure};
use longshore_tests::stack::{Options, Stack, eventually, expect_success};
use redis::aio::MultiplexedConnection;
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// The members of an outcome that the files leave out, because they are never the same.
const TIMES: [&str; 2] = ["duration_ms", "queued_ms"];

/// How long a list must stay empty that nothing is to be pushed to, and how long a reply may take, in seconds.
const EMPTY_FOR: f64 = 0.5;
const REPLY_WITHIN: f64 = 60.0;

/// One fault in each case.
pub(crate) const WRONG: &str = include_str!("conformance/wrong.json");

/// A conformance file; its README describes it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[expect(dead_code, reason = "for readers")]
    about: String,
    outcomes: BTreeMap<String, Map<String, Value>>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    #[serde(rename = "do")]
    actions: Vec<Value>,
}

#[derive(Deserialize)]
#[serde(untagged, deny_unknown_fields)]
enum Action {
    Send {
        send: Vec<(String, Value)>,
        #[serde(rename = "as")]
        name: String,
    },
    Reply {
        reply: String,
        is: Option<String>,
        #[serde(default)]
        but: Map<String, Value>,
        #[serde(default)]
        queued_ms_at_least: u64,
    },
    Result {
        result: String,
        is: String,
        #[serde(default)]
        but: Map<String, Value>,
        #[serde(default)]
        queued_ms_at_least: u64,
    },
    Requests {
        requests: String,
        is: Value,
    },
    DeadLetter {
        dead_letter: String,
        has: Map<String, Value>,
    },
}

/// One case while it runs.
struct Run<'a> {
    stack: &'a Stack,
    redis: MultiplexedConnection,
    outcomes: &'a BTreeMap<String, Map<String, Value>>,
    /// What `$NAME` stands for.
    names: BTreeMap<String, String>,
}

impl Run<'_> {
    async fn act(&mut self, action: &Value) -> anyhow::Result<()> {
        let action = serde_json::from_value(self.filled(action))
            .context("no such action, or a member too many or too few")?;
        match action {
            Action::Send { send, name } => {
                let receipt = self.send(&send).await?;
                self.names.insert(name, receipt);
                Ok(())
            }
            Action::Reply {
                reply,
                is,
                but,
                queued_ms_at_least,
            } => {
                let wait = if is.is_some() {
                    REPLY_WITHIN
                } else {
                    EMPTY_FOR
                };
                let got = self.take_reply(&reply, wait).await?;
                match (is, got) {
                    (None, None) => Ok(()),
                    (None, Some(got)) => bail!("want nothing, got {got}"),
                    (Some(_), None) => bail!("nothing within {REPLY_WITHIN} s"),
                    (Some(is), Some(got)) => self.compare(&is, but, got, queued_ms_at_least),
                }
            }
            Action::Result {
                result,
                is,
                but,
                queued_ms_at_least,
            } => {
                let got = self.result(&result).await?;
                self.compare(&is, but, got, queued_ms_at_least)
            }
            Action::Requests { requests, is } => {
                let kept = self.stack.simulator.requests().into_iter();
                let kept = kept.map(|kept| json!({"provider": kept.provider, "body": kept.body}));
                let of_case = kept.filter(|request| request.to_string().contains(&requests));
                self.expect(&is, &of_case.collect())
            }
            Action::DeadLetter { dead_letter, has } => {
                let command = ["dlq", "show", &dead_letter, "--format", "json"];
                let shown = expect_success(self.stack.longshore(&command).await?);
                let mut shown: Map<String, Value> = serde_json::from_str(&shown)?;
                shown.retain(|name, _| has.contains_key(name));
                self.expect(&has.into(), &shown.into())
            }
        }
    }

    async fn send(&mut self, fields: &[(String, Value)]) -> anyhow::Result<String> {
        let mut command = redis::cmd("XADD");
        command.arg("{longshore}:queue:default").arg("*");
        for (name, value) in fields {
            let text = value.as_str().map(str::to_owned);
            command
                .arg(name)
                .arg(text.unwrap_or_else(|| value.to_string()));
        }
        Ok(command.query_async(&mut self.redis).await?)
    }

    async fn take_reply(&mut self, list: &str, wait: f64) -> anyhow::Result<Option<Value>> {
        let reply: Option<(String, String)> = redis::cmd("BLPOP")
            .arg(format!("{{longshore}}:{list}"))
            .arg(wait)
            .query_async(&mut self.redis)
            .await?;
        Ok(reply
            .map(|(_, outcome)| serde_json::from_str(&outcome))
            .transpose()?)
    }

    async fn result(&mut self, id: &str) -> anyhow::Result<Value> {
        let key = format!("{{longshore}}:result:{id}");
        let outcome = eventually("there is a result", || async {
            let mut redis = self.redis.clone();
            let outcome: Option<String> =
                redis::cmd("GET").arg(&key).query_async(&mut redis).await?;
            outcome.with_context(|| format!("nothing at {key}"))
        });
        Ok(serde_json::from_str(&outcome.await?)?)
    }

    /// Compares an outcome with a named one, of which `but` replaces members.
    fn compare(
        &mut self,
        is: &str,
        but: Map<String, Value>,
        got: Value,
        queued_ms_at_least: u64,
    ) -> anyhow::Result<()> {
        let named = self.outcomes.get(is);
        let mut want = named
            .with_context(|| format!("`outcomes` has no `{is}`"))?
            .clone();
        want.extend(but);
        let Value::Object(mut got) = got else {
            bail!("an outcome is an object, but this is {got}");
        };
        for name in TIMES {
            let time = got.remove(name).as_ref().and_then(Value::as_u64);
            let time = time.with_context(|| format!("no `{name}` in {got:?}"))?;
            let least = if name == "queued_ms" {
                queued_ms_at_least
            } else {
                0
            };
            ensure!(time >= least, "`{name}` is {time}, not {least} or more");
        }
        self.expect(&want.into(), &got.into())
    }

    fn expect(&mut self, want: &Value, got: &Value) -> anyhow::Result<()> {
        ensure!(self.same(want, got), "\n  want {want}\n  got  {got}");
        Ok(())
    }

    /// Whether both are equal. A name that stands for nothing yet takes any text.
    fn same(&mut self, want: &Value, got: &Value) -> bool {
        match (want, got) {
            (Value::String(want), Value::String(got)) => match want.strip_prefix('$') {
                None => want == got,
                Some(name) => {
                    self.names.insert(name.to_owned(), got.clone());
                    true
                }
            },
            (Value::Object(want), Value::Object(got)) => {
                want.len() == got.len()
                    && want
                        .iter()
                        .all(|(name, want)| got.get(name).is_some_and(|got| self.same(want, got)))
            }
            (Value::Array(want), Value::Array(got)) => {
                want.len() == got.len()
                    && want.iter().zip(got).all(|(want, got)| self.same(want, got))
            }
            _ => want == got,
        }
    }

    /// The value with each `$NAME` that stands for something replaced.
    fn filled(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => {
                let mut text = text.clone();
                for (name, stands_for) in &self.names {
                    text = text.replace(&format!("${name}"), stands_for);
                }
                text.into()
            }
            Value::Array(list) => list.iter().map(|value| self.filled(value)).collect(),
            Value::Object(members) => members
                .iter()
                .map(|(name, value)| (name.clone(), self.filled(value)))
                .collect(),
            other => other.clone(),
        }
    }
}

/// Runs all cases of a file, one after the other; what is wrong with each.
async fn faults(stack: &Stack, file: &File) -> Vec<String> {
    let mut faults = Vec::new();
    for (number, case) in file.cases.iter().enumerate() {
        let mut run = Run {
            stack,
            redis: stack.connection().await.unwrap(),
            outcomes: &file.outcomes,
            names: BTreeMap::from([("run".to_owned(), format!("run{number}"))]),
        };
        for (at, action) in case.actions.iter().enumerate() {
            if let Err(error) = run.act(action).await {
                let (name, at) = (&case.name, at + 1);
                faults.push(format!("{name} Action {at}: {error:#}"));
                break;
            }
        }
    }
    faults
}

fn parsed(text: &str) -> File {
    serde_json::from_str(text).unwrap()
}

/// The number of cases of a file.
pub(crate) fn cases(text: &str) -> usize {
    parsed(text).cases.len()
}

/// All files, in order of their names.
pub(crate) fn files() -> Vec<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("conformance");
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|name| name == "json"))
        .collect();
    files.sort();
    assert!(!files.is_empty());
    files
}

#[tokio::test(flavor = "multi_thread")]
async fn every_file_holds() {
    let stack = Stack::start(Options::default()).await.unwrap();
    let _worker = stack.worker().unwrap();
    let _scheduler = stack.scheduler().unwrap();
    let mut wrong = Vec::new();
    for path in files() {
        // Ids differ between the cases of a file, and here also between files.
        let stem = path.file_stem().unwrap().to_str().unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let file = parsed(&text.replace("$run", &format!("{stem}-$run")));
        for fault in faults(&stack, &file).await {
            wrong.push(format!("{}: {fault}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    stack.books().await.unwrap().balance();
}

#[tokio::test(flavor = "multi_thread")]
async fn every_wrong_expectation_is_found() {
    let stack = Stack::start(Options::default()).await.unwrap();
    let _worker = stack.worker().unwrap();
    let file = parsed(WRONG);
    let found = faults(&stack, &file).await;
    assert_eq!(found.len(), file.cases.len(), "{}", found.join("\n\n"));
    for (fault, case) in found.iter().zip(&file.cases) {
        assert!(fault.starts_with(&case.name), "{fault}");
    }
}
