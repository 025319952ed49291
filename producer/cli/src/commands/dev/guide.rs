//! What `longshore dev` prints when all services are ready.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use longshore_protocol::keys::Keys;

use super::{
    stack::{Plan, Stack},
    variables::quoted,
};
use crate::environment::DEV_DIRECTORY;

/// The addresses of the services, and first commands.
#[derive(Debug)]
pub(super) struct Guide {
    redis: String,
    postgres: String,
    workers: Vec<String>,
    scheduler: String,
    providers: String,
    dir: PathBuf,
    queue: String,
    longshore: String,
}

impl Guide {
    /// `shown` is the directory as the user named it.
    pub(super) fn new(plan: &Plan, stack: &Stack, shown: &Path) -> Self {
        let keys = Keys::new(&plan.config.namespace);
        let queue = plan
            .config
            .queue_names()
            .into_iter()
            .next()
            .unwrap_or_default();
        Self {
            redis: stack.redis_url(),
            postgres: stack.postgres_at(),
            workers: stack.worker_urls().collect(),
            scheduler: stack.scheduler_url(),
            providers: describe_providers(plan, stack),
            dir: shown.to_owned(),
            queue: keys.queue(&queue),
            longshore: own_name(),
        }
    }

    /// One line, for when the output of a command follows.
    pub(super) fn one_line(&self) -> String {
        format!(
            "Longshore is running: Redis at {}, Postgres at {}, providers: {}, logs in {}",
            self.redis,
            self.postgres,
            self.providers,
            self.dir.join("*.log").display()
        )
    }
}

/// The name by which the user called this program.
pub(super) fn own_name() -> String {
    let name = std::env::args_os()
        .next()
        .map(|name| name.to_string_lossy().into_owned());
    quoted(&name.unwrap_or_else(|| "longshore".to_owned()))
}

fn describe_providers(plan: &Plan, stack: &Stack) -> String {
    if let Some(url) = stack.simulator_url() {
        return format!("simulated at {url} (docs/SIMULATOR.md)");
    }
    if let Some(url) = &plan.config.simulator_url {
        return format!("simulated at {url}");
    }
    let names: Vec<&str> = plan
        .config
        .catalog
        .enabled()
        .map(|provider| provider.name.as_str())
        .collect();
    if names.is_empty() {
        return "none".to_owned();
    }
    format!("{} (real: calls may cost money)", names.join(", "))
}

impl fmt::Display for Guide {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Longshore is running.\n")?;
        writeln!(f, "  Redis      {}", self.redis)?;
        writeln!(f, "  Postgres   {}", self.postgres)?;
        for worker in &self.workers {
            writeln!(f, "  Worker     {worker}/health, /metrics")?;
        }
        writeln!(f, "  Scheduler  {}/health, /metrics", self.scheduler)?;
        writeln!(f, "  Providers  {}", self.providers)?;
        writeln!(f, "  Logs       {}", self.dir.join("*.log").display())?;
        if self.dir == Path::new(DEV_DIRECTORY) {
            writeln!(f, "\nIn another shell, in this directory:\n")?;
        } else {
            let file = quoted(&self.dir.join("env").to_string_lossy());
            writeln!(f, "\nIn another shell:\n")?;
            writeln!(f, "  set -a; . {file}; set +a")?;
        }
        let longshore = &self.longshore;
        writeln!(
            f,
            "  {longshore} submit -t research -p 'Name three primary colours.'"
        )?;
        writeln!(f, "  {longshore} jobs list")?;
        writeln!(f, "\nAny Redis client can enqueue a job:\n")?;
        writeln!(
            f,
            "  XADD {} * prompt 'Name three primary colours.'",
            self.queue
        )?;
        write!(f, "\nPress Ctrl-C to stop all services.")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guide() -> Guide {
        Guide {
            redis: "redis://127.0.0.1:15001".to_owned(),
            postgres: "127.0.0.1:15002/longshore".to_owned(),
            workers: vec!["http://127.0.0.1:15003".to_owned()],
            scheduler: "http://127.0.0.1:15004".to_owned(),
            providers: "simulated at http://127.0.0.1:15005 (docs/SIMULATOR.md)".to_owned(),
            dir: PathBuf::from(".longshore"),
            queue: "{longshore}:queue:default".to_owned(),
            longshore: "longshore".to_owned(),
        }
    }

    #[test]
    fn the_guide_shows_addresses_and_first_commands() {
        insta::assert_snapshot!(guide(), @r#"
        Longshore is running.

          Redis      redis://127.0.0.1:15001
          Postgres   127.0.0.1:15002/longshore
          Worker     http://127.0.0.1:15003/health, /metrics
          Scheduler  http://127.0.0.1:15004/health, /metrics
          Providers  simulated at http://127.0.0.1:15005 (docs/SIMULATOR.md)
          Logs       .longshore/*.log

        In another shell, in this directory:

          longshore submit -t research -p 'Name three primary colours.'
          longshore jobs list

        Any Redis client can enqueue a job:

          XADD {longshore}:queue:default * prompt 'Name three primary colours.'

        Press Ctrl-C to stop all services.
        "#);
    }

    #[test]
    fn another_directory_is_named_to_the_shell() {
        let guide = Guide {
            dir: PathBuf::from("/tmp/my stack"),
            ..guide()
        };
        let text = guide.to_string();
        let first =
            "In another shell:\n\n  set -a; . '/tmp/my stack/env'; set +a\n  longshore submit";
        assert!(text.contains(first), "{text}");
    }

    #[test]
    fn the_guide_fits_on_one_line() {
        insta::assert_snapshot!(guide().one_line(), @"Longshore is running: Redis at redis://127.0.0.1:15001, Postgres at 127.0.0.1:15002/longshore, providers: simulated at http://127.0.0.1:15005 (docs/SIMULATOR.md), logs in .longshore/*.log");
    }
}
