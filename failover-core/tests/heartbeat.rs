//! The heartbeat: its rules one by one, then its bound under any order of news.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    missing_docs
)]

use std::time::Duration;

use failover_core::heartbeat::{
    Action, Agreed, Heartbeat, HeartbeatBuilder, HeartbeatError, LEAST_PERIOD, Monitor, Offer,
    Stale, negotiate,
};
use failover_core::time::Time;
use proptest::prelude::*;

const SILENT: Action = Action::Stale(Stale::Silent);
const STUCK: Action = Action::Stale(Stale::Stuck);
const HOURS: u64 = 36_000;

fn at(seconds: u64) -> Time {
    Time::ZERO + seconds_of(seconds)
}

fn seconds_of(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn monitor(builder: HeartbeatBuilder) -> Monitor {
    Monitor::new(&builder.build().unwrap(), Time::ZERO)
}

/// Asks every 10 s; `max` may be unanswered.
fn watching(max: u32) -> Monitor {
    monitor(Heartbeat::builder().watch(seconds_of(10), max))
}

/// All that is due.
fn due(monitor: &mut Monitor, now: Time) -> Vec<Action> {
    std::iter::from_fn(|| monitor.poll_action(now)).collect()
}

/// Wakes it in time until `end`; what it did, in seconds.
fn alone(monitor: &mut Monitor, end: u64) -> Vec<(u64, Action)> {
    let mut done = Vec::new();
    while let Some(wake) = monitor.next_wake().filter(|wake| *wake <= at(end)) {
        let second = wake.since(Time::ZERO).as_secs();
        done.extend(
            due(monitor, wake)
                .into_iter()
                .map(|action| (second, action)),
        );
    }
    done
}

#[test]
fn a_silent_peer_is_asked_then_given_up() {
    let expected = [(10, Action::Ping), (20, Action::Ping), (30, SILENT)];
    assert_eq!(alone(&mut watching(2), 1000), expected);
    assert_eq!(alone(&mut watching(0), 1000), [(10, SILENT)]);
}

#[test]
fn received_data_starts_the_silence_anew() {
    let mut monitor = watching(2);
    assert_eq!(alone(&mut monitor, 25).len(), 2);
    assert_eq!(monitor.outstanding(), 2);
    monitor.handle_received(at(25));
    assert_eq!(monitor.outstanding(), 0);
    let expected = [(35, Action::Ping), (45, Action::Ping), (55, SILENT)];
    assert_eq!(alone(&mut monitor, 1000), expected);
}

#[test]
fn a_talking_peer_is_never_asked() {
    let mut monitor = watching(2);
    for second in (0..1000).step_by(9) {
        monitor.handle_received(at(second));
        assert_eq!(due(&mut monitor, at(second + 9)), []);
    }
}

#[test]
fn heavy_sending_does_not_hide_a_dead_peer() {
    let mut monitor = watching(1);
    let mut done = Vec::new();
    for second in 0..40 {
        monitor.handle_writing(at(second));
        monitor.handle_written(at(second));
        done.extend(due(&mut monitor, at(second)));
    }
    assert_eq!(done, [Action::Ping, SILENT]);
}

#[test]
fn nothing_follows_stale() {
    let mut monitor = watching(0);
    assert_eq!(due(&mut monitor, at(10)), [SILENT]);
    monitor.handle_received(at(11));
    monitor.handle_writing(at(11));
    assert_eq!(monitor.next_wake(), None);
    assert_eq!(due(&mut monitor, at(HOURS)), []);
}

#[test]
fn after_sleep_a_peer_gets_one_ping_and_a_whole_interval() {
    // Asleep before the first ping: from there on as usual.
    let mut monitor = watching(1);
    assert_eq!(due(&mut monitor, at(HOURS)), [Action::Ping]);
    assert_eq!(due(&mut monitor, at(HOURS + 9)), []);
    assert_eq!(due(&mut monitor, at(HOURS + 10)), [SILENT]);

    // Asleep with all pings outstanding: one more, for its answer went to nobody.
    let mut monitor = watching(1);
    assert_eq!(due(&mut monitor, at(10)), [Action::Ping]);
    assert_eq!(due(&mut monitor, at(HOURS)), [Action::Ping]);
    assert_eq!(due(&mut monitor, at(HOURS + 10)), [SILENT]);

    // Only listening: it listens for one more interval.
    let mut monitor = watching(0);
    assert_eq!(due(&mut monitor, at(HOURS)), []);
    assert_eq!(monitor.next_wake(), Some(at(HOURS + 10)));
    assert_eq!(due(&mut monitor, at(HOURS + 10)), [SILENT]);
}

#[test]
fn the_grace_after_sleep_is_given_once_per_silence() {
    let mut monitor = watching(0);
    assert_eq!(due(&mut monitor, at(HOURS)), []);
    assert_eq!(due(&mut monitor, at(2 * HOURS)), [SILENT]);

    let mut monitor = watching(0);
    assert_eq!(due(&mut monitor, at(HOURS)), []);
    monitor.handle_received(at(HOURS + 1));
    assert_eq!(due(&mut monitor, at(2 * HOURS)), []);
}

#[test]
fn a_little_late_is_no_sleep() {
    let mut monitor = watching(0);
    assert_eq!(due(&mut monitor, at(20)), [SILENT]);
    let mut monitor = watching(0);
    assert_eq!(due(&mut monitor, at(21)), []);
}

#[test]
fn time_that_runs_backwards_stands_still() {
    let mut monitor = watching(1);
    monitor.handle_received(at(100));
    monitor.handle_received(at(50));
    assert_eq!(monitor.next_wake(), Some(at(110)));
    assert_eq!(due(&mut monitor, at(110)), [Action::Ping]);
    assert_eq!(due(&mut monitor, at(3)), []);
    assert_eq!(monitor.next_wake(), Some(at(120)));
}

#[test]
fn a_beat_follows_our_own_silence() {
    let beating = Heartbeat::builder().beat(seconds_of(5));
    let mut monitor = monitor(beating);
    monitor.handle_received(at(4));
    assert_eq!(alone(&mut monitor, 5), [(5, Action::Beat)]);
    monitor.handle_written(at(8));
    assert_eq!(alone(&mut monitor, 17), [(13, Action::Beat)]);
    assert_eq!(
        due(&mut monitor, at(HOURS)),
        [Action::Beat],
        "one, not many"
    );
}

#[test]
fn a_ping_is_a_beat_too() {
    let both = Heartbeat::builder()
        .watch(seconds_of(10), 9)
        .beat(seconds_of(10));
    assert_eq!(due(&mut monitor(both), at(10)), [Action::Ping]);
}

#[test]
fn no_beat_stands_behind_a_pending_write() {
    let mut monitor = monitor(Heartbeat::builder().beat(seconds_of(5)));
    monitor.handle_writing(at(1));
    assert_eq!(monitor.next_wake(), None);
    assert_eq!(due(&mut monitor, at(100)), []);
    monitor.handle_written(at(100));
    assert_eq!(alone(&mut monitor, 105), [(105, Action::Beat)]);
}

#[test]
fn a_write_that_does_not_end_is_stale_although_the_peer_talks() {
    let mut monitor = monitor(
        Heartbeat::builder()
            .watch(seconds_of(10), 2)
            .write_deadline(seconds_of(30)),
    );
    monitor.handle_writing(at(5));
    monitor.handle_writing(at(20));
    for second in 5..35 {
        monitor.handle_received(at(second));
        assert_eq!(due(&mut monitor, at(second)), []);
    }
    assert_eq!(due(&mut monitor, at(35)), [STUCK], "the oldest counts");
}

#[test]
fn a_write_that_ends_in_time_is_none_of_its_business() {
    let mut monitor = monitor(Heartbeat::builder().write_deadline(seconds_of(30)));
    for second in 0..100 {
        monitor.handle_writing(at(second));
        monitor.handle_written(at(second + 1));
        assert_eq!(due(&mut monitor, at(second + 1)), []);
        assert_eq!(monitor.next_wake(), None);
    }
}

#[test]
fn a_write_pending_over_a_sleep_gets_one_more_deadline() {
    let mut monitor = monitor(Heartbeat::builder().write_deadline(seconds_of(30)));
    monitor.handle_writing(at(0));
    assert_eq!(due(&mut monitor, at(HOURS)), []);
    assert_eq!(monitor.next_wake(), Some(at(HOURS + 30)));
    assert_eq!(due(&mut monitor, at(2 * HOURS)), [STUCK]);
}

#[test]
fn a_write_that_is_seen_late_by_its_whole_deadline_is_no_sleep() {
    let mut monitor = monitor(Heartbeat::builder().write_deadline(seconds_of(30)));
    monitor.handle_writing(at(0));
    assert_eq!(due(&mut monitor, at(60)), [STUCK]);
}

#[test]
fn an_agreement_on_less_than_a_millisecond_is_kept_once_a_millisecond() {
    let hasty = Some(Duration::from_micros(100));
    let offer = Offer {
        sends: hasty,
        wants: hasty,
    };
    let heartbeat = negotiate(offer, offer).heartbeat().unwrap();
    assert_eq!(heartbeat.beat(), Some(LEAST_PERIOD));
    assert_eq!(heartbeat.bound(), Some(LEAST_PERIOD));
}

#[test]
fn a_heartbeat_that_could_not_beat_is_refused() {
    let (least, less) = (Duration::from_millis(1), Duration::from_micros(999));
    let refused = |builder: HeartbeatBuilder, name: &str| {
        let Err(HeartbeatError::TooShort { part, period }) = builder.build() else {
            panic!("{name} was accepted");
        };
        assert_eq!((part, period), (name, less));
    };
    refused(Heartbeat::builder().watch(less, 2), "watch");
    refused(Heartbeat::builder().beat(less), "beat");
    refused(Heartbeat::builder().write_deadline(less), "write_deadline");
    assert!(
        Heartbeat::builder()
            .watch(least, 0)
            .beat(least)
            .build()
            .is_ok()
    );
    assert_eq!(Heartbeat::builder().build(), Err(HeartbeatError::Nothing));
    assert!(Heartbeat::default().bound() <= Some(seconds_of(30)));
}

#[test]
fn absurd_periods_mean_never() {
    let builder = Heartbeat::builder().watch(Duration::MAX, u32::MAX);
    let heartbeat = builder.beat(Duration::MAX).build().unwrap();
    assert_eq!(heartbeat.bound(), Some(Duration::MAX));
    let mut monitor = Monitor::new(&heartbeat, at(1));
    assert_eq!(monitor.next_wake(), None);
    assert_eq!(due(&mut monitor, Time::MAX), []);
}

/// One piece of news, with the time that passes before it.
#[derive(Clone, Copy, Debug)]
enum Step {
    Poll,
    /// Exactly when it asks for it.
    Wake,
    Received,
    Writing,
    Written,
}

fn steps() -> impl Strategy<Value = Vec<(u64, Step)>> {
    let step = prop_oneof![
        3 => Just(Step::Poll),
        6 => Just(Step::Wake),
        1 => Just(Step::Received),
        1 => Just(Step::Writing),
        1 => Just(Step::Written),
    ];
    // Milliseconds; mostly standing or short, sometimes hours.
    let passes = prop_oneof![4 => Just(0), 4 => 0..3000_u64, 1 => Just(36_000_000)];
    prop::collection::vec((passes, step), 0..60)
}

fn heartbeats() -> impl Strategy<Value = Heartbeat> {
    let period = || (1..5000_u64).prop_map(Duration::from_millis);
    let parts = (
        prop::option::of((period(), 0..4_u32)),
        prop::option::of(period()),
        prop::option::of(period()),
    );
    parts.prop_filter_map("nothing set", |(watch, beat, write)| {
        let mut builder = Heartbeat::builder();
        if let Some((interval, max)) = watch {
            builder = builder.watch(interval, max);
        }
        if let Some(period) = beat {
            builder = builder.beat(period);
        }
        if let Some(deadline) = write {
            builder = builder.write_deadline(deadline);
        }
        builder.build().ok()
    })
}

fn config() -> ProptestConfig {
    let cases = std::env::var("FAILOVER_CASES").ok();
    ProptestConfig {
        failure_persistence: None,
        cases: cases.and_then(|n| n.parse().ok()).unwrap_or(256),
        ..ProptestConfig::default()
    }
}

/// Runs a monitor and checks its rules after every step; returns what it did.
fn run(heartbeat: &Heartbeat, steps: &[(u64, Step)]) -> Vec<(Time, Action)> {
    let mut monitor = Monitor::new(heartbeat, Time::ZERO);
    let mut done: Vec<(Time, Action)> = Vec::new();
    let mut now = Time::ZERO;
    let mut heard = Time::ZERO;
    // What has been seen since the last received byte.
    let mut pings: Vec<Time> = Vec::new();
    let mut late = Duration::ZERO;
    let mut slept = false;
    for (passes, step) in steps {
        let before = now;
        now = now + Duration::from_millis(*passes);
        match step {
            Step::Poll => {}
            Step::Wake => now = now.max(monitor.next_wake().unwrap_or(now)),
            Step::Received => {
                monitor.handle_received(now);
                (heard, late, slept) = (now, Duration::ZERO, false);
                pings.clear();
            }
            Step::Writing => monitor.handle_writing(now),
            Step::Written => monitor.handle_written(now),
        }
        let wake = monitor.next_wake();
        let lateness = now.since(wake.unwrap_or(now).max(before));
        late += lateness;
        slept |= lateness > heartbeat.watch().map_or(Duration::MAX, |w| w.interval);
        let actions = due(&mut monitor, now);
        if wake.is_none_or(|wake| wake > now) {
            assert_eq!(actions, [], "before its time");
        }
        // A burst would repeat an action in one instant.
        for (place, action) in actions.iter().enumerate() {
            assert!(!actions[..place].contains(action), "a burst: {actions:?}");
        }
        for action in actions {
            let over = done
                .iter()
                .any(|(_, done)| matches!(done, Action::Stale(_)));
            assert!(!over, "something follows stale");
            match action {
                Action::Ping => {
                    let watch = heartbeat.watch().unwrap();
                    let since = pings.last().copied().unwrap_or(heard);
                    assert!(now.since(since) >= watch.interval, "asked too soon");
                    pings.push(now);
                    let allowed = watch.max_outstanding as usize + usize::from(slept);
                    assert!(pings.len() <= allowed, "too many outstanding");
                }
                Action::Stale(Stale::Silent) => {
                    let watch = heartbeat.watch().unwrap();
                    let bound = heartbeat.bound().unwrap();
                    let since = pings.last().copied().unwrap_or(heard);
                    assert!(now.since(since) >= watch.interval, "no fair chance");
                    assert!(pings.len() >= watch.max_outstanding as usize);
                    assert!(now.since(heard) >= bound, "given up too soon");
                    let grace = if slept {
                        watch.interval
                    } else {
                        Duration::ZERO
                    };
                    assert!(now.since(heard) <= bound + late + grace, "noticed too late");
                }
                _ => {}
            }
            done.push((now, action));
        }
        if let Some(bound) = heartbeat.bound()
            && late == Duration::ZERO
            && done
                .iter()
                .all(|(_, done)| !matches!(done, Action::Stale(_)))
        {
            assert!(now.since(heard) < bound, "a dead peer was not noticed");
        }
        assert!(monitor.next_wake().is_none_or(|wake| wake > now), "spins");
    }
    done
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn the_rules_hold_whatever_happens(heartbeat in heartbeats(), steps in steps()) {
        let done = run(&heartbeat, &steps);
        prop_assert_eq!(done, run(&heartbeat, &steps), "deterministic");
    }

    #[test]
    fn a_dead_peer_is_noticed_exactly_at_the_bound(
        interval in 1..100_000_u64,
        max in 0..10_u32,
        heard in 0..1_000_000_u64,
        sends in prop::collection::vec(0..2_000_000_u64, 0..20),
    ) {
        let heartbeat = Heartbeat::builder()
            .watch(Duration::from_millis(interval), max)
            .build()
            .unwrap();
        let heard = Time::ZERO + Duration::from_millis(heard);
        let mut monitor = Monitor::new(&heartbeat, Time::ZERO);
        monitor.handle_received(heard);
        let mut sends: Vec<Time> = sends
            .into_iter()
            .map(|millis| heard + Duration::from_millis(millis))
            .collect();
        sends.sort_unstable();
        let mut sends = sends.into_iter().peekable();
        let mut actions = Vec::new();
        let mut last = heard;
        while let Some(wake) = monitor.next_wake() {
            while let Some(send) = sends.next_if(|send| *send <= wake) {
                monitor.handle_writing(send);
                monitor.handle_written(send);
            }
            actions.extend(due(&mut monitor, wake));
            last = wake;
        }
        prop_assert_eq!(Some(last.since(heard)), heartbeat.bound());
        prop_assert_eq!(actions.len(), max as usize + 1);
    }

    #[test]
    fn both_sides_agree_on_the_same(numbers in any::<[u16; 4]>()) {
        let [a, b, c, d] = numbers.map(|n| u64::from(n % 64));
        let (ours, theirs) = (Offer::from_millis(a, b), Offer::from_millis(c, d));
        let Agreed { outgoing, incoming } = negotiate(ours, theirs);
        let seen_there = negotiate(theirs, ours);
        prop_assert_eq!((outgoing, incoming), (seen_there.incoming, seen_there.outgoing));
        prop_assert_eq!(outgoing.is_some(), a > 0 && d > 0);
        prop_assert!(outgoing.is_none_or(|p| Some(p) >= ours.sends && Some(p) >= theirs.wants));
        let heartbeat = negotiate(ours, theirs).heartbeat();
        prop_assert_eq!(heartbeat.is_some(), outgoing.is_some() || incoming.is_some());
        prop_assert!(heartbeat.and_then(|h| h.beat()).is_none_or(|beat| Some(beat) <= outgoing));
        prop_assert!(heartbeat.and_then(|h| h.bound()).is_none_or(|bound| Some(bound) > incoming));
    }
}
