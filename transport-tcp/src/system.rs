//! The system's resolver, on threads that nobody waits for.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use failover_core::failure::{Failure, Kind, Phase};
use tokio::sync::oneshot;

use crate::resolve::{Resolve, Resolving};

/// The most look-ups at once, in the whole process. Each has a thread of its own while it lasts.
const MOST_THREADS: usize = 8;
/// The most names that wait for one of them.
const MOST_WAITING: usize = 256;

/// The system's resolver (`getaddrinfo`): the default.
///
/// `getaddrinfo` cannot be cancelled, and a runtime that ran it would wait for it when it shuts
/// down. So it runs on a few detached threads that all dialers of the process share: at most 8, one
/// look-up per name at a time, which all who ask for that name meanwhile share; a thread ends when no
/// name waits. At most 256 names wait; one more is refused as [`Kind::Exhausted`]. This is the one
/// exception to "dropping a dial leaves nothing running".
///
/// An answer that came when nobody waited any more is the next one's to ask for that name, for 30 s:
/// where the first name server of several is dead, `getaddrinfo` needs 5 s (resolv.conf(5), `timeout`),
/// and no dial with a deadline below that would ever have an address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> Resolving<'a> {
        static DESK: OnceLock<Arc<Desk>> = OnceLock::new();
        let desk =
            DESK.get_or_init(|| Desk::new(|host| Ok((host, 0).to_socket_addrs()?.collect())));
        Box::pin(async move {
            let mut addresses = desk.look_up(host).await?;
            addresses.iter_mut().for_each(|found| found.set_port(port));
            Ok(addresses)
        })
    }
}

type Answer = Result<Vec<SocketAddr>, Arc<io::Error>>;
type LookUp = dyn Fn(&str) -> io::Result<Vec<SocketAddr>> + Send + Sync;

/// Takes names in, gives answers out.
struct Desk {
    ask: Box<LookUp>,
    book: Mutex<Book>,
}

#[derive(Default)]
struct Book {
    /// Names that are looked up or wait for it, each with those who want to know.
    asked: BTreeMap<String, Vec<oneshot::Sender<Answer>>>,
    /// Those of them that wait, in their order.
    waiting: VecDeque<String>,
    late: Late,
    threads: usize,
}

/// The most answers that are kept for the next one to ask, and for how long.
const MOST_LATE: usize = 256;
const LATE: Duration = Duration::from_secs(30);

/// Answers that came when nobody waited any more, the oldest first.
#[derive(Default)]
struct Late(VecDeque<(Instant, String, Vec<SocketAddr>)>);

impl Late {
    fn keep(&mut self, host: String, addresses: Vec<SocketAddr>, now: Instant) {
        self.forget_old(now);
        while self.0.len() >= MOST_LATE {
            self.0.pop_front();
        }
        self.0.push_back((now, host, addresses));
    }

    fn take(&mut self, host: &str, now: Instant) -> Option<Vec<SocketAddr>> {
        self.forget_old(now);
        let at = self.0.iter().position(|(_, name, _)| name == host)?;
        self.0.remove(at).map(|(_, _, addresses)| addresses)
    }

    fn forget_old(&mut self, now: Instant) {
        let is_old = |came: &Instant| now.saturating_duration_since(*came) > LATE;
        self.0.retain(|(came, _, _)| !is_old(came));
    }
}

impl Desk {
    fn new(ask: impl Fn(&str) -> io::Result<Vec<SocketAddr>> + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            ask: Box::new(ask),
            book: Mutex::default(),
        })
    }

    async fn look_up(self: &Arc<Self>, host: &str) -> io::Result<Vec<SocketAddr>> {
        let answer = self.enter(host)?;
        match answer.await {
            Ok(Ok(addresses)) => Ok(addresses),
            Ok(Err(error)) => Err(again(&error)),
            Err(_gone) => Err(io::Error::other("the look-up ended without an answer")),
        }
    }

    fn enter(self: &Arc<Self>, host: &str) -> io::Result<oneshot::Receiver<Answer>> {
        let (sender, receiver) = oneshot::channel();
        let mut book = self.book();
        if let Some(wanting) = book.asked.get_mut(host) {
            if wanting.len() == wanting.capacity() {
                // Seldom: as many again may come before they are looked at the next time.
                wanting.retain(|one| !one.is_closed());
                wanting.reserve(wanting.len() + 1);
            }
            wanting.push(sender);
            return Ok(receiver);
        }
        if let Some(addresses) = book.late.take(host, Instant::now()) {
            let _ = sender.send(Ok(addresses));
            return Ok(receiver);
        }
        if book.waiting.len() >= MOST_WAITING {
            book.forget_abandoned();
        }
        if book.waiting.len() >= MOST_WAITING {
            return Err(exhausted(format!("{MOST_WAITING} names wait already")));
        }
        book.asked.insert(host.to_string(), Vec::from([sender]));
        book.waiting.push_back(host.to_string());
        self.hire(&mut book, host)?;
        Ok(receiver)
    }

    /// One thread more, if there may be. Without any thread the name would wait for ever.
    fn hire(self: &Arc<Self>, book: &mut Book, host: &str) -> io::Result<()> {
        if book.threads >= MOST_THREADS {
            return Ok(());
        }
        let desk = Arc::clone(self);
        let hired = thread::Builder::new()
            .name("resolve".to_string())
            .spawn(move || desk.work());
        match hired {
            Ok(_detached) => book.threads += 1,
            Err(error) if book.threads == 0 => {
                book.asked.remove(host);
                book.waiting.retain(|name| name != host);
                return Err(exhausted(format!("no thread to look it up: {error}")));
            }
            Err(_) => {}
        }
        Ok(())
    }

    fn work(&self) {
        while let Some(host) = self.next() {
            let answer = (self.ask)(&host).map_err(Arc::new);
            // Under one lock: who comes next finds the question, or its answer.
            let mut book = self.book();
            let wanting = book.asked.remove(&host).unwrap_or_default();
            let mut is_heard = false;
            for one in wanting {
                // Whoever gave up meanwhile does not listen any more.
                is_heard |= one.send(answer.clone()).is_ok();
            }
            if let (false, Ok(addresses)) = (is_heard, answer) {
                book.late.keep(host, addresses, Instant::now());
            }
        }
    }

    /// The next name that somebody still wants to know, or the end of this thread.
    fn next(&self) -> Option<String> {
        let mut book = self.book();
        while let Some(host) = book.waiting.pop_front() {
            if book.is_wanted(&host) {
                return Some(host);
            }
            book.asked.remove(&host);
        }
        book.threads -= 1;
        None
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        // Nothing panics while it is locked.
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    fn is_wanted(&self, host: &str) -> bool {
        let wanting = self.asked.get(host);
        wanting.is_some_and(|all| all.iter().any(|one| !one.is_closed()))
    }

    fn forget_abandoned(&mut self) {
        for host in std::mem::take(&mut self.waiting) {
            if self.is_wanted(&host) {
                self.waiting.push_back(host);
            } else {
                self.asked.remove(&host);
            }
        }
    }
}

/// The same error once more, with what [`Failure::from_io`] looks at.
pub(crate) fn again(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(number) => io::Error::from_raw_os_error(number),
        None => io::Error::new(error.kind(), error.to_string()),
    }
}

#[derive(Debug, thiserror::Error)]
#[error("{told}")]
struct Exhausted {
    told: String,
    #[source]
    failure: Failure,
}

fn exhausted(told: String) -> io::Error {
    let failure = Failure::new(Kind::Exhausted).at(Phase::Resolve);
    io::Error::other(Exhausted { told, failure })
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::pin;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;
    use std::task::Poll;

    use super::*;

    /// A desk whose every look-up waits for a word on the channel.
    fn slow() -> (Arc<Desk>, mpsc::Sender<()>, Arc<AtomicUsize>) {
        let (go, gate) = mpsc::channel::<()>();
        let gate = Mutex::new(gate);
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let desk = Desk::new(move |_| {
            count.fetch_add(1, Ordering::SeqCst);
            let _ = gate.lock().unwrap().recv();
            Ok(vec![SocketAddr::from(([192, 0, 2, 1], 0))])
        });
        (desk, go, asked)
    }

    #[tokio::test]
    async fn those_who_ask_for_one_name_at_once_share_one_look_up() {
        let (desk, go, asked) = slow();
        let first = desk.enter("a").unwrap();
        let second = desk.enter("a").unwrap();
        go.send(()).unwrap();
        assert_eq!(
            first.await.unwrap().unwrap(),
            second.await.unwrap().unwrap()
        );
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        // A later one is a new look-up.
        go.send(()).unwrap();
        desk.look_up("a").await.unwrap();
        assert_eq!(asked.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn an_answer_that_came_too_late_is_the_next_one_s_and_no_further_one_s() {
        let (desk, go, asked) = slow();
        let gave_up = desk.enter("a").unwrap();
        while asked.load(Ordering::SeqCst) == 0 {
            thread::yield_now();
        }
        drop(gave_up);
        go.send(()).unwrap();
        assert_eq!(desk.look_up("a").await.unwrap().len(), 1);
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        go.send(()).unwrap();
        assert_eq!(desk.look_up("a").await.unwrap().len(), 1);
        assert_eq!(asked.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn late_answers_are_bounded_in_number_and_age() {
        let mut late = Late::default();
        let (now, answer) = (Instant::now(), vec![SocketAddr::from(([192, 0, 2, 1], 0))]);
        for n in 0..=MOST_LATE {
            late.keep(format!("host-{n}"), answer.clone(), now);
        }
        assert_eq!(late.0.len(), MOST_LATE);
        assert_eq!(late.take("host-0", now), None, "the oldest made room");
        assert_eq!(late.take("host-1", now + LATE), Some(answer));
        assert_eq!(late.take("host-1", now), None);
        let older = now + LATE + Duration::from_millis(1);
        assert_eq!(late.take("host-2", older), None);
        late.keep("new".to_string(), Vec::new(), older);
        assert_eq!(late.0.len(), 1);
    }

    #[tokio::test]
    async fn threads_and_waiting_names_are_bounded_and_the_abandoned_make_room() {
        let (desk, go, _asked) = slow();
        let mut kept: Vec<_> = (0..MOST_THREADS + MOST_WAITING)
            .map(|n| desk.enter(&format!("host-{n}")))
            .filter_map(Result::ok)
            .collect();
        while kept.len() < MOST_THREADS + MOST_WAITING {
            // A thread had not taken its name yet.
            thread::yield_now();
            kept.extend(desk.enter(&format!("more-{}", kept.len())).ok());
        }
        assert_eq!(desk.book().threads, MOST_THREADS);
        let refused = desk.look_up("one-more").await.unwrap_err();
        assert_eq!(Failure::from_io(&refused).kind, Kind::Exhausted);

        kept.clear();
        assert!(desk.enter("one-more").is_ok());
        drop(go);
    }

    #[tokio::test]
    async fn those_who_gave_up_take_no_room_beside_those_who_still_want_to_know() {
        let (desk, go, _asked) = slow();
        let ask = |_| desk.enter("a").unwrap();
        let kept: Vec<_> = (0..100).map(ask).collect();
        (0..10_000).map(ask).for_each(drop);
        assert!(desk.book().asked["a"].capacity() <= 4 * kept.len() + 8);
        go.send(()).unwrap();
        for one in kept {
            assert_eq!(one.await.unwrap().unwrap().len(), 1);
        }
    }

    #[tokio::test]
    async fn dropping_a_look_up_does_not_wait_for_it() {
        let (desk, go, _asked) = slow();
        {
            let mut hanging = pin!(desk.look_up("a"));
            let state = poll_fn(|cx| Poll::Ready(hanging.as_mut().poll(cx).is_pending()));
            assert!(state.await);
        }
        drop(go);
    }

    #[test]
    fn a_shared_error_keeps_its_class() {
        let out_of_descriptors = io::Error::from_raw_os_error(24);
        assert_eq!(again(&out_of_descriptors).raw_os_error(), Some(24));
        let missing = io::Error::new(io::ErrorKind::NotFound, "no such name");
        assert_eq!(again(&missing).to_string(), "no such name");
    }
}
