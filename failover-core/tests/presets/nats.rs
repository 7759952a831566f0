use super::*;

/// A rotation with one wait per sweep; a loss is the lost server's turn.
struct Model {
    options: Nats,
    failures: Vec<i64>,
    gone: Vec<bool>,
    at: usize,
    /// Dials before the next wait.
    free: usize,
    connected: bool,
}

impl Model {
    fn next(&mut self) -> Option<Step> {
        let n = self.failures.len();
        let next = (1..=n)
            .map(|step| (self.at + step) % n)
            .find(|&next| !self.gone[next])?;
        self.at = next;
        let wait = match self.free {
            0 => {
                self.free = self.gone.iter().filter(|gone| !**gone).count();
                millis(self.options.reconnect_wait)
            }
            _ => 0,
        };
        self.free -= 1;
        Some((next, wait))
    }

    fn most(&self) -> i64 {
        self.options.max_reconnect
    }
}

impl System for Model {
    fn first(&mut self) -> Option<Step> {
        self.free = self.failures.len() - 1;
        Some((0, 0))
    }

    fn failed(&mut self) -> Option<Step> {
        self.failures[self.at] += 1;
        if !self.connected && !self.options.retry_on_failed_connect {
            return match self.free {
                0 => None,
                _ => self.next(),
            };
        }
        if self.most() >= 0 && self.failures[self.at] >= self.most() {
            self.gone[self.at] = true;
        }
        self.next()
    }

    fn lost(&mut self) -> Option<Step> {
        self.connected = true;
        if !self.options.allow_reconnect {
            return None;
        }
        self.failures[self.at] = 0;
        // The stated difference: who left the pool comes back with the next outage.
        for (failures, gone) in self.failures.iter_mut().zip(&mut self.gone) {
            if std::mem::take(gone) {
                *failures = 0;
            }
        }
        self.free = self.failures.len() - 1;
        self.next()
    }
}

#[test]
fn order_and_delays_are_those_of_its_rules() {
    for servers in 1..=4 {
        for wait in [0, 100, 2_000] {
            for max_reconnect in [-1, 1, 2, 5, 60] {
                for allow_reconnect in [true, false] {
                    for retry_on_failed_connect in [true, false] {
                        let options = Nats {
                            no_randomize: true,
                            reconnect_wait: wait * MS,
                            reconnect_jitter: Duration::ZERO,
                            reconnect_jitter_tls: Duration::ZERO,
                            max_reconnect,
                            allow_reconnect,
                            retry_on_failed_connect: retry_on_failed_connect && allow_reconnect,
                            ..Nats::default()
                        };
                        let model = || Model {
                            options: options.clone(),
                            failures: vec![0; servers],
                            gone: vec![false; servers],
                            at: 0,
                            free: 0,
                            connected: false,
                        };
                        let preset = options.preset().unwrap();
                        compare(&preset, servers, model, &format!("{options:?}"));
                    }
                }
            }
        }
    }
}

#[test]
fn max_reconnect_zero_means_every_other_server_once() {
    let options = Nats {
        max_reconnect: 0,
        no_randomize: true,
        ..Nats::default()
    };
    let mut rig = Rig::new(3, &options.preset().unwrap().policy);
    rig.start();
    rig.accept();
    assert_eq!(rig.lose(RESET), Some((1, 0)));
    assert_eq!(rig.fail(REFUSED), Some((2, 0)));
    assert_eq!(rig.fail(REFUSED), None);
    assert!(rig.closed().is_some());
}

#[test]
fn the_wait_carries_the_jitter_of_the_server_dialled() {
    let policy = Nats::default().preset().unwrap().policy;
    for (security, most) in [(Security::Plain, 2_100), (Security::Tls, 3_000)] {
        let waits: Vec<u64> = policy
            .waits(Seed::new(1), security)
            .take(1_000)
            .map(millis)
            .collect();
        let (low, high) = (waits.iter().min(), waits.iter().max());
        assert!(
            low >= Some(&2_000) && high <= Some(&most),
            "{low:?}..{high:?}"
        );
        assert!(high > Some(&(most - (most - 2_000) / 50)));
    }
}

#[test]
fn the_second_refusal_of_a_login_benches_that_server_and_no_other() {
    let options = Nats {
        no_randomize: true,
        ..Nats::default()
    };
    let mut rig = Rig::new(2, &options.preset().unwrap().policy);
    rig.start();
    rig.accept();
    rig.lose(RESET);
    let auth = Failure::new(Kind::Auth).scope(Scope::Endpoint);
    assert_eq!(rig.fail(auth).unwrap().0, 0);
    assert_eq!(rig.fail(REFUSED), Some((1, 0)));
    for _ in 0..5 {
        assert_eq!(rig.fail_at(1, auth, REFUSED).unwrap().0, 0);
    }
    assert_eq!(rig.closed(), None);
}

#[test]
fn its_link_pings_and_buffers() {
    let link = Nats::default().preset().unwrap().link;
    let bytes = 8 * 1024 * 1024;
    let expected = LinkPolicy::OFF
        .heartbeat(Heartbeat::NATS)
        .outbox(Outbox::Keep { bytes });
    assert_eq!(link, expected);
    let off = Nats {
        ping_interval: Duration::ZERO,
        reconnect_buf_size: -1,
        custom_reconnect_delay: CustomDelay::Unbounded,
        ..Nats::default()
    };
    assert_eq!(off.preset().unwrap().link, LinkPolicy::OFF);
}
