use super::*;

fn resuming() -> Play {
    Play::new(2, policy().resume(Resume::new(12 * SECOND, 5 * SECOND)))
}

#[test]
fn the_same_server_first_then_the_session_is_gone_before_another_is_dialled() {
    let mut play = resuming();
    play.connect("0");
    play.lose(RESET);
    play.says("disconnected 0; dial 0");
    for _ in 0..2 {
        play.fail("0", REFUSED);
        play.says("attempt 0 refused");
        play.until_something_happens();
        play.says("dial 0");
    }
    assert_eq!(play.elapsed(), 10 * SECOND);
    play.fail("0", REFUSED);
    play.says("attempt 0 refused; session gone; dial 1");
}

#[test]
fn a_server_that_comes_back_in_the_window_keeps_the_session() {
    let mut play = resuming();
    play.connect("0");
    play.lose(RESET);
    play.fail("0", REFUSED);
    play.until_something_happens();
    play.take();
    play.connected("0");
    play.says("attempt 0 ok; reconnected 0");
}

#[test]
fn a_refused_login_ends_the_window_at_once() {
    let mut play = resuming();
    play.connect("0");
    play.lose(RESET);
    play.take();
    play.fail("0", Failure::new(Kind::Auth).scope(Scope::Endpoint));
    play.says("attempt 0 auth; session gone; suspended 0; dial 1");
}

#[test]
fn an_orderly_close_is_no_reason_to_resume() {
    let mut play = resuming();
    play.connect("0");
    play.lose(Failure::new(Kind::Closed));
    play.says("disconnected 0; dial 1");
}
