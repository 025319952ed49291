//! The states of a job (River's and Oban's words) and of an attempt.

use serde::{Deserialize, Serialize};

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$vdoc])* #[serde(rename = $word)] $variant),+
        }

        impl $name {
            /// Every value, in the order of a job's life.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word that stands in Redis, Postgres, metrics and documents.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word),+
                }
            }

            /// The value that a word stands for.
            pub fn from_word(word: &str) -> Option<Self> {
                match word {
                    $($word => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}
pub(crate) use words;

words! {
    /// Where a job is in its life.
    JobState {
        /// Waits in a lane: for a time, a place, a newer worker.
        Scheduled = "scheduled",
        /// Stands in its queue.
        Available = "available",
        /// A worker has it.
        Running = "running",
        /// An attempt failed; it waits for the next.
        Retryable = "retryable",
        /// Answered.
        Completed = "completed",
        /// Stopped on request, or dropped as a duplicate.
        Cancelled = "cancelled",
        /// Given up; in the dead letters.
        Discarded = "discarded",
    }
}

words! {
    /// How an attempt ended.
    AttemptOutcome {
        /// The provider answered.
        Completed = "completed",
        /// The provider, or the way to it, said no.
        Failed = "failed",
        /// Dropped in mid-call because the job was cancelled or handed back.
        Cancelled = "cancelled",
        /// Its worker died in mid-call: what it spent is not known.
        Lost = "lost",
    }
}

impl JobState {
    /// Whether nothing more will happen to the job by itself.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Cancelled | Self::Discarded)
    }
}
