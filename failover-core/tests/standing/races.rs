use super::*;

fn raced(endpoints: u32) -> Play {
    let race = Race::new(2, Stagger::Fixed(SECOND / 4)).unwrap();
    Play::new(endpoints, policy().race(race).deadline(2 * SECOND))
}

#[test]
fn a_mute_first_server_costs_the_stagger_and_the_loser_is_cancelled() {
    let mut play = raced(3);
    play.start();
    play.says("dial 0");
    play.until_something_happens();
    play.says("dial 1");
    assert_eq!(play.elapsed(), SECOND / 4);
    play.connected("1");
    play.says("attempt 1 ok; cancel 0; attempt 0 cancelled; connected 1");
}

#[test]
fn a_failure_starts_the_next_at_once_and_no_more_than_allowed_run() {
    let mut play = raced(3);
    play.start();
    play.until_something_happens();
    play.says("dial 0; dial 1");
    play.fail("0", REFUSED);
    play.says("attempt 0 refused; dial 2");
    play.fail("2", REFUSED);
    play.says("attempt 2 refused");
    assert_eq!(play.status(), "dialing 1");
    play.fail("1", REFUSED);
    play.says("attempt 1 refused");
    play.until_something_happens();
    play.says("dial 0");
}

#[test]
fn a_trained_stagger_is_what_a_trainer_of_the_won_dials_says() {
    let stagger = Stagger::Trained {
        min: 10 * MS,
        max: SECOND,
    };
    let race = Race::new(2, stagger).unwrap();
    let mut play = Play::new(3, policy().race(race));
    let mut trainer = Trainer::new();
    play.start();
    play.pass(40 * MS);
    play.connected("0");
    trainer.learn(Lap::new(40 * MS));

    // The second start was needless: the first one wins all the same.
    play.pass(20 * SECOND);
    play.lose(RESET);
    let began = play.now;
    play.until_something_happens();
    assert_eq!(play.now.since(began), stagger.wait(&trainer));
    play.pass(10 * MS);
    play.connected("1");
    let mut lap = Lap::new(play.now.since(began));
    lap.hedges = 1;
    trainer.learn(lap);

    play.pass(20 * SECOND);
    play.lose(RESET);
    let began = play.now;
    play.until_something_happens();
    assert_eq!(play.now.since(began), stagger.wait(&trainer));
}
