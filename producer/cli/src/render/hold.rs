//! Account holds in words.

use longshore_broker::AccountHold;

use super::{text::one_line, time::timestamp};

/// The longest reason that is shown.
const LONGEST_REASON: usize = 200;

/// Until when an account is on hold, and what its provider said.
pub(crate) fn hold_sentence(hold: &AccountHold) -> String {
    let until = timestamp(hold.until);
    let reason = one_line(&hold.reason, LONGEST_REASON);
    if reason.is_empty() {
        format!("account {} on hold until {until}", hold.account)
    } else {
        format!("account {} on hold until {until} ({reason})", hold.account)
    }
}

/// How to end a hold before its time. Several providers may share the account, so it names the one that was refused.
pub(crate) fn release_command(hold: &AccountHold) -> String {
    let refused = hold.access.as_ref().map(|access| &access.provider);
    let provider = refused.unwrap_or(&hold.account);
    format!("longshore resume provider {provider} --now")
}
