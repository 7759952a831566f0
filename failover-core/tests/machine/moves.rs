use super::*;
use failover_core::policy::Failback;

#[test]
fn a_failback_in_the_middle_of_another_move_is_announced_once() {
    let failback = Failback::default()
        .every(SECOND)
        .good_probes(1)
        .settle(Duration::ZERO);
    let policy = policy().standing(Standing::default().failback(failback));
    let mut stage = Stage::of(
        vec![traits(0), traits(1).tier(1), traits(2).tier(1)],
        policy,
    );
    stage.start();
    stage.fail(0, REFUSED);
    stage.accept(1);
    stage.input(Input::Reconnect(Whither::This(EndpointId::new(2))));
    stage.until_next(0);
    stage.accept(0);
    let told = |event: &&Event| matches!(event, Event::Switching { .. });
    assert_eq!(stage.events.iter().filter(told).count(), 1);
    assert!(matches!(
        stage.machine.status(),
        Status::Connected { link, .. } if link.endpoint.number() == 0
    ));
}

#[test]
fn the_dial_of_a_move_says_whether_it_leads_to_the_same_server_again() {
    for (endpoints, purpose) in [(1, Purpose::Reconnect), (2, Purpose::Failover)] {
        let mut stage = Stage::new(endpoints, policy());
        stage.connect(0);
        stage.input(Input::Reconnect(Whither::Any));
        assert_eq!(stage.purposes.last(), Some(&(endpoints - 1, purpose)));
    }
}
