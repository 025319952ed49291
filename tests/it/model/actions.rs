//! Actions of a worker on a job that it believes it has, and their expected results.

use longshore_broker::{
    AttemptStart, Begun, Consumed, Ending, Fence, MeterAmounts, ParkUntil, Parked,
};
use longshore_protocol::id::AttemptId;

use super::{
    expected::{Journal, Spot},
    world::{Belief, World, bytes, concurrency},
};
use crate::scripts::fixture::{BEGUN, letter, stored, written};

impl World {
    /// Whether the worker continues with the job afterwards.
    pub(super) async fn begin(
        &mut self,
        belief: &mut Belief,
        attempt: AttemptId,
        checkpoint: &str,
    ) -> bool {
        let job = &self.expected.jobs[belief.job];
        let (id, key) = (job.id.clone(), concurrency(job));
        let event = format!("lost {attempt}");
        let beginning = AttemptStart {
            job: &id,
            attempt,
            event_if_lost: stored(&event),
            concurrency: key.as_ref(),
            checkpoint: stored(checkpoint),
            amounts: &MeterAmounts::default(),
            waited: false,
        };
        let begun = self
            .fixture
            .broker
            .deliveries()
            .begin(&belief.delivery, &beginning);
        let begun = begun.await.unwrap();
        let expected = if !self.expected.is_mine(
            belief.job,
            belief.delivery.entry_id.as_str(),
            belief.worker,
            None,
        ) {
            Begun::Lost
        } else if self.expected.jobs[belief.job].cancelled {
            Begun::Cancelled
        } else if self.expected.take_slot(belief.job) {
            self.expected.jobs[belief.job].journal = Journal::Begun(attempt, belief.worker);
            belief.attempt = Some(attempt);
            BEGUN
        } else {
            self.expected
                .leave(belief.job, Spot::Key, Some(checkpoint.to_owned()));
            let parked = &self.expected.jobs[belief.job];
            if let Some(key) = parked.key {
                self.expected.lanes[key].push_back((belief.job, parked.entry_id.clone()));
            }
            Begun::Parked
        };
        assert_eq!(begun, expected);
        matches!(begun, BEGUN | Begun::Cancelled)
    }

    pub(super) async fn fail(&mut self, belief: &mut Belief, text: &str) -> bool {
        let Some(attempt) = belief.attempt else {
            return true;
        };
        let job = &self.expected.jobs[belief.job];
        let key = concurrency(job);
        let again = job.stands()
            && job.entry_id == belief.delivery.entry_id.as_str()
            && job.journal == Journal::Failed(attempt, belief.worker);
        let fence = self
            .fixture
            .broker
            .deliveries()
            .fail(
                &belief.delivery,
                attempt,
                stored(text),
                key.as_ref(),
                stored(text),
                Consumed::NothingTaken,
            )
            .await
            .unwrap();
        let expected = if self.expected.is_mine(
            belief.job,
            belief.delivery.entry_id.as_str(),
            belief.worker,
            Some(attempt),
        ) {
            let job = &mut self.expected.jobs[belief.job];
            job.journal = Journal::Failed(attempt, belief.worker);
            job.checkpoint = Some(text.to_owned());
            self.expected.events.push((text.to_owned(), false));
            belief.remembered = true;
            Fence::Held
        } else if again {
            Fence::Held
        } else {
            self.expected.lose(Some(attempt), text);
            Fence::Lost
        };
        assert_eq!(fence, expected);
        fence == Fence::Held
    }

    pub(super) async fn settle(&mut self, belief: &Belief, text: &str, dies: bool) -> bool {
        let job = &self.expected.jobs[belief.job];
        let (id, key) = (job.id.clone(), concurrency(job));
        let letter = serde_json::to_string(&letter(
            &self.fixture.queue,
            &id,
            &belief.delivery.entry_id,
            &bytes(job),
        ))
        .unwrap();
        let ending = Ending {
            attempt: belief.attempt,
            event: stored(text),
            outcome: stored(text),
            reply: None,
            owns_id: false,
            keep_result: false,
            concurrency: key.as_ref(),
            has_stored_state: belief.remembered,
            dead_letter: dies.then_some((&id, written(&letter))),
            consumed: Consumed::NothingTaken,
            step: None,
            spawned: &[],
        };
        let fence = self
            .fixture
            .broker
            .deliveries()
            .settle(&belief.delivery, &id, &ending)
            .await
            .unwrap();
        let expected = if self.expected.is_mine(
            belief.job,
            belief.delivery.entry_id.as_str(),
            belief.worker,
            belief.attempt,
        ) {
            self.expected.leave(
                belief.job,
                if dies { Spot::Dead } else { Spot::Ended },
                None,
            );
            self.expected.events.push((text.to_owned(), false));
            let job = &mut self.expected.jobs[belief.job];
            assert_eq!(job.result, None, "it ends once");
            job.result = Some(text.to_owned());
            job.cancelled = false;
            Fence::Held
        } else {
            self.expected.lose(belief.attempt, text);
            Fence::Lost
        };
        assert_eq!(fence, expected);
        false
    }

    pub(super) async fn park(
        &mut self,
        belief: &Belief,
        for_version: bool,
        due: chrono::DateTime<chrono::Utc>,
        text: &str,
    ) -> bool {
        let job = &self.expected.jobs[belief.job];
        let (id, key) = (job.id.clone(), concurrency(job));
        let parking = ParkUntil {
            chain: None,
            attempt: belief.attempt,
            event: stored(text),
            for_version,
            due,
            concurrency: key.as_ref(),
            checkpoint: stored(text),
            consumed: Consumed::NothingTaken,
            review: None,
        };
        let parked = self
            .fixture
            .broker
            .deliveries()
            .park(&belief.delivery, &id, &parking)
            .await
            .unwrap();
        let mine = self.expected.is_mine(
            belief.job,
            belief.delivery.entry_id.as_str(),
            belief.worker,
            belief.attempt,
        );
        let expected = if mine && self.expected.jobs[belief.job].cancelled {
            Parked::Cancelled
        } else if mine {
            let due = due.timestamp_millis();
            self.expected.leave(
                belief.job,
                Spot::Waits { for_version, due },
                Some(text.to_owned()),
            );
            self.expected.events.push((text.to_owned(), false));
            Parked::Yes
        } else {
            self.expected.lose(belief.attempt, text);
            Parked::Lost
        };
        assert_eq!(parked, expected);
        parked == Parked::Cancelled
    }

    pub(super) async fn hand_back(&mut self, belief: &Belief, text: &str) -> bool {
        let event = if belief.attempt.is_some() { text } else { "" };
        let checkpoint = if belief.remembered { text } else { "" };
        let fence = self
            .fixture
            .broker
            .deliveries()
            .hand_back(
                &belief.delivery,
                belief.attempt,
                stored(event),
                stored(checkpoint),
                Consumed::NothingTaken,
            )
            .await
            .unwrap();
        let expected = if self.expected.is_mine(
            belief.job,
            belief.delivery.entry_id.as_str(),
            belief.worker,
            belief.attempt,
        ) {
            let job = &mut self.expected.jobs[belief.job];
            let recorded = match (belief.attempt, job.journal) {
                (Some(_), _) => Some(text.to_owned()),
                (None, Journal::Begun(attempt, _)) => Some(format!("lost {attempt}")),
                (None, _) => None,
            };
            self.expected
                .events
                .extend(recorded.map(|event| (event, false)));
            job.spot = Spot::Returned;
            job.journal = Journal::Nothing;
            if belief.remembered {
                job.checkpoint = Some(text.to_owned());
            }
            Fence::Held
        } else {
            self.expected.lose(belief.attempt, text);
            Fence::Lost
        };
        assert_eq!(fence, expected);
        false
    }
}
