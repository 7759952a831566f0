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

#[test]
fn the_dials_of_a_move_are_numbered_from_one() {
    let mut stage = Stage::new(3, policy());
    stage.connect(0);
    stage.input(Input::Reconnect(Whither::Any));
    for endpoint in [1, 2, 1] {
        stage.until_next(endpoint);
        stage.fail(endpoint, REFUSED);
    }
    let number = |event: &Event| match event {
        Event::Attempt(ended) => Some(ended.order.number),
        _ => None,
    };
    let numbers: Vec<u32> = stage.events.iter().filter_map(number).collect();
    assert_eq!(numbers, [1, 2, 3]);
}

#[test]
fn a_move_that_waits_for_its_next_dial_is_hurried_by_another_reconnect() {
    let mut stage = Stage::new(3, policy());
    stage.connect(0);
    stage.input(Input::Reconnect(Whither::Any));
    stage.pass(MS);
    stage.fail(1, REFUSED);
    stage.pass(MS);
    stage.input(Input::Reconnect(Whither::Any));
    assert_eq!(stage.dials(), "1 2@2");
}

#[test]
fn a_move_whose_server_leaves_the_list_goes_to_another_at_once() {
    let mut stage = Stage::new(3, policy());
    stage.connect(0);
    stage.input(Input::Reconnect(Whither::Other));
    assert_eq!(stage.dials(), "1");
    stage.input(change(1, Change::Remove));
    stage.until_a_dial();
    assert_eq!(stage.dials(), "2");
}
