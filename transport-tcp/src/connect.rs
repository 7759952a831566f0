//! The race of a name's addresses: happy eyeballs (RFC 8305), decided by the core's scheduler.

use std::collections::BTreeSet;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use failover_core::dial::DialContext;
use failover_core::race::{Race, Runners, Trainer, interleave};
use failover_core::time::Time;
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until, timeout};

use crate::error::AddressError;
use crate::options::TcpOptions;

/// How a dialer races: the rule, and what its races taught.
#[derive(Debug, Default)]
pub(crate) struct Racing {
    race: Race,
    trainer: Mutex<Trainer>,
}

impl Racing {
    pub(crate) fn new(race: Race) -> Self {
        Self {
            race,
            trainer: Mutex::default(),
        }
    }

    /// A connection to the first of these addresses that gives one; the others are dropped.
    pub(crate) async fn connect(
        &self,
        mut addresses: Vec<SocketAddr>,
        options: &TcpOptions,
        cx: &DialContext,
    ) -> Result<TcpStream, Vec<AddressError>> {
        arrange(&mut addresses);
        begin_behind(&mut addresses, cx.failed_address());
        if let [address] = addresses[..] {
            cx.reached(address);
            let source = match options.connect(address).await {
                Ok(stream) => return Ok(stream),
                Err(source) => source,
            };
            return Err(vec![AddressError { address, source }]);
        }
        let mut heat = self.heat(addresses, options, cx);
        poll_fn(|task| heat.poll(task)).await
    }

    fn heat<'a>(
        &'a self,
        addresses: Vec<SocketAddr>,
        options: &'a TcpOptions,
        cx: &'a DialContext,
    ) -> Heat<'a> {
        let mut runners = Runners::new(&self.race, &self.trainer());
        let left = addresses.len();
        runners.handle_candidates(addresses);
        Heat {
            racing: self,
            options,
            cx,
            began: Instant::now(),
            runners,
            left,
            running: Vec::new(),
            failed: Vec::new(),
            alarm: None,
        }
    }

    fn trainer(&self) -> std::sync::MutexGuard<'_, Trainer> {
        // A trainer is always whole: it is `Copy` data.
        self.trainer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Each address once, neighbours of different families.
fn arrange(addresses: &mut Vec<SocketAddr>) {
    let mut seen = BTreeSet::new();
    addresses.retain(|address| seen.insert(*address));
    interleave(addresses, SocketAddr::is_ipv6);
}

/// Those behind the one that failed go first, in their order, and it goes last: so each has its turn. Another
/// route to the same server may have another port.
fn begin_behind(addresses: &mut [SocketAddr], failed: Option<SocketAddr>) {
    let Some(failed) = failed else {
        return;
    };
    let same = addresses.iter().position(|one| *one == failed);
    let same_host = || addresses.iter().position(|one| one.ip() == failed.ip());
    if let Some(at) = same.or_else(same_host) {
        addresses.rotate_left(at + 1);
    }
}

type Connecting<'a> = Pin<Box<dyn Future<Output = io::Result<TcpStream>> + Send + 'a>>;

/// One race. Dropping it closes what is half open.
struct Heat<'a> {
    racing: &'a Racing,
    options: &'a TcpOptions,
    cx: &'a DialContext,
    began: Instant,
    runners: Runners<SocketAddr>,
    /// How many have not been started.
    left: usize,
    running: Vec<(SocketAddr, Connecting<'a>)>,
    failed: Vec<AddressError>,
    alarm: Option<Pin<Box<Sleep>>>,
}

impl Heat<'_> {
    fn poll(&mut self, task: &mut Context<'_>) -> Poll<Result<TcpStream, Vec<AddressError>>> {
        loop {
            self.start_due();
            match self.poll_running(task) {
                Some((address, Ok(stream))) => {
                    self.on_won(address);
                    return Poll::Ready(Ok(stream));
                }
                Some((address, Err(source))) => {
                    self.runners.handle_failed(address, self.now());
                    self.failed.push(AddressError { address, source });
                    continue;
                }
                None if self.runners.is_exhausted() => {
                    return Poll::Ready(Err(std::mem::take(&mut self.failed)));
                }
                None => {}
            }
            if self.poll_alarm(task).is_pending() {
                return Poll::Pending;
            }
        }
    }

    fn start_due(&mut self) {
        while let Some(address) = self.runners.poll_next(self.now()) {
            self.cx.reached(address);
            let most = usize::from(self.racing.race.most());
            let share = share(self.cx.remaining(), self.left, most);
            self.left -= 1;
            let connecting = within(share, self.options.connect(address));
            self.running.push((address, Box::pin(connecting)));
        }
    }

    /// The first that has ended, taken out.
    fn poll_running(
        &mut self,
        task: &mut Context<'_>,
    ) -> Option<(SocketAddr, io::Result<TcpStream>)> {
        for place in 0..self.running.len() {
            let (address, connecting) = &mut self.running[place];
            let address = *address;
            if let Poll::Ready(ended) = connecting.as_mut().poll(task) {
                drop(self.running.remove(place));
                return Some((address, ended));
            }
        }
        None
    }

    fn on_won(&mut self, address: SocketAddr) {
        self.cx.reached(address);
        self.running.clear();
        if let Some(lap) = self.runners.handle_done(address, self.now()) {
            self.racing.trainer().learn(lap);
        }
    }

    /// Ready when the next one is due.
    fn poll_alarm(&mut self, task: &mut Context<'_>) -> Poll<()> {
        let Some(at) = self.runners.next_wake() else {
            return Poll::Pending;
        };
        let at = self.began + at.since(Time::ZERO);
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(sleep_until(at)));
        if alarm.deadline() != at {
            alarm.as_mut().reset(at);
        }
        alarm.as_mut().poll(task)
    }

    fn now(&self) -> Time {
        Time::ZERO + self.began.elapsed()
    }
}

/// What one address may take while `left` of them, itself included, have not been started and
/// `most` run at once: as many shares as there are waves of them. The last wave needs no limit: the
/// dial's own deadline ends it, and then the trail tells the phase.
fn share(remaining: Duration, left: usize, most: usize) -> Option<Duration> {
    let waves = left.div_ceil(most.max(1));
    if waves <= 1 || remaining == Duration::MAX {
        return None;
    }
    Some(remaining / u32::try_from(waves).unwrap_or(u32::MAX))
}

async fn within(
    share: Option<Duration>,
    connecting: impl Future<Output = io::Result<TcpStream>>,
) -> io::Result<TcpStream> {
    let Some(share) = share else {
        return connecting.await;
    };
    timeout(share, connecting).await.unwrap_or_else(|_| {
        let told = format!("no answer within its share of the deadline, {share:?}");
        Err(io::Error::new(io::ErrorKind::TimedOut, told))
    })
}

#[cfg(test)]
#[path = "connect_tests.rs"]
mod tests;
