//! What only some providers do, or do in their own way.

use longshore_shared::call::{CallError, ErrorClass, Spend};
use serde_json::Value;

use super::{Verdict, count, error, text, wait};

/// The cached part of a prompt, where OpenAI counts it, where `DeepSeek` does, or at the top.
pub(super) fn cached(usage: &Value) -> u64 {
    let first = count(usage, "/prompt_tokens_details/cached_tokens");
    first
        .max(count(usage, "/prompt_cache_hit_tokens"))
        .max(count(usage, "/cached_tokens"))
}

/// The ends of a Gemini answer that are refusals.
pub(super) const GOOGLE_REFUSES: [&str; 8] = [
    "SAFETY",
    "RECITATION",
    "BLOCKLIST",
    "PROHIBITED_CONTENT",
    "SPII",
    "IMAGE_SAFETY",
    "IMAGE_PROHIBITED_CONTENT",
    "IMAGE_RECITATION",
];

/// `MiniMax` says with status 200 that it failed.
pub(super) fn check(body: &Value) -> Result<(), CallError> {
    let code = body
        .pointer("/base_resp/status_code")
        .and_then(Value::as_i64);
    let class = match code {
        None | Some(0) => return Ok(()),
        Some(1001) => ErrorClass::Timeout,
        Some(1002 | 1041) => ErrorClass::RateLimited,
        Some(1004 | 2049) => ErrorClass::Auth,
        Some(1008 | 2056) => ErrorClass::QuotaExhausted,
        Some(1026 | 1027) => ErrorClass::Refused,
        Some(1039) => ErrorClass::ContextTooLong,
        Some(2013) => ErrorClass::BadRequest,
        Some(_) => ErrorClass::Overloaded,
    };
    // A timeout, or output that was held back (1027), may come after work.
    let spend = match code {
        Some(1001 | 1027) => Spend::Unknown,
        _ => error::spend_in_band(class),
    };
    let said = text(body, "/base_resp/status_msg").unwrap_or("no reason given");
    Err(CallError::new(class, said).spend(spend))
}

/// Zhipu (Z.ai, GLM) answers 429 to almost everything; only the code tells what it is.
pub(super) fn zhipu(error: &Value) -> Option<Verdict> {
    let class = match text(error, "/code")? {
        "1302" | "1303" => ErrorClass::RateLimited,
        "1305" | "1312" => ErrorClass::Overloaded,
        "1113" | "1304" | "1308" | "1309" | "1310" | "1313" => ErrorClass::QuotaExhausted,
        "1112" | "1121" | "1311" => ErrorClass::Auth,
        "1261" => ErrorClass::ContextTooLong,
        "1301" => ErrorClass::Refused,
        _ => return None,
    };
    Some(class.into())
}

/// Google's 429 tells a spent day from a busy minute only in its details, where the wait is, too; the
/// wait that it names for a spent day is wrong.
pub(super) fn google(status: u16, error: &Value) -> Option<Verdict> {
    let details = error
        .get("details")
        .and_then(Value::as_array)
        .filter(|_| status == 429)?;
    let violations = details
        .iter()
        .filter_map(|detail| detail.get("violations")?.as_array());
    let per_day =
        |violation: &Value| text(violation, "/quotaId").is_some_and(|id| id.contains("PerDay"));
    if violations.flatten().any(per_day) {
        return Some(ErrorClass::QuotaExhausted.into());
    }
    let retry_after = details
        .iter()
        .find_map(|detail| wait::go_duration(text(detail, "/retryDelay")?));
    Some(Verdict {
        class: ErrorClass::RateLimited,
        retry_after,
    })
}
