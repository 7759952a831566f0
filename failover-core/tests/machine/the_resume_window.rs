use super::*;

fn resuming() -> PolicyBuilder {
    policy().resume(Resume::new(12 * SECOND, 5 * SECOND))
}

fn gone(stage: &Stage) -> usize {
    let gone = |event: &&Event| matches!(event, Event::SessionGone);
    stage.events.iter().filter(gone).count()
}

#[test]
fn it_does_not_lead_to_a_server_that_is_off() {
    let mut stage = Stage::new(2, resuming());
    stage.connect(0);
    stage.input(change(1, Change::Off));
    stage.input(change(0, Change::Off));
    stage.lose(RESET);
    assert_eq!((stage.dials().as_str(), stage.starved()), ("", 1));
}

#[test]
fn it_ends_in_words_when_its_server_leaves_the_list() {
    let mut stage = Stage::new(2, resuming());
    stage.connect(0);
    stage.lose(RESET);
    stage.input(change(0, Change::Off));
    assert_eq!((stage.dials().as_str(), gone(&stage)), ("0 1", 1));
}

#[test]
fn it_ends_in_words_when_the_user_wants_another_server() {
    let mut stage = Stage::new(2, resuming());
    stage.connect(0);
    stage.lose(RESET);
    stage.fail(0, REFUSED);
    stage.input(Input::Reconnect(Whither::Other));
    stage.until_a_dial();
    assert_eq!((stage.dials().as_str(), gone(&stage)), ("0 1", 1));
}

#[test]
fn in_a_pause_it_runs_on_and_after_it_the_server_comes_first_if_there_is_time() {
    for (pause, dials, told) in [(3, "0", 0), (13, "1", 1)] {
        let mut stage = Stage::new(2, resuming());
        stage.connect(0);
        stage.input(Input::Pause);
        stage.lose(RESET);
        stage.pass(pause * SECOND);
        stage.input(Input::Wake);
        assert_eq!(gone(&stage), 0);
        stage.input(Input::Resume);
        stage.until_a_dial();
        let dialled = stage.dials();
        assert_eq!(
            (dialled.split('@').next(), gone(&stage)),
            (Some(dials), told)
        );
    }
}

#[test]
fn at_its_end_it_starts_no_dial_that_has_no_time() {
    let both = traits(0).route(Security::Plain);
    let policy = policy().resume(Resume::new(SECOND, SECOND));
    let mut stage = Stage::of(vec![both, traits(1)], policy);
    stage.connect(0);
    stage.lose(RESET);
    stage.pass(SECOND);
    stage.input(Input::Wake);
    assert_eq!(stage.dials(), "0 1@1000");
}

#[test]
fn whoever_leaves_it_for_another_server_finds_the_lost_one_in_the_next_sweep() {
    for walk in [Walk::Rotate, Walk::Listed, Walk::LeastFailed] {
        let order = Order::new(walk).lost(Lost::InPlace);
        let resume = Resume::new(12 * SECOND, 5 * SECOND).first(SECOND);
        let mut stage = Stage::new(2, policy().resume(resume).order(order));
        stage.connect(0);
        stage.lose(RESET);
        // It waits for the first dial of the window.
        stage.input(Input::Reconnect(Whither::Other));
        assert_eq!(stage.refuse(3), "1 0@1000 1@1000", "{walk:?}");
    }
}
