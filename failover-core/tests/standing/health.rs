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
