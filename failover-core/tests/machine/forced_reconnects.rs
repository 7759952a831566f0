use super::*;

#[test]
fn cut_a_wait_short_once() {
    let mut stage = Stage::new(1, policy());
    stage.connect(0);
    stage.lose(RESET);
    stage.pass(SECOND / 4);
    stage.input(Input::Reconnect(Whither::Any));
    assert_eq!(stage.refuse(3), "0@250 0@1250 0@2250");
}

#[test]
fn a_thousand_of_them_in_a_wait_are_one_dial_and_book_nothing() {
    let limits = Limits::UNLIMITED.turns(Limit::AtMost(2));
    let mut stage = Stage::new(1, policy().limits(limits));
    stage.connect(0);
    stage.lose(RESET);
    for _ in 0..1000 {
        stage.input(Input::Reconnect(Whither::Any));
    }
    assert_eq!(stage.refuse(99), "0 0@1000");
    assert_eq!(stage.closed(), Some(CloseReason::Turns(2)));
}

#[test]
fn to_a_server_that_is_being_dialled_they_change_nothing() {
    let race = Race::new(2, Stagger::Fixed(SECOND / 4)).unwrap();
    let mut stage = Stage::new(2, policy().race(race));
    stage.start();
    stage.until_next(1);
    for endpoint in [0, 1] {
        let this = Input::Reconnect(Whither::This(EndpointId::new(endpoint)));
        assert_eq!(stage.input(this), Answer::Stale);
    }
    assert_eq!(
        (stage.dials().as_str(), stage.in_flight.len()),
        ("0 1@250", 2)
    );
}
