//! Each law sees a violation that was planted for it, and sees none where none is.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    missing_docs
)]

use std::time::Duration;

use failover_core::attempt::Role;
use failover_core::endpoint::{EndpointId, Security, Traits};
use failover_core::failure::{Failure, Kind};
use failover_core::machine::{Answer, CloseReason, DialOrder, Event, Input, Output, Status};
use failover_core::policy::{
    Backoff, CustomDelay, DelayAnswer, DelayAsked, DelayHook, Every, Failback, Jitter, Limit,
    Limits, Order, Pace, Policy, PolicyBuilder, Ratio, Resume, Seed, Standing, Walk,
};
use failover_core::sim::{Asked, Command, Meets, Step, Trace, Trick, Weather, World};
use failover_core::testing::laws;
use failover_core::time::Time;

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

mod in_a_backoff {
    use super::*;

    fn capped(n: u32) -> Duration {
        (10 * MS).saturating_mul(n).min(SECOND)
    }

    #[test]
    fn l01_sees_an_overflow() {
        let total = laws::l01_total(capped);
        assert_eq!(total, Ok(()));
        let overflows = laws::l01_total(|n| Duration::from_millis(10) * n.checked_pow(2).unwrap());
        assert_eq!(overflows.unwrap_err().at, 65_536);
    }

    #[test]
    fn l02_sees_a_wait_above_the_cap_and_one_below_the_least() {
        assert_eq!(laws::l02_bounds(capped, 10 * MS, SECOND), Ok(()));
        let above = laws::l02_bounds(|n| capped(n) + MS, 10 * MS, SECOND);
        assert_eq!(above.unwrap_err().at, 100);
        let below = laws::l02_bounds(capped, 11 * MS, SECOND);
        assert_eq!(below.unwrap_err().at, 1);
    }

    #[test]
    fn l01_sees_a_panic_at_the_last_number_and_tells_its_words() {
        let broken = laws::l01_total(|n| {
            assert!(n < u32::MAX, "planted");
            SECOND
        });
        let broken = broken.unwrap_err();
        assert_eq!((broken.law, broken.at), ("L1", u32::MAX as usize));
        assert_eq!(broken.what, "the backoff panicked: planted");
    }

    #[test]
    fn l03_sees_clients_that_meet_at_the_cap() {
        let jitter = |seed: u64| Duration::from_millis(10 * (seed + 1));
        let clamped = |seed: u64| move |n: u32| (jitter(seed) * n).min(10 * SECOND);
        assert_eq!(spread(1, clamped), Ok(()));
        assert_eq!(spread(1_000, clamped).unwrap_err().law, "L3");
        let half_clamped = |seed| move |_| (9_500 * MS + jitter(seed)).min(10 * SECOND);
        let crowd = spread(5, half_clamped).unwrap_err();
        assert_eq!(crowd.what, "51 of 100 clients wait 10s");
    }

    fn spread<B: FnMut(u32) -> Duration>(
        attempt: u32,
        client: impl FnMut(u64) -> B,
    ) -> Result<(), laws::Violation> {
        laws::l03_spread(&laws::at_attempt(attempt, client), SECOND / 10)
    }

    #[test]
    fn l05_sees_hidden_randomness_and_seeds_that_are_alike() {
        let mut hidden = 0;
        let unseeded = |_| {
            hidden += 1;
            let own = hidden;
            move |_| Duration::from_millis(own)
        };
        assert_eq!(laws::l05_series(unseeded, 3).unwrap_err().at, 1);
        let alike_from_64_on = |seed: u64| move |_| Duration::from_millis(seed % 64);
        let alike = laws::l05_series(alike_from_64_on, 3).unwrap_err();
        assert_eq!(alike.what, "seed 64 waits the series of seed 0");
    }

    #[test]
    fn l04_sees_a_law_that_shrinks_and_one_that_stops_below_the_cap() {
        assert_eq!(laws::l04_growth(capped, SECOND), Ok(()));
        let wraps = laws::l04_growth(|n| Duration::from_nanos(1_u64.wrapping_shl(n)), SECOND);
        assert_eq!(wraps.unwrap_err().at, 64);
        let truncates = laws::l04_growth(|_| MS, SECOND);
        assert!(truncates.unwrap_err().what.contains("never reached"));
    }

    #[test]
    fn l04_sees_a_decorrelated_draw_that_jumps() {
        let jumps = laws::l04_decorrelated(&[MS, 3 * MS, 10 * MS], MS, SECOND);
        assert_eq!(jumps.unwrap_err().at, 3);
        let steps = laws::l04_decorrelated(&[MS, 3 * MS, 9 * MS, MS], MS, SECOND);
        assert_eq!(steps, Ok(()));
    }
}

mod in_a_life {
    use super::*;

    #[test]
    fn l02_sees_a_wait_beyond_the_cap() {
        let policy = policy().pace(Pace::new(Backoff::Constant(SECOND)).cap(2 * SECOND));
        planted(laws::l02_waits, refused(policy), |trace| {
            let next = each_event(trace).find_map(|event| match event {
                Event::Attempt(ended) => ended.next.as_mut().filter(|next| next.wait == SECOND),
                _ => None,
            });
            next.unwrap().wait = 3 * SECOND;
        });
    }

    #[test]
    fn l05_sees_another_seed_and_another_output() {
        let shuffled = policy().jitter(Jitter::Full).order(Order::default());
        planted(laws::l05_replay, refused(shuffled), |trace| {
            trace.seed = Seed::new(99);
        });
        planted(laws::l05_replay, refused(policy()), |trace| {
            trace.steps.last_mut().unwrap().outputs.pop();
        });
    }

    #[test]
    fn l06_sees_the_plain_jitter_before_a_tls_dial() {
        // Disjoint: plain in 1..1.5 s, TLS in 0.5..1 s.
        let pace = Pace::new(Backoff::Constant(SECOND)).every(Every::Attempt);
        let policy = policy()
            .pace(pace)
            .jitter(Jitter::UpTo(SECOND / 2))
            .tls_jitter(Jitter::Equal);
        planted(laws::l06_tls, refused(policy), |trace| {
            let tls = trace.endpoints[1].id();
            let next = each_event(trace).find_map(|event| match event {
                Event::Attempt(ended) => ended.next.as_mut().filter(|next| next.endpoint == tls),
                _ => None,
            });
            next.unwrap().wait += SECOND / 2;
        });
    }

    #[test]
    fn l07_sees_a_machine_that_goes_on_and_one_that_gives_up_too_early() {
        let of = |most| {
            let limits = Limits::UNLIMITED.turns(Limit::AtMost(most));
            policy().start_up_limits(limits).build().unwrap().into()
        };
        planted(laws::l07_limits, refused(policy()), |trace| {
            trace.policy = of(3)
        });
        let five = Limits::UNLIMITED.turns(Limit::AtMost(5));
        planted(
            laws::l07_limits,
            refused(policy().start_up_limits(five)),
            |trace| {
                for step in &mut trace.steps {
                    if let Status::Closed(_) = step.status {
                        step.status = Status::Closed(CloseReason::Turns(6));
                    }
                }
            },
        );
    }

    #[test]
    fn l07_sees_who_counts_what_fails_in_a_resume_window_and_who_never_counts_after_it() {
        let limits = |most| Limits::UNLIMITED.turns(Limit::AtMost(most));
        planted(laws::l07_limits, resumed(limits(3)), |trace| {
            let in_window = |step: &&mut Step| {
                matches!(step.input, Input::Failed { .. })
                    && matches!(step.status, Status::Waiting { .. })
            };
            let failed = trace.steps.iter_mut().find(in_window).unwrap();
            failed.status = Status::Closed(CloseReason::Turns(3));
        });
        planted(laws::l07_limits, resumed(Limits::UNLIMITED), |trace| {
            let builder = trace.policy.to_builder().limits(limits(3));
            trace.policy = builder.build().unwrap().into();
        });
    }

    #[test]
    fn l07_sees_a_dial_after_the_limit_of_time_and_one_of_a_retired_endpoint() {
        let policy_of = |limits| policy().start_up_limits(limits).build().unwrap().into();
        planted(laws::l07_limits, refused(policy()), |trace| {
            trace.policy = policy_of(Limits::UNLIMITED.elapsed(2 * SECOND));
        });
        planted(laws::l07_limits, refused(policy()), |trace| {
            trace.policy = policy_of(Limits::UNLIMITED.per_endpoint(Limit::AtMost(1)));
        });
        planted(laws::l07_limits, refused(policy()), |trace| {
            trace.policy = policy_of(Limits::UNLIMITED.sweeps(Limit::AtMost(1)));
        });
    }

    #[test]
    fn l08_sees_two_dials_within_a_millisecond() {
        let fast = policy().pace(Pace::new(Backoff::Constant(Duration::ZERO)));
        planted(laws::l08_rate, refused(fast), |trace| {
            for step in &mut trace.steps {
                step.at = Time::from_nanos(step.at.as_nanos() / 2);
            }
        });
    }

    #[test]
    fn l09_sees_a_dial_of_a_removed_endpoint() {
        planted(laws::l09_eligibility, refused(policy()), |trace| {
            let gone = failover_core::machine::Change::Remove(EndpointId::new(0));
            trace.steps[0].input = Input::Change(gone);
        });
    }

    #[test]
    fn l08_sees_a_dial_too_soon_after_one_that_was_held_began() {
        planted(laws::l08_rate, held(), |trace| {
            let second = EndpointId::new(1);
            let mut dials = trace.dials().filter(|(_, order)| order.endpoint == second);
            let (_, held) = dials.next().unwrap();
            let (again, _) = dials.next().unwrap();
            drop(dials);
            let attempt = held.attempt;
            step_of(trace, Input::Begun { attempt }).at = again;
        });
    }

    #[test]
    fn l09_sees_a_dial_of_one_that_others_found_to_be_bad() {
        planted(laws::l09_eligibility, refused(policy()), |trace| {
            trace.steps[0].input = Input::Rests {
                endpoint: EndpointId::new(0),
                until: Time::MAX,
            };
        });
    }

    #[test]
    fn l09_sees_the_lost_server_dialled_again_and_again_after_its_session_is_gone() {
        planted(laws::l09_sweep, resumed(Limits::UNLIMITED), |trace| {
            let lost = |step: &&mut Step| matches!(step.input, Input::Lost { .. });
            let step = trace.steps.iter_mut().find(lost).unwrap();
            step.outputs.insert(1, Output::Event(Event::SessionGone));
        });
    }

    #[test]
    fn l12_sees_a_dial_that_is_held_twice() {
        planted(laws::l12_stale, held(), |trace| {
            let twice = |step: &&mut Step| {
                matches!(step.input, Input::Held { .. }) && step.answer == Answer::Stale
            };
            trace.steps.iter_mut().find(twice).unwrap().answer = Answer::Taken;
        });
    }

    #[test]
    fn l14_sees_a_dial_that_was_not_held_and_has_no_deadline() {
        planted(laws::l14_progress, held(), |trace| {
            let held = |step: &Step| matches!(step.input, Input::Held { .. });
            trace.steps.retain(|step| !held(step));
        });
    }

    #[test]
    fn l15_sees_a_session_that_is_gone_after_the_dial_elsewhere() {
        planted(laws::l15_grammar, resumed(Limits::UNLIMITED), |trace| {
            let gone = |output: &Output| *output == Output::Event(Event::SessionGone);
            let tells = |step: &&mut Step| step.outputs.iter().any(gone);
            trace
                .steps
                .iter_mut()
                .find(tells)
                .unwrap()
                .outputs
                .reverse();
        });
    }

    #[test]
    fn l16_sees_a_form_that_forgets_something_and_one_that_is_not_read() {
        let print = |wait: &Duration| wait.as_secs().to_string();
        let read = |text: &str| text.parse().map(Duration::from_secs);
        assert_eq!(laws::l16_round_trip(&SECOND, print, read), Ok(()));
        let forgets = laws::l16_round_trip(&MS, print, read).unwrap_err();
        assert_eq!(forgets.what, "1ms is read back as 0ns, from \"0\"");
        let word = |_: &Duration| "soon".to_string();
        let unread = laws::l16_round_trip(&SECOND, word, read).unwrap_err();
        assert!(
            unread
                .what
                .starts_with("1s is not read back, from \"soon\": ")
        );
    }

    #[test]
    fn l09_sees_a_sweep_that_leaves_somebody_out() {
        planted(laws::l09_sweep, refused(policy()), |trace| {
            let mut endpoints = trace.endpoints.to_vec();
            endpoints.push(Traits::new(EndpointId::new(3)).route(Security::Plain));
            trace.endpoints = endpoints.into();
        });
        planted(laws::l09_sweep, refused(policy()), |trace| {
            for order in each_dial(trace).skip(4).step_by(3) {
                order.endpoint = EndpointId::new(0);
            }
        });
    }

    #[test]
    fn l10_sees_failback_too_early_downward_or_to_nobody() {
        fn by(probes: u8) -> Failback {
            let failback = Failback::default().every(SECOND);
            failback.good_probes(probes).settle(SECOND)
        }
        fn of(failback: Failback) -> PolicyBuilder {
            policy().standing(Standing::default().failback(failback))
        }
        let gone_back = || {
            let weather = Weather::new(Meets::ACCEPT);
            let near = EndpointId::new(0);
            let weather = weather.endpoint(Time::ZERO, near, Meets::REFUSE).endpoint(
                Time::ZERO + 5 * SECOND,
                near,
                Meets::ACCEPT,
            );
            let endpoints = [0, 1].map(|tier| {
                Traits::new(EndpointId::new(tier.into()))
                    .route(Security::Plain)
                    .tier(tier)
            });
            let policy = of(by(3)).build().unwrap();
            lived(World::new(policy, endpoints, Seed::new(5), weather))
        };
        let planted = |tamper: fn(&mut Trace)| planted(laws::l10_failback, gone_back(), tamper);
        planted(|trace| trace.policy = of(by(4)).build().unwrap().into());
        planted(|trace| {
            trace.policy = of(by(3).settle(60 * SECOND)).build().unwrap().into();
        });
        planted(|trace| trace.policy = policy().build().unwrap().into());
        planted(|trace| {
            let same = trace.endpoints.iter().map(|traits| traits.tier(7));
            trace.endpoints = same.collect::<Vec<_>>().into();
        });
        planted(|trace| {
            let probe = each_event(trace).find_map(|event| match event {
                Event::Attempt(ended) => Some(ended)
                    .filter(|ended| ended.order.role == Role::Probe && ended.outcome.is_ok()),
                _ => None,
            });
            probe.unwrap().outcome = Err(Failure::new(Kind::Refused));
        });
    }

    #[test]
    fn l11_sees_silence_at_close_a_second_closed_and_what_is_left_behind() {
        let closed = || {
            let mut world = world(policy(), Meets::Mute);
            world.command(Time::ZERO + MS, Command::Close);
            lived(world)
        };
        planted(laws::l11_close, closed(), |trace| {
            last_step(trace).outputs.pop();
        });
        planted(laws::l11_close, closed(), |trace| {
            let last = *last_step(trace).outputs.last().unwrap();
            last_step(trace).outputs.push(last);
        });
        planted(laws::l11_close, closed(), |trace| {
            last_step(trace).outputs.remove(1);
        });
    }

    #[test]
    fn l12_sees_a_late_report_that_is_believed_and_one_that_changes_something() {
        let bothered = || {
            let mut world = world(policy(), Meets::REFUSE);
            world.trick(Time::ZERO + 10 * MS, Trick::Stale);
            world.trick(Time::ZERO + 11 * MS, Trick::Wake);
            lived(world)
        };
        let stale = |step: &&mut Step| step.answer == Answer::Stale;
        planted(laws::l12_stale, bothered(), |trace| {
            trace.steps.iter_mut().find(stale).unwrap().answer = Answer::Taken;
        });
        planted(laws::l12_stale, bothered(), |trace| {
            trace.steps.iter_mut().find(stale).unwrap().wake = None;
        });
        planted(laws::l12_stale, bothered(), |trace| {
            let early = trace
                .steps
                .iter_mut()
                .find(|step| step.input == Input::Wake);
            early.unwrap().outputs.push(Output::Event(Event::Starved));
        });
    }

    #[test]
    fn l13_sees_a_hook_that_is_not_obeyed() {
        let pace = Pace::new(Backoff::Constant(SECOND)).custom(CustomDelay::Bounded);
        let hook = DelayHook(|_: &DelayAsked| DelayAnswer::Exactly(3 * SECOND));
        let hooked = || {
            let world = world(policy().pace(pace), Meets::REFUSE).with_hooks(Box::new(hook));
            lived(world)
        };
        let say = |seconds: u32| {
            move |trace: &mut Trace| {
                let asked = trace.steps.iter_mut().flat_map(|step| &mut step.asked);
                for asked in asked {
                    if let Asked::Delay(_, answer) = asked {
                        *answer = DelayAnswer::Exactly(seconds * SECOND);
                    }
                }
            }
        };
        planted(laws::l13_custom, hooked(), say(4));
        planted(laws::l13_custom, hooked(), say(2));
    }

    #[test]
    fn l14_sees_a_machine_that_sleeps_for_ever_and_one_that_spins() {
        planted(laws::l14_progress, refused(policy()), |trace| {
            let waits = |step: &&mut Step| matches!(step.status, Status::Waiting { .. });
            trace.steps.iter_mut().find(waits).unwrap().wake = None;
        });
        planted(laws::l14_progress, refused(policy()), |trace| {
            let woken = |step: &&mut Step| step.input == Input::Wake;
            let step = trace.steps.iter_mut().find(woken).unwrap();
            step.wake = Some(step.at);
        });
    }

    #[test]
    fn l15_sees_events_out_of_place_and_dials_whose_end_is_not_told() {
        let flapping = || lived(world(policy(), Meets::accept_and_drop(5 * MS)));
        planted(laws::l15_grammar, flapping(), |trace| {
            let down =
                |output: &Output| matches!(output, Output::Event(Event::Disconnected { .. }));
            for step in &mut trace.steps {
                step.outputs.retain(|output| !down(output));
            }
        });
        planted(laws::l15_grammar, flapping(), |trace| {
            let over = each_event(trace).find_map(|event| match event {
                Event::FailedOver { to, .. } => Some((*to, event)),
                _ => None,
            });
            let (to, event) = over.unwrap();
            *event = Event::Reconnected(to);
        });
        planted(laws::l15_grammar, refused(policy()), |trace| {
            let step = trace.steps.iter_mut().find(|step| step.outputs.len() > 1);
            let outputs = &mut step.unwrap().outputs;
            outputs.insert(0, outputs[0]);
        });
    }

    #[test]
    fn l02_sees_a_spare_that_is_dialled_again_too_soon() {
        let standing = Standing::default().spares(1);
        let mut world = world(policy().standing(standing), Meets::REFUSE);
        world.heal_partly(Weather::new(Meets::REFUSE).endpoint(
            Time::ZERO,
            EndpointId::new(0),
            Meets::ACCEPT,
        ));
        planted(laws::l02_beside, lived(world), |trace| {
            let dials = |step: &&mut Step| step.input == Input::Wake && !step.outputs.is_empty();
            let step = trace.steps.iter_mut().find(dials).unwrap();
            step.at = Time::from_nanos(step.at.as_nanos() - 1);
        });
    }

    #[test]
    fn l17_sees_a_spare_that_is_missing_and_a_better_tier_that_was_not_gone_back_to() {
        let failback = Failback::default().every(SECOND).settle(SECOND);
        let standing = Standing::default().spares(1).failback(failback);
        let endpoints = [0, 1].map(|n: u8| {
            let traits = Traits::new(EndpointId::new(n.into())).route(Security::Plain);
            traits.tier(n)
        });
        let weather = Weather::new(Meets::ACCEPT)
            .endpoint(Time::ZERO, EndpointId::new(0), Meets::REFUSE)
            .endpoint(Time::ZERO + SECOND, EndpointId::new(0), Meets::ACCEPT);
        let policy = policy().standing(standing).build().unwrap();
        let trace = lived(World::new(policy, endpoints, Seed::new(5), weather));
        let moved = |step: &Step| {
            let back = |output: &Output| matches!(output, Output::Event(Event::Moved { .. }));
            step.outputs.iter().any(back)
        };
        let at = trace.steps.iter().position(moved).unwrap();
        planted(laws::l17_standing, trace.clone(), |trace| {
            trace.steps.truncate(at);
        });
        planted(laws::l17_standing, trace, |trace| {
            trace.steps.truncate(at + 1);
        });
    }

    #[test]
    fn l17_sees_a_machine_that_comes_back_too_late_or_not_at_all() {
        let mut world = world(policy(), Meets::Mute);
        world.start();
        world.run_until(Time::ZERO + 10 * SECOND, 1_000);
        world.heal();
        let healed = world.now();
        world.run_until(Time::ZERO + 60 * SECOND, 1_000);
        let law = |trace: &Trace| laws::l17_recovery(trace, healed);
        planted(law, world.trace().clone(), |trace| {
            for step in &mut trace.steps {
                if let Status::Connected { .. } = step.status {
                    step.at = step.at + 1_000 * SECOND;
                }
            }
        });
        planted(law, world.into_trace(), |trace| {
            trace
                .steps
                .retain(|step| !matches!(step.status, Status::Connected { .. }));
        });
    }
}

/// The law holds, until somebody tampers with the trace.
fn planted(
    law: impl Fn(&Trace) -> Result<(), laws::Violation>,
    mut trace: Trace,
    tamper: impl FnOnce(&mut Trace),
) {
    assert_eq!(law(&trace), Ok(()), "{trace}");
    tamper(&mut trace);
    assert!(law(&trace).is_err(), "{trace}");
}

fn policy() -> PolicyBuilder {
    Policy::builder()
        .order(Order::new(Walk::Rotate))
        .pace(
            Pace::new(Backoff::Exponential {
                base: SECOND,
                factor: Ratio::TWO,
            })
            .cap(4 * SECOND),
        )
        .jitter(Jitter::None)
        .tls_jitter(Jitter::None)
        .deadline(SECOND)
}

/// Three endpoints, the second of them TLS.
fn world(policy: PolicyBuilder, meets: Meets) -> World {
    world_in(policy, Weather::new(meets))
}

fn world_in(policy: PolicyBuilder, weather: Weather) -> World {
    let endpoints = [Security::Plain, Security::Tls, Security::Plain];
    let endpoints: Vec<Traits> = (0..)
        .zip(endpoints)
        .map(|(n, security)| Traits::new(EndpointId::new(n)).route(security))
        .collect();
    let policy = policy.build().unwrap();
    World::new(policy, endpoints, Seed::new(5), weather)
}

fn lived(mut world: World) -> Trace {
    world.start();
    world.run_until(Time::ZERO + 30 * SECOND, 200);
    world.into_trace()
}

/// Every dial is refused after it waited for a permit.
fn held() -> Trace {
    let mut world = world(policy(), Meets::REFUSE);
    world.command(Time::ZERO, Command::Permits(SECOND / 2));
    world.trick(Time::ZERO + SECOND / 4, Trick::Stale);
    lived(world)
}

/// A connection that was lost, and a session that was not resumed.
fn resumed(limits: Limits) -> Trace {
    let resume = Resume::new(3 * SECOND, SECOND);
    let policy = policy().resume(resume).limits(limits);
    let weather = Weather::new(Meets::accept_and_drop(2 * MS));
    lived(world_in(
        policy,
        weather.everywhere(Time::ZERO + MS, Meets::REFUSE),
    ))
}

fn refused(policy: PolicyBuilder) -> Trace {
    lived(world(policy, Meets::REFUSE))
}

fn each_event(trace: &mut Trace) -> impl Iterator<Item = &mut Event> {
    let outputs = trace.steps.iter_mut().flat_map(|step| &mut step.outputs);
    outputs.filter_map(|output| match output {
        Output::Event(event) => Some(event),
        _ => None,
    })
}

fn each_dial(trace: &mut Trace) -> impl Iterator<Item = &mut DialOrder> {
    let outputs = trace.steps.iter_mut().flat_map(|step| &mut step.outputs);
    outputs.filter_map(|output| match output {
        Output::Dial(order) => Some(order),
        _ => None,
    })
}

fn step_of(trace: &mut Trace, input: Input) -> &mut Step {
    let mut steps = trace.steps.iter_mut();
    steps.find(|step| step.input == input).unwrap()
}

fn last_step(trace: &mut Trace) -> &mut Step {
    trace.steps.last_mut().unwrap()
}
