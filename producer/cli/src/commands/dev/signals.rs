//! What people and systems ask of a running process.

use longshore_local::Signal;
use tokio::signal::unix::{self, SignalKind, signal};

use super::io_error;
use crate::error::CommandError;

/// The signals that ask to stop.
#[derive(Debug)]
pub(super) struct Signals {
    interrupt: unix::Signal,
    terminate: unix::Signal,
    hangup: unix::Signal,
}

impl Signals {
    /// From now on they end nothing by themselves.
    pub(super) fn listen() -> Result<Self, CommandError> {
        let listen = |kind| signal(kind).map_err(io_error("cannot listen for signals"));
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    /// The next one.
    pub(super) async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.interrupt.recv() => Signal::SIGINT,
            _ = self.terminate.recv() => Signal::SIGTERM,
            _ = self.hangup.recv() => Signal::SIGHUP,
        }
    }
}
