//! Where a step is in its life.

string_enum! {
    /// The state of a step.
    StepState {
        /// Its needs have not all passed.
        Waiting = "waiting",
        /// It starts as soon as the chain's `max_parallel` allows.
        Ready = "ready",
        /// It is enqueued, runs, or waits for a retry; of a fanned-out step, any of its items.
        Running = "running",
        /// The step, or enough of its items, succeeded.
        Completed = "completed",
        /// The step, or too many of its items, failed.
        Failed = "failed",
        /// Its condition was false, or its needs could not pass.
        Skipped = "skipped",
        /// Cancelled on request.
        Cancelled = "cancelled",
    }
}
