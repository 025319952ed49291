//! Writes results as JSON Lines, as they come.

use std::{
    io::{self, BufWriter, Write},
    thread,
};

use tokio::sync::{mpsc, oneshot};

/// Results that wait for a slow reader. More stay in Redis or Postgres.
const AHEAD: usize = 64;

/// Writes lines in a thread of its own: a reader that does not read blocks nothing but this thread.
#[derive(Debug)]
pub(super) struct Lines {
    sender: mpsc::Sender<String>,
    ended: oneshot::Receiver<io::Result<()>>,
}

impl Lines {
    pub(super) fn start(to: impl Write + Send + 'static) -> io::Result<Self> {
        let (sender, mut lines) = mpsc::channel(AHEAD);
        let (end, ended) = oneshot::channel();
        thread::Builder::new()
            .name("results".to_owned())
            .spawn(move || {
                let _interrupted = end.send(write_lines(&mut lines, to));
            })?;
        Ok(Self { sender, ended })
    }

    /// Hands over a line, and waits while too many are not written. `false` if no more can be written;
    /// [`Lines::finish`] says why.
    pub(super) async fn write(&self, line: String) -> bool {
        self.sender.send(line).await.is_ok()
    }

    /// Waits until all lines are written.
    pub(super) async fn finish(self) -> io::Result<()> {
        drop(self.sender);
        self.ended.await.unwrap_or(Ok(()))
    }
}

fn write_lines(lines: &mut mpsc::Receiver<String>, to: impl Write) -> io::Result<()> {
    let mut to = BufWriter::with_capacity(1 << 16, to);
    while let Some(line) = lines.blocking_recv() {
        writeln!(to, "{line}")?;
        if lines.is_empty() {
            to.flush()?;
        }
    }
    to.flush()
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// A reader that takes a write when the test says so, and hangs up with the test.
    struct Reader {
        read: Receiver<()>,
        written: Sender<Vec<u8>>,
    }

    impl Write for Reader {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let gone = |_| io::Error::from(io::ErrorKind::BrokenPipe);
            self.read.recv().map_err(gone)?;
            self.written
                .send(bytes.to_vec())
                .map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn lines_wait_for_a_slow_reader_and_end_with_it() {
        let ((read, reads), (written, seen)) = (channel(), channel());
        let lines = Lines::start(Reader {
            read: reads,
            written,
        })
        .unwrap();
        assert!(lines.write("1".to_owned()).await);
        read.send(()).unwrap();
        assert_eq!(seen.recv().unwrap(), b"1\n");
        drop(read);
        let mut taken = 0_usize;
        // As long as the buffer, so that none is taken into it.
        while lines.write("x".repeat(1 << 16)).await {
            taken += 1;
        }
        assert!(taken <= AHEAD + 1, "{taken}");
        let ended = lines.finish().await.unwrap_err();
        assert_eq!(ended.kind(), io::ErrorKind::BrokenPipe);
    }
}
