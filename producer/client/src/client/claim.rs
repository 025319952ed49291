//! Whose outcome it is that stands under an id.

use longshore_shared::id::{JobId, Place};

use super::{Client, ClientError, Receipt};

/// The code of a dead letter whose id was another job's.
const CONFLICT: &str = "id_conflict";

/// What a message with an id of its producer's own has become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// It is the job.
    Own,
    /// No worker has looked at it yet; an outcome under its id is that of another message.
    Unread,
    /// The same job was put in before, at this place if that is still known; it was dropped, and the
    /// outcome of the first is its own.
    Repeat(Option<Place>),
    /// The id is another job's: it will never run. In words for people.
    Conflict(String),
}

impl Client {
    /// What became of a message. Only for a job with an id of its own can it be anything but
    /// [`Claim::Own`].
    pub async fn claim(&self, receipt: &Receipt) -> Result<Claim, ClientError> {
        let Receipt { id, place } = receipt;
        if *id == JobId::of_place(place) {
            return Ok(Claim::Own);
        }
        let first = self.broker.place_of(id).await?;
        if first.as_ref() == Some(place) {
            return Ok(Claim::Own);
        }
        if self.broker.standing(place).await?.is_some() {
            return Ok(Claim::Unread);
        }
        if let Some((_, letter, _)) = self.broker.dead_letter(place.as_str()).await?
            && letter.record.reason == CONFLICT
        {
            return Ok(Claim::Conflict(letter.record.error));
        }
        // It may have been admitted between the first look and the second.
        let first = self.broker.place_of(id).await?;
        if first.as_ref() == Some(place) {
            Ok(Claim::Own)
        } else {
            Ok(Claim::Repeat(first))
        }
    }
}
