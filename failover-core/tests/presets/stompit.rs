use super::*;

/// A fixed rotation; each server waits by its own failures in a row.
struct Model {
    options: Stompit,
    failures: Vec<i64>,
    dropped: Vec<bool>,
    at: usize,
}

impl Model {
    fn delay(&self, server: usize) -> u64 {
        let k = self.failures[server];
        let initial = millis(self.options.initial_reconnect_delay);
        let most = millis(self.options.max_reconnect_delay);
        let exponent = f64::from(self.options.reconnect_delay_exponent.ppm()) / 1e6;
        if k == 0 {
            return 0;
        }
        if !self.options.use_exponential_back_off {
            return initial.min(most);
        }
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        let grown = initial as f64 * (exponent.powf(k as f64) - 1.0);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "small numbers"
        )]
        let grown = grown.min(1e15).round() as u64;
        grown.min(most)
    }

    fn after(&mut self, server: usize) -> Option<Step> {
        let n = self.failures.len();
        let next = (1..=n)
            .map(|step| (server + step) % n)
            .find(|&next| !self.dropped[next])?;
        self.at = next;
        Some((next, self.delay(next)))
    }
}

impl System for Model {
    fn first(&mut self) -> Option<Step> {
        Some((0, 0))
    }

    fn failed(&mut self) -> Option<Step> {
        let at = self.at;
        self.failures[at] += 1;
        let most = self.options.max_reconnects;
        self.dropped[at] = most >= 0 && self.failures[at] >= most.max(1);
        self.after(at)
    }

    fn lost(&mut self) -> Option<Step> {
        self.failures[self.at] = 0;
        // The stated difference: who was dropped comes back with the next outage.
        for (failures, dropped) in self.failures.iter_mut().zip(&mut self.dropped) {
            if std::mem::take(dropped) {
                *failures = 0;
            }
        }
        self.after(self.at)
    }
}

#[test]
fn order_and_delays_are_those_of_its_rules() {
    for servers in 1..=4 {
        for (initial, most) in [(10, 30_000), (5, 100), (0, 1_000), (250, 250), (500, 100)] {
            for exponent in [1_000_000, 1_500_000, 2_000_000, 3_000_000] {
                for max_reconnects in [-1, 0, 1, 3] {
                    for use_exponential_back_off in [true, false] {
                        let options = Stompit {
                            initial_reconnect_delay: initial * MS,
                            max_reconnect_delay: most * MS,
                            reconnect_delay_exponent: Ratio::from_ppm(exponent),
                            use_exponential_back_off,
                            max_reconnects,
                            randomize: false,
                            ..Stompit::default()
                        };
                        let preset = options.preset().unwrap();
                        let model = || Model {
                            options: options.clone(),
                            failures: vec![0; servers],
                            dropped: vec![false; servers],
                            at: 0,
                        };
                        compare(&preset, servers, model, &format!("{options:?}"));
                    }
                }
            }
        }
    }
}

#[test]
fn the_series_of_one_server_is_the_documented_one() {
    let mut rig = Rig::new(1, &Stompit::default().preset().unwrap().policy);
    rig.start();
    let waits: Vec<u64> = (0..14).map(|_| rig.fail(REFUSED).unwrap().1).collect();
    assert_eq!(
        waits,
        [
            10, 30, 70, 150, 310, 630, 1270, 2550, 5110, 10_230, 20_470, 30_000, 30_000, 30_000
        ]
    );
}

#[test]
fn a_shuffled_list_is_walked_in_one_order_for_the_whole_run() {
    let policy = Stompit::default().preset().unwrap().policy;
    let mut orders = std::collections::BTreeSet::new();
    for seed in 0..60 {
        let mut rig = Rig::seeded(3, &policy, seed);
        let mut order = vec![rig.start().unwrap().0];
        for _ in 0..29 {
            order.push(rig.fail(REFUSED).unwrap().0);
        }
        assert!(order.chunks(3).all(|pass| pass == &order[..3]));
        orders.insert(order[..3].to_vec());
    }
    assert_eq!(orders.len(), 6, "every order comes up");
}

#[test]
fn a_server_that_refuses_the_login_is_dropped_for_the_run() {
    let options = Stompit {
        randomize: false,
        ..Stompit::default()
    };
    let mut rig = Rig::new(3, &options.preset().unwrap().policy);
    rig.start();
    let auth = Failure::new(Kind::Auth).scope(Scope::Endpoint);
    assert_eq!(rig.fail(auth).unwrap().0, 1);
    for expected in [2, 1, 2, 1] {
        assert_eq!(rig.fail(REFUSED).unwrap().0, expected);
    }
    rig.accept();
    assert_eq!(rig.lose(RESET).unwrap().0, 2);
    assert_eq!(rig.fail(REFUSED).unwrap().0, 1);
}

#[test]
fn accept_and_drop_is_bounded_by_the_floor() {
    let mut rig = Rig::new(1, &Stompit::default().preset().unwrap().policy);
    rig.took = Duration::ZERO;
    rig.lived = Duration::ZERO;
    rig.start();
    for _ in 0..100 {
        rig.accept();
        rig.lose(RESET);
    }
    assert!(rig.now.since(Time::ZERO) >= 100 * MS);
}

#[test]
fn an_exponent_below_one_is_refused() {
    let options = Stompit {
        reconnect_delay_exponent: Ratio::from_ppm(500_000),
        ..Stompit::default()
    };
    assert!(options.preset().is_err());
}
