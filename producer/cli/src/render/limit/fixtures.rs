//! Limits for tests.

use std::path::Path;

use longshore_broker::{Fill, MeterReport, WindowFill};
use longshore_config::Config;
use longshore_policy::limits::{Meters, Take};
use longshore_settings::Environment;

use super::{Limit, sorted_limits};

pub(crate) fn config(text: &str) -> Config {
    let env = Environment::from_pairs([("GOOGLE_API_KEY", "x"), ("OPENAI_API_KEY", "x")]);
    Config::from_yaml(&env, Path::new("longshore.yaml"), text).unwrap()
}

fn report_with(take: &Take, (used, held, waiting): MeterFigures) -> MeterReport {
    let fill = match take {
        Take::Rate {
            per_minute, pacing, ..
        } => Fill::Rate {
            per_minute: *per_minute,
            free: pacing.burst - used,
        },
        Take::Window {
            end,
            limit,
            unit,
            hard,
            at_limit,
            ..
        } => Fill::Window(WindowFill {
            unit: *unit,
            limit: *limit,
            used,
            held,
            resets_at: end.and_then(chrono::DateTime::from_timestamp_millis),
            hard: *hard,
            at_limit: *at_limit,
        }),
        Take::Slots { limit, .. } => Fill::Places {
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
    let meters = Meters::new(&config.catalog, &config.budgets);
    let now = "2026-02-01T12:00:00Z".parse().unwrap();
    let mut takes = meters.all(now);
    takes.extend(
        figures
            .iter()
            .filter_map(|(meter, _)| meters.of_each(meter, now)),
    );
    let reports = takes.iter().map(|take| meter_report(take, figures));
    sorted_limits(reports.collect(), config)
}

/// The report of a meter with these figures of meters.
pub(crate) fn meter_report(take: &Take, figures: &[(&str, MeterFigures)]) -> MeterReport {
    let found = figures.iter().find(|(meter, _)| *meter == take.meter());
    report_with(take, found.map_or((0, 0, 0), |(_, figures)| *figures))
}
