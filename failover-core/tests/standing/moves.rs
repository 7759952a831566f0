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

#[test]
fn a_move_under_way_turns_to_the_server_that_is_named_and_leaves_the_dial_of_a_spare_alone() {
    let mut play = Play::new(4, policy().standing(Standing::default().spares(1)));
    play.connect("0");
    assert_eq!(play.in_flight[0].1, 1, "of the spare");
    play.input(Input::Reconnect(Whither::Any));
    play.says("switching; dial 2");
    play.input(Input::Reconnect(Whither::This(EndpointId::new(2))));
    play.says("");
    play.input(Input::Reconnect(Whither::This(EndpointId::new(3))));
    play.says("cancel 2; attempt 2 cancelled; dial 3");
}

#[test]
fn a_move_that_is_given_up_for_a_named_server_goes_to_nobody_else() {
    let mut play = Play::new(4, policy());
    play.connect("0");
    play.input(Input::Reconnect(Whither::Any));
    play.says("switching; dial 1");
    play.input(Input::Reconnect(Whither::This(EndpointId::new(3))));
    play.says("cancel 1; attempt 1 cancelled; dial 3");
}

#[test]
fn a_spare_that_connects_where_a_move_is_dialling_is_moved_to_and_one_elsewhere_stays_a_spare() {
    for (named, says) in [
        (
            1,
            "attempt 1 ok; cancel 1; attempt 1 cancelled; moved 0 to 1; hang up 0; dial 2",
        ),
        (2, "attempt 1 ok; spare 1"),
    ] {
        let mut play = Play::new(3, policy().standing(Standing::default().spares(1)));
        play.connect("0");
        let spare = play.dial_of("1");
        play.input(Input::Reconnect(Whither::This(EndpointId::new(named))));
        play.says(&format!("switching; dial {named}"));
        play.in_flight.push(spare);
        play.connected("1");
        play.says(says);
    }
}

#[test]
fn a_dial_adopted_at_a_loss_makes_the_sweep_count() {
    let limits = Limits::UNLIMITED.sweeps(Limit::AtMost(1));
    let mut play = Play::new(2, policy().limits(limits));
    play.connect("0");
    play.input(Input::Reconnect(Whither::Any));
    play.lose(RESET.scope(Scope::Endpoint));
    play.take();
    play.fail("1", REFUSED);
    play.says("attempt 1 refused; closed");
}

#[test]
fn after_a_dial_that_was_adopted_the_wait_before_the_first_dial_is_not_owed() {
    let pace = Pace::new(Backoff::Constant(SECOND)).first(3 * SECOND);
    let mut play = Play::new(3, policy().pace(pace));
    play.connect("0");
    play.input(Input::Reconnect(Whither::Any));
    play.lose(RESET);
    play.take();
    play.fail("1", REFUSED);
    play.says("attempt 1 refused; dial 2");
}

#[test]
fn a_dial_adopted_at_a_loss_gets_a_rival_after_the_stagger() {
    let race = Race::new(2, Stagger::Fixed(SECOND / 4)).unwrap();
    let mut play = Play::new(3, policy().race(race));
    play.connect("0");
    play.input(Input::Reconnect(Whither::Any));
    play.says("switching; dial 1");
    play.lose(RESET);
    play.says("disconnected 0");
    play.until_something_happens();
    play.says("dial 2");
    assert_eq!(play.elapsed(), SECOND / 4);
}

#[test]
fn a_connection_is_left_at_the_sooner_of_its_age_and_its_drain() {
    for (drain_spread, lasts) in [
        (Duration::ZERO, Duration::ZERO),
        (3600 * SECOND, 40 * SECOND),
    ] {
        let age = MaxAge::new(60 * SECOND).spread(Duration::ZERO);
        let standing = Standing::default().max_age(age).drain_spread(drain_spread);
        let mut play = Play::new(2, policy().standing(standing));
        let attempt = play.connect("0");
        play.input(Input::Drain { attempt });
        while play.in_flight.is_empty() {
            play.until_something_happens();
        }
        assert!(play.take().ends_with("switching; dial 1"));
        assert_eq!(play.elapsed(), lasts);
    }
}
