use super::*;

#[test]
fn the_others_at_once_the_lost_one_last_and_a_wait_before_it() {
    let policy = PresetName::Default.preset().unwrap().policy;
    let mut rig = Rig::new(3, &policy);
    rig.lived = 20 * SECOND;
    rig.start();
    let lost = rig.accept();
    let first = rig.lose(RESET).unwrap();
    let second = rig.fail(REFUSED).unwrap();
    assert_eq!((first.1, second.1), (0, 0));
    assert!(first.0 != lost && second.0 != lost && first.0 != second.0);
    let (third, wait) = rig.fail(REFUSED).unwrap();
    assert!(third == lost && wait <= 250);
    for _ in 0..200 {
        assert!(rig.fail(REFUSED).unwrap().1 <= 8_000);
    }
    assert_eq!(rig.closed(), None, "never a silent end");
}

#[test]
fn accept_and_drop_backs_off() {
    let policy = PresetName::Default.preset().unwrap().policy;
    let mut rig = Rig::new(1, &policy);
    rig.lived = Duration::ZERO;
    rig.start();
    for _ in 0..20 {
        rig.accept();
        rig.lose(RESET);
    }
    assert!(rig.now.since(Time::ZERO) > 60 * SECOND);
}
