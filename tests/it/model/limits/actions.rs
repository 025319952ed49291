//! Actions of a worker on a job that it believes it has.

use longshore_broker::{
    AttemptStart, Begun, Consumed, Delivery, Ending, Fence, MeterAmounts, ParkUntil, Parked,
    Reservation, ReservationCandidate, Reserved,
};
use longshore_policy::limits::MeterAmount;
use longshore_protocol::{
    checkpoint::Checkpoint,
    id::{AttemptId, JobId},
    serialized::Serialized,
};

use super::{Came, End};
use crate::scripts::fixture::{Fixture, checkpoint_of, past, stored};

/// A job that a worker believes it has; it may have lost it long ago.
pub(super) struct Belief {
    pub(super) delivery: Delivery,
    pub(super) job: JobId,
    /// Whether it was released from a limit's lane.
    pub(super) waited: bool,
    pub(super) attempt: Option<AttemptId>,
}

/// The checkpoint of a job: whether it was parked by a limit.
fn remembered(job: &JobId, waited: bool) -> Serialized<Checkpoint> {
    checkpoint_of(job, u32::from(waited))
}

impl Belief {
    /// Whether the worker still has the job.
    pub(super) async fn begin(
        &mut self,
        fixture: &Fixture,
        attempt: AttemptId,
        amounts: &[MeterAmount],
    ) -> bool {
        let beginning = AttemptStart {
            job: &self.job,
            attempt,
            event_if_lost: stored(&format!("lost {attempt}")),
            concurrency: None,
            checkpoint: stored(""),
            amounts: &MeterAmounts::new(amounts),
            waited: self.waited,
        };
        match fixture
            .broker
            .deliveries()
            .begin(&self.delivery, &beginning)
            .await
            .unwrap()
        {
            Begun::Yes(_) => {
                self.attempt = Some(attempt);
                true
            }
            other => {
                assert!(matches!(other, Begun::Full | Begun::Lost), "{other:?}");
                other == Begun::Full
            }
        }
    }

    /// Whether the worker still has the job.
    pub(super) async fn reserve(
        &mut self,
        fixture: &Fixture,
        attempt: AttemptId,
        candidates: &[Vec<MeterAmount>],
    ) -> bool {
        let offers: Vec<ReservationCandidate> = (0..)
            .zip(candidates)
            .map(|(number, amounts)| ReservationCandidate {
                event_if_lost: Some(Serialized::from_stored(format!("lost {number} {attempt}"))),
                amounts: MeterAmounts::new(amounts),
                spare: false,
            })
            .collect();
        let reservation = Reservation {
            job: &self.job,
            attempt,
            concurrency: None,
            checkpoint_for_key: stored(""),
            checkpoint_for_limit: Some(&remembered(&self.job, true)),
            waited: self.waited,
            candidates: &offers,
        };
        match fixture
            .broker
            .deliveries()
            .reserve(&self.delivery, &reservation)
            .await
            .unwrap()
        {
            Reserved::Yes(..) => {
                self.attempt = Some(attempt);
                true
            }
            other => {
                let gone = matches!(other, Reserved::Waits { .. } | Reserved::Lost);
                assert!(gone, "{other:?}");
                false
            }
        }
    }

    /// The reported usage of the attempt.
    pub(super) fn consumed(&self, came: Came) -> Consumed {
        match (self.attempt, came) {
            (None, _) => Consumed::NothingTaken,
            (Some(_), Came::Unknown) => Consumed::Unknown,
            (Some(_), Came::To(nanos)) => Consumed::Known {
                tokens: nanos,
                requests: 1,
                nanos,
                answered: true,
            },
        }
    }

    /// Whether the action took effect.
    pub(super) async fn end(&self, fixture: &Fixture, how: End, consumed: Consumed) -> bool {
        let (held, job) = (&self.delivery, &self.job);
        let text = remembered(job, false);
        match (how, self.attempt) {
            (End::Settle, attempt) => {
                let ending = Ending {
                    attempt,
                    event: stored("ended"),
                    outcome: stored("outcome"),
                    has_stored_state: true,
                    consumed,
                    ..Ending::default()
                };
                fixture
                    .broker
                    .deliveries()
                    .settle(held, job, &ending)
                    .await
                    .unwrap()
                    == Fence::Held
            }
            (End::Fail, Some(attempt)) => {
                let failed = fixture.broker.deliveries().fail(
                    held,
                    attempt,
                    stored("failed"),
                    None,
                    Some(&text),
                    consumed,
                );
                failed.await.unwrap() == Fence::Held
            }
            (End::Fail, None) => false,
            (End::HandBack, attempt) => {
                let back = fixture.broker.deliveries().hand_back(
                    held,
                    attempt,
                    stored("back"),
                    Some(&text),
                    consumed,
                );
                back.await.unwrap() == Fence::Held
            }
            (End::Park, attempt) => {
                let parking = ParkUntil {
                    chain: None,
                    attempt,
                    event: stored("parked"),
                    for_version: false,
                    due: past(0),
                    concurrency: None,
                    checkpoint: Some(&text),
                    consumed,
                    review: None,
                };
                fixture
                    .broker
                    .deliveries()
                    .park(held, job, &parking)
                    .await
                    .unwrap()
                    == Parked::Yes
            }
        }
    }
}
