use super::*;

#[test]
fn a_limit_of_no_time_closes_at_the_loss() {
    let limits = Limits::UNLIMITED.elapsed(Duration::ZERO);
    let mut stage = Stage::new(2, policy().limits(limits));
    stage.connect(0);
    stage.lose(RESET);
    assert_eq!(stage.closed(), Some(CloseReason::Elapsed(Duration::ZERO)));
    assert_eq!(stage.dials(), "");
}

#[test]
fn a_route_that_fails_after_the_limit_of_time_is_not_followed_by_another() {
    let limits = Limits::UNLIMITED.elapsed(SECOND);
    let both = traits(0).route(Security::Plain);
    let mut stage = Stage::of(vec![both], policy().start_up_limits(limits));
    stage.start();
    stage.pass(2 * SECOND);
    stage.fail(0, REFUSED);
    assert_eq!(stage.closed(), Some(CloseReason::Elapsed(SECOND)));
    assert_eq!(stage.dials(), "0");
}

#[test]
fn a_forced_reconnect_after_the_limit_of_time_dials_nobody() {
    let limits = Limits::UNLIMITED.elapsed(SECOND / 2);
    let mut stage = Stage::new(1, policy().limits(limits));
    stage.connect(0);
    stage.lose(RESET);
    stage.pass(2 * SECOND);
    stage.input(Input::Reconnect(Whither::Any));
    assert_eq!(stage.closed(), Some(CloseReason::Elapsed(SECOND / 2)));
    assert_eq!(stage.dials(), "");
}

#[test]
fn leaving_a_connection_is_no_loss_even_where_a_loss_closes() {
    let policy = policy()
        .limits(Limits::UNLIMITED.turns(Limit::AtMost(0)))
        .standing(Standing::default().overlap(Overlap::Forbidden));
    let mut stage = Stage::new(2, policy);
    stage.connect(0);
    stage.input(Input::Reconnect(Whither::Any));
    assert_eq!(stage.closed(), None);
    stage.accept(1);
    stage.pass(20 * SECOND);
    stage.lose(RESET);
    assert_eq!(stage.closed(), Some(CloseReason::Turns(0)));
}

#[test]
fn time_with_a_connection_does_not_count_as_time_without_one_after_a_move_either() {
    let limits = Limits::UNLIMITED.elapsed(8 * SECOND);
    let mut stage = Stage::new(2, policy().limits(limits));
    stage.start();
    stage.accept(0);
    stage.pass(9 * SECOND);
    stage.input(Input::Reconnect(Whither::Any));
    stage.accept(1);
    stage.pass(9 * SECOND);
    stage.lose(RESET);
    assert_eq!(stage.closed(), None);
}
