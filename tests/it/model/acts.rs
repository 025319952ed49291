//! Actions of a worker on a job that it believes it has, and their expected results.

use longshore_shared::{
    broker::{Beginning, Begun, Ending, Fence, Parked, Parking, Spent, Takes},
    id::AttemptId,
};

use super::{
    truth::{Journal, Spot},
    world::{Hand, World, bytes, concurrency},
};
use crate::scripts::room::{BEGUN, letter};

impl World {
    /// Whether the worker continues with the job afterwards.
    pub(super) async fn begin(
        &mut self,
        hand: &mut Hand,
        attempt: AttemptId,
        resume: &str,
    ) -> bool {
        let job = &self.truth.jobs[hand.job];
        let (id, key) = (job.id.clone(), concurrency(job));
        let event = format!("lost {attempt}");
        let beginning = Beginning {
            job: &id,
            attempt,
            event_if_lost: &event,
            concurrency: key.as_ref(),
            resume,
            takes: &Takes::default(),
            waited: false,
        };
        let begun = self.room.broker.begin(&hand.held, &beginning);
        let begun = begun.await.unwrap();
        let expected = if !self
            .truth
            .is_mine(hand.job, hand.held.place.as_str(), hand.worker, None)
        {
            Begun::Lost
        } else if self.truth.jobs[hand.job].cancelled {
            Begun::Cancelled
        } else if self.truth.take_slot(hand.job) {
            self.truth.jobs[hand.job].journal = Journal::Begun(attempt, hand.worker);
            hand.attempt = Some(attempt);
            BEGUN
        } else {
            self.truth
                .leave(hand.job, Spot::Key, Some(resume.to_owned()));
            if let Some(key) = self.truth.jobs[hand.job].key {
                self.truth.lanes[key].push_back(hand.job);
            }
            Begun::Parked
        };
        assert_eq!(begun, expected);
        matches!(begun, BEGUN | Begun::Cancelled)
    }

    pub(super) async fn fail(&mut self, hand: &mut Hand, text: &str) -> bool {
        let Some(attempt) = hand.attempt else {
            return true;
        };
        let job = &self.truth.jobs[hand.job];
        let key = concurrency(job);
        let again = job.stands()
            && job.place == hand.held.place.as_str()
            && job.journal == Journal::Failed(attempt, hand.worker);
        let fence = self
            .room
            .broker
            .fail(
                &hand.held,
                attempt,
                text,
                key.as_ref(),
                text,
                Spent::NothingTaken,
            )
            .await
            .unwrap();
        let expected = if self.truth.is_mine(
            hand.job,
            hand.held.place.as_str(),
            hand.worker,
            Some(attempt),
        ) {
            let job = &mut self.truth.jobs[hand.job];
            job.journal = Journal::Failed(attempt, hand.worker);
            job.resume = Some(text.to_owned());
            self.truth.events.push((text.to_owned(), false));
            hand.remembered = true;
            Fence::Held
        } else if again {
            Fence::Held
        } else {
            self.truth.lose(Some(attempt), text);
            Fence::Lost
        };
        assert_eq!(fence, expected);
        fence == Fence::Held
    }

    pub(super) async fn settle(&mut self, hand: &Hand, text: &str, dies: bool) -> bool {
        let job = &self.truth.jobs[hand.job];
        let (id, key) = (job.id.clone(), concurrency(job));
        let letter = serde_json::to_string(&letter(
            &self.room.queue,
            &id,
            &hand.held.place,
            &bytes(job),
        ))
        .unwrap();
        let ending = Ending {
            attempt: hand.attempt,
            event: text,
            result: text,
            reply: false,
            concurrency: key.as_ref(),
            remembered: hand.remembered,
            letter: dies.then_some((&id, letter.as_str())),
            spent: Spent::NothingTaken,
            step: None,
            children: "",
        };
        let fence = self
            .room
            .broker
            .settle(&hand.held, &id, &ending)
            .await
            .unwrap();
        let expected = if self.truth.is_mine(
            hand.job,
            hand.held.place.as_str(),
            hand.worker,
            hand.attempt,
        ) {
            self.truth
                .leave(hand.job, if dies { Spot::Dead } else { Spot::Ended }, None);
            self.truth.events.push((text.to_owned(), false));
            let job = &mut self.truth.jobs[hand.job];
            assert_eq!(job.result, None, "it ends once");
            job.result = Some(text.to_owned());
            job.cancelled = false;
            Fence::Held
        } else {
            self.truth.lose(hand.attempt, text);
            Fence::Lost
        };
        assert_eq!(fence, expected);
        false
    }

    pub(super) async fn park(
        &mut self,
        hand: &Hand,
        for_version: bool,
        due: chrono::DateTime<chrono::Utc>,
        text: &str,
    ) -> bool {
        let job = &self.truth.jobs[hand.job];
        let (id, key) = (job.id.clone(), concurrency(job));
        let parking = Parking {
            attempt: hand.attempt,
            event: text,
            for_version,
            due,
            concurrency: key.as_ref(),
            resume: text,
            spent: Spent::NothingTaken,
        };
        let parked = self
            .room
            .broker
            .park(&hand.held, &id, &parking)
            .await
            .unwrap();
        let mine = self.truth.is_mine(
            hand.job,
            hand.held.place.as_str(),
            hand.worker,
            hand.attempt,
        );
        let expected = if mine && self.truth.jobs[hand.job].cancelled {
            Parked::Cancelled
        } else if mine {
            let due = due.timestamp_millis();
            self.truth.leave(
                hand.job,
                Spot::Waits { for_version, due },
                Some(text.to_owned()),
            );
            self.truth.events.push((text.to_owned(), false));
            Parked::Yes
        } else {
            self.truth.lose(hand.attempt, text);
            Parked::Lost
        };
        assert_eq!(parked, expected);
        parked == Parked::Cancelled
    }

    pub(super) async fn hand_back(&mut self, hand: &Hand, text: &str) -> bool {
        let event = if hand.attempt.is_some() { text } else { "" };
        let resume = if hand.remembered { text } else { "" };
        let fence = self
            .room
            .broker
            .hand_back(&hand.held, hand.attempt, event, resume, Spent::NothingTaken)
            .await
            .unwrap();
        let expected = if self.truth.is_mine(
            hand.job,
            hand.held.place.as_str(),
            hand.worker,
            hand.attempt,
        ) {
            let job = &mut self.truth.jobs[hand.job];
            job.spot = Spot::Returned;
            job.journal = Journal::Nothing;
            if hand.remembered {
                job.resume = Some(text.to_owned());
            }
            if hand.attempt.is_some() {
                self.truth.events.push((text.to_owned(), false));
            }
            Fence::Held
        } else {
            self.truth.lose(hand.attempt, text);
            Fence::Lost
        };
        assert_eq!(fence, expected);
        false
    }
}
