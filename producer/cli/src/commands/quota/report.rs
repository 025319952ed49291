//! The quota status as text and JSON.

use std::{collections::BTreeMap, fmt};

use longshore_broker::AccountHold;
use longshore_policy::limits::MeterName;
use serde::{Serialize, Serializer, ser::SerializeMap as _};

use crate::render::{
    hold::{hold_sentence, release_command},
    limit::{
        Limit,
        row::{LimitRow, limit_table},
        summary::{
            PlatformFigures, TITLE, budget_figures, must_name, queue_figures, warnings, write_list,
        },
    },
    text::{grouped, one_line},
};

/// Maximum number of budgets per tenant or chain in the table.
const MAX_PER_OWNER: usize = 20;

/// The usage of all limits.
#[derive(Debug)]
pub(super) struct Report {
    /// The selected platform; `None` for all.
    pub(super) platform: Option<String>,
    pub(super) limits: Vec<Limit>,
    pub(super) holds: Vec<AccountHold>,
    pub(super) alerts: Vec<u8>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{TITLE}")?;
        if self.limits.is_empty() {
            self.write_no_limits(f)?;
            return self.write_holds(f);
        }
        let before = self.limits.iter().filter(|limit| !limit.is_per_owner());
        let each = self.limits.iter().filter(|limit| limit.is_per_owner());
        let left_out = each.clone().count().saturating_sub(MAX_PER_OWNER);
        let shown: Vec<Limit> = before.chain(each.take(MAX_PER_OWNER)).cloned().collect();
        let rows: Vec<LimitRow> = shown.iter().map(Limit::row).collect();
        write!(f, "{}", limit_table(&rows, must_name(&shown)))?;
        if left_out > 0 {
            let left_out = grouped(left_out as u64);
            write!(
                f,
                "\n… and {left_out} more of tenants and chains, with lower usage; --format json shows all"
            )?;
        }
        let warnings = warnings(&shown, &self.alerts);
        write_list(f, "Warnings", warnings.iter())?;
        let waits = shown.iter().filter(|limit| limit.report.waiting > 0);
        write_list(f, "Waiting", waits.map(WaitingJobs))?;
        self.write_holds(f)
    }
}

/// Jobs that wait for a limit.
struct WaitingJobs<'a>(&'a Limit);

impl fmt::Display for WaitingJobs<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let meter = MeterName::parse(&self.0.report.meter).to_string();
        let meter = one_line(&meter, 120);
        match self.0.report.waiting {
            1 => write!(f, "1 job waits for {meter}"),
            jobs => write!(f, "{} jobs wait for {meter}", grouped(jobs)),
        }
    }
}

impl Report {
    fn write_holds(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let holds = self.holds.iter().map(|hold| {
            let (sentence, command) = (hold_sentence(hold), release_command(hold));
            format!("{sentence}; `{command}` ends it")
        });
        write_list(f, "On hold", holds)
    }

    fn write_no_limits(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let platform = self.platform.as_deref();
        match platform {
            Some(platform) => writeln!(f, "No limits for {platform}.\n")?,
            None => writeln!(
                f,
                "No limits: no provider has `limits`, and there are no `budgets` or `queue_limits`.\n"
            )?,
        }
        let platform = platform.unwrap_or("gemini");
        write!(
            f,
            "Set limits in longshore.yaml (docs/CONFIGURATION.md, \"Limits\"), for example:\n\n\
             providers:\n  {platform}:\n    limits: {{ requests_per_day: 1500 }}\n\
             budgets:\n  - {{ name: everything, scope: overall, limit_usd: \"100\", per: month }}"
        )
    }

    /// The accounts that have limits.
    fn accounts(&self) -> BTreeMap<&str, PlatformFigures> {
        let names = self.limits.iter().filter_map(Limit::account);
        names
            .filter_map(|name| Some((name, PlatformFigures::from_account(name, &self.limits)?)))
            .collect()
    }
}

impl Serialize for Report {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("quota", &self.accounts())?;
        map.serialize_entry("queues", &queue_figures(&self.limits))?;
        map.serialize_entry("budgets", &budget_figures(&self.limits))?;
        map.serialize_entry("holds", &self.holds)?;
        map.serialize_entry("warnings", &warnings(&self.limits, &self.alerts))?;
        map.end()
    }
}

#[cfg(test)]
mod tests;
