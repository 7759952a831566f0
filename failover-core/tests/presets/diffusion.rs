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
