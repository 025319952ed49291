//! Parking a delivered job.

use chrono::{DateTime, Utc};
use longshore_policy::pause::PausedLane;
use longshore_protocol::{
    chain::ChainId,
    checkpoint::Checkpoint,
    envelope::Concurrency,
    event::Event,
    id::{AttemptId, JobId},
    review::{Review, ReviewAlert},
    serialized::Serialized,
};
use serde::Serialize;

use crate::{
    Alert, BrokerError, Consumed, Deliveries, Delivery,
    deliveries::{attempt_argument, concurrency_key},
    scripts,
};

/// How to park a job until a time.
#[derive(Debug)]
pub struct ParkUntil<'a> {
    /// The attempt that began, if any.
    pub attempt: Option<AttemptId>,
    /// The event to record.
    pub event: Option<&'a Serialized<Event>>,
    /// Whether the job waits for a newer worker, not only for a time.
    pub for_version: bool,
    /// When the job is promoted.
    pub due: DateTime<Utc>,
    /// The chain whose end releases the job before.
    pub chain: Option<&'a ChainId>,
    /// The concurrency key whose slot the job may hold.
    pub concurrency: Option<&'a Concurrency>,
    /// The checkpoint of the job.
    pub checkpoint: Option<&'a Serialized<Checkpoint>>,
    /// What the attempt consumed of its reservation.
    pub consumed: Consumed,
    /// What a person is asked, whose decision releases the job before.
    pub review: Option<AskedReview<'a>>,
}

/// A review to register with its job.
#[derive(Debug, Clone, Copy)]
pub struct AskedReview<'a> {
    pub review: &'a Review,
    /// Whether to alert that somebody is waited for.
    pub alerts: bool,
}

/// The result of parking a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parked {
    Yes,
    /// Nothing changed: the pause is over, the chain that the job waits for does not run, or its review is decided.
    Resumed,
    /// Nothing changed: another worker holds the entry, or has settled it.
    Lost,
    /// Nothing changed: the cancellation of the job is requested.
    Cancelled,
}

/// How to park a job until something is resumed.
#[derive(Debug)]
pub struct ParkForPause<'a> {
    /// The attempt that began, if any.
    pub attempt: Option<AttemptId>,
    /// The event to record.
    pub event: Option<&'a Serialized<Event>>,
    pub lane: &'a PausedLane,
    /// Its position in the lane: [`pause::order`](longshore_policy::pause::order).
    pub order: &'a str,
    /// The concurrency key whose slot the job may hold.
    pub concurrency: Option<&'a Concurrency>,
    /// The checkpoint of the job.
    pub checkpoint: Option<&'a Serialized<Checkpoint>>,
    /// What the attempt consumed of its reservation.
    pub consumed: Consumed,
}

impl Parked {
    fn from_reply(reply: &str) -> Result<Self, BrokerError> {
        match reply {
            "ok" => Ok(Self::Yes),
            "resumed" => Ok(Self::Resumed),
            "cancelled" => Ok(Self::Cancelled),
            "gone" => Ok(Self::Lost),
            other => Err(BrokerError::unexpected_reply("park", other)),
        }
    }
}

impl Deliveries<'_> {
    /// Parks a job until a time.
    pub async fn park(
        self,
        delivery: &Delivery,
        job: &JobId,
        parking: &ParkUntil<'_>,
    ) -> Result<Parked, BrokerError> {
        let mut call = delivery.invoke(&scripts::PARK, self.broker.keys());
        call.arg(job.as_str())
            .arg(attempt_argument(parking.attempt))
            .arg(Serialized::argument(parking.event))
            .arg(if parking.for_version {
                "version"
            } else {
                "time"
            })
            .arg(parking.due.timestamp_millis())
            .arg(concurrency_key(parking.concurrency))
            .arg(Serialized::argument(parking.checkpoint))
            .arg(parking.consumed.to_lua_argument())
            .arg(self.broker.parked_argument(delivery)?)
            .arg(parking.chain.map_or("", ChainId::as_str));
        for argument in self.review_arguments(parking.review)? {
            call.arg(argument);
        }
        let reply: String = self.broker.run(&call).await?;
        Parked::from_reply(&reply)
    }

    /// Parks a job until something is resumed.
    pub async fn park_paused(
        self,
        delivery: &Delivery,
        job: &JobId,
        pausing: &ParkForPause<'_>,
    ) -> Result<Parked, BrokerError> {
        let mut call = delivery.invoke(&scripts::PARK, self.broker.keys());
        call.arg(job.as_str())
            .arg(attempt_argument(pausing.attempt))
            .arg(Serialized::argument(pausing.event))
            .arg(pausing.lane.as_str())
            .arg(pausing.order)
            .arg(concurrency_key(pausing.concurrency))
            .arg(Serialized::argument(pausing.checkpoint))
            .arg(pausing.consumed.to_lua_argument())
            .arg(self.broker.parked_argument(delivery)?)
            .arg("");
        for argument in self.review_arguments(None)? {
            call.arg(argument);
        }
        let reply: String = self.broker.run(&call).await?;
        Parked::from_reply(&reply)
    }

    /// When the review was asked, the review, and the alert; all empty without a review.
    fn review_arguments(self, asked: Option<AskedReview<'_>>) -> Result<[String; 3], BrokerError> {
        let Some(AskedReview { review, alerts }) = asked else {
            return Ok(Default::default());
        };
        let alert = if alerts {
            let alert = self
                .broker
                .keyring()
                .sealed(&ReviewAlert::from(review))?
                .into_owned();
            json(&Alert::Review { review: alert })?
        } else {
            String::new()
        };
        Ok([
            review.asked_at.timestamp_millis().to_string(),
            json(&*self.broker.keyring().sealed(review)?)?,
            alert,
        ])
    }
}

fn json(value: &impl Serialize) -> Result<String, BrokerError> {
    serde_json::to_string(value).map_err(|error| BrokerError::not_serializable("review", error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scripts::tests::check_words;

    #[test]
    fn every_reply_of_park_is_parsed() {
        let cases = [
            ("ok", Parked::Yes),
            ("resumed", Parked::Resumed),
            ("cancelled", Parked::Cancelled),
            ("gone", Parked::Lost),
        ];
        check_words("park", &cases, Parked::from_reply);
    }
}
