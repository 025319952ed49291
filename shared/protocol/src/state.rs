//! The states of a job and of an attempt, named as in River and Oban.

string_enum! {
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

string_enum! {
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
