//! Tests with real services: each test has its own directory and ports.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal;

use super::*;

/// The directory of the repository, so that servers are downloaded only once.
fn shared() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.longshore")
}

async fn tools() -> Toolbox {
    Toolbox::find(&shared(), &ToolOptions::default())
        .await
        .unwrap()
}

/// Sends one inline command and returns the start of the answer.
fn ask(port: u16, command: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(command.as_bytes()).unwrap();
    stream.write_all(b"\r\nQUIT\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn is_gone(pid: u32) -> bool {
    process::started(pid).is_none()
}

async fn until(what: impl Fn() -> bool) {
    for _ in 0..3000 {
        if what() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("did not happen within a minute");
}

/// Runs a query with `psql` as the owner of the database.
fn query(tools: &Toolbox, postgres: &LocalPostgres, sql: &str) -> String {
    let output = Command::new(tools.postgres_bin.join("psql"))
        .args(["-XAt", "-v", "ON_ERROR_STOP=1", "-c", sql, &postgres.url()])
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[tokio::test]
async fn redis_keeps_its_data_over_a_kill_and_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let options = RedisOptions {
        aof: true,
        port: Port::Any,
    };
    let mut redis = LocalRedis::start(&tools().await, dir.path(), options)
        .await
        .unwrap();
    let (port, first) = (redis.port(), redis.pid());
    assert!(ask(port, "PING").starts_with("+PONG"));
    assert!(ask(port, "SET key value").starts_with("+OK"));
    // The append-only file is synced each second, but written with each command.
    redis.kill().unwrap();
    assert!(is_gone(first));
    redis.restart().await.unwrap();
    assert_eq!(redis.port(), port);
    assert!(ask(port, "GET key").contains("value"));
    assert!(ask(port, "CONFIG GET maxmemory-policy").contains("noeviction"));

    let second = redis.pid();
    redis.stop().await.unwrap();
    assert!(is_gone(second));
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
}

#[tokio::test]
async fn a_dropped_redis_gone_and_a_claimed_directory_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let tools = tools().await;
    let redis = LocalRedis::start(&tools, dir.path(), RedisOptions::default())
        .await
        .unwrap();
    let refused = LocalRedis::start(&tools, dir.path(), RedisOptions::default()).await;
    assert!(matches!(refused, Err(LocalError::Busy { .. })));
    let taken = tempfile::tempdir().unwrap();
    let port = Port::Fixed(redis.port());
    let error = LocalRedis::start(&tools, taken.path(), RedisOptions { aof: false, port })
        .await
        .unwrap_err();
    assert!(matches!(error, LocalError::PortInUse { .. }), "{error}");
    let pid = redis.pid();
    drop(redis);
    assert!(is_gone(pid));
}

#[tokio::test]
async fn a_preferred_port_is_taken_again_unless_it_is_in_use() {
    let dir = tempfile::tempdir().unwrap();
    let tools = tools().await;
    let mut redis = LocalRedis::start(&tools, dir.path(), RedisOptions::default())
        .await
        .unwrap();
    let port = redis.port();
    let preferred = RedisOptions {
        aof: false,
        port: Port::Preferred(port),
    };
    let other_dir = tempfile::tempdir().unwrap();
    let other = LocalRedis::start(&tools, other_dir.path(), preferred.clone())
        .await
        .unwrap();
    assert_ne!(other.port(), port);
    redis.stop().await.unwrap();
    drop(redis);
    let again = LocalRedis::start(&tools, dir.path(), preferred)
        .await
        .unwrap();
    assert_eq!(again.port(), port);
}

#[tokio::test]
async fn data_stay_with_the_server_that_wrote_them() {
    let dir = tempfile::tempdir().unwrap();
    let tools = tools().await;
    let keep = RedisOptions {
        aof: true,
        port: Port::Any,
    };
    let first = LocalRedis::start(&tools, dir.path(), keep.clone())
        .await
        .unwrap();
    assert!(ask(first.port(), "SET key value").starts_with("+OK"));
    drop(first);
    // A server that cannot read these data.
    let older = dir.path().join("older-server");
    let says = "echo 'Redis server v=7.0.15'; echo \"Can't handle RDB format version 80\" >&2; [ \"$1\" = --version ]";
    std::fs::write(&older, format!("#!/bin/sh\n{says}\n")).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&older, mode).unwrap();
    let found = Toolbox {
        redis_server: older,
        ..tools
    };
    let second = LocalRedis::start(&found, dir.path(), keep.clone())
        .await
        .unwrap();
    assert!(ask(second.port(), "GET key").contains("value"));
    drop(second);
    std::fs::write(
        dir.path().join("redis.server"),
        "/gone/valkey\nValkey server v=9.1.2\n",
    )
    .unwrap();
    let error = LocalRedis::start(&found, dir.path(), keep)
        .await
        .unwrap_err();
    let text = error.to_string();
    let said = "was written by Valkey server v=9.1.2, which is gone, and Redis server v=7.0.15 does not start with it";
    assert!(text.contains(said) && text.contains("RDB format"), "{text}");
}

#[tokio::test]
async fn a_leftover_process_is_stopped_by_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    // A process without a watchdog, recorded as its owner would have done.
    let mut orphan = Command::new("sleep")
        .arg("600")
        .process_group(0)
        .spawn()
        .unwrap();
    let pid = orphan.id();
    let start = process::started(pid).unwrap();
    fs::write(dir.path().join("redis.pid"), format!("{pid} {start}\n")).unwrap();
    let redis = LocalRedis::start(&tools().await, dir.path(), RedisOptions::default())
        .await
        .unwrap();
    assert!(is_gone(pid));
    orphan.wait().unwrap();
    drop(redis);
    assert!(!dir.path().join("redis.pid").exists());
}

#[tokio::test]
async fn a_reused_pid_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let mut stranger = Command::new("sleep").arg("600").spawn().unwrap();
    let pid = stranger.id();
    fs::write(dir.path().join("redis.pid"), format!("{pid} 1\n")).unwrap();
    let redis = LocalRedis::start(&tools().await, dir.path(), RedisOptions::default())
        .await
        .unwrap();
    assert!(!is_gone(pid));
    drop(redis);
    stranger.kill().unwrap();
    stranger.wait().unwrap();
}

async fn exercise_postgres(tools: &Toolbox, durable: bool) {
    let dir = tempfile::tempdir().unwrap();
    let options = PostgresOptions {
        port: Port::Any,
        durable,
    };
    let mut postgres = LocalPostgres::start(tools, dir.path(), options.clone())
        .await
        .unwrap();
    let data = postgres.data_dir().to_owned();
    let fsync = query(tools, &postgres, "SHOW fsync");
    assert_eq!(fsync, if durable { "on" } else { "off" });
    query(tools, &postgres, "CREATE TABLE t AS SELECT 7 AS n");

    // Killed in the middle of a query, so that a session outlives the first process
    // unless it is killed too.
    let mut busy = Command::new(tools.postgres_bin.join("psql"))
        .args(["-XAt", "-c", "SELECT pg_sleep(600)", &postgres.url()])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    until(|| {
        let count = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%sleep(600%' \
                     AND pid <> pg_backend_pid()";
        query(tools, &postgres, count) == "1"
    })
    .await;
    let sessions = process::children(postgres.pid());
    postgres.kill().unwrap();
    assert!(!busy.wait().unwrap().success());
    until(|| sessions.iter().all(|pid| is_gone(*pid))).await;
    postgres.restart().await.unwrap();
    assert_eq!(query(tools, &postgres, "SELECT n FROM t"), "7");

    let wrong = postgres.url().replace("longshore:", "longshore:x");
    let output = Command::new(tools.postgres_bin.join("psql"))
        .args(["-c", "SELECT 1", &wrong])
        .output()
        .unwrap();
    assert!(!output.status.success());

    let pid = postgres.pid();
    postgres.stop().await.unwrap();
    assert!(is_gone(pid));
    drop(postgres);
    assert_eq!(data.exists(), durable);
    if durable {
        let throw_away = PostgresOptions {
            port: Port::Any,
            durable: false,
        };
        let postgres = LocalPostgres::start(tools, dir.path(), throw_away)
            .await
            .unwrap();
        assert_eq!(query(tools, &postgres, "SELECT n FROM t"), "7");
        drop(postgres);
        assert!(!data.exists());
    }
}

#[tokio::test]
async fn postgres_keeps_its_data_over_a_kill_and_a_restart() {
    exercise_postgres(&tools().await, true).await;
}

#[tokio::test]
async fn a_downloaded_postgres_works_like_an_installed_one() {
    let options = ToolOptions {
        installed: false,
        ..ToolOptions::default()
    };
    let (one, other) = tokio::join!(
        async { Toolbox::find(&shared(), &options).await.unwrap() },
        async { Toolbox::find(&shared(), &options).await.unwrap() },
    );
    assert_eq!(one.postgres_bin, other.postgres_bin);
    assert_eq!(one.postgres_major, 18);
    exercise_postgres(&one, false).await;
}

#[tokio::test]
async fn data_of_another_major_version_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut tools = tools().await;
    let keep = PostgresOptions {
        port: Port::Any,
        durable: true,
    };
    let first = LocalPostgres::start(&tools, dir.path(), keep.clone())
        .await
        .unwrap();
    drop(first);
    let own = tools.postgres_major;
    tools.postgres_major = own + 1;
    let error = LocalPostgres::start(&tools, dir.path(), keep)
        .await
        .unwrap_err();
    assert!(matches!(error, LocalError::DataVersion { .. }), "{error}");
    tools.postgres_major = own;
    let last = LocalPostgres::start(&tools, dir.path(), PostgresOptions::default())
        .await
        .unwrap();
    drop(last);
}

#[tokio::test]
async fn a_failed_start_shows_the_end_of_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", "seq 100; echo no such luck >&2; exit 3"]);
    let mut child = ChildProcess::spawn("thing", command, &dir.path().join("thing.log")).unwrap();
    let status = child.wait().await.unwrap();
    let error = child.exited(status).to_string();
    assert!(error.ends_with("no such luck"), "{error}");
    assert!(
        error.contains("\n100\n") && !error.contains("\n81\n"),
        "{error}"
    );
}

#[tokio::test]
async fn a_child_that_will_not_stop_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("deaf.log");
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' TERM; echo deaf; while :; do sleep 0.1; done"]);
    let mut child = ChildProcess::spawn("deaf", command, &log).unwrap();
    until(|| child.log_tail() == "deaf").await;
    let pid = child.pid();
    child.stop(Duration::from_millis(200)).await.unwrap();
    assert!(is_gone(pid));
    child.signal(Signal::SIGTERM).unwrap();
}

/// Only runs as the process that the next test kills.
#[tokio::test]
#[ignore = "is started by another test"]
async fn owner_that_gets_killed() {
    let Some(dir) = std::env::var_os("LONGSHORE_TEST_OWNER_DIR") else {
        return;
    };
    let dir = PathBuf::from(dir);
    let tools = tools().await;
    let redis = LocalRedis::start(&tools, &dir, RedisOptions::default())
        .await
        .unwrap();
    let postgres = LocalPostgres::start(&tools, &dir, PostgresOptions::default())
        .await
        .unwrap();
    let pids = format!("{} {}", redis.pid(), postgres.pid());
    fs::write(dir.join("pids.new"), pids).unwrap();
    fs::rename(dir.join("pids.new"), dir.join("pids")).unwrap();
    tokio::time::sleep(Duration::from_mins(10)).await;
}

#[tokio::test]
async fn children_end_when_their_owner_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let mut owner = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "owner_that_gets_killed"])
        .env("LONGSHORE_TEST_OWNER_DIR", dir.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let pids = dir.path().join("pids");
    until(|| pids.exists()).await;
    let pids: Vec<u32> = fs::read_to_string(&pids)
        .unwrap()
        .split(' ')
        .map(|pid| pid.parse().unwrap())
        .collect();
    signal::kill(process::to_pid(owner.id()), Signal::SIGKILL).unwrap();
    owner.wait().unwrap();
    until(|| pids.iter().all(|pid| is_gone(*pid))).await;

    // The directory is still usable; this also removes the data.
    let tools = tools().await;
    let postgres = LocalPostgres::start(&tools, dir.path(), PostgresOptions::default())
        .await
        .unwrap();
    assert_eq!(query(&tools, &postgres, "SELECT 1"), "1");
}
