use super::*;

#[test]
fn a_forced_reconnect_makes_the_new_connection_before_it_breaks_the_old_one() {
    let mut play = Play::new(3, policy());
    play.connect("0");
    play.input(Input::Reconnect(Whither::Any));
    play.says("switching; dial 1");
    play.connected("1");
    play.says("attempt 1 ok; moved 0 to 1; hang up 0");
    assert_eq!(play.status(), "connected 1");
}

#[test]
fn without_overlap_the_old_connection_goes_first_and_nothing_is_waited_for() {
    let mut play = Play::new(
        2,
        policy().standing(Standing::default().overlap(Overlap::Forbidden)),
    );
    play.connect("0");
    play.input(Input::Reconnect(Whither::Other));
    play.says("disconnected 0; hang up 0; dial 1");
    play.connected("1");
    play.says("attempt 1 ok; failed over to 1");
}

#[test]
fn a_forced_reconnect_reaches_the_named_server_even_if_it_rests() {
    let mut play = Play::new(3, policy());
    play.connect("0");
    play.lose(RESET.scope(Scope::Endpoint));
    play.says("disconnected 0; suspended 0; dial 1");
    play.connected("1");
    play.says("attempt 1 ok; failed over to 1");
    play.pass(SECOND);
    play.input(Input::Reconnect(Whither::This(EndpointId::new(0))));
    play.says("switching; dial 0");
    play.connected("0");
    play.says("attempt 0 ok; moved 1 to 0; hang up 1");
}

#[test]
fn a_thousand_forced_reconnects_are_one_move() {
    let mut play = Play::new(3, policy());
    play.connect("0");
    for _ in 0..1000 {
        play.input(Input::Reconnect(Whither::Any));
    }
    play.says("switching; dial 1");
}

#[test]
fn a_draining_server_is_left_within_the_spread_and_a_failed_move_goes_on() {
    let mut play = Play::new(3, policy());
    let connection = play.connect("0");
    assert_eq!(
        play.input(Input::Drain {
            attempt: connection
        }),
        Answer::Taken
    );
    assert!(play.take().starts_with("draining"));
    play.until_something_happens();
    assert!(play.elapsed() < 5 * SECOND);
    play.says("switching; dial 1");
    play.fail("1", REFUSED);
    play.says("attempt 1 refused");
    play.until_something_happens();
    play.says("dial 2");
    play.connected("2");
    play.says("attempt 2 ok; moved 0 to 2; hang up 0");
}

#[test]
fn a_loss_during_a_move_adopts_the_dial_that_is_under_way() {
    let mut play = Play::new(3, policy());
    play.connect("0");
    play.input(Input::Reconnect(Whither::Any));
    play.says("switching; dial 1");
    play.lose(RESET);
    play.says("disconnected 0");
    assert_eq!(play.status(), "dialing 1");
    play.connected("1");
    play.says("attempt 1 ok; failed over to 1");
}

#[test]
fn a_connection_is_left_at_its_greatest_age() {
    let age = MaxAge::new(60 * SECOND).spread(6 * SECOND);
    let mut play = Play::new(2, policy().standing(Standing::default().max_age(age)));
    play.connect("0");
    play.until_something_happens();
    play.says("switching; dial 1");
    let age = 20 * SECOND + play.elapsed();
    assert!((54 * SECOND..60 * SECOND).contains(&age), "{age:?}");
}

#[test]
fn a_stale_drain_hint_changes_nothing() {
    let mut play = Play::new(2, policy());
    play.connect("0");
    assert_eq!(
        play.input(Input::Drain {
            attempt: AttemptId::new(99)
        }),
        Answer::Stale
    );
    play.says("");
}

#[test]
fn a_draining_server_is_left_within_the_spread_that_the_policy_says() {
    let drained = |spread| {
        let standing = Standing::default().drain_spread(spread);
        let mut play = Play::new(2, policy().standing(standing));
        let attempt = play.connect("0");
        play.input(Input::Drain { attempt });
        play
    };
    let mut at_once = drained(Duration::ZERO);
    assert!(at_once.take().ends_with("switching; dial 1"));
    let mut within_the_hour = drained(3600 * SECOND);
    within_the_hour.until_something_happens();
    assert!(within_the_hour.elapsed() > 5 * SECOND);
    assert!(within_the_hour.take().ends_with("switching; dial 1"));
}
