use super::*;

#[test]
fn the_first_connect_cascades_over_the_list() {
    let mut stage = Stage::new(3, policy().order(Order::new(Walk::Listed)));
    stage.start();
    assert_eq!(stage.refuse(5), "0 1 2 0@1000 1@1000");
}

#[test]
fn without_cascading_only_the_first_is_dialled_until_it_answered() {
    let mut stage = Stage::new(3, policy().start(Start::FirstOnly));
    stage.start();
    assert_eq!(stage.refuse(3), "0 0@1000 0@2000");
    stage.accept(0);
    stage.pass(20 * SECOND);
    stage.lose(RESET);
    assert_eq!(stage.refuse(2), "1@22000 2@22000");
}

#[test]
fn endpoints_that_all_refuse_for_reasons_of_their_own_end_the_start() {
    let mut stage = Stage::new(2, policy());
    stage.start();
    assert_eq!(stage.refuse_with(99, AUTH), "0 1");
    assert_eq!(stage.closed(), Some(CloseReason::AllRefused));
}

#[test]
fn one_that_may_come_back_keeps_the_start_alive() {
    let mut stage = Stage::new(2, policy());
    stage.start();
    stage.fail(0, AUTH);
    stage.fail(1, REFUSED);
    stage.until_a_dial();
    assert_eq!(stage.dials(), "0 1 1@1000");
}

#[test]
fn refusals_that_rest_nobody_do_not_end_the_start() {
    let health = Health::default().initial(Duration::ZERO);
    let mut stage = Stage::new(2, policy().health(health));
    stage.start();
    assert_eq!(stage.refuse_with(4, AUTH), "0 1 0@1000 1@1000");
    assert_eq!(stage.closed(), None);
}

#[test]
fn a_server_that_is_added_before_the_first_dial_has_no_wait_of_a_loss() {
    let pace = Pace::new(Backoff::Constant(SECOND)).first(3 * SECOND);
    let mut stage = Stage::new(1, policy().pace(pace));
    let until = stage.now + 60 * SECOND;
    let endpoint = EndpointId::new(0);
    stage.input(Input::Rests { endpoint, until });
    stage.start();
    stage.input(Input::Change(Change::Add(traits(1))));
    assert_eq!(stage.dials(), "1");
}
