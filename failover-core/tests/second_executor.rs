//! The same connector on another executor: smol, in real time, spawned on a thread pool.
#![allow(clippy::unwrap_used, missing_docs)]
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "a clock may read the clock"
)]

use std::time::{Duration, Instant};

use failover_core::dial::Dial;
use failover_core::directory::Endpoint;
use failover_core::drive::{Clock, Connector};
use failover_core::failure::{Failure, Kind};
use failover_core::policy::{Backoff, Jitter, Pace, Policy};
use failover_core::testing::{Script, Step};
use failover_core::time::Time;

#[test]
fn a_connector_over_an_erased_dialer_is_spawned_on_smol() {
    let wait = Duration::from_millis(20);
    let clock = SmolClock {
        epoch: Instant::now(),
    };
    let script = Script::new(clock)
        .host("a", [Step::REFUSE, Step::REFUSE, Step::Accept])
        .host("b", [Step::Mute(failover_core::failure::Phase::Connect)]);
    let mut connector = Connector::builder(script.clone().boxed(), clock)
        .endpoints(["tcp://a:1", "tcp://b:1"].map(|url| Endpoint::parse(url).unwrap()))
        .policy(
            Policy::builder()
                .pace(Pace::new(Backoff::Constant(wait)))
                .jitter(Jitter::None)
                .deadline(wait)
                .build()
                .unwrap(),
        )
        .build()
        .unwrap();
    let task = smol::spawn(async move {
        let mut sessions = 0;
        let ended = connector.run(|link| {
            sessions += 1;
            let last = sessions == 2;
            async move {
                smol::Timer::after(Duration::from_millis(1)).await;
                drop(link);
                if last {
                    Ok(())
                } else {
                    Err(Failure::new(Kind::Closed))
                }
            }
        });
        ended.await.unwrap();
        sessions
    });
    assert_eq!(smol::block_on(task), 2);
    assert_eq!((script.open(), script.half_open()), (0, 0));
}

#[derive(Clone, Copy)]
struct SmolClock {
    epoch: Instant,
}

impl Clock for SmolClock {
    type Sleep = Sleep;

    fn now(&self) -> Time {
        Time::ZERO + Instant::now().duration_since(self.epoch)
    }

    fn sleep_until(&self, at: Time) -> Sleep {
        Sleep(smol::Timer::at(self.epoch + at.since(Time::ZERO)))
    }
}

/// `Timer` yields an `Instant`; a clock's sleep yields nothing.
struct Sleep(smol::Timer);

impl std::future::Future for Sleep {
    type Output = ();

    fn poll(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<()> {
        std::pin::Pin::new(&mut self.0).poll(cx).map(|_| ())
    }
}
