//! Actions of a worker on a job that it believes it has.

use longshore_broker::{
    Beginning, Begun, Ending, Fence, Held, Offer, Parked, Parking, Reservation, Reserved, Spent,
    Takes,
};
use longshore_policy::limits::Take;
use longshore_protocol::id::{AttemptId, JobId};

use super::{Came, End};
use crate::scripts::room::{Room, past, resume};

/// A job that a worker believes it has; it may have lost it long ago.
pub(super) struct Belief {
    pub(super) held: Held,
    pub(super) job: JobId,
    /// Whether it was released from a limit's lane.
    pub(super) waited: bool,
    pub(super) attempt: Option<AttemptId>,
}

/// The checkpoint of a job: whether it was parked by a limit.
fn remembered(job: &JobId, waited: bool) -> String {
    resume(job, u32::from(waited))
}

impl Belief {
    /// Whether the worker still has the job.
    pub(super) async fn begin(&mut self, room: &Room, attempt: AttemptId, takes: &[Take]) -> bool {
        let beginning = Beginning {
            job: &self.job,
            attempt,
            event_if_lost: &format!("lost {attempt}"),
            concurrency: None,
            resume: "",
            takes: &Takes::new(takes),
            waited: self.waited,
        };
        match room
            .broker
            .deliveries()
            .begin(&self.held, &beginning)
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
        room: &Room,
        attempt: AttemptId,
        candidates: &[Vec<Take>],
    ) -> bool {
        let offers: Vec<Offer> = (0..)
            .zip(candidates)
            .map(|(number, takes)| Offer {
                event_if_lost: format!("lost {number} {attempt}"),
                takes: Takes::new(takes),
                spare: false,
            })
            .collect();
        let reservation = Reservation {
            job: &self.job,
            attempt,
            concurrency: None,
            resume: "",
            resume_waiting: &remembered(&self.job, true),
            waited: self.waited,
            offers: &offers,
        };
        match room
            .broker
            .deliveries()
            .reserve(&self.held, &reservation)
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
    pub(super) fn spent(&self, came: Came) -> Spent {
        match (self.attempt, came) {
            (None, _) => Spent::NothingTaken,
            (Some(_), Came::Unknown) => Spent::Unknown,
            (Some(_), Came::To(nanos)) => Spent::Known {
                tokens: nanos,
                requests: 1,
                nanos,
                answered: true,
            },
        }
    }

    /// Whether the action took effect.
    pub(super) async fn end(&self, room: &Room, how: End, spent: Spent) -> bool {
        let (held, job) = (&self.held, &self.job);
        let text = remembered(job, false);
        match (how, self.attempt) {
            (End::Settle, attempt) => {
                let ending = Ending {
                    attempt,
                    event: "ended",
                    result: "outcome",
                    remembered: true,
                    spent,
                    ..Ending::default()
                };
                room.broker
                    .deliveries()
                    .settle(held, job, &ending)
                    .await
                    .unwrap()
                    == Fence::Held
            }
            (End::Fail, Some(attempt)) => {
                let failed = room
                    .broker
                    .deliveries()
                    .fail(held, attempt, "failed", None, &text, spent);
                failed.await.unwrap() == Fence::Held
            }
            (End::Fail, None) => false,
            (End::HandBack, attempt) => {
                let back = room
                    .broker
                    .deliveries()
                    .hand_back(held, attempt, "back", &text, spent);
                back.await.unwrap() == Fence::Held
            }
            (End::Park, attempt) => {
                let parking = Parking {
                    attempt,
                    event: "parked",
                    for_version: false,
                    due: past(0),
                    concurrency: None,
                    resume: &text,
                    spent,
                };
                room.broker
                    .deliveries()
                    .park(held, job, &parking)
                    .await
                    .unwrap()
                    == Parked::Yes
            }
        }
    }
}
