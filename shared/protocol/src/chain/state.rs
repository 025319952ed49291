//! Where a step is in its life.

string_enum! {
    /// Where a step of a chain is in its life.
    StepState {
        /// Its needs have not all passed.
        Waiting = "waiting",
        /// It may go as soon as there is room.
        Ready = "ready",
        /// It stands in a queue, runs, or waits for its next attempt; of a step that fans out, any of its items.
        Running = "running",
        /// It, or as many of its items as are needed, succeeded.
        Completed = "completed",
        /// It, or too many of its items, failed.
        Failed = "failed",
        /// Its condition did not hold, or its needs could not pass.
        Skipped = "skipped",
        /// It was stopped on request.
        Cancelled = "cancelled",
    }
}
