use super::*;

#[test]
fn a_forced_reconnect_to_anybody_and_a_resume_do_not_cut_a_suspension_short() {
    let mut stage = Stage::new(1, policy());
    stage.connect(0);
    stage.lose(AUTH);
    stage.input(Input::Reconnect(Whither::Any));
    stage.input(Input::Resume);
    stage.until_a_dial();
    assert_eq!(stage.dials(), "0@30000");
}

#[test]
fn a_forced_reconnect_to_the_one_that_rests_does() {
    let mut stage = Stage::new(1, policy());
    stage.connect(0);
    stage.lose(AUTH);
    stage.input(Input::Reconnect(Whither::This(EndpointId::new(0))));
    assert_eq!(stage.dials(), "0");
}

#[test]
fn the_end_of_a_suspension_that_is_told_is_that_of_the_suspension() {
    let pace = Pace::new(Backoff::Constant(60 * SECOND))
        .every(Every::Endpoint)
        .cap(60 * SECOND);
    let mut stage = Stage::new(2, policy().pace(pace));
    stage.start();
    stage.fail(0, AUTH);
    let until = stage.events.iter().find_map(|event| match event {
        Event::Suspended { until, .. } => Some(*until),
        _ => None,
    });
    assert_eq!(until, Some(Time::ZERO + 30 * SECOND));
}

#[test]
fn a_connection_from_before_a_suspension_does_not_end_it_when_it_is_lost() {
    let mut stage = Stage::new(1, policy());
    stage.connect(0);
    stage.input(Input::Reconnect(Whither::Any));
    stage.fail(0, AUTH);
    stage.pass(10 * SECOND);
    stage.lose(RESET);
    stage.until_a_dial();
    assert_eq!(stage.dials(), "0 0@30000");
}

#[test]
fn a_suspension_is_told_and_neither_a_mark_nor_an_ordinary_failure_is() {
    let told = |reaction, dials| {
        let reactions = Reactions::default().on(On::ANY, reaction);
        let health = Health::default().retries(1).retry_delay(SECOND);
        let mut stage = Stage::new(1, policy().reactions(reactions).health(health));
        stage.connect(0);
        stage.lose(RESET);
        stage.refuse(dials);
        let suspended = |event: &&Event| matches!(event, Event::Suspended { .. });
        stage.events.iter().filter(suspended).count()
    };
    assert_eq!(told(Reaction::Next, 3), 0);
    // The loss marks, the dial after it suspends, and so does each probe.
    assert_eq!(
        [0, 1, 2, 3].map(|dials| told(Reaction::Mark, dials)),
        [0, 0, 1, 2]
    );
    assert_eq!(
        [0, 1, 2].map(|dials| told(Reaction::Suspend, dials)),
        [1, 1, 2]
    );
}
