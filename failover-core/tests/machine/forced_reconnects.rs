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
