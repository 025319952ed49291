use proptest::prelude::*;

use super::*;

fn time(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn calendar(zone: &str, reset_at: &str) -> Calendar {
    Calendar {
        time_zone: zone.parse().unwrap(),
        reset_at: NaiveTime::parse_from_str(reset_at, "%H:%M").unwrap(),
    }
}

/// `(zone, reset, now, start, end)` of a period.
type Row = (
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    &'static str,
);

fn check(period: Period, rows: &[Row]) {
    for (zone, reset, now, start, end) in rows {
        let window = calendar(zone, reset).window(period, time(now));
        let expected = Window {
            start: time(start),
            end: Some(time(end)),
        };
        assert_eq!(window, expected, "{zone} {reset} {now}");
    }
}

const BERLIN: &str = "Europe/Berlin";
const NEW_YORK: &str = "America/New_York";

#[test]
#[rustfmt::skip]
fn days() {
    check(Period::Day, &[
        ("UTC", "00:00", "2026-11-21T10:00:00Z", "2026-11-21T00:00:00Z", "2026-11-22T00:00:00Z"),
        ("UTC", "00:00", "2026-11-21T00:00:00Z", "2026-11-21T00:00:00Z", "2026-11-22T00:00:00Z"),
        ("UTC", "09:30", "2026-11-21T09:29:59.999Z", "2026-11-20T09:30:00Z", "2026-11-21T09:30:00Z"),
        ("UTC", "09:30", "2026-11-21T09:30:00Z", "2026-11-21T09:30:00Z", "2026-11-22T09:30:00Z"),
        ("America/Los_Angeles", "00:00", "2026-11-21T07:00:00Z", "2026-11-20T08:00:00Z", "2026-11-21T08:00:00Z"),
        // 23 hours in March, 25 in October and November.
        (BERLIN, "00:00", "2026-03-29T12:00:00Z", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"),
        (BERLIN, "00:00", "2026-10-25T12:00:00Z", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"),
        (BERLIN, "00:00", "2027-03-28T12:00:00Z", "2027-03-27T23:00:00Z", "2027-03-28T22:00:00Z"),
        (BERLIN, "00:00", "2027-10-31T12:00:00Z", "2027-10-30T22:00:00Z", "2027-10-31T23:00:00Z"),
        (NEW_YORK, "00:00", "2026-03-08T12:00:00Z", "2026-03-08T05:00:00Z", "2026-03-09T04:00:00Z"),
        (NEW_YORK, "00:00", "2026-11-01T12:00:00Z", "2026-11-01T04:00:00Z", "2026-11-02T05:00:00Z"),
        (NEW_YORK, "00:00", "2027-03-14T12:00:00Z", "2027-03-14T05:00:00Z", "2027-03-15T04:00:00Z"),
        (NEW_YORK, "00:00", "2027-11-07T12:00:00Z", "2027-11-07T04:00:00Z", "2027-11-08T05:00:00Z"),
        // The leap day.
        ("UTC", "00:00", "2028-02-28T23:59:59Z", "2028-02-28T00:00:00Z", "2028-02-29T00:00:00Z"),
        (BERLIN, "00:00", "2028-02-29T12:00:00Z", "2028-02-28T23:00:00Z", "2028-02-29T23:00:00Z"),
        // The clocks change at midnight: in Santiago, 6 September 2026 has none.
        ("America/Santiago", "00:00", "2026-09-06T12:00:00Z", "2026-09-06T04:00:00Z", "2026-09-07T03:00:00Z"),
        // Samoa had no 30 December 2011.
        ("Pacific/Apia", "00:00", "2011-12-30T09:59:59Z", "2011-12-29T10:00:00Z", "2011-12-30T10:00:00Z"),
        ("Pacific/Apia", "00:00", "2011-12-30T10:00:00Z", "2011-12-30T10:00:00Z", "2011-12-31T10:00:00Z"),
        // At 00:01 the clock of Saint John's went back to 23:01 of 28 October 2006: the 29th had begun.
        ("America/St_Johns", "00:00", "2006-10-29T02:45:00Z", "2006-10-29T02:30:00Z", "2006-10-30T03:30:00Z"),
    ]);
}

#[test]
#[rustfmt::skip]
fn a_reset_that_the_clock_leaps_over_or_shows_twice() {
    check(Period::Day, &[
        // 02:30 does not exist: the day begins at 03:00 and ends at 02:30 of the next.
        (BERLIN, "02:30", "2026-03-29T00:59:59Z", "2026-03-28T01:30:00Z", "2026-03-29T01:00:00Z"),
        (BERLIN, "02:30", "2026-03-29T01:00:00Z", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"),
        (NEW_YORK, "02:30", "2026-03-08T06:59:59Z", "2026-03-07T07:30:00Z", "2026-03-08T07:00:00Z"),
        (NEW_YORK, "02:30", "2026-03-08T07:00:00Z", "2026-03-08T07:00:00Z", "2026-03-09T06:30:00Z"),
        // 02:00 and 03:00 are its boundaries.
        (BERLIN, "02:00", "2026-03-29T01:00:00Z", "2026-03-29T01:00:00Z", "2026-03-30T00:00:00Z"),
        (BERLIN, "03:00", "2026-03-29T01:00:00Z", "2026-03-29T01:00:00Z", "2026-03-30T01:00:00Z"),
        // 02:30 (in New York 01:30) occurs twice: the first counts.
        (BERLIN, "02:30", "2026-10-25T00:29:59Z", "2026-10-24T00:30:00Z", "2026-10-25T00:30:00Z"),
        (BERLIN, "02:30", "2026-10-25T00:30:00Z", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"),
        (BERLIN, "02:30", "2026-10-25T01:15:00Z", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"),
        (NEW_YORK, "01:30", "2026-11-01T06:15:00Z", "2026-11-01T05:30:00Z", "2026-11-02T06:30:00Z"),
        // 03:00 occurs once: at the end of the repeated hour.
        (BERLIN, "03:00", "2026-10-25T01:59:59Z", "2026-10-24T01:00:00Z", "2026-10-25T02:00:00Z"),
    ]);
}

#[test]
#[rustfmt::skip]
fn months() {
    check(Period::Month, &[
        ("UTC", "00:00", "2026-12-31T23:59:59Z", "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z"),
        ("UTC", "06:00", "2027-01-01T05:59:59Z", "2026-12-01T06:00:00Z", "2027-01-01T06:00:00Z"),
        ("UTC", "00:00", "2028-02-29T12:00:00Z", "2028-02-01T00:00:00Z", "2028-03-01T00:00:00Z"),
        ("UTC", "00:00", "2027-02-28T23:59:59Z", "2027-02-01T00:00:00Z", "2027-03-01T00:00:00Z"),
        (BERLIN, "00:00", "2026-03-31T12:00:00Z", "2026-02-28T23:00:00Z", "2026-03-31T22:00:00Z"),
        // Still October in this zone.
        (NEW_YORK, "00:00", "2026-11-01T03:59:59Z", "2026-10-01T04:00:00Z", "2026-11-01T04:00:00Z"),
        // The clocks change on the first of the month.
        (NEW_YORK, "01:30", "2026-11-01T06:15:00Z", "2026-11-01T05:30:00Z", "2026-12-01T06:30:00Z"),
    ]);
}

#[test]
#[rustfmt::skip]
fn hours_are_those_of_utc() {
    check(Period::Hour, &[
        ("UTC", "00:00", "2026-11-21T10:59:59.999Z", "2026-11-21T10:00:00Z", "2026-11-21T11:00:00Z"),
        ("Asia/Kolkata", "00:30", "2026-11-21T11:00:00Z", "2026-11-21T11:00:00Z", "2026-11-21T12:00:00Z"),
        (BERLIN, "00:00", "2026-10-25T01:30:00Z", "2026-10-25T01:00:00Z", "2026-10-25T02:00:00Z"),
    ]);
}

#[test]
fn one_window_is_for_ever() {
    let window = calendar(BERLIN, "05:00").window(Period::Ever, time("2026-11-21T10:00:00Z"));
    assert_eq!((window.id(), window.end_ms()), (0, None));
}

#[test]
fn a_window_has_a_number() {
    let window = Calendar::default().window(Period::Day, time("2026-11-21T10:00:00Z"));
    assert_eq!(window.id(), 1_795_219_200_000);
    assert_eq!(window.end_ms(), Some(1_795_305_600_000));
}

#[test]
fn the_end_of_time_is_no_fault() {
    for now in [DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC] {
        for period in Period::ALL {
            // The zone's offset would leave the range of dates.
            let window = Calendar::default().window(*period, now);
            assert!(window.end.is_none_or(|end| end > now), "{period} {now}");
        }
    }
}

prop_compose! {
    /// Any zone, reset and moment between 1990 and 2099, preferably near a change of clocks.
    fn any_moment()(
        zone in 0..chrono_tz::TZ_VARIANTS.len(),
        minute in 0..24 * 60_u32,
        ms in 631_152_000_000..4_102_444_800_000_i64,
    ) -> (Calendar, DateTime<Utc>) {
        let calendar = Calendar {
            time_zone: chrono_tz::TZ_VARIANTS[zone],
            reset_at: NaiveTime::from_hms_opt(minute / 60, minute % 60, 0).unwrap(),
        };
        (calendar, near_change(calendar.time_zone, DateTime::from_timestamp_millis(ms).unwrap()))
    }
}

/// The change of clocks within a year after `now`, give or take some hours; `now` if there is none.
fn near_change(zone: Tz, now: DateTime<Utc>) -> DateTime<Utc> {
    let offset = |at: DateTime<Utc>| zone.offset_from_utc_datetime(&at.naive_utc()).to_string();
    let hours = (0..366 * 24).map(|hours| now + TimeDelta::hours(hours));
    let mut days = hours.step_by(24);
    days.find(|day| offset(*day) != offset(*day + TimeDelta::days(1)))
        .unwrap_or(now)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1_000) })]

    #[test]
    fn windows_tile_time((calendar, now) in any_moment()) {
        let tick = TimeDelta::nanoseconds(1);
        for period in [Period::Hour, Period::Day, Period::Month] {
            let window = calendar.window(period, now);
            let end = window.end.unwrap();
            prop_assert!(window.start <= now && now < end, "{period} {window:?}");
            prop_assert_eq!(calendar.window(period, window.start), window);
            prop_assert_eq!(calendar.window(period, end - tick), window);
            prop_assert_eq!(calendar.window(period, end).start, end);
            prop_assert_eq!(calendar.window(period, window.start - tick).end, Some(window.start));
            let length = end - window.start;
            let (shortest, longest) = match period {
                Period::Hour => (TimeDelta::hours(1), TimeDelta::hours(1)),
                // A zone that crossed the date line had a day of almost no hours, or of twice as many.
                Period::Day => (TimeDelta::zero(), TimeDelta::hours(49)),
                _ => (TimeDelta::days(27), TimeDelta::days(33)),
            };
            prop_assert!(shortest <= length && length <= longest, "{period} {window:?}");
        }
    }
}
