//! Whatever a connector is doing, every word through a handle is taken at once and breaks nothing; and
//! what is told of a dial is all that is known of it, without secrets.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    missing_docs
)]

mod support;

use std::collections::BTreeSet;
use std::future::pending;
use std::num::NonZeroUsize;
use std::time::Duration;

use failover_core::attempt::{AttemptId, Purpose};
use failover_core::dial::{ConnectError, Dial, DialContext};
use failover_core::directory::{Endpoint, Target};
use failover_core::drive::{
    Connector, DialLimiter, Established, Events, GiveUp, Handle, Loss, Status, What,
};
use failover_core::failure::{Kind, Phase};
use failover_core::policy::{Backoff, Limit, Limits, Pace, Policy, Seed};
use failover_core::testing::{Script, ScriptedConn, Step};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use self::support::{Paused, SECOND, connector, listed, script, words};

/// What a connector may be doing when a word comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doing {
    Nothing,
    Dialling,
    Waiting,
    Connected,
    Held,
    Paused,
    Starved,
    Closed,
}

const STATES: [Doing; 8] = [
    Doing::Nothing,
    Doing::Dialling,
    Doing::Waiting,
    Doing::Connected,
    Doing::Held,
    Doing::Paused,
    Doing::Starved,
    Doing::Closed,
];

type Word = (&'static str, fn(&Handle));

const WORDS: [Word; 13] = [
    ("reconnect", Handle::reconnect),
    ("reconnect other", Handle::reconnect_other),
    ("reconnect to b", |handle| handle.reconnect_to("b:1")),
    ("reconnect to nobody", |handle| handle.reconnect_to("x:1")),
    ("drain", Handle::drain),
    ("pause", Handle::pause),
    ("resume", Handle::resume),
    ("add", |handle| handle.add(endpoint("c")).unwrap()),
    ("remove", |handle| handle.remove("a:1").unwrap()),
    ("replace", |handle| {
        handle.replace([endpoint("b"), endpoint("c")]);
    }),
    ("off", |handle| handle.switch_off("a:1").unwrap()),
    ("on", |handle| handle.switch_on("a:1").unwrap()),
    ("learn", |handle| {
        handle.learn(AttemptId::new(1), ["c:1"]);
    }),
];

#[tokio::test(start_paused = true)]
async fn every_word_is_taken_in_every_state_and_the_connector_finds_its_way() {
    for doing in STATES {
        for (name, say) in WORDS {
            let mut stage = Stage::reach(doing).await;
            say(&stage.handle);
            assert_eq!(
                stage.handle.explain().len(),
                2,
                "{doing:?}: before it is heard"
            );
            for _ in 0..20 {
                sleep(SECOND / 4).await;
                assert!(stage.script.half_open() <= 1, "{name} while {doing:?}");
            }
            stage.heal();
            sleep(60 * SECOND).await;
            let status = stage.handle.status();
            match doing {
                Doing::Closed => assert!(status.is_final(), "{name}: {status:?}"),
                _ => assert!(
                    matches!(status, Status::Connected { .. }),
                    "{name} while {doing:?}: {status:?}"
                ),
            }
            let told = stage.close().await;
            assert!(told.ends_with("closed: closed by the user"), "{told}");
            assert_eq!(told.matches("closed:").count(), 1, "{name}: {told}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_is_cut_short_is_one_wait_and_the_next_is_whole_again() {
    for say in [Handle::reconnect, Handle::reconnect_other, Handle::resume] {
        let stage = Stage::reach(Doing::Waiting).await;
        let before = stage.script.dials().len();
        let said = stage.script.clock().elapsed();
        say(&stage.handle);
        sleep(25 * SECOND).await;
        let dials = stage.script.dials();
        let after = dials[before..]
            .iter()
            .map(|(at, _)| at.since(failover_core::time::Time::ZERO));
        let after: Vec<Duration> = after.collect();
        // One sweep of the two at once, or as soon as the spread of a network that is back allows; then
        // the policy's ten seconds, twice.
        assert!(after[0] - said <= SECOND / 2, "{after:?}");
        assert_eq!(after.len(), 6, "{after:?}");
        for pair in after.chunks(2).collect::<Vec<_>>().windows(2) {
            let wait = pair[1][0] - pair[0][1];
            assert!((10 * SECOND..11 * SECOND).contains(&wait), "{after:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn clients_whose_network_is_back_do_not_dial_in_the_same_instant() {
    let mut times = BTreeSet::new();
    for seed in 0..20 {
        let stage = Stage::seeded(Doing::Paused, seed).await;
        let said = stage.script.clock().elapsed();
        stage.script.change("a", [Step::Accept]);
        stage.handle.resume();
        sleep(SECOND).await;
        let (at, _) = stage.script.dials().pop().unwrap();
        let after = at.since(failover_core::time::Time::ZERO) - said;
        assert!(after <= SECOND / 2 + SECOND / 100, "{after:?}");
        times.insert(after.as_millis() / 10);
    }
    assert!(times.len() > 10, "{times:?}");
}

#[tokio::test(start_paused = true)]
async fn a_failed_dial_is_told_with_all_that_is_known_of_it() {
    let mut connector = Connector::builder(Handshakes, script().clock())
        .endpoint(Endpoint::parse("tls://a:7443").unwrap().named("first"))
        .policy(listed().build().unwrap())
        .build()
        .unwrap();
    let mut events = connector.events();
    let connecting = connector.connect();
    assert!(timeout(SECOND / 2, connecting).await.is_err());
    let What::Attempt(attempt) = events.try_next().unwrap().what else {
        panic!("an attempt comes first");
    };
    assert_eq!(attempt.target.endpoint().name(), "first");
    assert_eq!((attempt.number, attempt.purpose), (1, Purpose::First));
    assert_eq!(attempt.address, Some(ADDRESS.parse().unwrap()));
    let phases: Vec<Phase> = attempt.phases.iter().map(|(phase, _)| *phase).collect();
    assert_eq!(phases, [Phase::Resolve, Phase::Connect, Phase::Tls]);
    assert_eq!(attempt.took, SECOND / 5);
    let error = attempt.outcome.unwrap_err();
    assert_eq!(
        (error.failure.kind, error.failure.phase),
        (Kind::Reset, Some(Phase::Tls))
    );
    assert_eq!(
        error.to_string(),
        "cannot connect to `tls://a:7443`: connection reset"
    );
    assert_eq!(attempt.next.unwrap().wait, SECOND);
}

#[tokio::test(start_paused = true)]
async fn nothing_that_is_told_shows_a_secret() {
    let script = script().host("b", [Step::Accept]);
    let once = Limits::UNLIMITED.sweeps(Limit::AtMost(1));
    let secret = |host: &str| {
        Endpoint::parse(&format!("tcp://joe:hunter2@{host}:1/?token=hunter2")).unwrap()
    };
    let mut connector = Connector::builder(script.clone(), script.clock())
        .endpoints([secret("a"), secret("b")])
        .policy(listed().limits(once).build().unwrap())
        .build()
        .unwrap();
    let (handle, mut events) = (connector.handle(), connector.events());
    let link = connector.connect().await.unwrap();
    let mut told = format!("{link:?} {connector:?} {handle:?}");
    handle.learn(link.id(), ["tcp://joe:hunter2@c:1"]);
    handle.replace([secret("a"), secret("a")]);
    assert!(timeout(SECOND, connector.hung_up()).await.is_err());
    script.change("b", [Step::REFUSE]);
    connector.lost(
        link.id(),
        Loss::from(failover_core::failure::Failure::new(Kind::Reset)),
    );
    let gave_up = connector.connect().await.unwrap_err();
    told += &format!(
        "{gave_up} {gave_up:?} {:?} {:?}",
        handle.snapshot(),
        handle.explain()
    );
    while let Some(event) = events.next().await {
        told += &format!("{event:?}");
    }
    assert!(
        told.contains("Attempt") && told.contains("ListRefused"),
        "{told}"
    );
    assert!(!told.contains("hunter2"), "{told}");
}

#[tokio::test]
async fn servers_that_refuse_at_once_leave_other_tasks_their_turn() {
    let script = script();
    let hosts: Vec<String> = (0..1000).map(|n| format!("h{n}")).collect();
    let once = Limits::UNLIMITED.sweeps(Limit::AtMost(1));
    let mut connector = connector(&script, &hosts.join(" "))
        .policy(listed().start_up_limits(once).build().unwrap())
        .build()
        .unwrap();
    let other = tokio::spawn(async move {
        let mut turns = 0;
        loop {
            tokio::task::yield_now().await;
            turns += 1;
            if script.dials().len() == 1000 {
                return turns;
            }
        }
    });
    assert!(connector.connect().await.is_err());
    let turns = other.await.unwrap();
    assert!(turns > 1000 / 40, "{turns} turns within 1000 dials");
}

/// A connector in a state of its life, at which words are said.
struct Stage {
    script: Script<Paused>,
    handle: Handle,
    events: Events,
    running: JoinHandle<Result<(), GiveUp>>,
    /// Who has the only permit to dial.
    other: Option<JoinHandle<()>>,
}

impl Stage {
    async fn reach(doing: Doing) -> Self {
        Self::seeded(doing, 7).await
    }

    async fn seeded(doing: Doing, seed: u64) -> Self {
        let script = script();
        match doing {
            Doing::Connected => script.change("a", [Step::Accept]),
            Doing::Dialling => {
                for host in ["a", "b"] {
                    script.change(host, [Step::Mute(Phase::Connect)]);
                }
            }
            _ => {}
        }
        let limiter = DialLimiter::new(NonZeroUsize::MIN, script.clock());
        let (mut builder, mut other) = (connector(&script, "a b"), None);
        if doing == Doing::Held {
            // It dials for ever, as far as this story goes.
            let mute = support::script().host("m", [Step::Mute(Phase::Connect)]);
            let patient = listed().deadline(3600 * SECOND).build().unwrap();
            let holder = connector(&mute, "m").policy(patient).limiter(&limiter);
            let mut holder = holder.build().unwrap();
            other = Some(tokio::spawn(async move {
                let _ = holder.connect().await;
            }));
            builder = builder.limiter(&limiter);
            tokio::task::yield_now().await;
        }
        let mut connector = builder
            .policy(patient_between_sweeps())
            .seed(Seed::new(seed))
            .build()
            .unwrap();
        let (handle, events) = (connector.handle(), connector.events());
        let running = tokio::spawn(async move {
            if doing == Doing::Nothing {
                sleep(SECOND / 2).await;
            }
            let session = |link: Established<ScriptedConn>| async move {
                pending::<()>().await;
                drop(link);
                Ok::<(), Loss>(())
            };
            connector.run(session).await
        });
        sleep(SECOND / 4).await;
        match doing {
            Doing::Paused => handle.pause(),
            Doing::Closed => handle.close(),
            Doing::Starved => {
                handle.switch_off("a:1").unwrap();
                handle.switch_off("b:1").unwrap();
            }
            _ => {}
        }
        sleep(SECOND / 8).await;
        let status = handle.status();
        let is_there = match doing {
            Doing::Nothing => matches!(status, Status::Idle),
            Doing::Dialling => matches!(status, Status::Dialing { .. }),
            Doing::Waiting => matches!(status, Status::Waiting { .. }),
            Doing::Connected => matches!(status, Status::Connected { .. }),
            Doing::Held => matches!(status, Status::Held { .. }),
            Doing::Paused => matches!(status, Status::Paused),
            Doing::Starved => matches!(status, Status::Starved),
            Doing::Closed => matches!(status, Status::Closed(_)),
        };
        assert!(is_there, "{doing:?}: {status:?}");
        Self {
            script,
            handle,
            events,
            running,
            other,
        }
    }

    /// Whatever was in its way is so no more.
    fn heal(&mut self) {
        for host in ["a", "b", "c"] {
            self.script.change(host, [Step::Accept]);
        }
        for name in ["a:1", "b:1"] {
            self.handle.switch_on(name).unwrap();
        }
        self.handle.resume();
        if let Some(other) = self.other.take() {
            other.abort();
        }
    }

    /// What was told until the end, after which nothing is left.
    async fn close(mut self) -> String {
        self.handle.close();
        self.running.await.unwrap().unwrap();
        assert_eq!((self.script.half_open(), self.script.open()), (0, 0));
        let mut told = Vec::new();
        while let Some(event) = self.events.next().await {
            told.push(words(&event));
        }
        told.join("; ")
    }
}

/// Ten seconds before each sweep.
fn patient_between_sweeps() -> Policy {
    let pace = Pace::new(Backoff::Constant(10 * SECOND)).cap(10 * SECOND);
    listed().pace(pace).build().unwrap()
}

const ADDRESS: &str = "192.0.2.1:7443";

/// Comes as far as the handshake.
struct Handshakes;

impl Dial for Handshakes {
    type Conn = ();
    type Error = ConnectError;

    async fn dial(&self, to: &Target, cx: &DialContext) -> Result<(), ConnectError> {
        cx.enter(Phase::Resolve);
        cx.enter(Phase::Connect);
        cx.reached(ADDRESS.parse().unwrap());
        cx.enter(Phase::Tls);
        sleep(SECOND / 5).await;
        let reset = std::io::ErrorKind::ConnectionReset.into();
        Err(ConnectError::new(to, reset))
    }
}

fn endpoint(host: &str) -> Endpoint {
    Endpoint::parse(&format!("tcp://{host}:1")).unwrap()
}
