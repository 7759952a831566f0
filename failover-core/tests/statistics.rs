//! What the policy says of chance, measured: jitter, phases, shuffles, weights. Seeds are fixed, so
//! that a test either always passes or always fails; the thresholds are those of one false alarm in
//! a thousand (1.95 for Kolmogorov–Smirnov, the 0.999 quantile of chi-square).
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    missing_docs
)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use failover_core::attempt::AttemptId;
use failover_core::endpoint::{EndpointId, Security, Traits};
use failover_core::failure::{Failure, Kind};
use failover_core::machine::{Input, Machine, Outbox, Output, Status, Verdict};
use failover_core::policy::{
    Backoff, Every, Jitter, Lost, NoHooks, Order, Pace, Policy, Ratio, Seed, Shuffle, Walk,
};
use failover_core::testing::laws;
use failover_core::time::Time;

const DRAWS: usize = 100_000;
const SECOND: Duration = Duration::from_secs(1);
const MILLI: Duration = Duration::from_millis(1);
const CAP: Duration = Duration::from_secs(10);
const FIFTH: Ratio = Ratio::from_ppm(200_000);

mod jitters {
    use super::*;

    #[test]
    fn each_kind_draws_the_uniform_that_its_formula_says() {
        let four = 4 * SECOND;
        let check = |jitter, low, high| {
            let policy = paced(Backoff::Constant(four), jitter);
            check_uniform(&draws(&policy, Security::Plain), low, high);
        };
        check(Jitter::UpTo(SECOND), 4.0, 5.0);
        check(Jitter::Proportional(FIFTH), 3.2, 4.8);
        check(Jitter::Full, 0.0, 4.0);
        check(Jitter::Equal, 2.0, 4.0);
    }

    #[test]
    fn at_the_cap_each_kind_draws_its_whole_width_below_the_cap() {
        let check = |jitter, low| {
            let policy = paced(growing(), jitter);
            let at_cap: Vec<f64> = policy
                .waits(Seed::new(3), Security::Plain)
                .skip(10)
                .take(DRAWS)
                .map(|wait| wait.as_secs_f64())
                .collect();
            check_uniform(&at_cap, low, 10.0);
        };
        check(Jitter::UpTo(SECOND), 9.0);
        check(Jitter::Proportional(FIFTH), 10.0 * 0.8 / 1.2);
        check(Jitter::Full, 0.0);
        check(Jitter::Equal, 5.0);
    }

    #[test]
    fn at_the_cap_clients_differ_by_nearly_the_whole_width_of_each_kind() {
        let check = |jitter, width: Duration| {
            let policy = paced(growing(), jitter);
            let client = |seed| {
                let mut waits = policy.waits(Seed::new(seed), Security::Plain);
                move |_| waits.next_wait()
            };
            assert_eq!(
                laws::l03_spread(&laws::at_attempt(30, client), width * 9 / 10),
                Ok(())
            );
            assert_eq!(laws::l05_series(client, 30), Ok(()));
        };
        check(Jitter::UpTo(MILLI), MILLI);
        check(Jitter::UpTo(SECOND), SECOND);
        check(Jitter::Proportional(FIFTH), CAP / 3);
        check(Jitter::Full, CAP);
        check(Jitter::Equal, CAP / 2);
    }

    #[test]
    fn no_jitter_is_the_law_itself() {
        let policy = paced(growing(), Jitter::None);
        let waits = policy.waits(Seed::new(1), Security::Plain);
        for (attempt, wait) in (1..=50).zip(waits) {
            assert_eq!(wait, growing().wait(attempt, CAP));
        }
    }

    #[test]
    fn successive_draws_know_nothing_of_each_other() {
        let policy = paced(Backoff::Constant(CAP), Jitter::Full);
        let draws = draws(&policy, Security::Plain);
        let (n, mean) = (draws.len() as f64, mean(&draws));
        let variance = draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
        for lag in 1..=5 {
            let pairs = draws.iter().zip(&draws[lag..]);
            let product = pairs.map(|(x, y)| (x - mean) * (y - mean)).sum::<f64>() / n;
            let correlation = product / variance;
            assert!(correlation.abs() < 3.3 / n.sqrt(), "{lag}: {correlation}");
        }
    }

    #[test]
    fn a_tls_dial_draws_the_tls_jitter() {
        let policy = Policy::builder()
            .pace(Pace::new(Backoff::Constant(SECOND)).cap(CAP))
            .jitter(Jitter::UpTo(100 * MILLI))
            .tls_jitter(Jitter::UpTo(SECOND))
            .build()
            .unwrap();
        check_uniform(&draws(&policy, Security::Plain), 1.0, 1.1);
        check_uniform(&draws(&policy, Security::Tls), 1.0, 2.0);
    }
}

mod drawn_laws {
    use super::*;

    #[test]
    fn a_decorrelated_wait_is_uniform_between_the_base_and_thrice_the_one_before() {
        let base = 100 * MILLI;
        let policy = paced(Backoff::Decorrelated { base }, Jitter::None);
        let mut previous = base;
        let mut places = Vec::with_capacity(DRAWS);
        for wait in policy.waits(Seed::new(5), Security::Plain).take(DRAWS) {
            let most = CAP.min(3 * previous);
            assert!((base..=most).contains(&wait), "{wait:?} after {previous:?}");
            places.push((wait - base).as_secs_f64() / (most - base).as_secs_f64());
            previous = wait;
        }
        check_uniform(&places, 0.0, 1.0);
    }

    #[test]
    fn the_first_decorrelated_wait_differs_between_clients_up_to_thrice_the_base() {
        let policy = paced(Backoff::Decorrelated { base: SECOND }, Jitter::None);
        let first = |seed| policy.waits(Seed::new(seed), Security::Plain).next_wait();
        let firsts: Vec<f64> = (0..10_000).map(|seed| first(seed).as_secs_f64()).collect();
        check_uniform(&firsts, 1.0, 3.0);
    }

    #[test]
    fn decorrelated_clients_do_not_meet_at_the_cap() {
        let policy = paced(Backoff::Decorrelated { base: SECOND }, Jitter::None);
        let client = |seed| {
            let mut waits = policy.waits(Seed::new(seed), Security::Plain);
            move |_| waits.next_wait()
        };
        assert_eq!(
            laws::l03_spread(&laws::at_attempt(100, client), CAP / 2),
            Ok(())
        );
    }

    #[test]
    fn every_attempt_of_a_phase_ladder_is_uniform_in_its_tile() {
        let policy = ladder();
        check_tiles(&policy, Security::Plain, 1.25);
        check_tiles(&policy, Security::Tls, 2.5);
    }

    #[test]
    fn the_tiles_of_a_phase_ladder_touch_and_arrivals_are_flat() {
        // From 8.75 s on, every client knocks once in any 10 s.
        let policy = ladder();
        let clients = DRAWS as u64;
        let mut bins = [0_u64; 100];
        for seed in 0..clients {
            let arrivals = arrivals(&policy, Security::Plain, seed);
            for at in arrivals.skip_while(|at| *at < 8.75).take(5) {
                bins[((at - 8.75) * 2.0) as usize % 100] += 1;
            }
        }
        for tile in bins.chunks(20) {
            check_chi_square(tile, &[1; 20], 43.82);
        }
        let peak = *bins.iter().max().unwrap() as f64;
        assert!(peak / (clients as f64 / 20.0) < 1.06, "{peak}");
    }

    #[test]
    fn clients_of_a_phase_ladder_differ_in_the_times_of_their_attempts() {
        let policy = ladder();
        let client = |seed| {
            let mut waits = policy.waits(Seed::new(seed), Security::Plain);
            let mut time = Duration::ZERO;
            move |_| {
                time += waits.next_wait();
                time
            }
        };
        assert_eq!(
            laws::l03_spread(&laws::at_attempt(1000, client), CAP * 9 / 10),
            Ok(())
        );
    }

    fn check_tiles(policy: &Policy, security: Security, spread: f64) {
        let mut times = vec![Vec::new(); 7];
        for seed in 0..DRAWS as u64 {
            for (attempt, at) in arrivals(policy, security, seed).take(7).enumerate() {
                times[attempt].push(at);
            }
        }
        let (mut start, mut width) = (0.0, spread);
        for tile in times {
            check_uniform(&tile, start, start + width);
            start += width;
            width = (2.0 * width).min(CAP.as_secs_f64());
        }
    }

    /// When one client knocks, in seconds since the outage began.
    fn arrivals(policy: &Policy, security: Security, seed: u64) -> impl Iterator<Item = f64> {
        let waits = policy.waits(Seed::new(seed), security);
        waits.scan(Duration::ZERO, |time, wait| {
            *time += wait;
            Some(time.as_secs_f64())
        })
    }

    fn ladder() -> Policy {
        let spread = 1250 * MILLI;
        let tls_spread = 2 * spread;
        paced(Backoff::PhaseLadder { spread, tls_spread }, Jitter::None)
    }
}

mod shuffles {
    use super::*;

    /// Endpoints, orders of them, and the limits for the orders and for the first place.
    const SIZES: [(u32, usize, f64, f64); 3] = [
        (2, 2, 10.83, 10.83),
        (3, 6, 20.52, 13.82),
        (4, 24, 49.73, 16.27),
    ];

    #[test]
    fn the_first_sweep_takes_every_order_equally_often() {
        for shuffle in [Shuffle::Once, Shuffle::EachSweep] {
            for (endpoints, orders, limit, limit_of_first) in SIZES {
                let policy = walking(Walk::Shuffled(shuffle));
                let mut sweeps = BTreeMap::new();
                let mut first = vec![0; endpoints as usize];
                for seed in 0..DRAWS as u64 {
                    let sweep = Client::start(&policy, traits(endpoints), seed).sweep(endpoints);
                    first[sweep[0] as usize] += 1;
                    *sweeps.entry(sweep).or_default() += 1;
                }
                assert_eq!(sweeps.len(), orders);
                let counts: Vec<u64> = sweeps.into_values().collect();
                check_chi_square(&counts, &vec![1; orders], limit);
                check_chi_square(&first, &vec![1; endpoints as usize], limit_of_first);
            }
        }
    }

    #[test]
    fn each_sweep_is_shuffled_whatever_the_one_before_was() {
        let policy = walking(Walk::Shuffled(Shuffle::EachSweep));
        let mut pairs = BTreeMap::new();
        for seed in 0..DRAWS as u64 {
            let mut client = Client::start(&policy, traits(3), seed);
            let pair = (client.sweep(3), client.sweep(3));
            *pairs.entry(pair).or_default() += 1;
        }
        assert_eq!(pairs.len(), 36);
        let counts: Vec<u64> = pairs.into_values().collect();
        check_chi_square(&counts, &[1; 36], 66.62);
    }

    #[test]
    fn shuffled_once_every_sweep_has_the_order_of_the_first() {
        let policy = walking(Walk::Shuffled(Shuffle::Once));
        for seed in 0..1000 {
            let mut client = Client::start(&policy, traits(4), seed);
            assert_eq!(client.sweep(4), client.sweep(4));
        }
    }

    #[test]
    fn shuffled_at_each_loss_the_next_server_is_any_of_the_others() {
        let policy = Arc::new(
            Policy::builder()
                .order(Order::new(Walk::Shuffled(Shuffle::EachLoss)).lost(Lost::TurnTaken))
                .build()
                .unwrap(),
        );
        let mut next = [0; 4];
        for seed in 0..DRAWS as u64 {
            let mut client = Client::start(&policy, traits(4), seed);
            assert_eq!(client.dialled, 0);
            client.connect_and_lose();
            next[client.dialled as usize] += 1;
        }
        assert_eq!(next[0], 0);
        check_chi_square(&next[1..], &[1; 3], 13.82);
    }
}

mod balance {
    use super::*;

    #[test]
    fn a_weighted_walk_dials_first_in_proportion_to_the_weights() {
        let weights = [1, 2, 7];
        let policy = walking(Walk::Weighted);
        let mut first = [0; 3];
        for seed in 0..DRAWS as u64 {
            let client = Client::start(&policy, weighted(weights), seed);
            first[client.dialled as usize] += 1;
        }
        check_chi_square(&first, &weights.map(u64::from), 13.82);
    }

    #[test]
    fn a_weighted_walk_goes_on_in_proportion_among_those_that_are_left() {
        let policy = walking(Walk::Weighted);
        let mut second = [0; 2];
        for seed in 0..DRAWS as u64 {
            let sweep = Client::start(&policy, weighted([1, 2, 7]), seed).sweep(3);
            if sweep[0] == 2 {
                second[sweep[1] as usize] += 1;
            }
        }
        check_chi_square(&second, &[1, 2], 10.83);
    }

    #[test]
    fn a_thousand_clients_spread_evenly_and_those_of_a_lost_server_over_the_others() {
        let policy = Arc::new(Policy::default());
        let mut counts = [0_u64; 3];
        let mut moved = [0_u64; 3];
        for seed in 0..1000 {
            let mut client = Client::start(&policy, traits(3), seed);
            counts[client.dialled as usize] += 1;
            if client.dialled == 0 {
                client.connect_and_lose();
                moved[client.dialled as usize] += 1;
            }
        }
        check_chi_square(&counts, &[1; 3], 13.82);
        assert_eq!(moved[0], 0);
        check_chi_square(&moved[1..], &[1; 2], 10.83);
    }
}

mod machines {
    use super::*;

    #[test]
    fn a_machine_waits_what_the_waits_of_its_policy_say() {
        for backoff in [growing(), Backoff::Decorrelated { base: SECOND }] {
            let policy = Policy::builder()
                .order(Order::new(Walk::Listed))
                .pace(Pace::new(backoff).every(Every::Attempt).cap(CAP))
                .jitter(Jitter::Equal)
                .build()
                .unwrap();
            let policy = Arc::new(policy);
            let mut client = Client::start(&policy, traits(1), 11);
            let expected = policy.waits(Seed::new(11), Security::Plain);
            for wait in expected.take(100) {
                let before = client.now;
                client.fail();
                assert_eq!(client.now.since(before), wait);
            }
        }
    }

    #[test]
    fn two_clients_with_seeds_of_their_own_wait_and_walk_differently() {
        let policy = walking(Walk::Shuffled(Shuffle::EachSweep));
        let trace = |seed| {
            let mut client = Client::start(&policy, traits(3), seed);
            let mut trace = Vec::new();
            for _ in 0..30 {
                trace.push((client.now.as_nanos(), client.dialled));
                client.fail();
            }
            trace
        };
        assert_eq!(trace(1), trace(1));
        let (one, other) = (trace(1), trace(2));
        assert!(one.iter().zip(&other).any(|(a, b)| a.0 != b.0));
        assert!(one.iter().zip(&other).any(|(a, b)| a.1 != b.1));
    }
}

mod yardsticks {
    use super::*;

    #[test]
    #[should_panic(expected = "quantile")]
    fn a_sum_of_two_uniforms_is_not_uniform() {
        let policy = paced(Backoff::Constant(SECOND), Jitter::Full);
        let draws = draws(&policy, Security::Plain);
        let sums: Vec<f64> = draws.chunks(2).map(|pair| pair.iter().sum()).collect();
        check_uniform(&sums, 0.0, 2.0);
    }

    #[test]
    #[should_panic(expected = "of 10.83")]
    fn a_place_taken_one_time_in_fifty_too_often_is_not_even() {
        check_chi_square(&[51_000, 49_000], &[1; 2], 10.83);
    }
}

/// A machine in a world where time passes at once.
struct Client {
    machine: Machine,
    out: Outbox,
    now: Time,
    /// The last dial.
    attempt: AttemptId,
    dialled: u32,
}

impl Client {
    fn start(policy: &Arc<Policy>, endpoints: Vec<Traits>, seed: u64) -> Self {
        let mut client = Self {
            machine: Machine::new(Arc::clone(policy), endpoints, Seed::new(seed)),
            out: Outbox::default(),
            now: Time::ZERO,
            attempt: AttemptId::new(0),
            dialled: u32::MAX,
        };
        client.until_dialled(Input::Start);
        client
    }

    /// Whom it dials in the next `n` dials, all of which fail.
    fn sweep(&mut self, n: u32) -> Vec<u32> {
        (0..n)
            .map(|_| {
                let dialled = self.dialled;
                self.fail();
                dialled
            })
            .collect()
    }

    fn fail(&mut self) {
        let (attempt, failure) = (self.attempt, Failure::new(Kind::Refused));
        self.until_dialled(Input::Failed { attempt, failure });
    }

    /// The dial succeeds, the connection proves stable and is lost.
    fn connect_and_lose(&mut self) {
        let attempt = self.attempt;
        self.input(Input::Connected { attempt });
        self.out.drain();
        self.now = self.now + 60 * SECOND;
        self.until_dialled(Input::Lost {
            attempt,
            failure: Failure::new(Kind::Reset),
            verdict: Verdict::AsPolicy,
        });
    }

    fn until_dialled(&mut self, input: Input) {
        self.input(input);
        while let Status::Waiting { until, .. } = self.machine.status() {
            self.now = until;
            self.input(Input::Wake);
        }
        let dial = self.out.drain().find_map(|output| match output {
            Output::Dial(order) => Some(order),
            _ => None,
        });
        let order = dial.unwrap_or_else(|| panic!("no dial: {:?}", self.machine.status()));
        self.attempt = order.attempt;
        self.dialled = order.endpoint.number();
    }

    fn input(&mut self, input: Input) {
        self.machine
            .handle(input, &mut NoHooks, &mut self.out, self.now);
    }
}

fn draws(policy: &Policy, security: Security) -> Vec<f64> {
    let waits = policy.waits(Seed::new(2), security).take(DRAWS);
    waits.map(|wait| wait.as_secs_f64()).collect()
}

/// Mean, quantiles and Kolmogorov–Smirnov distance of a sample from the uniform of `low..high`.
#[track_caller]
fn check_uniform(sample: &[f64], low: f64, high: f64) {
    let n = sample.len() as f64;
    let mut places: Vec<f64> = sample.iter().map(|x| (x - low) / (high - low)).collect();
    places.sort_by(f64::total_cmp);
    // Nanoseconds are whole: an end may be met, but not passed by more than one of them.
    let nano = 2e-9 / (high - low);
    assert!(places[0] >= -nano && places[places.len() - 1] <= 1.0 + nano);

    let off_mean = (mean(&places) - 0.5).abs() * (12.0 * n).sqrt();
    assert!(off_mean < 3.3, "the mean is {off_mean} deviations off");
    for q in [0.01, 0.1, 0.5, 0.9, 0.99] {
        let off = (places[(q * n) as usize] - q).abs() * (n / (q * (1.0 - q))).sqrt();
        assert!(off < 3.8, "the {q} quantile is {off} deviations off");
    }
    let distance = places.iter().enumerate().fold(0.0_f64, |most, (rank, x)| {
        let (before, after) = (rank as f64 / n, (rank + 1) as f64 / n);
        most.max(x - before).max(after - x)
    });
    let ks = distance * n.sqrt();
    assert!(ks < 1.95, "Kolmogorov–Smirnov: {ks}");
}

/// The counts are in proportion to the weights.
#[track_caller]
fn check_chi_square(counts: &[u64], weights: &[u64], limit: f64) {
    let total: u64 = counts.iter().sum();
    let weight: u64 = weights.iter().sum();
    let chi_square: f64 = counts
        .iter()
        .zip(weights)
        .map(|(&count, &share)| {
            let expected = total as f64 * share as f64 / weight as f64;
            (count as f64 - expected).powi(2) / expected
        })
        .sum();
    assert!(chi_square < limit, "{chi_square} of {limit}: {counts:?}");
}

fn mean(sample: &[f64]) -> f64 {
    sample.iter().sum::<f64>() / sample.len() as f64
}

fn paced(backoff: Backoff, jitter: Jitter) -> Policy {
    Policy::builder()
        .pace(Pace::new(backoff).cap(CAP))
        .jitter(jitter)
        .build()
        .unwrap()
}

fn walking(walk: Walk) -> Arc<Policy> {
    Arc::new(Policy::builder().order(Order::new(walk)).build().unwrap())
}

fn growing() -> Backoff {
    Backoff::Exponential {
        base: SECOND,
        factor: Ratio::TWO,
    }
}

fn traits(n: u32) -> Vec<Traits> {
    let endpoint = |n| Traits::new(EndpointId::new(n)).route(Security::Plain);
    (0..n).map(endpoint).collect()
}

fn weighted(weights: [u16; 3]) -> Vec<Traits> {
    let endpoints = traits(3).into_iter().zip(weights);
    endpoints.map(|(to, weight)| to.weight(weight)).collect()
}
