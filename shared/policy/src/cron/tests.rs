use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use longshore_protocol::{envelope::MessageLimits, id::CronName};
use proptest::prelude::*;
use serde_json::json;

use super::*;

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// The next ticks after a time, in the zone's local time.
fn ticks(schedule: &str, zone: Tz, after: &str, count: usize) -> Vec<String> {
    let timing = Timing::schedule(schedule, zone).unwrap();
    let mut time = at(after);
    let mut found = Vec::new();
    for _ in 0..count {
        time = timing.next_after(time).unwrap();
        let local = time.with_timezone(&zone);
        found.push(local.format("%m-%d %H:%M:%S %Z").to_string());
    }
    found
}

#[test]
fn in_berlin_the_clock_leaps_over_the_hour_after_two() {
    let ticks =
        |schedule, count| ticks(schedule, Tz::Europe__Berlin, "2026-03-28T12:00:00Z", count);
    assert_eq!(
        ticks("30 2 * * *", 2),
        ["03-29 03:00:00 CEST", "03-30 02:30:00 CEST"],
        "right after the leap"
    );
    assert_eq!(
        ticks("0 2,3 * * *", 3),
        [
            "03-29 03:00:00 CEST",
            "03-30 02:00:00 CEST",
            "03-30 03:00:00 CEST"
        ],
        "both at once are one"
    );
    assert_eq!(
        ticks("0 3 * * *", 2),
        ["03-29 03:00:00 CEST", "03-30 03:00:00 CEST"]
    );
    let halves = super::tests::ticks(
        "*/30 * * * *",
        Tz::Europe__Berlin,
        "2026-03-29T00:00:00Z",
        4,
    );
    assert_eq!(
        halves,
        [
            "03-29 01:30:00 CET",
            "03-29 03:00:00 CEST",
            "03-29 03:30:00 CEST",
            "03-29 04:00:00 CEST"
        ],
        "half an hour is half an hour"
    );
}

#[test]
fn in_berlin_the_clock_shows_the_hour_after_two_twice() {
    let ticks = |schedule, after, count| ticks(schedule, Tz::Europe__Berlin, after, count);
    let before = "2026-10-24T12:00:00Z";
    assert_eq!(
        ticks("30 2 * * *", before, 2),
        ["10-25 02:30:00 CEST", "10-26 02:30:00 CET"],
        "once"
    );
    assert_eq!(
        ticks("30 2,14 * * *", "2026-10-24T18:00:00Z", 3),
        [
            "10-25 02:30:00 CEST",
            "10-25 14:30:00 CET",
            "10-26 02:30:00 CET"
        ],
        "once, however many times of day there are"
    );
    assert_eq!(
        ticks("30 2 * * *", "2026-10-25T00:59:59Z", 1),
        ["10-26 02:30:00 CET"],
        "nor again in the second of the hours"
    );
    assert_eq!(
        ticks("15,45 * * * *", "2026-10-24T23:50:00Z", 5),
        [
            "10-25 02:15:00 CEST",
            "10-25 02:45:00 CEST",
            "10-25 02:15:00 CET",
            "10-25 02:45:00 CET",
            "10-25 03:15:00 CET"
        ],
        "twice an hour is twice an hour"
    );
}

#[test]
fn in_new_york_as_in_berlin() {
    let ticks = |schedule, after, count| ticks(schedule, Tz::America__New_York, after, count);
    assert_eq!(
        ticks("15 2 * * *", "2026-03-08T05:30:00Z", 2),
        ["03-08 03:00:00 EDT", "03-09 02:15:00 EDT"]
    );
    assert_eq!(
        ticks("0 */2 * * *", "2026-03-08T05:30:00Z", 2),
        ["03-08 03:00:00 EDT", "03-08 04:00:00 EDT"]
    );
    assert_eq!(
        ticks("15 1 * * *", "2026-11-01T04:30:00Z", 2),
        ["11-01 01:15:00 EDT", "11-02 01:15:00 EST"]
    );
    assert_eq!(
        ticks("0 * * * *", "2026-11-01T04:30:00Z", 3),
        [
            "11-01 01:00:00 EDT",
            "11-01 01:00:00 EST",
            "11-01 02:00:00 EST"
        ]
    );
}

#[test]
fn where_midnight_does_not_exist_the_day_begins_an_hour_later() {
    // In Cuba the clock changes from 00:00 to 01:00.
    assert_eq!(
        ticks("@daily", Tz::America__Havana, "2026-03-07T12:00:00Z", 2),
        ["03-08 01:00:00 CDT", "03-09 00:00:00 CDT"]
    );
}

#[test]
fn a_leap_day_comes_every_four_years() {
    let timing = Timing::schedule("0 12 29 2 *", Tz::UTC).unwrap();
    let mut days = Vec::new();
    let mut time = at("2026-11-21T00:00:00Z");
    for _ in 0..3 {
        time = timing.next_after(time).unwrap();
        days.push(time.to_rfc3339());
    }
    assert_eq!(
        days,
        [
            "2028-02-29T12:00:00+00:00",
            "2032-02-29T12:00:00+00:00",
            "2036-02-29T12:00:00+00:00"
        ]
    );
    assert_eq!(
        ticks("0 0 L 2 *", Tz::UTC, "2027-12-01T00:00:00Z", 2),
        ["02-29 00:00:00 UTC", "02-28 00:00:00 UTC"],
        "the last of February"
    );
    let century = Timing::schedule("@daily", Tz::UTC).unwrap();
    assert_eq!(
        century.next_after(at("2100-02-28T10:00:00Z")),
        Some(at("2100-03-01T00:00:00Z")),
        "2100 has none"
    );
}

#[test]
fn even_steps_are_counted_from_1970() {
    let next = |every: &str, after: &str| Timing::every(every).unwrap().next_after(at(after));
    assert_eq!(
        next("30s", "2026-11-21T03:00:00Z"),
        Some(at("2026-11-21T03:00:30Z"))
    );
    assert_eq!(
        next("30s", "2026-11-21T03:00:29.999Z"),
        Some(at("2026-11-21T03:00:30Z"))
    );
    assert_eq!(
        next("1d", "2026-11-21T03:00:00Z"),
        Some(at("2026-11-22T00:00:00Z"))
    );
}

#[test]
fn what_is_no_timing_is_told() {
    for text in [
        "",
        "* * * *",
        "61 * * * *",
        "0 0 30 2 *",
        "* * * * * * *",
        "@often",
    ] {
        let error = Timing::schedule(text, Tz::UTC).unwrap_err().to_string();
        assert!(
            error.contains("expected minute, hour, day, month and weekday"),
            "{text}: {error}"
        );
    }
    for text in ["", "0", "500ms", "1500ms", "2000d", "daily"] {
        let error = Timing::every(text).unwrap_err().to_string();
        assert!(
            error.starts_with("expected a time from 1s to 366d"),
            "{error}"
        );
    }
}

proptest! {
    /// Ticks are strictly increasing across clock changes.
    #[test]
    fn ticks_go_forward(start in 1_700_000_000_i64..1_900_000_000, zone in 0_usize..4, pattern in 0_usize..5) {
        let zone = [Tz::Europe__Berlin, Tz::America__New_York, Tz::Australia__Lord_Howe, Tz::America__Havana][zone];
        let pattern = ["*/20 * * * *", "*/20 0-3 * * *", "0 2 * * *", "30 1,2,3 * * SUN", "@daily"][pattern];
        let timing = Timing::schedule(pattern, zone).unwrap();
        let mut time = DateTime::from_timestamp(start, 0).unwrap();
        for _ in 0..20 {
            let next = timing.next_after(time).unwrap();
            prop_assert!(next > time, "{next} after {time}");
            prop_assert_eq!(timing.next_after(next - TimeDelta::seconds(1)), Some(next));
            time = next;
        }
    }
}

fn due_at(missed: Missed, late_by: i64) -> TickPlan {
    let timing = Timing::every("1s").unwrap();
    let due = at("2026-11-21T03:00:00Z");
    step(&timing, missed, due, due + TimeDelta::milliseconds(late_by))
}

#[test]
fn a_tick_in_time_runs() {
    for missed in [Missed::Skip, Missed::Once, Missed::All] {
        for late_by in [0, 2000] {
            let step = due_at(missed, late_by);
            assert_eq!(step.run, Some(at("2026-11-21T03:00:00Z")));
            assert_eq!(step.next, Some(at("2026-11-21T03:00:01Z")));
            assert_eq!(step.skipped, 0);
        }
    }
}

#[test]
fn missed_ticks_are_skipped_or_run_as_it_is_said() {
    // The ticks of :00 to :07 were missed, those of :08 to :10 were not.
    let (first, last, in_time) = (
        at("2026-11-21T03:00:00Z"),
        at("2026-11-21T03:00:07Z"),
        at("2026-11-21T03:00:08Z"),
    );
    let expected = |run, skipped, next| TickPlan {
        run,
        skipped,
        next: Some(next),
    };
    assert_eq!(due_at(Missed::Skip, 10_000), expected(None, 8, in_time));
    assert_eq!(
        due_at(Missed::Once, 10_000),
        expected(Some(last), 7, in_time)
    );
    assert_eq!(
        due_at(Missed::All, 10_000),
        expected(Some(first), 0, first + TimeDelta::seconds(1))
    );
}

#[test]
fn who_was_away_for_long_goes_on_in_steps() {
    let timing = Timing::every("1s").unwrap();
    let mut due = at("2026-11-21T03:00:00Z");
    let now = at("2026-11-21T04:00:00Z");
    let (mut skipped, mut ran) = (0, Vec::new());
    while due <= now {
        let step = step(&timing, Missed::Once, due, now);
        skipped += step.skipped;
        ran.extend(step.run);
        due = step.next.unwrap();
    }
    assert_eq!(
        ran,
        [
            at("2026-11-21T03:59:57Z"),
            at("2026-11-21T03:59:58Z"),
            at("2026-11-21T03:59:59Z"),
            now
        ]
    );
    assert_eq!(skipped, 3597);
}

fn written(job: &serde_json::Value) -> CronDefinitionText {
    CronDefinitionText {
        schedule: Some("0 3 * * *".to_owned()),
        timezone: Some("Europe/Berlin".to_owned()),
        job: job.as_object().unwrap().clone(),
        ..CronDefinitionText::default()
    }
}

fn name() -> CronName {
    CronName::parse("nightly").unwrap()
}

#[test]
fn a_tick_has_its_id_and_says_which_it_is() {
    let job = json!({"prompt": "Hi", "metadata": {"a": 1}});
    let definition = CronDefinition::read(&written(&job)).unwrap();
    definition
        .check(&name(), &MessageLimits::default())
        .unwrap();
    let tick = at("2026-11-21T02:00:00Z");
    insta::assert_snapshot!(definition.message(&name(), RunReason::Tick(tick)), @r#"{"id":"cron:nightly:2026-11-21T02:00:00Z","metadata":{"a":1,"cron":{"name":"nightly","tick":"2026-11-21T02:00:00Z"}},"prompt":"Hi"}"#);
    insta::assert_snapshot!(definition.message(&name(), RunReason::Asked(tick)), @r#"{"id":"cron:nightly:run:2026-11-21T02:00:00.000Z","metadata":{"a":1,"cron":{"asked":"2026-11-21T02:00:00.000Z","name":"nightly"}},"prompt":"Hi"}"#);
}

#[test]
fn all_faults_are_told_at_once() {
    let mut written = written(&json!({"prompt": "Hi", "timeout": "soon", "max_tokens": 0}));
    (written.schedule, written.timezone) = (Some("daily".to_owned()), Some("Berlin".to_owned()));
    written.missed = Some("never".to_owned());
    let faults = CronDefinition::read_checked(&written, &name(), &MessageLimits::default());
    let faults = faults.unwrap_err().0;
    let places: Vec<_> = faults
        .iter()
        .map(|fault| (fault.field, fault.job_field.as_deref()))
        .collect();
    assert_eq!(
        places,
        [
            ("schedule", None),
            ("timezone", None),
            ("missed", None),
            ("job", Some("max_tokens")),
            ("job", Some("timeout")),
        ]
    );
}

#[test]
fn what_is_wrong_is_told_with_its_field() {
    let told = |change: &dyn Fn(&mut CronDefinitionText), job: serde_json::Value| {
        let mut written = written(&job);
        change(&mut written);
        let read = CronDefinition::read(&written);
        let checked =
            read.and_then(|definition| definition.check(&name(), &MessageLimits::default()));
        checked.unwrap_err().to_string()
    };
    let job = || json!({"prompt": "Hi"});
    let text = |text: &str| Some(text.to_owned());
    let all = [
        told(&|w| w.every = text("30s"), job()),
        told(&|w| w.schedule = None, job()),
        told(&|w| w.timezone = text("Berlin"), job()),
        told(&|w| (w.schedule, w.every) = (None, text("30s")), job()),
        told(&|w| w.missed = text("never"), job()),
        told(&|w| w.queue = text("two words"), job()),
        told(&|_| (), json!({})),
        told(&|_| (), json!({"prompt": "Hi", "id": "mine"})),
        told(&|_| (), json!({"prompt": "Hi", "metadata": {"cron": 1}})),
        told(&|_| (), json!({"prompt": "Hi", "metadata": 7})),
        told(&|_| (), json!({"prompt": "Hi", "timeout": "soon"})),
    ];
    insta::assert_snapshot!(all.join("\n"), @r#"
    `every`: expected `schedule` or `every`, but got both
    `schedule`: expected a `schedule`, such as "0 3 * * *", or `every`, such as 30s
    `timezone`: expected a time zone, such as UTC or Europe/Berlin, but got `Berlin`
    `timezone`: it is for a `schedule`; `every` counts from 1970, UTC, in any zone
    `missed`: expected one of skip, once, all, but got `never`
    `queue`: queue name `two words` is not valid: expected 1 to 64 characters of [A-Za-z0-9._-]
    `job`: `prompt`: expected `prompt`, or `messages`, but got neither
    `job`: expected a job without `id`: each run gets one of its own, made of the name and the time
    `job`: expected a job without `metadata.cron`: each run says there which tick it is
    `job`: `metadata`: expected an object, but got 7
    `job`: `timeout`: expected seconds, a number over 0 and up to 86400, but got "soon"
    "#);
}

#[test]
fn an_entry_is_the_same_after_a_round_through_redis() {
    let entry = CronJob {
        source: Source::Command,
        paused: false,
        definition: CronDefinition::read(&written(&json!({"prompt": "Hi"}))).unwrap(),
    };
    let text = serde_json::to_string(&entry).unwrap();
    insta::assert_snapshot!(text, @r#"{"source":"command","paused":false,"schedule":"0 3 * * *","timezone":"Europe/Berlin","missed":"once","queue":"default","job":{"prompt":"Hi"}}"#);
    assert_eq!(serde_json::from_str::<CronJob>(&text).unwrap(), entry);
}
