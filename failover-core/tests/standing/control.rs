use super::*;

#[test]
fn nothing_is_dialled_in_a_pause_and_a_loss_in_it_is_mended_afterwards() {
    let mut play = Play::new(2, policy());
    play.connect("0");
    play.input(Input::Pause);
    play.says("");
    play.lose(RESET);
    play.says("disconnected 0");
    assert_eq!((play.status(), play.wake()), ("paused".to_string(), None));
    play.pass(3600 * SECOND);
    let before = play.elapsed();
    play.input(Input::Resume);
    play.until_something_happens();
    play.says("dial 1");
    assert!(play.elapsed() - before <= SECOND / 2);
}

#[test]
fn the_network_coming_back_cuts_a_wait_down_to_a_small_spread() {
    let pace = Pace::new(Backoff::Constant(3600 * SECOND)).cap(3600 * SECOND);
    let mut play = Play::new(1, policy().pace(pace));
    play.connect("0");
    play.lose(RESET);
    play.input(Input::Resume);
    play.until_something_happens();
    assert!(play.elapsed() <= SECOND / 2 + Duration::from_millis(1));
}

#[test]
fn a_choice_hook_names_the_next_server_and_its_delay_and_a_bad_choice_is_not_heeded() {
    let mut play = Play::new(3, policy());
    play.hooks = Box::new(Choosy(vec![
        Choice::Endpoint(EndpointId::new(99)),
        Choice::EndpointAfter(EndpointId::new(0), 7 * SECOND),
        Choice::Endpoint(EndpointId::new(2)),
    ]));
    play.start();
    play.says("dial 2");
    play.fail("2", REFUSED);
    play.says("attempt 2 refused");
    play.until_something_happens();
    assert_eq!(play.elapsed(), 7 * SECOND);
    play.says("dial 0");
    play.fail("0", REFUSED);
    play.says("attempt 0 refused; dial 1");
}

#[test]
fn a_choice_hook_reaches_neither_a_resting_server_nor_a_second_one_at_start_up() {
    let names = |id| {
        let named = Choice::Endpoint(EndpointId::new(id));
        Box::new(Choosy(vec![named, Choice::AsSuggested]))
    };
    let mut rests = Play::new(2, policy());
    rests.hooks = names(0);
    rests.start();
    rests.fail("0", REFUSED.scope(Scope::Endpoint));
    assert!(rests.take().ends_with("dial 1"));
    let mut first_only = Play::new(2, policy().start(Start::FirstOnly));
    first_only.hooks = names(1);
    first_only.start();
    first_only.fail("0", REFUSED);
    first_only.until_something_happens();
    assert!(first_only.take().ends_with("dial 0"));
}

#[test]
fn a_choice_hook_does_not_reach_a_server_that_is_switched_off() {
    let mut play = Play::new(2, policy());
    play.hooks = Box::new(Choosy(vec![Choice::Endpoint(EndpointId::new(0))]));
    play.change(Change::Off(EndpointId::new(0)));
    play.start();
    assert!(play.take().ends_with("dial 1"));
}

#[test]
fn the_first_wait_after_a_loss_is_for_whom_the_delay_hook_was_not_asked() {
    let pace = Pace::new(Backoff::Constant(SECOND))
        .every(Every::Endpoint)
        .first(3 * SECOND)
        .custom(CustomDelay::Bounded);
    let mut unasked = Play::new(1, policy().pace(pace));
    unasked.connect("0");
    unasked.lose(RESET);
    unasked.until_something_happens();
    assert_eq!(unasked.elapsed(), 3 * SECOND);
    let mut asked = Play::new(2, policy().pace(pace));
    asked.hooks = Box::new(DelayHook(|_: &DelayAsked| DelayAnswer::Exactly(2 * SECOND)));
    asked.start();
    asked.fail("0", REFUSED);
    asked.connected("1");
    asked.pass(20 * SECOND);
    asked.lose(RESET);
    assert!(asked.take().ends_with("disconnected 1; dial 0"));
}

/// Answers these from the last on, then as suggested.
struct Choosy(Vec<Choice>);

impl Hooks for Choosy {
    fn choose(&mut self, _: &ChoiceAsked) -> Choice {
        self.0.pop().unwrap_or(Choice::AsSuggested)
    }
}

#[test]
fn a_lower_tier_is_tried_before_a_higher_one_whatever_the_walk() {
    let endpoints = vec![traits(0).tier(1), traits(1).tier(0), traits(2).tier(0)];
    let mut play = Play::of(endpoints, policy());
    play.start();
    play.fail("1", REFUSED);
    play.fail("2", REFUSED);
    play.says("dial 1; attempt 1 refused; dial 2; attempt 2 refused; dial 0");
}

#[test]
fn a_dial_that_runs_into_its_deadline_is_cancelled_and_the_next_is_dialled() {
    let mut play = Play::new(2, policy().deadline(2 * SECOND));
    play.start();
    play.says("dial 0");
    play.until_something_happens();
    play.says("cancel 0; attempt 0 timeout; dial 1");
    assert_eq!(play.elapsed(), 2 * SECOND);
}
