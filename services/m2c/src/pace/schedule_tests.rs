use proptest::prelude::*;

use super::*;

fn window(from: &str, to: &str, days: &[Day], limit: Option<f64>) -> WindowConfig {
    WindowConfig {
        from: from.to_owned(),
        to: to.to_owned(),
        days: days.to_vec(),
        limit_mib_per_s: limit,
    }
}

fn schedule(zone: &str, limit: Option<f64>, windows: &[WindowConfig]) -> Schedule {
    Schedule::parse(&BandwidthConfig {
        limit_mib_per_s: limit,
        time_zone: zone.to_owned(),
        window: windows.to_vec(),
    })
    .unwrap()
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

const MIB: u64 = 1 << 20;

#[test]
fn without_windows_one_limit_is_always_in_force() {
    let free = schedule("", None, &[]);
    assert_eq!(free.limit(at("2026-01-01T00:00:00Z")), None);
    assert_eq!(free.next_bound(at("2026-01-01T00:00:00Z")), None);
    let limited = schedule("", Some(2.5), &[]);
    assert_eq!(limited.limit(Timestamp::UNIX_EPOCH), Some(5 * MIB / 2));
}

#[test]
fn office_hours_are_those_of_the_time_zone() {
    let days = [Day::Mon, Day::Tue, Day::Wed, Day::Thu, Day::Fri];
    let rome = schedule(
        "Europe/Rome",
        Some(8.0),
        &[window("08:00", "18:00", &days, Some(1.0))],
    );
    // Friday in winter, UTC+1.
    assert_eq!(rome.limit(at("2026-01-16T06:59:59Z")), Some(8 * MIB));
    let open = InForce {
        limit_bytes_per_s: Some(MIB),
        until: Some(at("2026-01-16T17:00:00Z")),
    };
    assert_eq!(rome.in_force(at("2026-01-16T07:00:00Z")), open);
    assert_eq!(rome.limit(at("2026-01-16T17:00:00Z")), Some(8 * MIB));
    // Over the weekend until Monday.
    let until = rome.in_force(at("2026-01-16T17:00:00Z")).until;
    assert_eq!(until, Some(at("2026-01-19T07:00:00Z")));
    // In summer, UTC+2.
    assert_eq!(rome.limit(at("2026-07-17T06:00:00Z")), Some(MIB));
}

#[test]
fn a_night_belongs_to_the_day_on_which_it_begins() {
    let nights = schedule(
        "",
        Some(1.0),
        &[window("22:00", "06:00", &[Day::Sat], None)],
    );
    assert_eq!(nights.limit(at("2026-01-17T21:59:59Z")), Some(MIB));
    assert_eq!(nights.limit(at("2026-01-17T22:00:00Z")), None);
    assert_eq!(nights.limit(at("2026-01-18T05:59:59Z")), None);
    assert_eq!(nights.limit(at("2026-01-18T22:00:00Z")), Some(MIB));
    let whole_day = schedule(
        "",
        None,
        &[window("00:00", "00:00", &[Day::Sun], Some(0.0))],
    );
    assert_eq!(whole_day.limit(at("2026-01-18T00:00:00Z")), Some(0));
    assert_eq!(whole_day.limit(at("2026-01-18T23:59:59Z")), Some(0));
    assert_eq!(whole_day.limit(at("2026-01-19T00:00:00Z")), None);
}

#[test]
fn the_first_of_several_open_windows_counts() {
    let both = [
        window("10:00", "12:00", &[], Some(1.0)),
        window("08:00", "18:00", &[], Some(4.0)),
    ];
    let both = schedule("", None, &both);
    assert_eq!(both.limit(at("2026-01-01T09:00:00Z")), Some(4 * MIB));
    assert_eq!(both.limit(at("2026-01-01T11:00:00Z")), Some(MIB));
    assert_eq!(both.limit(at("2026-01-01T12:00:00Z")), Some(4 * MIB));
}

#[test]
fn clocks_that_are_put_forward_shift_a_bound_that_does_not_exist() {
    // Rome, 29 March 2026: 02:00 becomes 03:00, at 01:00 UTC.
    let rome = schedule(
        "Europe/Rome",
        None,
        &[window("02:30", "04:00", &[], Some(1.0))],
    );
    assert_eq!(rome.limit(at("2026-03-29T01:00:00Z")), None);
    assert_eq!(rome.limit(at("2026-03-29T01:30:00Z")), Some(MIB));
    assert_eq!(rome.limit(at("2026-03-29T02:00:00Z")), None);
    // A window within the hour that is left out does not open.
    let gone = schedule(
        "Europe/Rome",
        None,
        &[window("02:00", "03:00", &[], Some(1.0))],
    );
    for minute in 0..180 {
        let moment = at("2026-03-29T00:00:00Z") + Span::new().minutes(minute);
        assert_eq!(gone.limit(moment), None, "{moment}");
    }
}

#[test]
fn clocks_that_are_put_back_open_a_window_once() {
    // Rome, 25 October 2026: 03:00 becomes 02:00, at 01:00 UTC.
    let rome = schedule(
        "Europe/Rome",
        None,
        &[window("02:15", "02:45", &[], Some(1.0))],
    );
    assert_eq!(rome.limit(at("2026-10-25T00:15:00Z")), Some(MIB));
    assert_eq!(rome.limit(at("2026-10-25T00:45:00Z")), None);
    assert_eq!(
        rome.limit(at("2026-10-25T01:20:00Z")),
        None,
        "the second 02:20"
    );
    // A day window is an hour longer.
    let day = schedule(
        "Europe/Rome",
        None,
        &[window("00:00", "12:00", &[], Some(1.0))],
    );
    let in_force = day.in_force(at("2026-10-24T22:00:00Z"));
    assert_eq!(in_force.until, Some(at("2026-10-25T11:00:00Z")));
}

#[test]
fn what_makes_no_sense_is_refused_with_its_value() {
    let refused = |zone: &str, from: &str, limit: f64| {
        Schedule::parse(&BandwidthConfig {
            limit_mib_per_s: Some(limit),
            time_zone: zone.to_owned(),
            window: vec![window(from, "18:00", &[], None)],
        })
        .unwrap_err()
        .to_string()
    };
    assert!(refused("Europe/Roma", "08:00", 1.0).contains("`Europe/Roma`"));
    assert!(refused("", "8 o'clock", 1.0).contains("`8 o'clock`"));
    assert!(refused("", "24:00", 1.0).contains("`24:00`"));
    for limit in [-1.0, f64::NAN, f64::INFINITY, 1e-9] {
        assert!(refused("", "08:00", limit).contains("limit-mib-per-s"));
    }
}

fn any_window() -> impl Strategy<Value = WindowConfig> {
    let minute = || (0u32..24, 0u32..60).prop_map(|(h, m)| format!("{h:02}:{m:02}"));
    let days = proptest::sample::subsequence(
        vec![Day::Mon, Day::Wed, Day::Thu, Day::Sat, Day::Sun],
        0..=5,
    );
    let limit = proptest::option::of(0u32..4);
    (minute(), minute(), days, limit)
        .prop_map(|(from, to, days, limit)| window(&from, &to, &days, limit.map(f64::from)))
}

proptest! {
    /// Between two bounds nothing changes, in any zone and through every change of its
    /// clocks: who sleeps until the next bound misses nothing.
    #[test]
    fn the_limit_changes_at_bounds_only(
        windows in proptest::collection::vec(any_window(), 0..4),
        zone in prop_oneof![Just("Europe/Rome"), Just("America/Santiago"), Just("Australia/Lord_Howe"), Just("UTC")],
        start in 1_772_000_000i64..1_804_000_000,
        part in 0.0f64..1.0,
    ) {
        let schedule = schedule(zone, Some(2.0), &windows);
        let start = Timestamp::from_second(start).unwrap();
        let end = match schedule.next_bound(start) {
            Some(bound) => bound,
            None => start + 24.hours(),
        };
        prop_assert!(end > start);
        let seconds = end.as_second() - start.as_second();
        let between = start + Span::new().seconds((seconds as f64 * part) as i64);
        if between < end {
            prop_assert_eq!(schedule.limit(between), schedule.limit(start));
        }
        let in_force = schedule.in_force(start);
        prop_assert_eq!(in_force.limit_bytes_per_s, schedule.limit(start));
        if let Some(until) = in_force.until {
            prop_assert_ne!(schedule.limit(until), schedule.limit(start));
        }
    }
}
