//! What Redis executes, as `MONITOR` shows it: the only place that knows how often a job was handed back, because a job
//! that had not begun leaves no trace when it returns to its queue.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail};
use longshore_broker::task;
use longshore_protocol::keys::RETURNED;
use longshore_tests::stack::Stack;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
    task::JoinHandle,
};

/// The last command that a witness waits for.
const LAST: &str = "the witness may go";

/// How often each entry was handed back.
pub(super) type HandBacks = BTreeMap<String, usize>;

/// Watches a Redis from now on.
pub(super) struct Witness(JoinHandle<anyhow::Result<HandBacks>>);

impl Witness {
    pub(super) async fn watch(stack: &Stack) -> anyhow::Result<Self> {
        let mut socket = TcpStream::connect(("127.0.0.1", stack.redis.port())).await?;
        socket.write_all(b"MONITOR\r\n").await?;
        let mut lines = BufReader::with_capacity(1 << 20, socket);
        let mut line = Vec::new();
        lines.read_until(b'\n', &mut line).await?;
        if line != b"+OK\r\n" {
            bail!("MONITOR: {}", String::from_utf8_lossy(&line));
        }
        let watched = async move {
            let mut found = HandBacks::new();
            loop {
                line.clear();
                lines.read_until(b'\n', &mut line).await?;
                let command = command(&line).context("the connection of MONITOR is closed")?;
                if command.starts_with(b"\"ECHO\"") && contains(command, LAST) {
                    return Ok(found);
                }
                if let Some(entry) = handed_back(command) {
                    *found.entry(entry).or_default() += 1;
                }
            }
        };
        Ok(Self(task::spawn("witness", watched)))
    }

    /// How often each entry was handed back until now.
    pub(super) async fn finish(self, stack: &Stack) -> anyhow::Result<HandBacks> {
        let mut connection = stack.connection().await?;
        let mut echo = redis::cmd("ECHO");
        echo.arg(LAST).query_async::<()>(&mut connection).await?;
        self.0.await?
    }
}

/// The command of a line: `+1700000000.000000 [0 lua] "XCLAIM" …`.
fn command(line: &[u8]) -> Option<&[u8]> {
    let client = line.iter().position(|byte| *byte == b']')?;
    line.get(client + 2..)
}

/// The entry that a command hands back: what `hand_back.lua`, and the recovery of a dead worker, claims for nobody.
fn handed_back(command: &[u8]) -> Option<String> {
    let rest = command.strip_prefix(b"\"XCLAIM\" ")?;
    let words: Vec<&str> = std::str::from_utf8(rest).ok()?.split_whitespace().collect();
    let [stream, _group, consumer, _idle, entry, ..] = words.as_slice() else {
        return None;
    };
    (consumer.trim_matches('"') == RETURNED).then(|| {
        format!(
            "{} in {}",
            entry.trim_matches('"'),
            stream.trim_matches('"')
        )
    })
}

fn contains(command: &[u8], text: &str) -> bool {
    command
        .windows(text.len())
        .any(|window| window == text.as_bytes())
}

#[test]
fn it_sees_what_is_handed_back() {
    let seen = |line: &str| handed_back(command(line.as_bytes()).unwrap());
    let claim = r#"+1.5 [0 lua] "XCLAIM" "{longshore}:queue:default" "workers" "returned" "0" "17-3" "JUSTID""#;
    assert_eq!(seen(claim).unwrap(), "17-3 in {longshore}:queue:default");
    let pulled = claim.replace("\"returned\"", "\"w1\"");
    assert_eq!(seen(&pulled), None);
    let message = r#"+1.5 [0 127.0.0.1:1] "XADD" "q" "*" "prompt" "\"XCLAIM\" returned""#;
    assert_eq!(seen(message), None);
}
