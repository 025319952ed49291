//! `longshore dev` as a newcomer has it: nothing in the environment, and commands in its directory.

use std::{fs, os::unix::fs::symlink, path::Path};

use anyhow::ensure;
use longshore_local::{ChildProcess, free_port};
use longshore_tests::stack::{Launcher, Process, eventually, expect_success, toolbox, tools_dir};
use serde_json::Value;
use tempfile::TempDir;

/// A directory for `longshore dev`; downloaded servers are downloaded only once.
pub(crate) async fn directory() -> TempDir {
    toolbox().await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join(".longshore")).unwrap();
    symlink(
        tools_dir().join("tools"),
        dir.path().join(".longshore/tools"),
    )
    .unwrap();
    dir
}

fn spawn(dir: &Path, arguments: &[&str]) -> Process {
    let mut command = Launcher::new(dir, &[]).command("longshore").unwrap();
    command.arg("dev").args(arguments);
    let child = ChildProcess::spawn("longshore dev", command, &dir.join("dev.log")).unwrap();
    Process::new(child)
}

/// `longshore dev`, and the ports of its services once it is ready.
pub(crate) async fn start(dir: &Path, arguments: &[&str]) -> (Process, Value) {
    let process = spawn(dir, arguments);
    eventually("the services are ready", || async {
        ensure!(
            dir.join(".longshore/env").exists(),
            "{}",
            process.log_tail()
        );
        Ok(())
    })
    .await
    .unwrap();
    let ports = fs::read(dir.join(".longshore/ports.json")).unwrap();
    (process, serde_json::from_slice(&ports).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_find_the_services_of_their_directory_and_ports_stay() {
    let dir = directory().await;
    let (first, ports) = start(dir.path(), &[]).await;
    let here = Launcher::new(dir.path(), &[]);
    let submitted = here
        .longshore(&["submit", "-t", "research", "-p", "Name three colours."])
        .await
        .unwrap();
    assert!(expect_success(submitted).contains("Success: True"));

    let other = format!("redis://127.0.0.1:{}", free_port().unwrap());
    let elsewhere = Launcher::new(dir.path(), &[("REDIS_URL", other.as_str())]);
    let ran = elsewhere.longshore(&["queues"]).await.unwrap();
    assert_ne!(ran.code, Some(0), "{ran:?}");
    let note = "Note: `longshore dev` runs in .longshore, but REDIS_URL names another server, which this command uses.";
    assert!(ran.stderr.contains(note), "{}", ran.stderr);

    first.shut_down().await.unwrap();
    let (second, ports_again) = start(dir.path(), &[]).await;
    assert_eq!(ports_again, ports);
    let jobs = here.longshore(&["jobs", "list", "--format", "json"]).await;
    let jobs: Value = serde_json::from_str(&expect_success(jobs.unwrap())).unwrap();
    assert_eq!(jobs.as_array().map(Vec::len), Some(1), "{jobs}");
    second.shut_down().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn named_ports_are_consecutive_and_taken_ones_are_an_error() {
    let dir = directory().await;
    let first = free_port().unwrap();
    let text = first.to_string();
    let (running, ports) = start(dir.path(), &["--port", &text]).await;
    assert_eq!(ports["redis"], first);
    assert_eq!(ports["worker-1"], first + 4);

    let other = directory().await;
    let refused = Launcher::new(other.path(), &[])
        .longshore(&["dev", "--port", &text])
        .await
        .unwrap();
    assert_eq!(refused.code, Some(2), "{refused:?}");
    let said = format!("port {first} on 127.0.0.1 is in use by another program");
    assert!(refused.stderr.contains(&said), "{}", refused.stderr);
    running.shut_down().await.unwrap();
}
