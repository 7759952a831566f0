use super::*;

#[test]
fn a_limit_of_no_turns_closes_on_the_loss() {
    let limits = Limits::UNLIMITED.turns(Limit::AtMost(0));
    let mut stage = Stage::new(2, policy().limits(limits));
    stage.connect(0);
    stage.lose(RESET);
    assert_eq!(stage.dials(), "");
    assert_eq!(stage.closed(), Some(CloseReason::Turns(0)));
}

#[test]
fn a_server_that_accepts_and_drops_is_waited_for_longer_and_longer() {
    let pace = Pace::new(Backoff::Exponential {
        base: 100 * MS,
        factor: Ratio::TWO,
    });
    for every in [Every::Attempt, Every::Endpoint, Every::Sweep] {
        let mut stage = Stage::new(1, policy().pace(pace.every(every)));
        stage.connect(0);
        stage.lose(RESET);
        for _ in 0..6 {
            stage.until_a_dial();
            stage.accept(0);
            stage.lose(RESET);
        }
        stage.until_a_dial();
        let dials = match every {
            Every::Sweep => "0@100 0@300 0@700 0@1500 0@3100 0@6300 0@12700",
            _ => "0 0@100 0@300 0@700 0@1500 0@3100 0@6300",
        };
        assert_eq!(stage.dials(), dials, "{every:?}");
    }
}

#[test]
fn a_flapping_server_counts_as_failing_turns() {
    let limits = Limits::UNLIMITED.turns(Limit::AtMost(3));
    let mut stage = Stage::new(1, policy().limits(limits));
    stage.connect(0);
    for _ in 0..4 {
        stage.lose(RESET);
        stage.until_a_dial();
        if stage.closed().is_none() {
            stage.accept(0);
        }
    }
    assert_eq!(stage.dials(), "0@1000 0@2000 0@3000");
    assert_eq!(stage.closed(), Some(CloseReason::Turns(3)));
}

#[test]
fn a_connection_that_proved_stable_resets_the_count() {
    let limits = Limits::UNLIMITED.turns(Limit::AtMost(3));
    let mut stage = Stage::new(1, policy().limits(limits));
    stage.connect(0);
    for _ in 0..10 {
        stage.lose(RESET);
        stage.until_a_dial();
        stage.fail(0, REFUSED);
        stage.until_a_dial();
        stage.accept(0);
        stage.pass(20 * SECOND);
    }
    assert_eq!(stage.closed(), None);
}

#[test]
fn a_server_that_says_when_to_come_back_is_benched_until_then_and_no_longer_than_the_maximum() {
    let busy = |seconds| Failure::new(Kind::Upgrade).retry_after(seconds * SECOND);
    let mut stage = Stage::new(2, policy());
    stage.start();
    stage.fail(0, busy(5));
    assert_eq!(
        stage.refuse(8),
        "0 1 1@1000 1@2000 1@3000 1@4000 1@5000 0@5000",
        "the hint is a floor for its endpoint alone"
    );
    let mut alone = Stage::new(1, policy());
    alone.connect(0);
    alone.lose(busy(100_000));
    assert_eq!(alone.refuse(1), "0@600000");
}

#[test]
fn a_failure_of_the_endpoints_own_benches_it_for_30_s_doubled_up_to_10_min() {
    let mut stage = Stage::new(1, policy());
    stage.connect(0);
    stage.lose(AUTH);
    assert_eq!(
        stage.refuse_with(7, AUTH),
        "0@30000 0@90000 0@210000 0@450000 0@930000 0@1530000 0@2130000"
    );
}

#[test]
fn a_fatal_failure_closes() {
    let fatal = RESET.scope(Scope::Fatal);
    let mut stage = Stage::new(2, policy());
    stage.connect(0);
    stage.lose(fatal);
    assert_eq!(stage.closed(), Some(CloseReason::Fatal(fatal)));
}

#[test]
fn the_verdict_of_the_application_comes_before_the_policy() {
    for (verdict, dials) in [
        (Verdict::AsPolicy, "1 2 0@1000"),
        (Verdict::Retry, "0 1 2"),
        (Verdict::Next, "1 2 0@1000"),
        (Verdict::Suspend, "1 2 1@1000"),
        (Verdict::Remove, "1 2 1@1000"),
    ] {
        let mut stage = Stage::new(3, policy());
        stage.connect(0);
        stage.lose_with(RESET, verdict);
        assert_eq!(stage.refuse(3), dials, "{verdict:?}");
    }
    let mut stage = Stage::new(3, policy());
    stage.connect(0);
    stage.lose_with(RESET, Verdict::Stop);
    assert_eq!(stage.closed(), Some(CloseReason::Fatal(RESET)));
}

#[test]
fn a_reaction_may_be_written_for_a_kind_of_failure() {
    let reactions = Reactions::default().on(On::kind(Kind::Reset), Reaction::Suspend);
    let health = Health::default().initial(5 * SECOND);
    let mut stage = Stage::new(1, policy().reactions(reactions).health(health));
    stage.connect(0);
    stage.lose(RESET);
    assert_eq!(stage.refuse_with(3, RESET), "0@5000 0@15000 0@35000");
}

#[test]
fn a_reaction_may_be_written_for_how_far_a_failure_reaches() {
    let reactions = Reactions::default().on(On::scope(Scope::Endpoint), Reaction::Stop);
    let mut stage = Stage::new(2, policy().reactions(reactions));
    stage.start();
    stage.fail(0, REFUSED);
    assert_eq!(stage.closed(), None);
    stage.fail(1, AUTH);
    assert_eq!(stage.closed(), Some(CloseReason::Fatal(AUTH)));
}

#[test]
fn every_dial_says_what_it_is_for() {
    let mut stage = Stage::new(2, policy());
    stage.start();
    stage.fail(0, REFUSED);
    stage.accept(1);
    stage.pass(20 * SECOND);
    stage.lose(RESET);
    stage.fail(0, REFUSED);
    stage.until_a_dial();
    assert_eq!(
        stage.purposes,
        [
            (0, Purpose::First),
            (1, Purpose::First),
            (0, Purpose::Failover),
            (1, Purpose::Reconnect),
        ]
    );
}

#[test]
fn the_end_of_a_connection_says_whom_is_dialled_next_and_after_which_wait() {
    let lose: [fn(&mut Stage); 2] = [
        |stage| stage.lose(RESET),
        |stage| {
            stage.input(Input::Reconnect(Whither::This(EndpointId::new(1))));
        },
    ];
    let standing = Standing::default().overlap(Overlap::Forbidden);
    for lose in lose {
        let mut stage = Stage::new(2, policy().standing(standing));
        stage.connect(0);
        lose(&mut stage);
        let next = stage.events.iter().find_map(|event| match event {
            Event::Disconnected { next, .. } => *next,
            _ => None,
        });
        let next = next.expect("it says what comes next");
        stage.until_a_dial();
        let at = next.wait.as_millis();
        let said = match at {
            0 => next.endpoint.number().to_string(),
            at => format!("{}@{at}", next.endpoint.number()),
        };
        assert_eq!(stage.dials(), said);
    }
}
