//! The Lua scripts: one atomic step each, sent by hash, loaded again where the server lost them.

use std::sync::LazyLock;

use redis::Script;

macro_rules! scripts {
    ($($(#[$doc:meta])* $name:ident = $($file:literal)+;)+) => {
        $($(#[$doc])*
        #[expect(clippy::disallowed_methods, reason = "this is the one place")]
        pub(super) static $name: LazyLock<Script> = LazyLock::new(|| {
            Script::new(concat!(
                include_str!("../../lua/prelude.lua"),
                $(include_str!(concat!("../../lua/", $file))),+
            ))
        });)+

        /// Every script, to be loaded ahead of its first use.
        pub(super) fn all() -> Vec<&'static Script> {
            vec![$(&*$name),+]
        }
    };
}

scripts! {
    /// Admits a job that named its own id or a unique key.
    ADMIT = "chain.lua" "admit.lua";
    /// Journals an attempt.
    BEGIN = "limits.lua" "begin.lua";
    /// Finds the candidate that has room.
    RESERVE = "limits.lua" "reserve.lua";
    /// Lets go of jobs whose limits have room again.
    LET_GO = "limits.lua" "let_go.lua";
    /// Closes windows that are over.
    CLOSE_WINDOWS = "limits.lua" "close_windows.lua";
    /// Raises alerts of windows that fill up.
    RAISE_ALERTS = "limits.lua" "raise_alerts.lua";
    /// Claims alerts that are to be delivered.
    CLAIM_ALERTS = "claim_alerts.lua";
    /// Tells of an account that its provider limits.
    LIMITED = "limits.lua" "limited.lua";
    /// Records a failed attempt that another follows.
    FAIL = "limits.lua" "fail.lua";
    /// Ends a job.
    SETTLE = "limits.lua" "chain.lua" "settle.lua";
    /// Lays a job aside for a time or a pause.
    PARK = "limits.lua" "pauses.lua" "park.lua";
    /// Gives an entry back.
    HAND_BACK = "limits.lua" "hand_back.lua";
    /// Takes what was given back.
    TAKE = "take.lua";
    /// Lays new entries aside by tenant.
    SORT = "sort.lua";
    /// Takes from a dead worker what it left.
    RECOVER = "limits.lua" "recover.lua";
    /// Lets go of what is due.
    PROMOTE = "promote.lua";
    /// Asks for a job to be cancelled.
    CANCEL = "cancel.lua";
    /// Finds dead letters that fit.
    SCAN_DEAD = "scan_dead.lua";
    /// Puts dead letters into their queues again.
    REPLAY = "chain.lua" "chain_again.lua" "replay_letters.lua" "replay.lua";
    /// The same, as many as a rule has room for.
    REPLAY_BY_RULE = "chain.lua" "chain_again.lua" "replay_letters.lua" "replay_by_rule.lua";
    /// Removes archived dead letters.
    REMOVE_DEAD = "remove_dead.lua";
    /// Replaces a dead letter.
    EDIT_DEAD = "edit_dead.lua";
    /// Takes or renews the leader's lease.
    LEAD = "lead.lua";
    /// Gives the leader's lease back.
    RESIGN = "resign.lua";
    /// Reads a job that waits.
    PEEK = "peek.lua";
    /// Counts calls, and opens a circuit when too many failed.
    CIRCUIT_COUNT = "circuit_count.lua";
    /// Claims the one probe of a circuit.
    CIRCUIT_CLAIM = "circuit_claim.lua";
    /// Closes a circuit, or leaves it open for longer.
    CIRCUIT_PROBED = "circuit_probed.lua";
    /// Lays down the steps of a chain.
    CHAIN_PREPARE = "chain_prepare.lua";
    /// Begins a chain.
    CHAIN_START = "chain.lua" "chain_start.lua";
    /// Lays down the items of a step that is about to fan out.
    CHAIN_ITEMS = "chain.lua" "chain_items.lua";
    /// Fans a step out.
    CHAIN_EXPAND = "chain.lua" "chain_expand.lua";
    /// Sends more of a chain's steps.
    CHAIN_PUMP = "chain.lua" "chain_pump.lua";
    /// Stops a chain.
    CHAIN_CANCEL = "chain.lua" "chain_cancel.lua";
    /// Lets a chain go on where it failed.
    CHAIN_RETRY = "chain.lua" "chain_again.lua" "chain_retry.lua";
    /// Puts tasks of a batch in.
    BATCH_PUT = "chain.lua" "batch_put.lua";
    /// Says that all tasks of a batch are in.
    BATCH_CLOSE = "chain.lua" "batch_close.lua";
    /// Gives the fleet a configuration, or takes it away.
    PUSH_CONFIG = "push_config.lua";
    /// Pauses something.
    PAUSE = "pauses.lua" "pause.lua";
    /// Resumes it.
    RESUME = "pauses.lua" "resume.lua";
    /// Ends pauses in time, and lets go of what waited for them.
    LET_GO_RESUMED = "pauses.lua" "let_go_resumed.lua";
    /// Gives back what nobody holds any more.
    SWEEP = "limits.lua" "sweep.lua";
    /// Takes ids out of a lane whose jobs left it.
    SWEEP_LANE = "sweep_lane.lua";
    /// Forgets a recorder that is gone.
    FORGET_RECORDER = "forget_recorder.lua";
    /// Writes the record of a recurring job.
    CRON_PUT = "cron_put.lua";
    /// Enqueues or skips a tick of a recurring job.
    CRON_TICK = "cron_tick.lua";
}
