//! What single services do differently from others with the same dialect.

use std::time::Duration;

use chrono::{DateTime, FixedOffset, NaiveDateTime, Utc};
use longshore_policy::{
    catalog::Service,
    limits::{Calendar, Period},
};
use longshore_protocol::{
    call::{CallCost, CallError, CallParams, ErrorClass, ReasoningEffort, ToolChoice, Usage},
    money::Usd,
};
use serde_json::{Value, json};

use super::{
    classify,
    dialect::{Classification, string_at, tokens_at},
    reported_cost, retry_after,
};

/// How services with OpenAI's dialect differ.
pub(super) trait OpenAiQuirks: Sized {
    /// The name of `max_tokens`.
    fn answer_limit(self) -> &'static str;

    /// The tools, unless the job forbids their use and the service must not see them for that.
    fn tools(self, params: &CallParams) -> Option<Value>;

    /// The name and the value of the setting of how much the model thinks.
    fn reasoning(self, effort: Option<ReasoningEffort>) -> (&'static str, Option<Value>);

    /// The cost that it reports for an answer: `OpenRouter` in dollars, xAI in ticks of 10^-10 dollars
    /// (docs.x.ai, "Cost Tracking").
    fn reported_cost(self, body: &[u8]) -> Option<Usd>;

    /// Whether it wants the thoughts of an answer back beside its calls of tools.
    fn wants_thoughts_back(self) -> bool;

    /// Whether the completion tokens exclude the thinking tokens, as xAI's do. The total shows it, if there is
    /// one.
    fn excludes_thinking(self, total: u64, prompt: u64, completion: u64, thinking: u64) -> bool;
}

impl OpenAiQuirks for Service {
    fn answer_limit(self) -> &'static str {
        match self {
            // OpenAI's newer models reject `max_tokens`; many other services know only that.
            Self::OpenAi => "max_completion_tokens",
            _ => "max_tokens",
        }
    }

    fn tools(self, params: &CallParams) -> Option<Value> {
        let is_forbidden = self == Self::Zhipu && params.tool_choice == Some(ToolChoice::None);
        (!is_forbidden && !params.tools.is_empty()).then(|| json!(params.tools))
    }

    fn reasoning(self, effort: Option<ReasoningEffort>) -> (&'static str, Option<Value>) {
        match self {
            Self::OpenRouter => ("reasoning", effort.map(|effort| json!({"effort": effort}))),
            // These only think or do not.
            Self::DeepSeek | Self::Moonshot | Self::Zhipu => {
                let kind = |effort| match effort {
                    ReasoningEffort::None => json!({"type": "disabled"}),
                    _ => json!({"type": "enabled"}),
                };
                ("thinking", effort.map(kind))
            }
            _ => ("reasoning_effort", effort.map(|effort| json!(effort))),
        }
    }

    fn reported_cost(self, body: &[u8]) -> Option<Usd> {
        match self {
            Self::OpenRouter => reported_cost::dollars_at(body, &["usage", "cost"], 0),
            Self::Xai => reported_cost::dollars_at(body, &["usage", "cost_in_usd_ticks"], 10),
            _ => None,
        }
    }

    fn wants_thoughts_back(self) -> bool {
        matches!(self, Self::DeepSeek | Self::Moonshot)
    }

    fn excludes_thinking(self, total: u64, prompt: u64, completion: u64, thinking: u64) -> bool {
        match total {
            0 => self == Self::Xai,
            total => total == prompt + completion + thinking,
        }
    }
}

/// The cached tokens of a prompt: in the field of OpenAI, of `DeepSeek` or of Moonshot.
pub(super) fn cached_tokens(usage: &Value) -> u64 {
    let first = tokens_at(usage, "/prompt_tokens_details/cached_tokens");
    first
        .max(tokens_at(usage, "/prompt_cache_hit_tokens"))
        .max(tokens_at(usage, "/cached_tokens"))
}

/// The finish reasons of Gemini that are refusals.
pub(super) const GEMINI_REFUSALS: [&str; 8] = [
    "SAFETY",
    "RECITATION",
    "BLOCKLIST",
    "PROHIBITED_CONTENT",
    "SPII",
    "IMAGE_SAFETY",
    "IMAGE_PROHIBITED_CONTENT",
    "IMAGE_RECITATION",
];

/// Detects errors of `MiniMax`, which have status 200.
pub(super) fn check_minimax(body: &Value) -> Result<(), CallError> {
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
    // A timeout or withheld output (1027) may be billed.
    let spend = match code {
        Some(1001 | 1027) => CallCost::Unknown,
        _ => classify::spend_in_band(class, Usage::default()),
    };
    let message = string_at(body, "/base_resp/status_msg").unwrap_or("no reason given");
    Err(classify::rejection(class, message.to_owned()).spend(spend))
}

/// Classifies errors of Zhipu (Z.ai, GLM), which have status 429 for almost everything and a code.
pub(super) fn classify_zhipu(error: &Value, now: DateTime<Utc>) -> Option<Classification> {
    let class = match string_at(error, "/code")? {
        "1302" | "1303" => ErrorClass::RateLimited,
        "1305" | "1312" => ErrorClass::Overloaded,
        "1113" | "1304" | "1308" | "1309" | "1310" | "1313" => ErrorClass::QuotaExhausted,
        "1112" | "1121" | "1311" => ErrorClass::Auth,
        "1261" => ErrorClass::ContextTooLong,
        "1301" => ErrorClass::Refused,
        _ => return None,
    };
    let retry_after = (class == ErrorClass::QuotaExhausted)
        .then(|| zhipu_quota_reset(string_at(error, "/message")?, now))
        .flatten();
    Some(Classification { class, retry_after })
}

/// How long until Zhipu's quota returns: its message contains a time such as `2026-08-25 07:41:44`, in Beijing
/// time (github.com/dirge-code/dirge/issues/818).
fn zhipu_quota_reset(message: &str, now: DateTime<Utc>) -> Option<Duration> {
    const FORMAT: &str = "%Y-%m-%d %H:%M:%S";
    let beijing = FixedOffset::east_opt(8 * 3600)?;
    let words: Vec<&str> = message.split_whitespace().collect();
    let date = words.windows(2).find_map(|pair| {
        let pair = pair.join(" ");
        NaiveDateTime::parse_from_str(pair.trim_end_matches(['.', '。']), FORMAT).ok()
    })?;
    let date = date.and_local_timezone(beijing).single()?;
    Some(retry_after::duration_until(date.to_utc(), now)).filter(|wait| !wait.is_zero())
}

/// Classifies exhausted budgets of `OpenRouter`, whose errors say when the budget resets.
pub(super) fn classify_open_router(error: &Value, now: DateTime<Utc>) -> Option<Classification> {
    let resets_at = string_at(error, "/metadata/resets_at")?;
    Some(Classification {
        class: ErrorClass::QuotaExhausted,
        retry_after: retry_after::parse_reset(resets_at, now),
    })
}

/// Classifies Google's 429: only its details distinguish an exhausted day from a busy minute. They contain
/// the wait, too, but the wait that they name for an exhausted day is wrong.
pub(super) fn classify_google(
    status: u16,
    error: &Value,
    now: DateTime<Utc>,
) -> Option<Classification> {
    let details = error
        .get("details")
        .and_then(Value::as_array)
        .filter(|_| status == 429)?;
    let violations = details
        .iter()
        .filter_map(|detail| detail.get("violations")?.as_array());
    let per_day = |violation: &Value| {
        string_at(violation, "/quotaId").is_some_and(|id| id.contains("PerDay"))
    };
    if violations.flatten().any(per_day) {
        return Some(Classification {
            class: ErrorClass::QuotaExhausted,
            retry_after: until_google_day_ends(now),
        });
    }
    let retry_after = details
        .iter()
        .find_map(|detail| retry_after::parse_go_duration(string_at(detail, "/retryDelay")?));
    Some(Classification {
        class: ErrorClass::RateLimited,
        retry_after,
    })
}

/// How long until Google's day ends, at midnight in California
/// (ai.google.dev, "Rate limits").
pub(super) fn until_google_day_ends(now: DateTime<Utc>) -> Option<Duration> {
    let calendar = Calendar {
        time_zone: "America/Los_Angeles".parse().ok()?,
        ..Calendar::default()
    };
    let end = calendar.window(Period::Day, now).end?;
    Some(retry_after::duration_until(end, now))
}
