use super::*;

/// The states of the endpoints, and the first that is ready.
struct Model {
    options: Synapse,
    servers: Vec<State>,
    at: usize,
}

#[derive(Clone)]
struct State {
    next: u64,
    suspended: bool,
    remaining: i32,
    series: u32,
}

impl Model {
    fn fresh(options: &Synapse) -> State {
        State {
            next: 0,
            suspended: false,
            remaining: i32::from(options.retries_before_suspension),
            series: 0,
        }
    }

    fn book(&mut self, now: u64, code: u32) {
        let options = &self.options;
        let of = |codes: &[SynapseCode]| codes.iter().any(|c| c.number() == code);
        let state = &mut self.servers[self.at];
        let marked = of(&options.mark_codes);
        if marked && state.remaining > 0 && !state.suspended {
            state.remaining -= 1;
            state.next = now + millis(options.retry_delay);
        } else if marked || options.suspend_codes.as_deref().is_none_or(of) {
            let factor = f64::from(options.progression_factor.ppm()) / 1e6;
            let most = options.maximum_duration.map_or(u64::MAX, millis);
            let initial = millis(options.initial_duration);
            let mut rest = initial.min(most);
            for _ in 0..state.series {
                rest = ((rest as f64 * factor).round() as u64).min(most);
            }
            state.series += 1;
            state.suspended = true;
            state.next = now + rest;
        }
    }

    fn choose(&mut self, now: u64) -> Step {
        let soonest = self.servers.iter().map(|state| state.next).min().unwrap();
        let ready = soonest.max(now);
        self.at = self
            .servers
            .iter()
            .position(|state| state.next <= ready)
            .unwrap();
        (self.at, ready - now)
    }
}

const CODES: [u32; 8] = [
    101_503, 101_504, 101_505, 101_500, 101_506, 101_507, 101_508, 101_001,
];

fn check(options: &Synapse, servers: usize, salt: u64) {
    let mut model = Model {
        options: options.clone(),
        servers: vec![Model::fresh(options); servers],
        at: 0,
    };
    let mut rig = Rig::new(servers, &options.preset().unwrap().policy);
    assert_eq!(rig.start(), Some((0, 0)));
    let mut dice = salt;
    for step in 0..80 {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let code = CODES[(dice >> 33) as usize % CODES.len()];
        let failure = Failure::new(Kind::Other).code(code);
        let next = match (dice >> 40) % 7 {
            0 => {
                rig.accept();
                model.servers[model.at] = Model::fresh(options);
                rig.lose(failure)
            }
            _ => rig.fail(failure),
        };
        let now = millis(rig.ended.since(Time::ZERO));
        model.book(now, code);
        let expected = Some(model.choose(now));
        assert_eq!(next, expected, "{options:?}, step {step}, code {code}");
    }
}

#[test]
fn order_and_delays_are_those_of_its_rules() {
    let codes = |codes: &[u32]| codes.iter().copied().map(SynapseCode::new).collect();
    for servers in 1..=3 {
        for (initial, factor, most) in [
            (30_000, 1_000_000, None),
            (1_000, 2_000_000, Some(64 * SECOND)),
            (100, 1_500_000, Some(300 * MS)),
            (5_000, 2_000_000, Some(SECOND)),
        ] {
            for (retries, delay) in [(0, 0), (3, 10), (2, 500)] {
                for mark in [
                    vec![],
                    vec![101_504, 101_505],
                    vec![101_504, 101_505, 101_500],
                ] {
                    for suspend in [None, Some(vec![101_503, 101_504, 101_505, 101_507])] {
                        let options = Synapse {
                            initial_duration: initial * MS,
                            progression_factor: Ratio::from_ppm(factor),
                            maximum_duration: most,
                            retries_before_suspension: retries,
                            retry_delay: delay * MS,
                            mark_codes: codes(&mark),
                            suspend_codes: suspend.map(|suspend: Vec<u32>| codes(&suspend)),
                            ..Synapse::default()
                        };
                        for salt in 1..4 {
                            check(&options, servers, salt);
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn the_first_example_marks_three_times_then_suspends() {
    let options = Synapse {
        mark_codes: [101_504, 101_505, 101_500].map(SynapseCode::new).into(),
        retries_before_suspension: 3,
        retry_delay: 10 * MS,
        initial_duration: SECOND,
        progression_factor: Ratio::TWO,
        maximum_duration: Some(64 * SECOND),
        timeout: Some((60 * SECOND, Late::Report)),
        ..Synapse::default()
    };
    let Preset { policy, link } = options.preset().unwrap();
    assert_eq!(
        link.reply,
        Reply::Within {
            deadline: 60 * SECOND,
            then: Late::Report
        }
    );
    let mut rig = Rig::new(1, &policy);
    rig.start();
    let timed_out = Failure::new(Kind::Stale).code(101_504);
    let waits: Vec<u64> = (0..11).map(|_| rig.fail(timed_out).unwrap().1).collect();
    assert_eq!(
        waits,
        [
            10, 10, 10, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 64_000, 64_000
        ]
    );
}

#[test]
fn a_group_for_balance_goes_on_to_the_next_that_is_ready() {
    let options = Synapse {
        group: SynapseGroup::LoadBalance,
        suspend_codes: Some(vec![]),
        ..Synapse::default()
    };
    let mut rig = Rig::new(3, &options.preset().unwrap().policy);
    rig.start();
    for expected in [1, 2, 0, 1, 2, 0] {
        assert_eq!(rig.fail(RESET), Some((expected, 0)));
    }
}

#[test]
fn a_static_group_goes_back_to_the_present_one_while_it_is_ready() {
    let options = Synapse {
        group: SynapseGroup::StaticFailover,
        retries_before_suspension: 5,
        ..Synapse::default()
    };
    let mut rig = Rig::new(2, &options.preset().unwrap().policy);
    rig.start();
    assert_eq!(rig.fail(RESET).unwrap().0, 1);
    assert_eq!(rig.accept(), 1);
    assert_eq!(rig.lose(Failure::new(Kind::Closed)), Some((1, 0)));
}

#[test]
fn codes_and_kinds_say_the_same() {
    let reactions = Synapse::default().reactions();
    for code in CODES {
        let by_code = reactions.to(&Failure::new(Kind::Other).code(code));
        for kind in SynapseCode::new(code).kinds() {
            assert_eq!(reactions.to(&Failure::new(*kind)), by_code, "{code}");
        }
    }
    assert_eq!(
        reactions.to(&Failure::new(Kind::Other)),
        Reaction::Suspend,
        "every other"
    );
}
