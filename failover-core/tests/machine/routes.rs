use super::*;

fn wss_tls_tcp() -> Traits {
    Traits::new(EndpointId::new(0))
        .route(Security::Tls)
        .route(Security::Tls)
        .route(Security::Plain)
}

#[test]
fn a_turn_tries_each_route_but_never_plain_after_tls() {
    let mut stage = Stage::of(vec![wss_tls_tcp(), traits(1)], policy());
    stage.start();
    assert_eq!(stage.refuse(5), "0 0/1@1 1@1 0@1001 0/1@1002");
}

#[test]
fn plain_may_follow_tls_where_the_policy_allows_it() {
    let policy = policy().plain_fallback(PlainFallback::Allow);
    let mut stage = Stage::of(vec![wss_tls_tcp(), traits(1)], policy);
    stage.start();
    assert_eq!(stage.refuse(4), "0 0/1@1 0/2@2 1@2");
}

#[test]
fn what_the_server_said_ends_the_turn() {
    let mut stage = Stage::of(vec![wss_tls_tcp(), traits(1)], policy());
    stage.start();
    assert_eq!(stage.refuse_with(2, Failure::new(Kind::Draining)), "0 1");
}

#[test]
fn the_route_that_worked_goes_first_next_time_and_the_turn_counts_once() {
    let limits = Limits::UNLIMITED.turns(Limit::AtMost(2));
    let policy = policy().limits(limits).plain_fallback(PlainFallback::Allow);
    let mut stage = Stage::of(vec![wss_tls_tcp()], policy);
    stage.start();
    stage.pass(MS);
    stage.fail(0, REFUSED);
    stage.accept(0);
    assert_eq!(stage.dials(), "0 0/1@1");
    stage.pass(20 * SECOND);
    stage.since = stage.now;
    stage.lose(RESET);
    assert_eq!(
        stage.refuse(99),
        "0/1@1000 0@1001 0/2@1002 0/1@2002 0@2003 0/2@2004"
    );
    assert_eq!(stage.closed(), Some(CloseReason::Turns(2)));
}

#[test]
fn a_route_that_turned_out_to_be_tls_is_not_followed_by_plain() {
    let endpoint = Traits::new(EndpointId::new(0))
        .route(Security::Plain)
        .route(Security::Plain);
    let mut stage = Stage::of(vec![endpoint, traits(1)], policy());
    stage.start();
    let attempt = *stage.in_flight.first_key_value().unwrap().0;
    let security = Security::Tls;
    stage.input(Input::Learned { attempt, security });
    assert_eq!(stage.refuse(2), "0 1");
}

#[test]
fn a_failure_that_is_fatal_ends_the_turn_at_its_first_route() {
    let fatal = REFUSED.scope(Scope::Fatal);
    let mut stage = Stage::of(vec![wss_tls_tcp()], policy());
    stage.start();
    stage.fail(0, fatal);
    assert_eq!(stage.dials(), "0");
    assert_eq!(stage.closed(), Some(CloseReason::Fatal(fatal)));
}

#[test]
fn the_routes_of_a_turn_share_its_time_though_rivals_start_meanwhile() {
    let mut stage = raced(3, 3);
    stage.start();
    stage.until_next(1);
    stage.until_next(2);
    stage.pass(100 * MS);
    stage.fail(0, REFUSED);
    assert_eq!(stage.dials(), "0 1@250 2@500 0/1@600");
    assert_eq!(ends(&mut stage, 0), 1000 * MS);
}

#[test]
fn a_route_that_the_floor_holds_up_has_the_rest_of_its_turn() {
    let mut stage = raced(2, 2);
    stage.start();
    stage.until_next(1);
    stage.fail(1, REFUSED);
    stage.fail(0, REFUSED);
    stage.until_next(1);
    assert_eq!(stage.dials(), "0 1@250 0/1@250 1/1@251");
    assert_eq!(ends(&mut stage, 1), 1250 * MS);
}

#[test]
fn a_route_that_is_woken_when_its_turn_is_over_has_a_turn_of_its_own() {
    for slept in [1000 * MS, 1500 * MS] {
        let mut stage = raced(2, 2);
        stage.start();
        stage.until_next(1);
        stage.fail(1, REFUSED);
        stage.pass(slept);
        stage.input(Input::Wake);
        assert_eq!(ends(&mut stage, 1), 250 * MS + slept + SECOND);
    }
}

#[test]
fn routes_of_several_servers_that_the_floor_holds_up_at_once_each_have_the_rest_of_their_turn() {
    let mut stage = raced_over(3, 4, 4);
    stage.start();
    stage.until_next(3);
    for endpoint in [2, 1, 0] {
        stage.fail(endpoint, REFUSED);
        stage.fail(endpoint, REFUSED);
    }
    stage.until_next(0);
    let dials = "0 1@250 2@500 3@750 2/1@750 1/1@750 0/1@750 2/2@751 1/2@751 0/2@751";
    assert_eq!(stage.dials(), dials);
    assert_eq!(ends(&mut stage, 0), 1000 * MS);
    assert_eq!(ends(&mut stage, 1), 1250 * MS);
    assert_eq!(ends(&mut stage, 2), 1500 * MS);
}

/// Endpoints of two routes, of which so many race, a quarter of a second apart, and each turn may
/// last a second.
fn raced(endpoints: u32, most: u8) -> Stage {
    raced_over(2, endpoints, most)
}

/// The same over so many routes.
fn raced_over(routes: usize, endpoints: u32, most: u8) -> Stage {
    let race = Race::new(most, Stagger::Fixed(SECOND / 4)).unwrap();
    let policy = policy().race(race).turn_deadline(SECOND);
    let of = |n| (1..routes).fold(traits(n), |traits, _| traits.route(Security::Plain));
    Stage::of((0..endpoints).map(of).collect(), policy)
}

/// When the dial of this endpoint is given up.
fn ends(stage: &mut Stage, endpoint: u32) -> Duration {
    while stage.in_flight.values().any(|(id, _)| *id == endpoint) {
        stage.now = stage.now.max(stage.machine.next_wake().unwrap());
        stage.input(Input::Wake);
    }
    stage.now.since(stage.since)
}

#[test]
fn a_route_that_the_floor_holds_up_is_forgotten_with_its_server() {
    let mut stage = raced(2, 2);
    stage.start();
    stage.until_next(1);
    stage.fail(1, REFUSED);
    stage.input(change(1, Change::Remove));
    stage.fail(0, REFUSED);
    stage.fail(0, REFUSED);
    stage.until_a_dial();
    assert_eq!(stage.dials(), "0 1@250 0/1@250 0@1250");
}
