//! Admission: claims a job's own id and unique key before its first attempt.

use longshore_protocol::{
    chain::StepRef,
    envelope::{ContentHash, Unique},
    event::Event,
    id::{EntryId, JobId},
    outcome::Outcome,
    reply::ReplyTo,
    serialized::Serialized,
};

use crate::{
    BrokerError, Deliveries, Delivery, chains::format_step, deliveries::reply_argument, scripts,
};

/// What to claim before a job's first attempt.
#[derive(Debug)]
pub struct Admission<'a> {
    /// The producer's own id, and the hash of the job's content.
    pub id: Option<(&'a JobId, &'a ContentHash)>,
    /// The unique key.
    pub unique: Option<&'a Unique>,
    /// Where the message wants a reply.
    pub reply: Option<&'a ReplyTo>,
    /// The outcome to send if the same job completed before and its outcome has expired.
    pub expired: Option<&'a Serialized<Outcome>>,
    /// The event to record if the message is dropped as a duplicate.
    pub drop_event: Option<&'a Serialized<Event>>,
    /// The batch task that the job is; it ends if the job is dropped.
    pub task: Option<&'a StepRef>,
}

/// The result of an admission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admitted {
    Yes,
    /// Another worker holds the entry.
    Lost,
    /// The same job came before; the message was dropped.
    Duplicate,
    /// The id belongs to another job, first enqueued as this entry.
    Conflict(EntryId),
    /// The unique key belongs to the job that was enqueued as this entry.
    Taken(EntryId),
}

impl Admitted {
    fn from_reply(reply: &[String]) -> Result<Self, BrokerError> {
        let words: Vec<&str> = reply.iter().map(String::as_str).collect();
        match words.as_slice() {
            ["ok"] => Ok(Self::Yes),
            ["gone"] => Ok(Self::Lost),
            ["duplicate"] => Ok(Self::Duplicate),
            ["conflict", first] => Ok(Self::Conflict(EntryId::from_stored(first))),
            ["unique", first] => Ok(Self::Taken(EntryId::from_stored(first))),
            _ => Err(BrokerError::unexpected_reply("admit", words.join(" "))),
        }
    }
}

impl Deliveries<'_> {
    /// Claims a job's own id and unique key.
    pub async fn admit(
        self,
        delivery: &Delivery,
        admission: &Admission<'_>,
    ) -> Result<Admitted, BrokerError> {
        let (id, hash) = admission
            .id
            .map_or(("", ""), |(id, hash)| (id.as_str(), hash.as_str()));
        let (unique, ttl) = admission.unique.map_or(("", 0), |unique| {
            (unique.key.as_str(), unique.ttl.as_secs().max(1))
        });
        let mut call = delivery.invoke(&scripts::ADMIT, self.broker.keys());
        call.arg(id)
            .arg(hash)
            .arg(self.broker.id_seconds())
            .arg(unique)
            .arg(ttl)
            .arg(reply_argument(admission.reply))
            .arg(self.broker.result_seconds())
            .arg(Serialized::argument(admission.drop_event))
            .arg(admission.task.map_or_else(String::new, format_step))
            .arg(Serialized::argument(admission.expired));
        let reply: Vec<String> = self.broker.run(&call).await?;
        Admitted::from_reply(&reply)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scripts::tests::check_replies;

    #[test]
    fn every_reply_of_admit_is_parsed() {
        let first = EntryId::from_stored("1-0");
        let cases = [
            (vec!["ok"], Admitted::Yes),
            (vec!["gone"], Admitted::Lost),
            (vec!["duplicate"], Admitted::Duplicate),
            (vec!["conflict", "1-0"], Admitted::Conflict(first.clone())),
            (vec!["unique", "1-0"], Admitted::Taken(first)),
        ];
        check_replies("admit", &cases, Admitted::from_reply);
    }
}
