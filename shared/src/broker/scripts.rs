//! The Lua scripts: one atomic step each, sent by hash, loaded again where the server lost them.

use std::sync::LazyLock;

use redis::Script;

macro_rules! scripts {
    ($($(#[$doc:meta])* $name:ident = $file:literal;)+) => {
        $($(#[$doc])*
        #[expect(clippy::disallowed_methods, reason = "this is the one place")]
        pub(super) static $name: LazyLock<Script> = LazyLock::new(|| {
            Script::new(concat!(
                include_str!("../../lua/prelude.lua"),
                include_str!(concat!("../../lua/", $file))
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
    ADMIT = "admit.lua";
    /// Journals an attempt.
    BEGIN = "begin.lua";
    /// Records a failed attempt that another follows.
    FAIL = "fail.lua";
    /// Ends a job.
    SETTLE = "settle.lua";
    /// Lays a job aside for a time.
    PARK = "park.lua";
    /// Gives an entry back.
    HAND_BACK = "hand_back.lua";
    /// Takes what was given back.
    TAKE = "take.lua";
    /// Takes from a dead worker what it left.
    RECOVER = "recover.lua";
    /// Lets go of what is due.
    PROMOTE = "promote.lua";
    /// Asks for a job to be cancelled.
    CANCEL = "cancel.lua";
    /// Puts a dead letter into its queue again.
    REPLAY = "replay.lua";
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
    /// Gives the fleet a configuration, or takes it away.
    PUSH_CONFIG = "push_config.lua";
}
