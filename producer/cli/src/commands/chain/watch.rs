//! Waiting for the end of a chain.

use std::time::{Duration, Instant};

use longshore_client::{QueueName, client::is_passing};
use longshore_shared::id::Place;

use super::{
    live::Live,
    look::{Chain, Looker},
};
use crate::{commands::submit::presence::nobody, error::CommandError};

/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(250);

/// After so long without a worker that begins the chain, it is time to say why there may be none.
const SOON: Duration = Duration::from_secs(2);

/// How the waiting ended.
pub(super) enum Waited {
    /// The chain has ended.
    Ended(Box<Chain>),
    /// It never began, and why.
    Refused(String),
    /// Nobody knows it.
    Unknown,
    /// The time is over.
    TooLong,
    /// The user has gone.
    Interrupted,
}

/// The message of a chain that a worker may have yet to read.
pub(super) struct Message {
    pub(super) place: Place,
    pub(super) queue: QueueName,
}

/// Waits for as long as `timeout` says, or as it takes.
pub(super) async fn wait(
    looker: &mut Looker,
    message: Option<Message>,
    timeout: Option<Duration>,
) -> Result<Waited, CommandError> {
    let mut watch = Watch {
        looker,
        message,
        live: Live::new(),
        away: false,
        explained: false,
        begun: Instant::now(),
    };
    if let Some(why) = watch.looker.no_record() {
        let text = format!(
            "Warning: times and costs of steps are not known; the record could not be asked: {why}"
        );
        watch.live.note(&text);
    }
    let waited = tokio::select! {
        waited = watch.run(timeout) => waited,
        // If it cannot be heard, the program simply ends with it.
        Ok(()) = tokio::signal::ctrl_c() => Ok(Waited::Interrupted),
    };
    watch.live.clear();
    waited
}

struct Watch<'a> {
    looker: &'a mut Looker,
    message: Option<Message>,
    live: Live,
    /// Redis did not answer the last time.
    away: bool,
    explained: bool,
    begun: Instant,
}

impl Watch<'_> {
    async fn run(&mut self, timeout: Option<Duration>) -> Result<Waited, CommandError> {
        loop {
            match self.look().await {
                Ok(Some(waited)) => return Ok(waited),
                Ok(None) => {
                    if self.away {
                        self.away = false;
                        self.live.note("Redis is back.");
                    }
                }
                Err(CommandError::Broker(error)) if is_passing(&error) => {
                    if !self.away {
                        self.away = true;
                        self.live
                            .note(&format!("{error}. Waiting for it to come back."));
                    }
                }
                Err(error) => return Err(error),
            }
            let left = timeout.map_or(PAUSE, |timeout| {
                timeout.saturating_sub(self.begun.elapsed())
            });
            if left.is_zero() {
                return Ok(Waited::TooLong);
            }
            tokio::time::sleep(PAUSE.min(left)).await;
        }
    }

    async fn look(&mut self) -> Result<Option<Waited>, CommandError> {
        if let Some(waited) = self.message().await? {
            return Ok(Some(waited));
        }
        if self.message.is_some() {
            return Ok(None);
        }
        let Some(chain) = self.looker.look().await? else {
            return Ok(Some(Waited::Unknown));
        };
        if !chain.state().is_final() {
            self.live.show(&chain);
            return Ok(None);
        }
        self.live.show(&chain);
        let last = self.looker.look_at_the_end().await?;
        Ok(Some(Waited::Ended(Box::new(last.unwrap_or(chain)))))
    }

    /// What became of the message; once a worker has read it, there is none any more.
    async fn message(&mut self) -> Result<Option<Waited>, CommandError> {
        let Some(Message { place, queue }) = &self.message else {
            return Ok(None);
        };
        let broker = self.looker.broker();
        if broker.standing(place).await?.is_none() {
            if let Some((_, letter, _)) = broker.dead_letter(place.as_str()).await? {
                return Ok(Some(Waited::Refused(letter.record.error)));
            }
            self.message = None;
        } else if !self.explained && self.begun.elapsed() > SOON {
            self.explained = true;
            if let Ok(Some(nobody)) = nobody(broker, queue).await {
                let text = format!("{nobody}; the chain waits. Ctrl-C leaves it in the queue.");
                self.live.note(&text);
            }
        }
        Ok(None)
    }
}
