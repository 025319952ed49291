//! The grammar of durations in settings and on the command line: `500ms`, `30s`, `10m`, `24h`, `30d`, `2w`.

use std::time::Duration;

/// Parses a number with a unit: `ms`, `s`, `m` or `min`, `h`, `d`, `w`.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let unit_start = text.find(|c: char| c.is_ascii_alphabetic() || c == ' ')?;
    let (number, unit) = text.split_at_checked(unit_start)?;
    let seconds = match unit.trim() {
        "ms" => 0.001,
        "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3_600.0,
        "d" => 86_400.0,
        "w" => 604_800.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(number.parse::<f64>().ok()? * seconds).ok()
}

/// Formats a duration in the largest unit that needs no fraction: `90s`, `2m`, `30d`.
pub fn format_duration(duration: Duration) -> String {
    let ms = duration.as_millis();
    let units = [
        (86_400_000, "d"),
        (3_600_000, "h"),
        (60_000, "m"),
        (1_000, "s"),
    ];
    units
        .iter()
        .find(|(size, _)| ms >= *size && ms.is_multiple_of(*size))
        .map_or_else(
            || format!("{ms}ms"),
            |(size, unit)| format!("{}{unit}", ms / size),
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_a_number_with_a_unit() {
        for (text, ms) in [
            ("0.5s", 500),
            ("250ms", 250),
            ("10 m", 600_000),
            ("10min", 600_000),
            ("30d", 2_592_000_000),
            ("2w", 1_209_600_000),
        ] {
            let duration = Some(Duration::from_millis(ms));
            assert_eq!(parse_duration(text), duration, "{text}");
        }
        for text in ["", "30", "s", "-1s", "1y", "1h30m", "nan", "inf", "1e30"] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }

    #[test]
    fn formats_what_it_parses() {
        for text in ["0ms", "500ms", "90s", "10m", "36h", "30d"] {
            let duration = parse_duration(text).unwrap();
            assert_eq!(format_duration(duration), text);
        }
    }
}
