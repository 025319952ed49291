//! A reader who types what the documents print.

use std::{
    fmt::Write as _,
    fs::{self, Permissions},
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use longshore_tests::stack::{Launcher, Process, Ran, connect_to_redis, eventually};
use redis::{Value, aio::MultiplexedConnection, from_redis_value};
use sqlx::{Connection as _, PgConnection};
use tempfile::TempDir;
use tokio::{process::Command, time::timeout};

use super::checks::repository;
use crate::dev;

/// How long a line may take.
const LINE_LIMIT: Duration = Duration::from_mins(2);

/// Files that the documents name and that the reader has.
const FILES: [(&str, &str); 5] = [
    (
        "orders.jsonl",
        "{\"prompt\":\"Check order 1.\"}\n{\"prompt\":\"Check order 2.\"}\n",
    ),
    (
        "articles.csv",
        "id,tenant,title,body\nart-1,acme,Tides,Why there are two.\n",
    ),
    (
        "orders.yaml",
        "rules: [{when: {prompt_contains: order}, then: {answer: Shipped.}}]\n",
    ),
    (
        "src/context/builder.py",
        "class ContextBuilder:\n    pass\n",
    ),
    (
        "bin/producer",
        "#!/bin/sh\necho '{\"prompt\":\"Name a colour.\"}'\n",
    ),
];

/// A directory with a running `longshore dev --simulator` and the files of the repository.
pub(super) struct Reader {
    dir: TempDir,
    services: Process,
    redis_url: String,
    redis: MultiplexedConnection,
    /// What the document has told the reader to do to the shell so far.
    setup: String,
    /// Ids in the document, and those that were printed instead.
    receipts: Vec<(String, String)>,
}

impl Reader {
    pub(super) async fn start() -> Self {
        let dir = dev::directory().await;
        let path = dir.path();
        for name in ["deploy", "docs"] {
            symlink(repository().join(name), path.join(name)).unwrap();
        }
        for (name, text) in FILES {
            let file = path.join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
        // With it, curl fails where the server refuses.
        fs::write(path.join(".curlrc"), "fail-with-body\n").unwrap();
        make_executable(&path.join("bin/producer"));
        fs::create_dir(path.join("target")).unwrap();
        symlink(programs(), path.join("target/debug")).unwrap();

        let (services, ports) = dev::start(path, &["--simulator"]).await;
        let redis_url = format!("redis://127.0.0.1:{}", ports.get("redis").unwrap());
        Self {
            redis: connect_to_redis(&redis_url).await.unwrap(),
            dir,
            services,
            redis_url,
            setup: String::new(),
            receipts: Vec::new(),
        }
    }

    pub(super) async fn stop(self) {
        self.services.shut_down().await.unwrap();
    }

    /// Begins with another document, in a new shell.
    pub(super) fn begin(&mut self) {
        self.setup.clear();
        self.receipts.clear();
    }

    /// Runs the `longshore` command to its end.
    pub(super) async fn longshore(&self, arguments: &[&str]) -> Ran {
        let launcher = Launcher::new(self.dir.path(), &[]);
        launcher.longshore(arguments).await.unwrap()
    }

    /// Writes a file for a command.
    pub(super) fn write(&self, name: &str, text: &str) {
        fs::write(self.dir.path().join(name), text).unwrap();
    }

    /// Runs a statement in Postgres.
    pub(super) async fn sql(&self, statement: &str) -> anyhow::Result<()> {
        let url = self
            .shell(". .longshore/env; echo \"$DATABASE_URL\"")
            .await?;
        let mut postgres = PgConnection::connect(url.trim()).await?;
        let statement = sqlx::AssertSqlSafe(statement.to_owned());
        sqlx::raw_sql(statement).execute(&mut postgres).await?;
        Ok(())
    }

    /// Runs the lines of a block: those for a shell, and commands of Redis with the replies that the document shows.
    pub(super) async fn commands(&mut self, block: &str) -> anyhow::Result<()> {
        let lines = whole_lines(block);
        let mut lines = lines.iter().peekable();
        while let Some(line) = lines.next() {
            let shown = lines.next_if(|next| next.starts_with('"'));
            let shown = shown.map(|reply| reply.trim_matches('"'));
            self.line(line, shown).await.with_context(|| line.clone())?;
        }
        Ok(())
    }

    /// Does only what a block does to the shell.
    pub(super) fn set_up(&mut self, block: &str) {
        let lines = whole_lines(block).into_iter();
        for line in lines.filter(|line| is_setup(line)) {
            writeln!(self.setup, "{line}").unwrap();
        }
    }

    async fn line(&mut self, line: &str, shown: Option<&str>) -> anyhow::Result<()> {
        let line = self.with_receipts(line);
        let receipt = match line.split_whitespace().next() {
            Some("longshore" | "curl" | "producer") => {
                let ran = self.run_shell(&line).await?;
                let code = i32::from(line.ends_with("# fails: exit code 1"));
                ensure!(
                    ran.code == Some(code),
                    "exit code {:?}: {}{}",
                    ran.code,
                    ran.stdout,
                    ran.stderr
                );
                let mut printed = ran.stdout.lines();
                printed
                    .find_map(|line| line.strip_prefix("Task ID: "))
                    .map(str::to_owned)
            }
            Some("redis-cli") => {
                let words = self.shell(&format!("printf '%s\\n' {line}")).await?;
                let words: Vec<&str> = words.lines().skip(1).collect();
                let Some((["-u", url], command)) = words.split_first_chunk() else {
                    bail!("the address is missing: redis-cli -u \"$REDIS_URL\" …");
                };
                ensure!(*url == self.redis_url, "{url} is not {}", self.redis_url);
                self.redis(command).await?
            }
            Some(word) if word.bytes().all(|byte| byte.is_ascii_uppercase()) => {
                let words = shlex::split(&line).context("a quote is missing")?;
                let words: Vec<&str> = words.iter().map(String::as_str).collect();
                self.redis(&words).await?
            }
            _ if is_setup(&line) => {
                self.shell(&line).await?;
                writeln!(self.setup, "{line}")?;
                None
            }
            _ => bail!(
                "no test knows this command: add it to tests/it/docs/reader.rs, or list the block in NOT_RUN of \
                 tests/it/docs.rs with the reason"
            ),
        };
        let shown = shown.unwrap_or("ID").to_owned();
        self.receipts
            .extend(receipt.map(|receipt| (shown, receipt)));
        Ok(())
    }

    /// The line with receipts of this run: `ID` is the last one.
    fn with_receipts(&self, line: &str) -> String {
        let mut line = line.to_owned();
        for (shown, receipt) in self.receipts.iter().filter(|(shown, _)| shown != "ID") {
            line = line.replace(shown, receipt);
        }
        let Some((_, last)) = self.receipts.last() else {
            return line;
        };
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let parts = line.split_inclusive(|c| !is_word(c));
        let parts = parts.map(|part| match part.strip_prefix("ID") {
            Some(rest) if !rest.starts_with(is_word) => format!("{last}{rest}"),
            _ => part.to_owned(),
        });
        parts.collect()
    }

    /// What lines print in a shell of this directory that must succeed.
    pub(super) async fn shell(&self, lines: &str) -> anyhow::Result<String> {
        let ran = self.run_shell(lines).await?;
        ensure!(ran.code == Some(0), "{}{}", ran.stdout, ran.stderr);
        Ok(ran.stdout)
    }

    /// Runs lines in a shell of this directory, after those that the document has had so far.
    async fn run_shell(&self, lines: &str) -> anyhow::Result<Ran> {
        let dir = self.dir.path();
        let path = std::env::vars().find(|(name, _)| name == "PATH");
        let (bin, programs) = (dir.join("bin"), dir.join("target/debug"));
        let path = format!(
            "{}:{}:{}",
            bin.display(),
            programs.display(),
            path.unwrap_or_default().1
        );
        let mut bash = Command::new("bash");
        bash.args(["-eo", "pipefail", "-c"])
            .arg(format!("{}{lines}", self.setup))
            .current_dir(dir)
            .env_clear()
            .envs([("PATH", path.as_str()), ("HOME", dir.to_str().unwrap())])
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let output = timeout(LINE_LIMIT, bash.output())
            .await
            .with_context(|| format!("not within {LINE_LIMIT:?}"))??;
        Ok(Ran {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// Sends a command to Redis; returns the receipt of an `XADD`, once its job or chain has completed.
    pub(super) async fn redis(&mut self, words: &[&str]) -> anyhow::Result<Option<String>> {
        let (name, arguments) = words.split_first().context("no command")?;
        let mut command = redis::cmd(name);
        command.arg(arguments);
        let reply: Value = command.query_async(&mut self.redis).await?;
        ensure!(reply != Value::Nil, "the reply is empty");
        if *name != "XADD" {
            return Ok(None);
        }
        let receipt: String = from_redis_value(reply)?;
        let value_of = |field| {
            let mut words = arguments.iter().skip_while(move |word| **word != field);
            words.nth(1).copied()
        };
        if value_of("delay").is_none() {
            self.completed(value_of("id").unwrap_or(&receipt)).await?;
        }
        Ok(Some(receipt))
    }

    async fn completed(&self, id: &str) -> anyhow::Result<()> {
        let key = format!("{{longshore}}:result:{id}");
        let outcome = eventually("the job ends", || async {
            let mut redis = self.redis.clone();
            let command = redis::cmd("GET").arg(&key).to_owned();
            let outcome: Option<String> = command.query_async(&mut redis).await?;
            outcome.with_context(|| format!("nothing at {key}"))
        });
        let outcome = outcome.await?;
        let fields: serde_json::Value = serde_json::from_str(&outcome)?;
        ensure!(fields.get("success") == Some(&true.into()), "{outcome}");
        Ok(())
    }
}

fn is_setup(line: &str) -> bool {
    line.starts_with("export ") || line.starts_with("set -a;")
}

/// The lines of a block, with those that are continued by an indented one in one piece.
fn whole_lines(block: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for line in block.lines().filter(|line| !line.trim().is_empty()) {
        match lines.last_mut() {
            Some(last) if line.starts_with(' ') => last.push_str(line),
            _ => lines.push(line.to_owned()),
        }
    }
    lines
}

/// The folder of the programs that are tested.
fn programs() -> PathBuf {
    let command = Launcher::new(Path::new("."), &[])
        .command("longshore")
        .unwrap();
    Path::new(command.get_program())
        .parent()
        .unwrap()
        .to_owned()
}

fn make_executable(file: &Path) {
    fs::set_permissions(file, Permissions::from_mode(0o755)).unwrap();
}
