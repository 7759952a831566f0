//! Each preset against a small naive re-reading of its system's documented rules: who is dialled
//! next and after which wait, over long scripts of failures with successes in between.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    missing_docs
)]

use std::time::Duration;

use failover_core::attempt::AttemptId;
use failover_core::endpoint::{EndpointId, Security, Traits};
use failover_core::failure::{Failure, Kind, Scope};
use failover_core::heartbeat::Heartbeat;
use failover_core::link::{Late, LinkPolicy, Outbox, Replay, Reply};
use failover_core::machine::{
    Change, CloseReason, Event, Input, Machine, Outbox as Work, Output, Status, Verdict,
};
use failover_core::policy::{CustomDelay, NoHooks, Policy, Ratio, Reaction, Seed};
use failover_core::preset::{
    ActiveMq, DiffusionFailover, DiffusionReconnect, Nats, Preset, PresetName, Stompit, Synapse,
    SynapseCode, SynapseGroup,
};
use failover_core::testing::{Case, laws};
use failover_core::time::Time;

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const REFUSED: Failure = Failure::new(Kind::Refused);
const RESET: Failure = Failure::new(Kind::Reset);

#[test]
fn every_preset_is_found_by_its_name() {
    for name in PresetName::ALL {
        assert_eq!(name.to_string().parse(), Ok(name));
        let preset = name.preset().unwrap();
        assert_eq!(
            preset.policy.to_builder().build().unwrap(),
            preset.policy,
            "{name}"
        );
    }
    assert!("kafka".parse::<PresetName>().is_err());
}

mod stompit {
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
}

mod activemq {
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
}

mod nats {
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
}

mod diffusion {
    use super::*;

    #[test]
    fn reconnection_dials_the_same_server_every_interval_until_its_time_is_up() {
        for (timeout, interval) in [(60, 5), (60, 7), (10, 1), (300, 5)] {
            let options = DiffusionReconnect {
                timeout: timeout * SECOND,
                interval: interval * SECOND,
                ..DiffusionReconnect::default()
            };
            let mut rig = Rig::new(1, &options.preset().unwrap().policy);
            rig.took = Duration::ZERO;
            rig.start();
            for _ in 0..3 {
                rig.accept();
                let mut next = rig.lose(RESET);
                let mut elapsed = 0;
                for _ in 0..4 {
                    elapsed += u64::from(interval);
                    assert_eq!(next, Some((0, u64::from(interval) * 1_000)));
                    next = rig.fail(REFUSED);
                }
                assert!(elapsed < u64::from(timeout));
            }
            rig.accept();
            let mut dials = 0;
            let mut next = rig.lose(RESET);
            while next.is_some() {
                dials += 1;
                next = rig.fail(REFUSED);
            }
            assert_eq!(dials, (timeout - 1) / interval, "{timeout} {interval}");
            assert_eq!(rig.closed(), Some(CloseReason::Turns(1)));
            assert!(rig.events.contains(&Event::SessionGone));
        }
    }

    #[test]
    fn a_refusal_ends_the_session_and_so_does_a_close() {
        for kind in [Kind::Auth, Kind::Protocol, Kind::Closed] {
            let mut rig = Rig::new(1, &DiffusionReconnect::default().preset().unwrap().policy);
            rig.start();
            rig.accept();
            let failure = Failure::new(kind);
            assert_eq!(rig.lose(failure), None);
            assert_eq!(rig.closed(), Some(CloseReason::Fatal(failure)));
        }
    }

    #[test]
    fn the_first_connect_is_tried_as_often_as_its_retries_say() {
        for retry_attempts in 0..3 {
            let options = DiffusionReconnect {
                retry_attempts,
                retry_interval: SECOND,
                ..DiffusionReconnect::default()
            };
            let mut rig = Rig::new(1, &options.preset().unwrap().policy);
            rig.start();
            for _ in 0..retry_attempts {
                assert_eq!(rig.fail(REFUSED), Some((0, 1_000)));
            }
            assert_eq!(rig.fail(REFUSED), None);
            assert_eq!(
                rig.closed(),
                Some(CloseReason::Turns(retry_attempts + 1)),
                "{retry_attempts}"
            );
        }
    }

    #[test]
    fn without_reconnection_a_loss_closes() {
        let options = DiffusionReconnect {
            timeout: Duration::ZERO,
            ..DiffusionReconnect::default()
        };
        let mut rig = Rig::new(1, &options.preset().unwrap().policy);
        rig.start();
        rig.accept();
        assert_eq!(rig.lose(RESET), None);
    }

    #[test]
    fn failover_goes_to_the_next_of_the_list_after_each_loss() {
        for servers in 1..=4 {
            let policy = DiffusionFailover::default().preset().unwrap().policy;
            let mut rig = Rig::new(servers, &policy);
            rig.start();
            let mut at = rig.accept();
            for round in 0..40 {
                rig.lived = 20 * SECOND;
                let mut next = rig.lose(RESET).unwrap();
                for step in 0..=(round % servers) {
                    at = (at + 1) % servers;
                    assert_eq!(next.0, at);
                    assert!(next.1 == 0 || step % servers == 0 && step > 0);
                    if step < round % servers {
                        next = rig.fail(REFUSED).unwrap();
                    }
                }
                at = rig.accept();
            }
        }
    }

    #[test]
    fn with_load_balancing_any_server_may_be_next_the_lost_one_too() {
        let options = DiffusionFailover {
            load_balancing: true,
            ..DiffusionFailover::default()
        };
        let mut rig = Rig::new(3, &options.preset().unwrap().policy);
        rig.start();
        rig.lived = 20 * SECOND;
        let mut steps = std::collections::BTreeSet::new();
        for _ in 0..60 {
            let from = rig.accept();
            steps.insert((from, rig.lose(RESET).unwrap().0));
        }
        assert_eq!(steps.len(), 9);
    }

    #[test]
    fn without_cascading_the_first_connect_stays_with_the_first_server() {
        for (cascading, dialled) in [(true, vec![0, 1, 2]), (false, vec![0])] {
            let options = DiffusionFailover {
                cascading,
                ..DiffusionFailover::default()
            };
            let mut rig = Rig::new(3, &options.preset().unwrap().policy);
            let mut next = rig.start();
            let mut found = vec![];
            while let Some((server, _)) = next {
                found.push(server);
                next = rig.fail(REFUSED);
            }
            assert_eq!(found, dialled);
            assert!(rig.closed().is_some());
        }
    }

    #[test]
    fn without_autofailover_a_loss_closes() {
        let options = DiffusionFailover {
            autofailover: false,
            ..DiffusionFailover::default()
        };
        let mut rig = Rig::new(3, &options.preset().unwrap().policy);
        rig.start();
        rig.accept();
        assert_eq!(rig.lose(RESET), None);
    }

    #[test]
    fn its_recovery_buffer_is_the_links_replay() {
        let link = DiffusionReconnect::default().preset().unwrap().link;
        assert_eq!(link.replay, Replay::Messages(256));
    }
}

mod synapse {
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
}

mod ours {
    use super::*;

    #[test]
    fn the_others_at_once_the_lost_one_last_and_a_wait_before_it() {
        let policy = PresetName::Default.preset().unwrap().policy;
        let mut rig = Rig::new(3, &policy);
        rig.lived = 20 * SECOND;
        rig.start();
        let lost = rig.accept();
        let first = rig.lose(RESET).unwrap();
        let second = rig.fail(REFUSED).unwrap();
        assert_eq!((first.1, second.1), (0, 0));
        assert!(first.0 != lost && second.0 != lost && first.0 != second.0);
        let (third, wait) = rig.fail(REFUSED).unwrap();
        assert!(third == lost && wait <= 250);
        for _ in 0..200 {
            assert!(rig.fail(REFUSED).unwrap().1 <= 8_000);
        }
        assert_eq!(rig.closed(), None, "never a silent end");
    }

    #[test]
    fn accept_and_drop_backs_off() {
        let policy = PresetName::Default.preset().unwrap().policy;
        let mut rig = Rig::new(1, &policy);
        rig.lived = Duration::ZERO;
        rig.start();
        for _ in 0..20 {
            rig.accept();
            rig.lose(RESET);
        }
        assert!(rig.now.since(Time::ZERO) > 60 * SECOND);
    }
}

#[test]
fn no_law_breaks_under_any_preset() {
    let mut dice = 1_u64;
    for _ in 0..300 {
        let bytes: Vec<u8> = (0..400)
            .map(|_| {
                dice = dice
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                (dice >> 56) as u8
            })
            .collect();
        let case = Case::from_bytes(&bytes);
        for name in PresetName::ALL {
            let policy = name.preset().unwrap().policy.into();
            let trace = Case {
                policy,
                ..case.clone()
            }
            .storm();
            for (_, law) in laws::ALL {
                law(&trace).unwrap_or_else(|broken| panic!("{name}: {broken}"));
            }
        }
    }
}

#[test]
fn an_endpoint_removed_while_it_waits_is_not_dialled_again() {
    for name in PresetName::ALL {
        let mut rig = Rig::new(3, &name.preset().unwrap().policy);
        rig.start();
        rig.accept();
        rig.lose(RESET);
        if rig.closed().is_some() {
            continue;
        }
        rig.input(Input::Change(Change::Remove(EndpointId::new(1))));
        rig.until_a_dial();
        for _ in 0..30 {
            if rig.dial.is_none() {
                break;
            }
            assert_ne!(rig.dial.unwrap().1, 1, "{name}");
            rig.fail(REFUSED);
        }
    }
}

/// Who is dialled next, after how many milliseconds since what went before.
type Step = (usize, u64);

/// A system's documented rules.
trait System {
    fn first(&mut self) -> Option<Step>;
    /// The dial under way failed.
    fn failed(&mut self) -> Option<Step>;
    /// The dial under way was answered, and the connection was lost later.
    fn lost(&mut self) -> Option<Step>;
}

/// Forty failures with successes at several places in between.
fn compare<S: System>(preset: &Preset, servers: usize, model: impl Fn() -> S, what: &str) {
    for script in [0u64, 1 << 3 | 1 << 20, 1 | 1 << 1 | 1 << 9, 0x8421_0842] {
        let mut model = model();
        let mut rig = Rig::new(servers, &preset.policy);
        assert_eq!(rig.start(), model.first(), "{what}");
        for step in 0..40 {
            let (found, expected) = match script >> step & 1 {
                0 => (rig.fail(REFUSED), model.failed()),
                _ => {
                    rig.accept();
                    (rig.lose(RESET), model.lost())
                }
            };
            assert_eq!(
                found, expected,
                "{servers} servers, step {step} of {script:x}, {what}"
            );
            if found.is_none() {
                assert!(rig.closed().is_some(), "{what}");
                break;
            }
        }
    }
}

/// One machine, whose dials are answered by the test.
struct Rig {
    machine: Machine,
    work: Work,
    now: Time,
    /// When the last dial or connection ended.
    ended: Time,
    dial: Option<(AttemptId, usize)>,
    events: Vec<Event>,
    /// How long a dial takes.
    took: Duration,
    /// How long a connection lives.
    lived: Duration,
}

impl Rig {
    fn new(servers: usize, policy: &Policy) -> Self {
        Self::seeded(servers, policy, 1)
    }

    fn seeded(servers: usize, policy: &Policy, seed: u64) -> Self {
        let traits: Vec<Traits> = (0..servers)
            .map(|n| {
                let id = EndpointId::new(u32::try_from(n).unwrap());
                Traits::new(id).route(Security::Plain)
            })
            .collect();
        Self {
            machine: Machine::new(policy.clone().into(), traits, Seed::new(seed)),
            work: Work::default(),
            now: Time::ZERO,
            ended: Time::ZERO,
            dial: None,
            events: vec![],
            took: 7 * MS,
            lived: SECOND,
        }
    }

    fn start(&mut self) -> Option<Step> {
        self.input(Input::Start);
        self.until_a_dial()
    }

    fn fail(&mut self, failure: Failure) -> Option<Step> {
        let attempt = self.dial.take().unwrap().0;
        self.now = self.now + self.took;
        self.ended = self.now;
        self.input(Input::Failed { attempt, failure });
        self.until_a_dial()
    }

    /// Fails with one failure at this server, with another elsewhere, until a dial of another.
    fn fail_at(&mut self, server: usize, there: Failure, elsewhere: Failure) -> Option<Step> {
        match self.dial.unwrap().1 == server {
            true => self.fail(there),
            false => self.fail(elsewhere),
        }
    }

    fn accept(&mut self) -> usize {
        let (attempt, server) = self.dial.take().unwrap();
        self.now = self.now + self.took;
        self.input(Input::Connected { attempt });
        server
    }

    fn lose(&mut self, failure: Failure) -> Option<Step> {
        let Status::Connected { link, .. } = self.machine.status() else {
            panic!("not connected");
        };
        self.now = self.now + self.lived;
        self.ended = self.now;
        self.input(Input::Lost {
            attempt: link.attempt,
            failure,
            verdict: Verdict::AsPolicy,
        });
        self.until_a_dial()
    }

    fn input(&mut self, input: Input) {
        self.machine
            .handle(input, &mut NoHooks, &mut self.work, self.now);
        for output in self.work.drain() {
            match output {
                Output::Dial(order) => {
                    let server = usize::try_from(order.endpoint.number()).unwrap();
                    self.dial = Some((order.attempt, server));
                }
                Output::Cancel(attempt) => {
                    self.dial = self.dial.filter(|(dial, _)| *dial != attempt);
                }
                Output::Event(event) => self.events.push(event),
                _ => {}
            }
        }
    }

    fn until_a_dial(&mut self) -> Option<Step> {
        while self.dial.is_none()
            && let Some(wake) = self.machine.next_wake()
        {
            self.now = self.now.max(wake);
            self.input(Input::Wake);
        }
        let waited = millis(self.now.since(self.ended));
        self.dial.map(|(_, server)| (server, waited))
    }

    fn closed(&self) -> Option<CloseReason> {
        match self.machine.status() {
            Status::Closed(reason) => Some(reason),
            _ => None,
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_micros() + 500).unwrap() / 1_000
}
