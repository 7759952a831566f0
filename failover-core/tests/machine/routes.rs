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
