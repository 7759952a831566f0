use super::*;

fn with_spare(endpoints: u32) -> Play {
    Play::new(endpoints, policy().standing(Standing::default().spares(1)))
}

#[test]
fn a_spare_on_another_server_is_promoted_at_once() {
    let mut play = with_spare(3);
    play.start();
    play.says("dial 0");
    play.connected("0");
    play.says("attempt 0 ok; connected 0; dial 1");
    play.connected("1");
    play.says("attempt 1 ok; spare 1");
    play.lose(RESET);
    play.says("disconnected 0; failed over to 1; dial 2");
    assert_eq!(play.status(), "connected 1");
}

#[test]
fn a_spare_that_dies_is_replaced_after_a_wait() {
    let mut play = with_spare(3);
    play.connect("0");
    let spare = play.connected("1");
    play.says("attempt 1 ok; spare 1");
    play.input(Input::Lost {
        attempt: spare,
        failure: RESET,
        verdict: Verdict::AsPolicy,
    });
    play.says("spare lost 1");
    play.until_something_happens();
    play.says("dial 2");
    assert_eq!(play.elapsed(), SECOND);
}

#[test]
fn spares_that_die_do_not_slow_the_dials_of_an_outage() {
    let pace = Pace::new(Backoff::Exponential {
        base: SECOND,
        factor: Ratio::TWO,
    })
    .every(Every::Endpoint);
    let standing = Standing::default().spares(1);
    let mut play = Play::new(2, policy().pace(pace).standing(standing));
    play.connect("0");
    for _ in 0..4 {
        let spare = play.connected("1");
        play.says("attempt 1 ok; spare 1");
        play.input(Input::Lost {
            attempt: spare,
            failure: RESET,
            verdict: Verdict::AsPolicy,
        });
        play.says("spare lost 1");
        play.until_something_happens();
        play.says("dial 1");
    }
    let waited = play.elapsed();
    assert!(
        waited >= 14 * SECOND,
        "the dials of spares are slowed: {waited:?}"
    );
    play.lose(RESET);
    play.take();
    play.fail("1", REFUSED);
    let failed = play.elapsed();
    while !play.take().contains("dial 1") {
        if !play.in_flight.is_empty() {
            play.fail("0", REFUSED);
        }
        play.until_something_happens();
    }
    assert_eq!(play.elapsed() - failed, SECOND);
}

#[test]
fn a_refused_spare_is_tried_again_for_ever_and_counts_for_no_limit() {
    let limits = Limits::UNLIMITED.turns(Limit::AtMost(1));
    let standing = Standing::default().spares(1);
    let mut play = Play::new(2, policy().limits(limits).standing(standing));
    play.connect("0");
    for _ in 0..5 {
        play.fail("1", REFUSED);
        play.says("attempt 1 refused");
        play.until_something_happens();
        play.says("dial 1");
    }
    assert_eq!(play.status(), "connected 0");
}

#[test]
fn a_move_is_made_to_a_spare_at_once() {
    let mut play = with_spare(2);
    play.connect("0");
    play.connected("1");
    play.take();
    play.input(Input::Reconnect(Whither::Any));
    play.says("switching; moved 0 to 1; hang up 0; dial 0");
    assert_eq!(play.status(), "connected 1");
}

#[test]
fn a_move_to_a_named_server_takes_the_spare_there_and_no_other() {
    let mut play = with_spare(3);
    play.connect("0");
    play.connected("1");
    play.take();
    play.input(Input::Reconnect(Whither::This(EndpointId::new(2))));
    play.says("switching; dial 2");
}

#[test]
fn close_hangs_up_on_spares_too() {
    let mut play = with_spare(2);
    play.connect("0");
    play.connected("1");
    play.take();
    play.input(Input::Close);
    play.says("disconnected 0; hang up 0; hang up 1; closed");
}

#[test]
fn a_spare_on_a_server_that_leaves_is_hung_up_and_another_is_made() {
    for leaves in [Change::Off, Change::Remove] {
        let mut play = with_spare(3);
        play.connect("0");
        play.connected("1");
        play.take();
        play.change(leaves(EndpointId::new(1)));
        play.says("hang up 1");
        play.until_something_happens();
        play.says("dial 2");
        assert_eq!(play.elapsed(), Duration::ZERO);
    }
}

#[test]
fn a_spare_that_had_nowhere_to_go_is_made_as_soon_as_a_server_is_added() {
    let mut play = with_spare(1);
    play.connect("0");
    play.change(Change::Add(traits(1)));
    play.says("dial 1");
}

#[test]
fn a_spare_whose_server_others_found_to_be_back_is_made_within_a_small_spread() {
    let mut play = with_spare(2);
    let endpoint = EndpointId::new(1);
    let until = play.now + 3600 * SECOND;
    play.input(Input::Rests { endpoint, until });
    play.connect("0");
    play.input(Input::Wake);
    play.says("");
    play.input(Input::Recovered { endpoint });
    play.until_something_happens();
    play.says("dial 1");
    assert!(play.elapsed() <= SECOND / 2, "{:?}", play.elapsed());
}

#[test]
fn a_server_whose_failure_ends_a_spare_rests() {
    let mut play = with_spare(3);
    play.connect("0");
    let attempt = play.connected("1");
    play.take();
    lose_spare(&mut play, attempt, RESET.scope(Scope::Endpoint));
    play.says("spare lost 1; suspended 1");
    assert_eq!(play.condition(1), Condition::Suspended);
}

#[test]
fn the_wait_for_the_next_spare_grows_until_one_lives_as_long_as_a_stable_connection() {
    let mut play = paced(2, DOUBLING);
    play.connect("0");
    for (lives, waits) in [(0, 1), (0, 2), (9, 4), (10, 1), (0, 2)] {
        let attempt = play.connected("1");
        play.pass(lives * SECOND);
        let lost = play.now;
        lose_spare(&mut play, attempt, RESET);
        play.take();
        play.until_something_happens();
        play.says("dial 1");
        assert_eq!(play.now.since(lost), waits * SECOND);
    }
}

#[test]
fn a_spare_that_is_refused_again_and_again_is_dialled_ever_more_slowly() {
    let mut play = paced(4, DOUBLING);
    play.connect("0");
    for (refuses, waits) in [("1", 1), ("2", 2), ("3", 4)] {
        let failed = play.now;
        play.fail(refuses, REFUSED);
        play.take();
        play.until_something_happens();
        assert!(play.take().starts_with("dial "));
        assert_eq!(play.now.since(failed), waits * SECOND);
    }
}

#[test]
fn a_policy_without_waits_makes_the_next_spare_a_millisecond_later() {
    let mut refused = paced(3, Backoff::Constant(Duration::ZERO));
    refused.connect("0");
    refused.fail("1", REFUSED);
    refused.says("attempt 1 refused");
    refused.until_something_happens();
    refused.says("dial 2");
    assert_eq!(refused.elapsed(), MS);

    let mut lost = paced(3, Backoff::Constant(Duration::ZERO));
    lost.connect("0");
    let attempt = lost.connected("1");
    lost.take();
    lose_spare(&mut lost, attempt, RESET);
    lost.says("spare lost 1");
    lost.until_something_happens();
    lost.says("dial 2");
    assert_eq!(lost.elapsed(), MS);
}

#[test]
fn a_server_for_a_spare_is_looked_for_after_the_wait_and_never_in_a_busy_loop() {
    for (wait, looks_after) in [(SECOND, SECOND), (Duration::ZERO, MS)] {
        let mut play = paced(1, Backoff::Constant(wait));
        play.start();
        play.connected("0");
        assert_eq!(play.wake(), Some(play.now + looks_after));
    }
}

const DOUBLING: Backoff = Backoff::Exponential {
    base: SECOND,
    factor: Ratio::TWO,
};

fn paced(endpoints: u32, backoff: Backoff) -> Play {
    let standing = Standing::default().spares(1);
    let policy = policy().pace(Pace::new(backoff)).standing(standing);
    Play::new(endpoints, policy)
}

fn lose_spare(play: &mut Play, attempt: AttemptId, failure: Failure) {
    let verdict = Verdict::AsPolicy;
    play.input(Input::Lost {
        attempt,
        failure,
        verdict,
    });
}
