use std::sync::mpsc;

use failover_core::policy::DelayAsked;

use super::*;

fn pace(custom: CustomDelay) -> PolicyBuilder {
    policy().pace(
        Pace::new(Backoff::Constant(SECOND))
            .every(Every::Attempt)
            .cap(8 * SECOND)
            .custom(custom),
    )
}

/// The wait before the second dial, where the hook answers this.
fn wait(policy: PolicyBuilder, answer: DelayAnswer) -> Duration {
    let mut stage = Stage::new(1, policy);
    stage.hooks = Box::new(DelayHook(move |_: &DelayAsked| answer));
    stage.start();
    stage.fail(0, REFUSED);
    stage.until_a_dial();
    stage.now.since(stage.since)
}

#[test]
fn is_told_which_wait_of_the_outage_it_is_and_for_whom_after_what() {
    let (heard, asked) = mpsc::channel();
    let mut stage = Stage::new(2, pace(CustomDelay::Bounded));
    stage.hooks = Box::new(DelayHook(move |asked: &DelayAsked| {
        heard.send(*asked).unwrap();
        DelayAnswer::AsSuggested
    }));
    stage.start();
    stage.refuse(3);
    stage.accept(0);
    stage.pass(20 * SECOND);
    stage.lose(RESET);
    stage.refuse(2);
    let asked: Vec<_> = asked
        .try_iter()
        .map(|asked| {
            (
                asked.waits,
                asked.dials,
                asked.endpoint.number(),
                asked.failure,
            )
        })
        .collect();
    assert_eq!(
        asked,
        [
            (1, 1, 1, Some(REFUSED)),
            (2, 2, 0, Some(REFUSED)),
            (1, 1, 0, Some(REFUSED)),
        ]
    );
}

#[test]
fn that_is_bounded_keeps_to_the_cap_with_its_jitter_too() {
    for jitter in [Jitter::None, Jitter::Equal, Jitter::UpTo(SECOND)] {
        let policy = pace(CustomDelay::Bounded).jitter(jitter);
        let waited = wait(policy, DelayAnswer::PlusJitter(60 * SECOND));
        assert!(waited <= 8 * SECOND, "{jitter:?}: {waited:?}");
        assert!(waited >= 4 * SECOND, "{jitter:?}: {waited:?}");
    }
}

#[test]
fn that_is_unbounded_is_obeyed_beyond_the_cap_and_spread_like_a_wait_at_it() {
    let policy = pace(CustomDelay::Unbounded).jitter(Jitter::Equal);
    let waited = wait(policy.clone(), DelayAnswer::PlusJitter(60 * SECOND));
    assert!((56 * SECOND..60 * SECOND).contains(&waited), "{waited:?}");
    let exactly = wait(policy, DelayAnswer::Exactly(60 * SECOND));
    assert_eq!(exactly, 60 * SECOND);
}

#[test]
fn is_told_of_a_loss_too() {
    let (heard, asked) = mpsc::channel();
    let pace = Pace::new(Backoff::Constant(SECOND)).custom(CustomDelay::Bounded);
    let mut stage = Stage::new(1, policy().pace(pace));
    stage.hooks = Box::new(DelayHook(move |asked: &DelayAsked| {
        heard.send(asked.failure).unwrap();
        DelayAnswer::AsSuggested
    }));
    stage.connect(0);
    stage.lose(RESET);
    stage.until_a_dial();
    assert_eq!(asked.try_iter().collect::<Vec<_>>(), [Some(RESET)]);
}
