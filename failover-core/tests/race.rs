//! The race scheduler: its rules one by one, then under any order of news, then what its trained
//! stagger costs and gains.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use std::collections::BTreeSet;
use std::time::Duration;

use failover_core::race::{
    LEAST_TRAINED_STAGGER, LONGEST_STAGGER, Lap, Race, RaceError, Runners, Stagger, Trainer,
    interleave,
};
use failover_core::time::Time;
use proptest::prelude::*;

const STAGGER: Duration = Duration::from_millis(250);

fn at(millis: u64) -> Time {
    Time::ZERO + Duration::from_millis(millis)
}

/// A race of at most `most` among 0, 1, 2, … `candidates`, 250 ms after one another.
fn race(most: u8, candidates: u32) -> Runners<u32> {
    let race = Race::new(most, Stagger::Fixed(STAGGER)).unwrap();
    let mut race = Runners::new(&race, &Trainer::new());
    race.handle_candidates(0..candidates);
    race
}

/// Starts all that are due.
fn start(race: &mut Runners<u32>, now: Time) -> Vec<u32> {
    std::iter::from_fn(|| race.poll_next(now)).collect()
}

#[test]
fn the_next_starts_a_stagger_after_the_one_before() {
    let mut race = race(4, 3);
    assert_eq!(start(&mut race, at(5)), [0]);
    assert_eq!(start(&mut race, at(254)), []);
    assert_eq!(race.next_wake(), Some(at(255)));
    assert_eq!(start(&mut race, at(255)), [1]);
    assert_eq!(start(&mut race, at(505)), [2]);
    assert_eq!(race.next_wake(), None, "nobody waits");
}

#[test]
fn the_next_starts_at_once_when_the_latest_fails() {
    let mut race = race(4, 3);
    assert_eq!(start(&mut race, at(0)), [0]);
    race.handle_failed(0, at(3));
    assert_eq!(start(&mut race, at(3)), [1]);
    assert_eq!(start(&mut race, at(252)), [], "the stagger runs anew");
    assert_eq!(start(&mut race, at(253)), [2]);
}

#[test]
fn the_failure_of_an_older_one_leaves_the_latest_its_stagger() {
    let mut race = race(4, 3);
    assert_eq!(start(&mut race, at(0)), [0]);
    assert_eq!(start(&mut race, at(250)), [1]);
    race.handle_failed(0, at(260));
    assert_eq!(start(&mut race, at(260)), []);
    assert_eq!(start(&mut race, at(500)), [2]);
}

#[test]
fn a_full_race_goes_on_as_soon_as_a_place_is_free() {
    let mut race = race(2, 3);
    assert_eq!(start(&mut race, at(0)), [0]);
    assert_eq!(start(&mut race, at(250)), [1]);
    assert_eq!(race.next_wake(), None, "two are in flight");
    assert_eq!(start(&mut race, at(9000)), []);
    race.handle_failed(0, at(9000));
    assert_eq!(start(&mut race, at(9000)), [2]);
}

#[test]
fn without_a_race_each_waits_for_the_failure_of_the_one_before() {
    let mut race = Runners::new(&Race::OFF, &Trainer::new());
    race.handle_candidates([7, 8]);
    assert_eq!(start(&mut race, at(0)), [7]);
    assert_eq!(race.next_wake(), None);
    race.handle_failed(7, at(10_000));
    assert_eq!(start(&mut race, at(10_000)), [8]);
}

#[test]
fn the_first_that_is_done_wins_and_the_others_lose() {
    let mut race = race(4, 4);
    assert_eq!(start(&mut race, at(0)), [0]);
    assert_eq!(start(&mut race, at(250)), [1]);
    let lap = race.handle_done(1, at(255)).unwrap();
    assert_eq!(lap.took, Duration::from_millis(5));
    assert_eq!(race.winner(), Some(1));
    assert_eq!(race.losers().collect::<Vec<_>>(), [0]);
    assert_eq!(race.handle_done(0, at(255)), None, "too late");
    assert_eq!(race.losers().count(), 0);
    assert_eq!(start(&mut race, at(9000)), [], "it is over");
    assert_eq!(race.next_wake(), None);
}

#[test]
fn a_start_beside_the_later_winner_was_needless() {
    let mut race = race(4, 3);
    assert_eq!(start(&mut race, at(0)), [0]);
    assert_eq!(start(&mut race, at(250)), [1]);
    race.handle_failed(1, at(251));
    assert_eq!(start(&mut race, at(251)), [2], "the failure's successor");
    assert_eq!(race.handle_done(0, at(252)).unwrap().hedges, 1);
}

#[test]
fn candidates_that_come_late_take_part() {
    let mut race = race(4, 1);
    assert_eq!(start(&mut race, at(0)), [0]);
    race.handle_candidates([1, 0]);
    assert_eq!(start(&mut race, at(50)), [], "the stagger of the first");
    assert_eq!(start(&mut race, at(250)), [1]);
    race.handle_failed(0, at(300));
    race.handle_failed(1, at(300));
    assert!(race.is_exhausted());
    race.handle_candidates([0, 1]);
    assert!(race.is_exhausted(), "both had their chance");
    race.handle_candidates([2]);
    assert!(!race.is_exhausted());
    assert_eq!(race.next_wake(), Some(at(300)), "at once");
    assert_eq!(start(&mut race, at(400)), [2]);
}

#[test]
fn candidates_that_wait_can_be_sorted_anew() {
    let mut race = race(4, 5);
    assert_eq!(start(&mut race, at(0)), [0]);
    race.arrange(|waiting| interleave(waiting, |key| *key < 3));
    race.arrange(|waiting| waiting.rotate_left(1));
    assert_eq!(start(&mut race, at(250)), [3]);
    // A sort that copies one over another loses that one; none starts twice all the same.
    race.arrange(|waiting| waiting.fill(3));
    assert_eq!(race.next_wake(), None);
    assert!(start(&mut race, at(900)).is_empty());
}

#[test]
fn reports_about_strangers_change_nothing() {
    let mut race = race(4, 2);
    assert_eq!(start(&mut race, at(0)), [0]);
    let before = race.clone();
    race.handle_failed(1, at(0));
    assert_eq!(race.handle_done(9, at(0)), None);
    assert_eq!(race, before);
}

#[test]
fn a_machine_that_slept_starts_one_not_many() {
    let mut race = race(4, 4);
    assert_eq!(start(&mut race, at(0)), [0]);
    let hours_later = at(10_000_000);
    assert_eq!(start(&mut race, hours_later), [1]);
    assert_eq!(start(&mut race, hours_later), []);
    assert_eq!(race.next_wake(), Some(hours_later + STAGGER));
}

#[test]
fn time_that_runs_backwards_stands_still() {
    let mut race = race(4, 2);
    assert_eq!(start(&mut race, at(500)), [0]);
    assert_eq!(start(&mut race, at(10)), []);
    race.handle_failed(0, at(20));
    assert_eq!(race.next_wake(), Some(at(500)));
    assert_eq!(start(&mut race, at(30)), [1]);
    assert_eq!(race.handle_done(1, at(40)).unwrap().took, Duration::ZERO);
}

#[test]
fn a_trainer_estimates_as_rfc_6298_does() {
    let mut trainer = Trainer::new();
    let stagger = |trainer: &Trainer| trainer.stagger(Duration::ZERO, Duration::MAX).as_micros();
    // (the lap; the smoothed time and four times the smoothed deviation), in microseconds.
    let laps = [
        (100_000, 100_000 + 4 * 50_000),
        (100_000, 100_000 + 4 * 37_500),
        (180_000, 110_000 + 4 * 48_125),
        (30_000, 100_000 + 4 * 56_093),
    ];
    for (lap, estimate) in laps {
        trainer.learn(Lap::new(Duration::from_micros(lap)));
        assert_eq!(stagger(&trainer), estimate);
    }
}

#[test]
fn a_dial_that_took_no_time_teaches_the_tick_of_a_timer() {
    let mut trainer = Trainer::new();
    trainer.learn(Lap::new(Duration::ZERO));
    let stagger = trainer.stagger(Duration::ZERO, Duration::MAX);
    assert_eq!(stagger, Duration::from_micros(1001));
}

#[test]
fn a_needless_start_raises_patience_by_a_quarter_and_a_win_lowers_it_by_a_thousandth() {
    let mut trainer = Trainer::new();
    let lap = Lap::new(Duration::from_millis(10));
    let needless = {
        let mut lap = lap;
        lap.hedges = 1;
        lap
    };
    // Where the bound is above the estimate, it is the bound that is stretched.
    let stretched = |trainer: &Trainer| trainer.stagger(Duration::from_secs(1), Duration::MAX);
    trainer.learn(lap);
    assert_eq!(stretched(&trainer), Duration::from_secs(1), "never below 1");
    trainer.learn(needless);
    assert_eq!(stretched(&trainer), Duration::from_millis(1250));
    trainer.learn(lap);
    let lowered = 1.25 * 1023.0 / 1024.0 - stretched(&trainer).as_secs_f64();
    assert!(lowered.abs() < 1e-6, "{lowered}");
    for _ in 0..10 {
        trainer.learn(needless);
    }
    assert_eq!(stretched(&trainer), Duration::from_secs(4), "never above 4");
}

#[test]
fn a_trainer_is_a_few_bytes() {
    assert_eq!(size_of::<Trainer>(), 12);
}

#[test]
fn never_is_not_a_time_to_start() {
    let mut race = race(4, 3);
    assert_eq!(start(&mut race, Time::MAX), [0]);
    assert_eq!(race.next_wake(), None);
}

#[test]
fn neighbours_are_of_different_families_while_there_are_any() {
    let check = |list: &str, sorted: &str| {
        let mut list: Vec<char> = list.chars().collect();
        interleave(&mut list, |c| c.is_uppercase());
        assert_eq!(list.iter().collect::<String>(), sorted);
    };
    check("", "");
    check("A", "A");
    check("ABC", "ABC");
    check("ABCabc", "AaBbCc");
    check("aABC", "aABC");
    check("AaBCDb", "AaBbCD");
    check("abcA", "aAbc");
}

#[test]
fn a_race_that_could_not_run_is_refused() {
    let fixed = |millis| Race::new(2, Stagger::Fixed(Duration::from_millis(millis)));
    let trained = |min, max| {
        let [min, max] = [min, max].map(Duration::from_millis);
        Race::new(2, Stagger::Trained { min, max })
    };
    assert!(fixed(10).is_ok() && fixed(10_000).is_ok());
    assert!(matches!(fixed(9), Err(RaceError::TooShort { .. })));
    assert!(matches!(fixed(10_001), Err(RaceError::TooLong { .. })));
    assert!(trained(1, 1).is_ok() && trained(1, 10_000).is_ok());
    assert!(matches!(trained(0, 5), Err(RaceError::TooShort { .. })));
    assert!(matches!(trained(5, 10_001), Err(RaceError::TooLong { .. })));
    assert!(matches!(trained(6, 5), Err(RaceError::MinAboveMax { .. })));
    assert_eq!(Race::new(0, Stagger::DEFAULT), Err(RaceError::NobodyRuns));
    assert!(Race::new(Race::default().most(), Race::default().stagger()).is_ok());
    assert!(Race::new(Race::OFF.most(), Stagger::TRAINED).is_ok());
}

/// One piece of news, with the time that passes before it.
#[derive(Clone, Debug)]
enum Step {
    Poll,
    /// Exactly when the race asks for it.
    Wake,
    Failed(u32),
    Done(u32),
    More(Vec<u32>),
}

fn steps() -> impl Strategy<Value = Vec<(u64, Step)>> {
    let key = 0..12_u32;
    let step = prop_oneof![
        4 => Just(Step::Poll),
        3 => Just(Step::Wake),
        3 => key.clone().prop_map(Step::Failed),
        1 => (0..60_u32).prop_map(Step::Done),
        2 => prop::collection::vec(key, 0..4).prop_map(Step::More),
    ];
    // Milliseconds; mostly standing or short, sometimes hours.
    let passes = prop_oneof![4 => Just(0), 4 => 0..400_u64, 1 => Just(10_000_000)];
    prop::collection::vec((passes, step), 0..60)
}

fn config() -> ProptestConfig {
    let cases = std::env::var("FAILOVER_CASES").ok();
    ProptestConfig {
        failure_persistence: None,
        cases: cases.and_then(|n| n.parse().ok()).unwrap_or(256),
        ..ProptestConfig::default()
    }
}

/// What may be expected of a race, kept in words of its own.
#[derive(Debug, Default)]
struct Expected {
    known: BTreeSet<u32>,
    started: Vec<(u32, Time)>,
    in_flight: BTreeSet<u32>,
    won: Option<u32>,
    /// The one that started last has failed, and nobody started since.
    latest_failed: bool,
}

impl Expected {
    fn on_start(&mut self, key: u32, most: u8, stagger: Duration, now: Time) {
        assert_eq!(self.won, None, "nothing starts after a win");
        assert!(self.known.contains(&key), "a stranger started");
        assert!(
            self.started.iter().all(|(other, _)| *other != key),
            "{key} started twice"
        );
        if let Some((_, before)) = self.started.last()
            && !self.latest_failed
        {
            assert!(now.since(*before) >= stagger, "too soon");
        }
        self.started.push((key, now));
        self.in_flight.insert(key);
        self.latest_failed = false;
        assert!(self.in_flight.len() <= usize::from(most), "too many");
    }

    fn on_failed(&mut self, key: u32) {
        let latest = self.started.last().is_some_and(|(last, _)| *last == key);
        self.latest_failed |= self.in_flight.remove(&key) && latest;
    }

    fn waiting(&self) -> usize {
        self.known.len() - self.started.len()
    }
}

/// Runs a race and checks every rule after every step; returns what it started, and when.
fn run(most: u8, stagger: Duration, steps: &[(u64, Step)]) -> Vec<(u32, Time)> {
    let race = Race::new(most, Stagger::Fixed(stagger)).unwrap();
    let mut race = Runners::new(&race, &Trainer::new());
    let mut expected = Expected::default();
    let mut now = Time::ZERO;
    for (passes, step) in steps {
        now = now + Duration::from_millis(*passes);
        match step {
            Step::Poll => {}
            Step::Wake => now = now.max(race.next_wake().unwrap_or(now)),
            Step::Failed(key) => {
                race.handle_failed(*key, now);
                expected.on_failed(*key);
            }
            Step::Done(key) => {
                let lap = race.handle_done(*key, now);
                let first = expected.in_flight.remove(key) && expected.won.is_none();
                assert_eq!(lap.is_some(), first);
                expected.won = expected.won.or(first.then_some(*key));
            }
            Step::More(keys) => {
                race.handle_candidates(keys.iter().copied());
                expected.known.extend(keys);
            }
        }
        // A wake before its time changes nothing but the clock.
        if race.next_wake().is_none_or(|wake| wake > now) {
            let (wake, in_flight) = (race.next_wake(), race.in_flight().count());
            assert_eq!(race.poll_next(now), None);
            assert_eq!(
                (wake, in_flight),
                (race.next_wake(), race.in_flight().count())
            );
        }
        let free = expected.in_flight.len() < usize::from(most);
        let owed = expected.latest_failed && expected.won.is_none() && expected.waiting() > 0;
        let started = start(&mut race, now);
        assert!(started.len() <= 1, "a burst: {started:?}");
        assert!(
            !(owed && free) || started.len() == 1,
            "the latest failed, and the next did not start at once"
        );
        for key in started {
            expected.on_start(key, most, stagger, now);
        }
        assert_eq!(race.winner(), expected.won);
        assert_eq!(
            race.in_flight().collect::<BTreeSet<_>>(),
            expected.in_flight
        );
        assert_eq!(
            race.losers().count(),
            expected.won.map_or(0, |_| expected.in_flight.len())
        );
        let all_failed =
            expected.won.is_none() && expected.waiting() == 0 && expected.in_flight.is_empty();
        assert_eq!(race.is_exhausted(), all_failed);
        // Whoever waits while there is room has a time to start (no race is forgotten).
        let room = expected.in_flight.len() < usize::from(most);
        let goes_on = expected.won.is_none() && expected.waiting() > 0 && room;
        assert_eq!(race.next_wake().is_some(), goes_on);
    }
    expected.started
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn the_rules_hold_whatever_happens(
        most in 1..5_u8,
        stagger in 10..400_u64,
        steps in steps(),
    ) {
        let stagger = Duration::from_millis(stagger);
        let started = run(most, stagger, &steps);
        prop_assert_eq!(started, run(most, stagger, &steps), "deterministic");
    }

    #[test]
    fn all_start_in_order_when_all_are_mute(most in 1..5_u8, candidates in 0..20_u32) {
        let mut race = race(most, candidates);
        let mut order = Vec::new();
        let mut now = Time::ZERO;
        while !race.is_exhausted() {
            now = now.max(race.next_wake().unwrap_or(now));
            order.extend(start(&mut race, now));
            if race.next_wake().is_none() {
                // Full, or nobody left: the oldest runs into its deadline.
                let oldest = race.in_flight().next().unwrap();
                race.handle_failed(oldest, now + Duration::from_secs(1));
            }
        }
        prop_assert_eq!(order, (0..candidates).collect::<Vec<_>>());
    }

    #[test]
    fn interleaving_keeps_everyone_and_each_family_in_order(list in prop::collection::vec(any::<(bool, u8)>(), 0..20)) {
        let mut sorted = list.clone();
        interleave(&mut sorted, |item| item.0);
        for family in [false, true] {
            let of = |list: &[(bool, u8)]| -> Vec<_> {
                list.iter().copied().filter(|item| item.0 == family).collect()
            };
            prop_assert_eq!(of(&list), of(&sorted));
        }
        prop_assert_eq!(list.first(), sorted.first());
        let same = sorted.windows(2).position(|pair| pair[0].0 == pair[1].0);
        let rest = &sorted[same.unwrap_or(sorted.len())..];
        prop_assert!(rest.iter().all(|item| item.0 == rest[0].0), "alternates as long as it can");
    }

    #[test]
    fn the_trained_stagger_keeps_its_bounds(
        laps in prop::collection::vec((any::<u64>(), 0..3_u32), 0..50),
        min in 1..500_u64,
        above in 0..9500_u64,
    ) {
        let [min, max] = [min, min + above].map(Duration::from_millis);
        let stagger = Stagger::Trained { min, max };
        let mut trainer = Trainer::new();
        prop_assert_eq!(stagger.wait(&trainer), max);
        for (nanos, hedges) in laps {
            let mut lap = Lap::new(Duration::from_nanos(nanos));
            lap.hedges = hedges;
            trainer.learn(lap);
            let wait = stagger.wait(&trainer);
            prop_assert!(min <= wait && wait <= max);
        }
    }
}

/// How a dial went against servers that answer after these times (`None`: never).
struct Run {
    usable: Duration,
    connections: usize,
    lap: Lap,
}

fn dial(race: &Race, trainer: &mut Trainer, answers: &[Option<Duration>]) -> Run {
    let mut runners = Runners::new(race, trainer);
    runners.handle_candidates(0..answers.len());
    let mut now = Time::ZERO;
    let mut ends: Vec<(Time, usize)> = Vec::new();
    loop {
        while let Some(key) = runners.poll_next(now) {
            ends.push((answers[key].map_or(Time::MAX, |answer| now + answer), key));
        }
        let (end, key) = *ends.iter().min().unwrap();
        let wake = runners.next_wake().unwrap_or(Time::MAX);
        now = end.min(wake);
        if end <= wake {
            let lap = runners.handle_done(key, now).unwrap();
            trainer.learn(lap);
            return Run {
                usable: now.since(Time::ZERO),
                connections: ends.len(),
                lap,
            };
        }
    }
}

/// The trained stagger, between its default bounds and between the widest.
fn trained() -> [Race; 2] {
    let widest = Stagger::Trained {
        min: LEAST_TRAINED_STAGGER,
        max: LONGEST_STAGGER,
    };
    [Stagger::TRAINED, widest].map(|stagger| Race::new(3, stagger).unwrap())
}

fn millis(millis: f64) -> Option<Duration> {
    Some(Duration::from_secs_f64(millis / 1000.0))
}

/// A trainer that has seen a loopback for a while.
fn trained_on_loopback(race: &Race) -> Trainer {
    let mut trainer = Trainer::new();
    for n in 0..20 {
        dial(race, &mut trainer, &[millis(0.3 + 0.02 * f64::from(n))]);
    }
    trainer
}

#[test]
fn a_healthy_pool_sees_one_connection_a_dial() {
    const DIALS: usize = 20_000;
    // A dial takes so many milliseconds.
    type Draw = fn(&mut u64) -> f64;
    let pools: [(&str, Draw); 7] = [
        ("loopback", |s| 0.3 + 0.4 * uniform(s)),
        ("busy loopback", |s| match uniform(s) {
            ..0.02 => 15.0 * uniform(s),
            _ => 1.0,
        }),
        ("far, steady", |_| 40.0),
        ("far, uniform", |s| 30.0 + 20.0 * uniform(s)),
        ("exponential", |s| -5.0 * (1.0 - uniform(s)).ln()),
        ("floor and tail", |s| 20.0 - 4.0 * (1.0 - uniform(s)).ln()),
        ("near normal", |s| (0..12).map(|_| uniform(s)).sum()),
    ];
    let [usual, widest] = trained();
    for (name, draw) in pools {
        for race in [usual, widest] {
            let mut seed = 7;
            let mut trainer = Trainer::new();
            let (mut connections, mut needless) = (0, 0);
            for _ in 0..DIALS {
                let answers = [(); 3].map(|()| millis(draw(&mut seed)));
                let run = dial(&race, &mut trainer, &answers);
                connections += run.connections;
                needless += usize::from(run.lap.hedges > 0);
            }
            assert!(
                needless * 200 <= DIALS,
                "{name}: {needless} needless starts"
            );
            let each = connections as f64 / DIALS as f64;
            assert!(
                race != usual || each <= 1.01,
                "{name}: {each} connections a dial"
            );
        }
    }
}

#[test]
fn a_mute_first_server_costs_milliseconds() {
    let [race, _] = trained();
    let mut trainer = trained_on_loopback(&race);
    // Not only once: whoever wins beside it teaches no patience.
    for _ in 0..1000 {
        let run = dial(&race, &mut trainer, &[None, millis(0.5)]);
        assert!(run.usable <= Duration::from_millis(11), "{:?}", run.usable);
    }
    let untrained = dial(&race, &mut Trainer::new(), &[None, millis(0.5)]);
    assert!(untrained.usable >= Duration::from_millis(250));
}

#[test]
fn a_lost_packet_is_soon_forgotten() {
    let [race, _] = trained();
    let mut trainer = trained_on_loopback(&race);
    let before = race.stagger().wait(&trainer);
    dial(&race, &mut trainer, &[millis(3000.0)]);
    for _ in 0..10 {
        dial(&race, &mut trainer, &[millis(0.5)]);
    }
    assert_eq!(race.stagger().wait(&trainer), before);
}

#[test]
fn a_network_that_got_slower_is_soon_believed() {
    let [_, race] = trained();
    let mut trainer = trained_on_loopback(&race);
    let needless: u32 = (0..100)
        .map(|_| dial(&race, &mut trainer, &[millis(100.0); 3]).lap.hedges)
        .sum();
    assert!(needless <= 8, "{needless} needless starts");
}

/// Uniform in [0, 1): SplitMix64.
fn uniform(state: &mut u64) -> f64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}
