//! What only some providers do, or do in their own way.

use std::time::Duration;

use chrono::{DateTime, FixedOffset, NaiveDateTime, Utc};
use longshore_policy::limits::{Calendar, Period};
use longshore_protocol::{
    call::{CallError, ErrorClass, Spend},
    money::Usd,
};
use serde_json::Value;

use super::{Verdict, cost, count, error, text, wait};

/// Whose service it is, where that changes what is sent or what its figures mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// OpenAI itself.
    OpenAi,
    /// xAI.
    Xai,
    /// `OpenRouter`.
    OpenRouter,
    /// Any other that took over OpenAI's dialect.
    Other,
}

impl Service {
    /// The service of a provider of this name at this host. What calls itself OpenAI elsewhere is a
    /// gateway, and need not know what OpenAI knows.
    pub fn of(provider: &str, host: Option<&str>) -> Self {
        match (provider, host) {
            (_, Some("api.openai.com")) => Self::OpenAi,
            ("xai", _) | (_, Some("api.x.ai")) => Self::Xai,
            ("openrouter", _) | (_, Some("openrouter.ai")) => Self::OpenRouter,
            _ => Self::Other,
        }
    }

    /// What it says that an answer cost. `OpenRouter` counts in dollars, xAI in ticks, of which a
    /// dollar has 10^10 (docs.x.ai, "Cost Tracking").
    pub(super) fn reported_cost(self, body: &[u8]) -> Option<Usd> {
        match self {
            Self::OpenRouter => cost::dollars(body, &["usage", "cost"], 0),
            Self::Xai => cost::dollars(body, &["usage", "cost_in_usd_ticks"], 10),
            Self::OpenAi | Self::Other => None,
        }
    }

    /// Whether thinking is counted beside the completion, as xAI does, and not in it. The sum tells,
    /// where there is one.
    pub(super) fn thinks_beside(
        self,
        total: u64,
        prompt: u64,
        completion: u64,
        thinking: u64,
    ) -> bool {
        match total {
            0 => self == Self::Xai,
            total => total == prompt + completion + thinking,
        }
    }
}

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
pub(super) fn zhipu(error: &Value, now: DateTime<Utc>) -> Option<Verdict> {
    let class = match text(error, "/code")? {
        "1302" | "1303" => ErrorClass::RateLimited,
        "1305" | "1312" => ErrorClass::Overloaded,
        "1113" | "1304" | "1308" | "1309" | "1310" | "1313" => ErrorClass::QuotaExhausted,
        "1112" | "1121" | "1311" => ErrorClass::Auth,
        "1261" => ErrorClass::ContextTooLong,
        "1301" => ErrorClass::Refused,
        _ => return None,
    };
    let retry_after = (class == ErrorClass::QuotaExhausted)
        .then(|| flushed(text(error, "/message")?, now))
        .flatten();
    Some(Verdict { class, retry_after })
}

/// When Zhipu gives a new quota: `2026-08-25 07:41:44` somewhere in what it says, in Beijing's time
/// (github.com/dirge-code/dirge/issues/818).
fn flushed(said: &str, now: DateTime<Utc>) -> Option<Duration> {
    const FORM: &str = "%Y-%m-%d %H:%M:%S";
    let beijing = FixedOffset::east_opt(8 * 3600)?;
    let words: Vec<&str> = said.split_whitespace().collect();
    let date = words.windows(2).find_map(|pair| {
        let pair = pair.join(" ");
        NaiveDateTime::parse_from_str(pair.trim_end_matches(['.', '。']), FORM).ok()
    })?;
    let date = date.and_local_timezone(beijing).single()?;
    Some(wait::until(date.to_utc(), now)).filter(|wait| !wait.is_zero())
}

/// `OpenRouter` says of a budget when it begins anew.
pub(super) fn open_router(error: &Value, now: DateTime<Utc>) -> Option<Verdict> {
    let resets_at = text(error, "/metadata/resets_at")?;
    Some(Verdict {
        class: ErrorClass::QuotaExhausted,
        retry_after: wait::moment(resets_at, now),
    })
}

/// Google's 429 tells a spent day from a busy minute only in its details, where the wait is, too; the
/// wait that it names for a spent day is wrong.
pub(super) fn google(status: u16, error: &Value, now: DateTime<Utc>) -> Option<Verdict> {
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
        return Some(Verdict {
            class: ErrorClass::QuotaExhausted,
            retry_after: google_day(now),
        });
    }
    let retry_after = details
        .iter()
        .find_map(|detail| wait::go_duration(text(detail, "/retryDelay")?));
    Some(Verdict {
        class: ErrorClass::RateLimited,
        retry_after,
    })
}

/// How long it is until Google's next day, which begins at midnight in California
/// (ai.google.dev, "Rate limits").
pub(super) fn google_day(now: DateTime<Utc>) -> Option<Duration> {
    let calendar = Calendar {
        time_zone: "America/Los_Angeles".parse().ok()?,
        ..Calendar::default()
    };
    let end = calendar.window(Period::Day, now).end?;
    Some(wait::until(end, now))
}
