//! The Lua scripts: each is one atomic step, called by its hash, and loaded again if the server has lost it.

use std::sync::LazyLock;

use redis::Script;

/// The number of arguments of `begin.lua` for each job.
pub(super) const BEGIN_ARITY: usize = 12;

/// The number of arguments of `settle.lua` for each job.
pub(super) const SETTLE_ARITY: usize = 19;

/// The first line of a script. What workers and schedulers do runs at `maxmemory` too, because it is what frees
/// memory; `refused_at_maxmemory` marks scripts that only add.
macro_rules! shebang {
    () => {
        "#!lua flags=allow-oom\n"
    };
    (refused_at_maxmemory) => {
        "#!lua\n"
    };
}

/// A script is `NAME = "file" with "include" …`: the text of the prelude, of the includes in their order (each after
/// those that it needs), and of the file. A mark of [`shebang`] may stand before `with`.
macro_rules! scripts {
    ($($(#[$doc:meta])* $name:ident = $file:literal $([$mark:ident])? $(with $($include:literal)+)?;)+) => {
        $($(#[$doc])*
        #[expect(clippy::disallowed_methods, reason = "this is the one place")]
        pub(super) static $name: LazyLock<Script> = LazyLock::new(|| {
            Script::new(concat!(
                shebang!($($mark)?),
                include_str!("../lua/include/prelude.lua"),
                $($(include_str!(concat!("../lua/include/", $include, ".lua")),)+)?
                include_str!(concat!("../lua/", $file, ".lua"))
            ))
        });)+

        /// Every script, to be loaded ahead of its first use.
        pub(super) fn all() -> Vec<&'static Script> {
            vec![$(&*$name),+]
        }

        /// Every script's parts, in their order.
        #[cfg(test)]
        fn sources() -> Vec<Vec<tests::Source>> {
            vec![$(vec![
                tests::Source::include("prelude", include_str!("../lua/include/prelude.lua")),
                $($(tests::Source::include(
                    $include,
                    include_str!(concat!("../lua/include/", $include, ".lua")),
                ),)+)?
                tests::Source::script($file, include_str!(concat!("../lua/", $file, ".lua"))),
            ]),+]
        }
    };
}

scripts! {
    /// Admits a job that named its own id or a unique key.
    ADMIT = "admit" with "events" "entries" "job_ids" "own_ids" "lanes" "cancel_requests" "replies" "chains"
        "chain_dispatch" "chain_outcome" "chain_advance";
    /// Begins attempts.
    BEGIN = "begin" with "events" "entries" "journal" "job_ids" "lanes" "concurrency_keys" "meters" "reservations"
        "consumption";
    /// Reserves the first candidate that has room.
    RESERVE = "reserve" with "events" "entries" "journal" "job_ids" "lanes" "concurrency_keys" "meters" "reservations"
        "consumption";
    /// Records an attempt that another one follows.
    FAIL_ATTEMPT = "fail_attempt" with "events" "entries" "journal" "job_ids" "lanes" "meters" "consumption";
    /// Stores a checkpoint between two attempts.
    KEEP_CHECKPOINT = "keep_checkpoint" with "entries";
    /// Settles jobs.
    SETTLE = "settle" with "events" "entries" "journal" "job_ids" "own_ids" "lanes" "concurrency_keys" "meters" "consumption"
        "cancel_requests" "replies" "chains" "chain_dispatch" "chain_outcome" "chain_advance" "dead_letters";
    /// Parks a job for a time or a pause.
    PARK = "park" with "events" "entries" "journal" "job_ids" "lanes" "concurrency_keys" "meters" "consumption" "pauses" "chains"
        "reviews";
    /// Parks new entries by tenant.
    PARK_BY_TENANT = "park_by_tenant" with "entries" "job_ids" "lanes";
    /// Moves jobs to another queue.
    MOVE_JOBS = "move_jobs" [refused_at_maxmemory] with "entries" "job_ids" "lanes" "moves";
    /// Bumps a job to the head of its queue.
    BUMP = "bump" [refused_at_maxmemory] with "entries" "job_ids" "lanes" "moves";
    /// Pulls entries.
    PULL = "pull" with "entries" "job_ids" "lanes";
    /// Hands an entry back.
    HAND_BACK = "hand_back" with "events" "entries" "journal" "job_ids" "lanes" "meters" "consumption";
    /// Recovers the entries of a dead worker.
    RECOVER = "recover" with "events" "entries" "journal" "job_ids" "lanes" "meters" "consumption";
    /// Promotes jobs that are due.
    PROMOTE = "promote" with "entries" "job_ids" "lanes";
    /// Releases parked jobs before their time.
    RELEASE_NOW = "release_now" with "entries" "job_ids" "lanes";
    /// Releases jobs whose limits have room again.
    RELEASE_LANES = "release_lanes" with "events" "entries" "job_ids" "lanes" "meters" "lane_retry";
    /// Has the lanes of all limits tried again.
    RETRY_ALL_LANES = "retry_all_lanes" with "lane_retry";
    /// Ends pauses in time, and releases the jobs of resumed lanes.
    RELEASE_RESUMED = "release_resumed" with "entries" "job_ids" "lanes" "pauses";
    /// Pauses a queue, a job type or a provider.
    PAUSE = "pause" with "pauses";
    /// Resumes it.
    RESUME = "resume" with "pauses";
    /// Requests the cancellation of a job.
    CANCEL = "cancel" with "entries" "job_ids" "lanes" "cancel_requests";
    /// Reads a parked job.
    PEEK_PARKED = "peek_parked";
    /// Holds an account that its provider limits.
    HOLD_ACCOUNT = "hold_account" with "events" "meters" "lane_retry";
    /// Ends the hold of an account before its time.
    RELEASE_ACCOUNT = "release_account" with "lane_retry";
    /// Closes windows that are over.
    CLOSE_WINDOWS = "close_windows" with "events" "meters" "lane_retry";
    /// Corrects the windows of a limit that is new or changed.
    CORRECT_WINDOWS = "correct_windows" with "events" "meters" "reservations";
    /// Raises alerts of windows that fill up.
    RAISE_ALERTS = "raise_alerts" with "events" "meters";
    /// Claims alerts that are due for delivery.
    CLAIM_ALERTS = "claim_alerts";
    /// Counts calls, and opens a circuit when too many failed.
    CIRCUIT_COUNT = "circuit_count";
    /// Claims the probe of a circuit.
    CIRCUIT_CLAIM_PROBE = "circuit_claim_probe";
    /// Closes a circuit, or leaves it open for longer.
    CIRCUIT_END_PROBE = "circuit_end_probe" with "lane_retry";
    /// Scans the dead letters for those that match.
    SCAN_DEAD_LETTERS = "scan_dead_letters";
    /// Replays dead letters.
    REPLAY_DEAD_LETTERS = "replay_dead_letters" [refused_at_maxmemory] with "events" "entries" "job_ids" "own_ids" "lanes" "chains"
        "chain_reopen" "dead_letters" "replay";
    /// Replays dead letters as far as a rule's rate allows.
    REPLAY_BY_RULE = "replay_by_rule" [refused_at_maxmemory] with "events" "entries" "job_ids" "own_ids" "lanes" "chains"
        "chain_reopen" "dead_letters" "replay";
    /// Removes archived dead letters.
    REMOVE_DEAD_LETTERS = "remove_dead_letters" with "job_ids" "dead_letters";
    /// Stores dead letters of earlier versions by entry id.
    REKEY_DEAD_LETTERS = "rekey_dead_letters" with "job_ids";
    /// Replaces a dead letter.
    EDIT_DEAD_LETTER = "edit_dead_letter" [refused_at_maxmemory];
    /// Stores steps of a chain that has too many for one call, before it starts.
    CHAIN_PREPARE = "chain_prepare" [refused_at_maxmemory] with "events" "entries" "chains";
    /// Starts a chain.
    CHAIN_START = "chain_start" [refused_at_maxmemory] with "events" "entries" "journal" "job_ids" "lanes" "replies" "chains" "chain_outcome" "chain_dispatch";
    /// Stores items of a step that has too many for one call, before it fans out.
    CHAIN_PREPARE_ITEMS = "chain_prepare_items" [refused_at_maxmemory] with "events" "entries" "chains";
    /// Fans a step out.
    CHAIN_EXPAND = "chain_expand" [refused_at_maxmemory] with "events" "entries" "journal" "job_ids" "lanes" "cancel_requests" "replies" "chains"
        "chain_dispatch" "chain_outcome" "chain_advance";
    /// Dispatches more of a chain's ready instances.
    CHAIN_DISPATCH = "chain_dispatch" with "events" "entries" "job_ids" "lanes" "chains" "chain_dispatch";
    /// Stops a chain.
    CHAIN_CANCEL = "chain_cancel" with "events" "entries" "job_ids" "lanes" "cancel_requests" "replies" "chains"
        "chain_dispatch" "chain_outcome" "chain_advance";
    /// Reads the outcome of a chain.
    READ_CHAIN = "read_chain" with "events" "chains" "chain_outcome";
    /// Retries a chain that ended.
    CHAIN_RETRY = "chain_retry" [refused_at_maxmemory] with "events" "entries" "job_ids" "own_ids" "lanes"
        "cancel_requests" "replies" "chains" "chain_dispatch" "chain_outcome" "chain_advance" "chain_reopen" "dead_letters";
    /// Adds tasks to a batch.
    BATCH_PUT = "batch_put" [refused_at_maxmemory] with "events" "entries" "job_ids" "lanes" "chains" "chain_dispatch";
    /// Closes a batch whose tasks are all in.
    BATCH_CLOSE = "batch_close" with "events" "entries" "job_ids" "lanes" "cancel_requests" "replies" "chains"
        "chain_dispatch" "chain_outcome" "chain_advance";
    /// Acquires or renews the leader's lease.
    ACQUIRE_LEASE = "acquire_lease";
    /// Gives up the leader's lease.
    RESIGN_LEASE = "resign_lease";
    /// Writes the record of a recurring job.
    CRON_PUT = "cron_put" [refused_at_maxmemory] with "leader";
    /// Enqueues or skips a tick of a recurring job.
    CRON_TICK = "cron_tick" [refused_at_maxmemory] with "leader";
    /// Pushes a configuration to the fleet, or removes it.
    PUSH_CONFIG = "push_config" [refused_at_maxmemory];
    /// Deletes what belongs to entries that no longer exist.
    SWEEP_ORPHANS = "sweep_orphans" with "events" "entries" "journal" "job_ids" "lanes" "concurrency_keys" "meters"
        "consumption" "chains";
    /// Removes ids from a lane whose jobs have left it.
    SWEEP_LANE = "sweep_lane";
    /// Appends events.
    APPEND_EVENTS = "append_events" with "events";
    /// Creates a consumer group.
    CREATE_GROUP = "create_group";
    /// Stores a worker's heartbeat.
    HEARTBEAT = "heartbeat";
    /// Removes a recorder that is gone.
    REMOVE_RECORDER = "remove_recorder";
    /// Decides a review.
    REVIEW_DECIDE = "review_decide" with "events" "entries" "job_ids" "lanes" "reviews";
}

#[cfg(test)]
pub(crate) mod tests;
