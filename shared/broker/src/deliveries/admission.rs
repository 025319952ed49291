//! The check of a job's own id and unique key, before its first attempt.

use longshore_protocol::{
    chain::StepRef,
    envelope::{ContentHash, Unique},
    id::{JobId, Place},
};

use crate::{BrokerError, Deliveries, Held, chains::format_step, deliveries::flag, scripts};

/// What is to be checked before a job's first attempt.
#[derive(Debug)]
pub struct Admission<'a> {
    /// The producer's own id, and the hash of what it stands for.
    pub id: Option<(&'a JobId, &'a ContentHash)>,
    /// The key that may be used once.
    pub unique: Option<&'a Unique>,
    /// Whether somebody waits for the outcome.
    pub reply: bool,
    /// What is recorded if the message is dropped.
    pub drop_event: &'a str,
    /// The task of a batch that it is: dropped, it has ended.
    pub task: Option<&'a StepRef>,
}

/// Whether a job may go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admitted {
    /// It may.
    Yes,
    /// Another worker has it.
    Lost,
    /// The same job came before; the message was dropped.
    Duplicate,
    /// Its id belongs to another job, which stood at this place.
    Conflict(Place),
    /// Its unique key is taken by the job that stood at this place.
    Taken(Place),
}

impl Deliveries<'_> {
    /// Checks a job's own id and unique key.
    pub async fn admit(
        self,
        held: &Held,
        admission: &Admission<'_>,
    ) -> Result<Admitted, BrokerError> {
        let (id, hash) = admission
            .id
            .map_or(("", ""), |(id, hash)| (id.as_str(), hash.as_str()));
        let (unique, ttl) = admission.unique.map_or(("", 0), |unique| {
            (unique.key.as_str(), unique.ttl.as_secs().max(1))
        });
        let mut call = held.invoke(&scripts::ADMIT, self.broker.keys());
        call.arg(id)
            .arg(hash)
            .arg(self.broker.id_seconds())
            .arg(unique)
            .arg(ttl)
            .arg(flag(admission.reply, "1"))
            .arg(self.broker.result_seconds())
            .arg(admission.drop_event)
            .arg(admission.task.map_or_else(String::new, format_step));
        let answer: Vec<String> = self.broker.run(&call).await?;
        let place = |at: usize| Place::from_record(answer.get(at).map_or("", String::as_str));
        Ok(match answer.first().map(String::as_str) {
            Some("ok") => Admitted::Yes,
            Some("duplicate") => Admitted::Duplicate,
            Some("conflict") => Admitted::Conflict(place(1)),
            Some("unique") => Admitted::Taken(place(1)),
            _ => Admitted::Lost,
        })
    }
}
