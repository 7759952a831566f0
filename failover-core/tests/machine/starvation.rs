use super::*;

#[test]
fn it_is_told_once_until_something_is_dialled_again() {
    let mut stage = Stage::new(1, policy());
    stage.start();
    stage.input(change(0, Change::Off));
    stage.input(Input::Pause);
    stage.input(Input::Resume);
    assert_eq!(stage.starved(), 1);
    stage.input(change(0, Change::On));
    stage.until_a_dial();
    stage.input(change(0, Change::Off));
    assert_eq!(stage.starved(), 2);
}

#[test]
fn when_the_first_endpoint_is_removed_before_it_answered_the_next_one_is_the_first() {
    let mut stage = Stage::new(2, policy().start(Start::FirstOnly));
    stage.start();
    stage.input(change(0, Change::Remove));
    assert_eq!((stage.dials().as_str(), stage.starved()), ("0 1", 0));
}

#[test]
fn when_the_first_endpoint_alone_may_be_dialled_its_limit_closes() {
    let policy = policy()
        .start(Start::FirstOnly)
        .start_up_limits(Limits::UNLIMITED.per_endpoint(Limit::AtMost(2)));
    let mut stage = Stage::new(2, policy);
    stage.start();
    assert_eq!(stage.refuse(9), "0 0@1000");
    assert_eq!(stage.closed(), Some(CloseReason::PerEndpoint(2)));
}

#[test]
fn a_connection_to_a_removed_endpoint_is_kept_while_nobody_else_is_there_and_never_redialled() {
    let mut stage = Stage::new(1, policy());
    stage.connect(0);
    stage.input(change(0, Change::Remove));
    for _ in 0..10 {
        stage.pass(SECOND);
        stage.input(Input::Wake);
    }
    assert_eq!(stage.dials(), "");
    stage.lose(RESET);
    assert_eq!((stage.dials().as_str(), stage.starved()), ("", 1));
}
