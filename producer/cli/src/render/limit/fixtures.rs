//! Limits for tests.

use std::path::Path;

use longshore_broker::{MeterReport, MeterUsage, WindowUsage};
use longshore_config::Config;
use longshore_policy::limits::{MeterAmount, Meters};
use longshore_settings::Environment;

use super::{Limit, sorted_limits};

pub(crate) fn config(text: &str) -> Config {
    let env = Environment::from_pairs([("GOOGLE_API_KEY", "x"), ("OPENAI_API_KEY", "x")]);
    Config::from_yaml(&env, Path::new("longshore.yaml"), text).unwrap()
}

fn report_with(take: &MeterAmount, (used, held, waiting): MeterFigures) -> MeterReport {
    let fill = match take {
        MeterAmount::Rate {
            per_minute, pacing, ..
        } => MeterUsage::Rate {
            per_minute: *per_minute,
            free: pacing.burst - used,
        },
        MeterAmount::Window {
            end,
            limit,
            unit,
            hard,
            at_limit,
            ..
        } => MeterUsage::Window(WindowUsage {
            unit: *unit,
            limit: *limit,
            used,
            held,
            resets_at: end.and_then(chrono::DateTime::from_timestamp_millis),
            hard: *hard,
            at_limit: *at_limit,
        }),
        MeterAmount::Slots { limit, .. } => MeterUsage::Slots {
            limit: *limit,
            cap: *limit / 2,
            in_use: used,
        },
    };
    MeterReport {
        meter: take.meter().to_owned(),
        waiting,
        fill,
    }
}

/// Used, reserved and waiting.
pub(crate) type MeterFigures = (u64, u64, u64);

/// The limits of a configuration with these figures of meters.
pub(crate) fn limits_with(config: &Config, figures: &[(&str, MeterFigures)]) -> Vec<Limit> {
    let meters = Meters::new(&config.catalog, &config.budgets, &config.queue_limits);
    let now = "2026-02-01T12:00:00Z".parse().unwrap();
    let mut amounts = meters.all(now);
    amounts.extend(
        figures
            .iter()
            .filter_map(|(meter, _)| meters.of_each(meter, now)),
    );
    let reports = amounts.iter().map(|take| meter_report(take, figures));
    sorted_limits(reports.collect(), config)
}

/// The report of a meter with these figures of meters.
pub(crate) fn meter_report(take: &MeterAmount, figures: &[(&str, MeterFigures)]) -> MeterReport {
    let found = figures.iter().find(|(meter, _)| *meter == take.meter());
    report_with(take, found.map_or((0, 0, 0), |(_, figures)| *figures))
}
