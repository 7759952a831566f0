use super::*;

#[test]
fn a_server_named_by_the_user_is_not_redialled_within_the_millisecond() {
    let mut stage = Stage::new(2, policy());
    stage.start();
    stage.fail(0, AUTH);
    stage.accept(1);
    stage.input(Input::Reconnect(Whither::This(EndpointId::new(0))));
    assert_eq!(stage.dials(), "0 1");
    stage.input(Input::Reconnect(Whither::Any));
    assert_eq!(stage.dials(), "");
    stage.until_a_dial();
    assert_eq!(stage.dials(), "0@1");
}

#[test]
fn a_wait_that_a_forced_reconnect_cut_short_is_over_for_good() {
    let pace = Pace::new(Backoff::Constant(SECOND))
        .every(Every::Endpoint)
        .custom(CustomDelay::Unbounded);
    let mut stage = Stage::new(1, policy().pace(pace));
    let mut answers = vec![SECOND, 3600 * SECOND];
    stage.hooks = Box::new(DelayHook(move |_: &_| {
        answers
            .pop()
            .map_or(DelayAnswer::AsSuggested, DelayAnswer::Exactly)
    }));
    stage.start();
    stage.fail(0, REFUSED);
    stage.input(Input::Reconnect(Whither::Any));
    assert_eq!(stage.refuse(3), "0 0@1 0@1001");
}

#[test]
fn the_least_bad_of_endpoints_that_rest_is_dialled_at_its_own_pace() {
    let policy = policy()
        .pace(Pace::new(Backoff::Constant(SECOND)).every(Every::Endpoint))
        .nobody_ready(NobodyReady::LeastBad);
    let mut stage = Stage::new(1, policy);
    stage.connect(0);
    stage.lose(AUTH);
    assert_eq!(stage.refuse_with(3, AUTH), "0 0@1000 0@2000");
}

#[test]
fn in_a_race_a_route_that_failed_within_the_millisecond_is_followed_by_the_next() {
    let race = Race::new(2, Stagger::Fixed(10 * MS)).unwrap();
    let both = traits(1).route(Security::Plain);
    let mut stage = Stage::of(vec![traits(0), both], policy().race(race));
    stage.start();
    stage.input(Input::Wake);
    stage.pass(10 * MS);
    stage.input(Input::Wake);
    assert_eq!(stage.dials(), "0 1@10");
    stage.fail(1, REFUSED);
    stage.pass(MS);
    stage.input(Input::Wake);
    assert_eq!(stage.dials(), "1/1@11");
    stage.accept(1);
    assert!(matches!(stage.machine.status(), Status::Connected { .. }));
}

#[test]
fn in_a_race_a_route_that_has_to_wait_is_not_forgotten_when_the_rival_fails() {
    let race = Race::new(2, Stagger::Fixed(10 * MS)).unwrap();
    let limits = Limits::UNLIMITED.turns(Limit::AtMost(2));
    let both = traits(1).route(Security::Plain);
    let policy = policy().race(race).start_up_limits(limits);
    let mut stage = Stage::of(vec![traits(0), both], policy);
    stage.start();
    stage.pass(10 * MS);
    stage.input(Input::Wake);
    stage.fail(1, REFUSED);
    stage.fail(0, REFUSED);
    assert_eq!(stage.closed(), None);
    stage.until_a_dial();
    assert_eq!(stage.dials(), "0 1@10 1/1@11");
    stage.fail(1, REFUSED);
    assert_eq!(stage.closed(), Some(CloseReason::Turns(2)));
}

#[test]
fn a_pause_does_not_lift_the_floor_of_a_move_to_a_named_server() {
    let standing = Standing::default().wake_spread(Duration::ZERO);
    let mut stage = Stage::new(2, policy().standing(standing));
    stage.connect(0);
    stage.input(Input::Reconnect(Whither::This(EndpointId::new(1))));
    stage.input(Input::Pause);
    stage.input(Input::Resume);
    assert_eq!(stage.dials(), "1");
    stage.until_a_dial();
    assert_eq!(stage.dials(), "1@1");
}
