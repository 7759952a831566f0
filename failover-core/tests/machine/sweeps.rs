use super::*;

#[test]
fn nats_dials_the_others_at_once_and_waits_before_the_lost_server() {
    let mut stage = Stage::new(3, policy());
    stage.connect(0);
    stage.lose(RESET);
    assert_eq!(
        stage.refuse(8),
        "1 2 0@1000 1@1000 2@1000 0@2000 1@2000 2@2000"
    );
}

#[test]
fn nats_with_one_server_waits_before_every_attempt() {
    let mut stage = Stage::new(1, policy());
    stage.connect(0);
    stage.lose(RESET);
    assert_eq!(stage.refuse(3), "0@1000 0@2000 0@3000");
}

#[test]
fn nats_retires_a_server_at_its_limit_and_closes_when_all_are_retired() {
    let limits = Limits::UNLIMITED.per_endpoint(Limit::AtMost(2));
    let mut stage = Stage::new(3, policy().limits(limits));
    stage.connect(0);
    stage.lose(RESET);
    assert_eq!(stage.refuse(99), "1 2 0@1000 1@1000 2@1000 0@2000");
    assert_eq!(stage.closed(), Some(CloseReason::PerEndpoint(2)));
}

#[test]
fn a_server_that_other_servers_outlived_is_back_in_the_next_outage() {
    let limits = Limits::UNLIMITED.per_endpoint(Limit::AtMost(2));
    let mut stage = Stage::new(2, policy().limits(limits));
    stage.connect(0);
    stage.lose(RESET);
    // Server 1 fails twice and is retired; server 0 answers.
    stage.fail(1, REFUSED);
    stage.until_a_dial();
    stage.fail(0, REFUSED);
    stage.fail(1, REFUSED);
    stage.until_a_dial();
    stage.accept(0);
    assert_eq!(stage.dials(), "1 0@1000 1@1000 0@2000");
    stage.pass(20 * SECOND);
    stage.lose(RESET);
    assert_eq!(stage.refuse(1), "1@22000");
}

#[test]
fn activemq_waits_a_little_first_and_tries_the_lost_server_last_in_every_pass() {
    let pace = Pace::new(Backoff::Exponential {
        base: 10 * MS,
        factor: Ratio::TWO,
    })
    .first(10 * MS);
    let order = Order::new(Walk::Listed).lost(Lost::Last);
    let mut stage = Stage::new(3, policy().order(order).pace(pace));
    stage.connect(0);
    stage.lose(RESET);
    assert_eq!(
        stage.refuse(9),
        "1@10 2@10 0@10 1@20 2@20 0@20 1@40 2@40 0@40"
    );
}

#[test]
fn a_limit_of_sweeps_counts_passes_and_the_first_is_one() {
    let limits = Limits::UNLIMITED.sweeps(Limit::AtMost(2));
    let mut stage = Stage::new(2, policy().start_up_limits(limits));
    stage.start();
    assert_eq!(stage.refuse(99), "0 1 0@1000 1@1000");
    assert_eq!(stage.closed(), Some(CloseReason::Sweeps(2)));
}

#[test]
fn stompit_waits_for_each_server_by_its_own_series() {
    let pace = Pace::new(Backoff::Affine {
        initial: 10 * MS,
        factor: Ratio::TWO,
    })
    .every(Every::Endpoint);
    let mut stage = Stage::new(2, policy().pace(pace));
    stage.start();
    assert_eq!(stage.refuse(8), "0 1 0@10 1@10 0@40 1@40 0@110 1@110");
}

#[test]
fn each_endpoint_has_an_exponential_series_of_its_own() {
    let pace = Pace::new(Backoff::Exponential {
        base: SECOND,
        factor: Ratio::TWO,
    })
    .every(Every::Endpoint);
    let mut stage = Stage::new(2, policy().pace(pace));
    stage.connect(0);
    stage.lose(RESET);
    // The one that proved stable begins anew; so does its neighbour.
    assert_eq!(stage.refuse(6), "1 0 1@1000 0@1000 1@3000 0@3000");
}

#[test]
fn the_lost_server_goes_where_the_policy_says() {
    for (lost, dials) in [
        (Lost::First, "1 2 0 1@1000"),
        (Lost::InPlace, "2 0 1 2@1000"),
        (Lost::Last, "2 0 1 2@1000"),
        (Lost::TurnTaken, "2 0 1@1000 2@1000"),
    ] {
        let order = Order::new(Walk::Rotate).lost(lost);
        let mut stage = Stage::new(3, policy().order(order));
        stage.start();
        stage.fail(0, REFUSED);
        stage.accept(1);
        stage.pass(20 * SECOND);
        stage.since = stage.now;
        stage.dials();
        stage.lose(RESET);
        assert_eq!(stage.refuse(4), dials, "{lost:?}");
    }
}

#[test]
fn a_list_is_shuffled_when_the_policy_says_so() {
    let whom_first = |shuffle, lasted| {
        let order = Order::new(Walk::Shuffled(shuffle)).lost(Lost::InPlace);
        let mut stage = Stage::new(5, policy().order(order));
        stage.start();
        let mut first = Vec::new();
        for _ in 0..20 {
            stage.until_a_dial();
            let endpoint = stage.in_flight.first_key_value().unwrap().1.0;
            first.push(endpoint);
            stage.accept(endpoint);
            stage.pass(lasted);
            stage.lose(RESET);
        }
        first
    };
    let is_always_the_same = |first: &[u32]| first.chunks(5).all(|five| five == &first[..5]);
    let is_each_once = |five: &[u32]| (0..5).all(|endpoint| five.contains(&endpoint));
    for lasted in [Duration::ZERO, 20 * SECOND] {
        assert!(is_always_the_same(&whom_first(Shuffle::Once, lasted)));
        assert!(!is_always_the_same(&whom_first(Shuffle::EachSweep, lasted)));
        assert!(!is_always_the_same(&whom_first(Shuffle::EachLoss, lasted)));
    }
    // After connections that did not last the sweep goes on; a stable one begins another.
    let is_whole = |lasted| {
        let first = whom_first(Shuffle::EachSweep, lasted);
        first.chunks(5).all(is_each_once)
    };
    assert!(is_whole(Duration::ZERO) && !is_whole(20 * SECOND));
}
