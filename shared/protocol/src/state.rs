//! The states of a job and the outcomes of an attempt, named as in River and Oban.

string_enum! {
    /// The state of a job.
    JobState {
        /// Parked in a lane until a time, a slot or a newer worker.
        Scheduled = "scheduled",
        /// In its queue.
        Available = "available",
        /// Delivered to a worker.
        Running = "running",
        /// An attempt failed; the job waits for the next one.
        Retryable = "retryable",
        /// Answered.
        Completed = "completed",
        /// Cancelled on request, or dropped as a duplicate.
        Cancelled = "cancelled",
        /// Given up; now a dead letter.
        Discarded = "discarded",
    }
}

string_enum! {
    /// How an attempt ended.
    AttemptOutcome {
        /// The provider answered.
        Completed = "completed",
        /// The call failed.
        Failed = "failed",
        /// Cancelled during the call because the job was cancelled or handed back.
        Cancelled = "cancelled",
        /// The worker died during the call; its usage is unknown.
        Lost = "lost",
    }
}

impl JobState {
    /// Whether the state can only change by a replay.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Cancelled | Self::Discarded)
    }
}
