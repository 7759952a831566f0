use super::*;

#[test]
fn marks_then_a_suspension_as_in_synapse() {
    let reactions = Reactions::default()
        .on(On::kind(Kind::Timeout), Reaction::Mark)
        .on(On::ANY, Reaction::Suspend);
    let health = Health::default()
        .retries(3)
        .retry_delay(Duration::from_millis(10))
        .initial(SECOND);
    let pace = Pace::new(Backoff::Constant(Duration::ZERO));
    let policy = policy().reactions(reactions).health(health).pace(pace);
    let mut play = Play::new(1, policy);
    play.connect("0");
    play.lose(RESET);
    play.says("disconnected 0; suspended 0");
    play.until_something_happens();
    assert_eq!(play.elapsed(), SECOND);
    play.connected("0");
    play.pass(20 * SECOND);
    play.lose(Failure::new(Kind::Timeout));
    let mut rests = Vec::new();
    for _ in 0..4 {
        let before = play.elapsed();
        play.until_something_happens();
        rests.push(play.elapsed() - before);
        play.fail("0", Failure::new(Kind::Timeout));
    }
    play.until_something_happens();
    let ten = Duration::from_millis(10);
    assert_eq!(rests, [ten, ten, ten, SECOND]);
}

#[test]
fn when_all_rest_the_policy_says_whether_to_wait_to_fail_or_to_try_the_least_bad() {
    let all_suspended = |nobody_ready| {
        let mut play = Play::new(2, policy().nobody_ready(nobody_ready));
        play.connect("0");
        play.lose(RESET.scope(Scope::Endpoint));
        play.take();
        play.fail("1", RESET.scope(Scope::Endpoint));
        play
    };
    let mut waits = all_suspended(NobodyReady::Wait);
    waits.until_something_happens();
    assert_eq!(waits.elapsed(), 30 * SECOND);
    let mut fails = all_suspended(NobodyReady::Fail);
    assert!(fails.take().ends_with("closed"));
    let mut least_bad = all_suspended(NobodyReady::LeastBad);
    least_bad.until_something_happens();
    assert_eq!(least_bad.elapsed(), SECOND);
}

#[test]
fn at_start_up_a_pass_of_refusals_for_reasons_of_their_own_closes() {
    let mut play = Play::new(2, policy());
    play.start();
    let auth = Failure::new(Kind::Auth).scope(Scope::Endpoint);
    play.fail("0", auth);
    play.fail("1", auth);
    assert!(play.take().ends_with("closed"));
    assert_eq!(
        play.machine.status(),
        Status::Closed(CloseReason::AllRefused)
    );
}

#[test]
fn a_judge_may_think_better_of_a_failure() {
    struct Mild;
    impl Hooks for Mild {
        fn judge(&mut self, _: &JudgeAsked) -> Reaction {
            Reaction::Next
        }
    }
    let mut play = Play::new(1, policy());
    play.hooks = Box::new(Mild);
    play.start();
    play.fail("0", Failure::new(Kind::Auth).scope(Scope::Fatal));
    play.says("dial 0; attempt 0 auth");
    assert_eq!(play.condition(0), Condition::Active);
}

#[test]
fn a_turn_goes_on_with_no_other_route_once_its_server_was_suspended_and_those_of_others_do() {
    let mut play = suspended_while_dialled(3);
    play.lose(RESET);
    play.says("disconnected 0");
    play.pass(MS);
    play.fail("1", REFUSED);
    play.says("attempt 1 refused");
    play.fail("2", REFUSED);
    play.says("attempt 2 refused; dial 2");
}

#[test]
fn the_turn_after_one_that_a_suspension_ended_has_all_its_routes_again() {
    let mut play = suspended_while_dialled(2);
    play.pass(SECOND);
    play.lose(RESET.scope(Scope::Endpoint));
    play.says("disconnected 0; suspended 0");
    play.pass(MS);
    play.fail("1", REFUSED);
    play.says("attempt 1 refused");
    play.until_something_happens();
    play.says("dial 1");
    play.pass(MS);
    play.fail("1", REFUSED);
    play.says("attempt 1 refused; dial 1");
}

/// Connected to 0, with a move to 1 in flight and spares to all; each server has two routes. The spare
/// to 1 failed so that 1 is suspended.
fn suspended_while_dialled(endpoints: u32) -> Play {
    let standing = Standing::default().spares(endpoints as u8 - 1);
    let of = |n| traits(n).route(Security::Plain);
    let mut play = Play::of(
        (0..endpoints).map(of).collect(),
        policy().standing(standing),
    );
    play.connect("0");
    let (attempt, _) = play.dial_of("1");
    play.input(Input::Reconnect(Whither::This(EndpointId::new(1))));
    play.says("switching; dial 1");
    let failure = REFUSED.scope(Scope::Endpoint);
    play.input(Input::Failed { attempt, failure });
    play.says("attempt 1 refused; suspended 1");
    play
}
