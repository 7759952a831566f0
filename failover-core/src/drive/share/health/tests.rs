use std::format;
use std::future::{Pending, pending};

use super::*;

const REST: Duration = Duration::from_secs(60);

struct Still;

impl Clock for Still {
    type Sleep = Pending<()>;

    fn now(&self) -> Time {
        Time::ZERO
    }

    fn sleep_until(&self, _: Time) -> Pending<()> {
        pending()
    }
}

fn names(reader: &mut Reader) -> Vec<String> {
    let news = reader.news(Waker::noop());
    news.into_iter().map(|(name, _)| name).collect()
}

#[test]
fn what_others_found_out_is_told_in_its_order_and_once() {
    let health = SharedHealth::new(Still);
    let (teller, mut reader) = (health.reader(), health.reader());
    for name in ["c", "a", "b"] {
        teller.suspended(name, REST);
    }
    assert_eq!(names(&mut reader), ["c", "a", "b"]);
    assert!(names(&mut reader).is_empty());

    // Only the last of an endpoint counts; one's own is no news.
    teller.connected("a");
    teller.suspended("a", REST);
    teller.connected("c");
    reader.connected("b");
    assert_eq!(names(&mut reader), ["a", "c"]);
    assert_eq!(names(&mut health.reader()), ["a", "c", "b"]);
}

#[test]
fn beyond_the_bound_the_oldest_news_is_forgotten() {
    let health = SharedHealth::new(Still);
    let teller = health.reader();
    for number in 0..MOST {
        teller.suspended(&format!("{number}"), REST);
    }
    // The first of them is news once more.
    teller.connected("0");
    teller.suspended("0", REST);
    teller.suspended("one more", REST);
    let known = names(&mut health.reader());
    assert_eq!(known.len(), MOST);
    assert_eq!(known[..2], ["2", "3"]);
    assert_eq!(known[MOST - 2..], ["0", "one more"]);
    // Nothing is kept of what was replaced or forgotten.
    let kept = locked(&health.inside.book, |book| {
        (book.endpoints.len(), book.last.len())
    });
    assert_eq!(kept, (MOST, MOST));
}
