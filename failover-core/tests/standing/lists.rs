use super::*;

#[test]
fn a_removed_endpoint_is_never_dialled_again_and_its_id_does_not_come_back() {
    let mut play = Play::new(2, policy());
    play.connect("0");
    play.change(Change::Remove(EndpointId::new(1)));
    play.says("");
    play.lose(RESET);
    play.says("disconnected 0");
    play.until_something_happens();
    play.says("dial 0");
    assert_eq!(play.change(Change::Add(traits(1))), Answer::Stale);
    assert_eq!(play.condition(1), Condition::Removed);
}

#[test]
fn endpoints_that_left_are_forgotten_but_not_the_one_that_is_still_connected() {
    let mut play = Play::new(1, policy());
    play.connect("0");
    play.input(Input::Pause);
    play.change(Change::Remove(EndpointId::new(0)));
    for came in 1..=100 {
        play.change(Change::Add(traits(came)));
        if came > 3 {
            play.change(Change::Remove(EndpointId::new(came - 3)));
        }
        // They leave at most as many, or eight, behind, and those that are named.
        let known = |id: &u32| play.machine.condition(EndpointId::new(*id)).is_some();
        assert!((0..=came).filter(known).count() <= 3 + 8 + 2, "{came}");
    }
    play.says("");
    let of_old = EndpointId::new(1);
    assert_eq!(play.machine.condition(of_old), None);
    for change in [
        Change::Off(of_old),
        Change::On(of_old),
        Change::Remove(of_old),
    ] {
        assert_eq!(play.change(change), Answer::Stale);
    }
    assert_eq!(play.change(Change::Add(traits(1))), Answer::Stale);
    assert_eq!(play.condition(0), Condition::Removed);
    play.input(Input::Resume);
    play.says("switching; dial 98");
    play.connected("98");
    play.says("attempt 98 ok; moved 0 to 98; hang up 0");
}

#[test]
fn a_dial_of_an_endpoint_that_leaves_is_cancelled_and_the_next_is_dialled() {
    let mut play = Play::new(2, policy());
    play.start();
    play.says("dial 0");
    play.change(Change::Remove(EndpointId::new(0)));
    play.says("cancel 0; attempt 0 cancelled; dial 1");
}

#[test]
fn the_connection_to_an_endpoint_that_is_switched_off_is_left_by_a_move() {
    let mut play = Play::new(2, policy());
    play.connect("0");
    play.change(Change::Off(EndpointId::new(0)));
    play.says("switching; dial 1");
    play.connected("1");
    play.says("attempt 1 ok; moved 0 to 1; hang up 0");
}

#[test]
fn an_empty_list_starves_once_and_an_addition_ends_it() {
    let mut play = Play::new(1, policy());
    play.start();
    play.says("dial 0");
    play.change(Change::Remove(EndpointId::new(0)));
    play.says("cancel 0; attempt 0 cancelled; starved");
    assert_eq!(play.wake(), None);
    play.change(Change::Add(traits(7)));
    play.says("dial 7");
}

#[test]
fn an_addition_is_dialled_in_the_running_sweep() {
    let mut play = Play::new(1, policy());
    play.start();
    play.says("dial 0");
    play.change(Change::Add(traits(1)));
    play.fail("0", REFUSED);
    play.says("attempt 0 refused; dial 1");
}

#[test]
fn the_connection_to_an_endpoint_that_is_switched_on_again_stays() {
    let mut play = Play::new(2, policy());
    play.connect("0");
    play.change(Change::Off(EndpointId::new(0)));
    play.take();
    play.change(Change::On(EndpointId::new(0)));
    play.says("cancel 1; attempt 1 cancelled");
    assert_eq!(play.status(), "connected 0");
    assert_eq!(play.wake(), None);
}

#[test]
fn a_connection_that_was_to_be_left_anyway_is_left_though_its_endpoint_is_switched_on_again() {
    let leaves: [fn(AttemptId) -> Input; 2] = [
        |attempt| Input::Drain { attempt },
        |_| Input::Reconnect(Whither::Any),
    ];
    for leave in leaves {
        for is_told_first in [true, false] {
            let mut play = Play::new(2, policy());
            let connection = play.connect("0");
            let off = Input::Change(Change::Off(EndpointId::new(0)));
            let [first, second] = match is_told_first {
                true => [leave(connection), off],
                false => [off, leave(connection)],
            };
            play.input(first);
            play.input(second);
            play.change(Change::On(EndpointId::new(0)));
            while play.in_flight.is_empty() {
                play.until_something_happens();
            }
            play.connected("1");
            assert_eq!(play.status(), "connected 1", "{first:?}, {second:?}");
        }
    }
}
