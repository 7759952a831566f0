use super::*;

/// Passes over the list; the server lost last goes last.
struct Model {
    options: ActiveMq,
    servers: usize,
    pass: Vec<usize>,
    at: usize,
    passes: i64,
    connected: bool,
    lost: Option<usize>,
}

impl Model {
    fn wait(&self, failed_passes: i64) -> u64 {
        let initial = millis(self.options.initial_reconnect_delay);
        let most = millis(self.options.max_reconnect_delay);
        let m = f64::from(self.options.back_off_multiplier.ppm()) / 1e6;
        if !self.options.use_exponential_back_off {
            return initial.min(most);
        }
        let mut wait = initial.min(most) as f64;
        for _ in 1..failed_passes {
            wait = (wait * m).min(most as f64);
        }
        wait.round() as u64
    }

    fn begin(&mut self) -> usize {
        self.pass = (0..self.servers)
            .filter(|&server| Some(server) != self.lost)
            .collect();
        self.pass.extend(self.lost);
        self.pass.reverse();
        self.at = self.pass.pop().unwrap();
        self.at
    }

    fn limit(&self) -> i64 {
        let startup = self.options.startup_max_reconnect_attempts;
        match self.connected {
            false if startup >= 0 => startup.max(1),
            false if self.options.max_reconnect_attempts == 0 => 1,
            _ => self.options.max_reconnect_attempts,
        }
    }
}

impl System for Model {
    fn first(&mut self) -> Option<Step> {
        Some((self.begin(), 0))
    }

    fn failed(&mut self) -> Option<Step> {
        if let Some(next) = self.pass.pop() {
            self.at = next;
            return Some((next, 0));
        }
        self.passes += 1;
        if self.limit() >= 0 && self.passes >= self.limit() {
            return None;
        }
        Some((self.begin(), self.wait(self.passes)))
    }

    fn lost(&mut self) -> Option<Step> {
        self.connected = true;
        self.passes = 0;
        self.lost = Some(self.at);
        if self.limit() == 0 {
            return None;
        }
        Some((self.begin(), self.wait(1)))
    }
}

#[test]
fn order_and_delays_are_those_of_its_rules() {
    for servers in 1..=4 {
        for (initial, most) in [(10, 30_000), (5, 90), (0, 10), (700, 100)] {
            for multiplier in [1_000_000, 1_500_000, 2_000_000] {
                for limit in [-1, 0, 1, 4] {
                    for startup in [-1, 0, 2] {
                        for use_exponential_back_off in [true, false] {
                            let options = ActiveMq {
                                initial_reconnect_delay: initial * MS,
                                max_reconnect_delay: most * MS,
                                back_off_multiplier: Ratio::from_ppm(multiplier),
                                use_exponential_back_off,
                                max_reconnect_attempts: limit,
                                startup_max_reconnect_attempts: startup,
                                randomize: false,
                                ..ActiveMq::default()
                            };
                            let model = || Model {
                                options: options.clone(),
                                servers,
                                pass: vec![],
                                at: 0,
                                passes: 0,
                                connected: false,
                                lost: None,
                            };
                            let preset = options.preset().unwrap();
                            compare(&preset, servers, model, &format!("{options:?}"));
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn each_pass_is_shuffled_anew_and_the_lost_server_is_last() {
    let policy = ActiveMq::default().preset().unwrap().policy;
    let mut rig = Rig::new(4, &policy);
    rig.start();
    let lost = rig.accept();
    let mut dialled = vec![rig.lose(RESET).unwrap().0];
    dialled.extend((1..200).map(|_| rig.fail(REFUSED).unwrap().0));
    let mut orders = std::collections::BTreeSet::new();
    for pass in dialled.chunks(4) {
        assert_eq!(pass[3], lost);
        let mut sorted = pass.to_vec();
        sorted.sort_unstable();
        assert_eq!(sorted, [0, 1, 2, 3]);
        orders.insert(pass.to_vec());
    }
    assert_eq!(orders.len(), 6, "every order of the other three comes up");
}

#[test]
fn backups_priority_and_tracking_are_said_in_our_words() {
    let options = ActiveMq {
        backup_pool_size: 2,
        priority_backup: true,
        max_cache_size: 131_072,
        timeout: Some(3 * SECOND),
        ..ActiveMq::default()
    };
    let Preset { policy, link } = options.preset().unwrap();
    assert_eq!(policy.standing().spares, 2);
    assert!(policy.standing().failback.is_some());
    let most = Some(3 * SECOND);
    let expected = LinkPolicy::OFF
        .outbox(Outbox::Wait { most })
        .replay(Replay::Bytes(131_072));
    assert_eq!(link, expected);
}
