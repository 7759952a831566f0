use super::*;

fn tiered() -> Play {
    let failback = Failback::default()
        .every(10 * SECOND)
        .good_probes(2)
        .settle(SECOND);
    let policy = policy()
        .standing(Standing::default().failback(failback))
        .stable_after(Duration::ZERO);
    let endpoints = [0_u8, 1].map(|n| traits(u32::from(n)).tier(n));
    Play::of(endpoints.to_vec(), policy)
}

/// Connected to the second, for the preferred one refused.
fn on_the_second() -> Play {
    let mut play = tiered();
    play.start();
    play.fail("0", REFUSED);
    play.connected("1");
    play
}

#[test]
fn it_moves_up_only_after_enough_good_probes() {
    let mut play = on_the_second();
    play.take();
    for _ in 0..2 {
        play.until_something_happens();
        play.says("dial 0");
        play.fail("0", REFUSED);
        play.says("attempt 0 refused");
    }
    play.until_something_happens();
    play.says("dial 0");
    play.connected("0");
    play.says("attempt 0 ok; hang up 0");
    play.until_something_happens();
    play.says("dial 0");
    play.connected("0");
    play.says("attempt 0 ok; switching; moved 1 to 0; hang up 1");
    assert_eq!(play.wake(), None, "nothing is above the first tier");
}

#[test]
fn a_spare_at_the_preferred_server_does_not_stand_in_its_way() {
    let failback = Failback::default().every(SECOND).good_probes(1);
    let standing = Standing::default().spares(1);
    let standing = standing.failback(failback.settle(Duration::ZERO));
    let endpoints = [0_u8, 1].map(|n| traits(u32::from(n)).tier(n));
    let mut play = Play::of(endpoints.to_vec(), policy().standing(standing));
    play.start();
    play.fail("0", REFUSED);
    play.connected("1");
    play.until_something_happens();
    play.connected("0");
    play.take();
    play.until_something_happens();
    play.says("dial 0");
    play.connected("0");
    play.says("attempt 0 ok; switching; moved 1 to 0; hang up 1; hang up 0");
    play.until_something_happens();
    play.says("dial 1");
}

#[test]
fn a_failed_probe_starts_the_count_anew() {
    let mut play = on_the_second();
    for outcome in [true, false, true] {
        play.until_something_happens();
        match outcome {
            true => drop(play.connected("0")),
            false => play.fail("0", REFUSED),
        }
    }
    assert_eq!(play.status(), "connected 1");
}

#[test]
fn it_moves_up_no_sooner_than_the_preferred_server_has_settled() {
    let failback = Failback::default()
        .every(10 * SECOND)
        .good_probes(1)
        .settle(60 * SECOND);
    let endpoints = [0_u8, 1].map(|n| traits(u32::from(n)).tier(n));
    let standing = Standing::default().failback(failback);
    let mut play = Play::of(endpoints.to_vec(), policy().standing(standing));
    play.start();
    play.fail("0", REFUSED);
    play.connected("1");
    play.until_something_happens();
    play.connected("0");
    let first_good = play.now;
    while play.status() == "connected 1" {
        play.until_something_happens();
        play.connected("0");
    }
    let settled = play.now.since(first_good);
    assert!(
        (60 * SECOND..=70 * SECOND).contains(&settled),
        "{settled:?}"
    );
}

#[test]
fn probes_that_fail_stay_between_half_their_interval_and_the_whole_apart_and_each_at_another() {
    let mut play = on_the_second();
    let mut waits = Vec::new();
    for _ in 0..40 {
        let before = play.now;
        play.until_something_happens();
        waits.push(play.now.since(before));
        play.fail("0", REFUSED);
    }
    waits.sort_unstable();
    assert!(
        waits[0] >= 5 * SECOND && waits[39] <= 10 * SECOND,
        "{waits:?}"
    );
    // Of even draws, sixteen are below 7 s and sixteen above 8 s; here it is the same ones each time.
    assert!(waits[9] < 7 * SECOND && waits[30] > 8 * SECOND, "{waits:?}");
}

#[test]
fn a_probe_that_finds_the_preferred_server_switched_off_starts_the_count_anew() {
    let mut play = on_the_second();
    play.until_something_happens();
    play.connected("0");
    play.take();
    // One good probe; then nobody is there for some time.
    play.change(Change::Off(EndpointId::new(0)));
    for _ in 0..3 {
        if let Some(wake) = play.wake() {
            play.now = wake;
            play.input(Input::Wake);
        }
    }
    play.says("");
    play.change(Change::On(EndpointId::new(0)));
    play.until_something_happens();
    play.connected("0");
    play.says("dial 0; attempt 0 ok; hang up 0");
    play.until_something_happens();
    play.connected("0");
    play.says("dial 0; attempt 0 ok; switching; moved 1 to 0; hang up 1");
}
