//! What a client costs in memory. The figures are printed; the bounds are promises.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    missing_docs
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::future::{Future, Pending, pending};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use failover_core::attempt::AttemptId;
use failover_core::dial::{Dial, DialContext};
use failover_core::directory::{Endpoint, Target};
use failover_core::drive::{Clock, Connector};
use failover_core::endpoint::{EndpointId, Endpoints, Security, Traits};
use failover_core::failure::{Failure, Kind};
use failover_core::heartbeat::Monitor;
use failover_core::machine::{Change, Input, Machine, Outbox, Output};
use failover_core::policy::{NoHooks, Order, Policy, Seed, Standing, Waits, Walk};
use failover_core::race::Trainer;
use failover_core::time::Time;

#[test]
fn a_client_of_three_servers_is_small_and_shares_policy_and_list() {
    let plain = bytes_of_one(Policy::default());
    let rotating = bytes_of_one(
        Policy::builder()
            .order(Order::new(Walk::Rotate))
            .build()
            .unwrap(),
    );
    let spare = Standing::default().spares(1);
    let with_spare = bytes_of_one(Policy::builder().standing(spare).build().unwrap());
    println!(
        "machine, inline:                  {} bytes",
        size_of::<Machine>()
    );
    println!("with heap, 3 endpoints, default:  {plain} bytes");
    println!("with heap, 3 endpoints, rotating: {rotating} bytes");
    println!("with heap, 3 endpoints, spare:    {with_spare} bytes");
    println!(
        "a policy's waits, beside it:      {} bytes",
        size_of::<Waits<'_>>() - size_of::<&Policy>()
    );
    println!(
        "policy (shared):                  {} bytes",
        size_of::<Policy>()
    );
    println!(
        "endpoint in the list (shared):    {} bytes",
        size_of::<Traits>()
    );
    println!(
        "heartbeat monitor:                {} bytes",
        size_of::<Monitor>()
    );
    println!(
        "stagger trainer:                  {} bytes",
        size_of::<Trainer>()
    );
    println!(
        "failure:                          {} bytes",
        size_of::<Failure>()
    );
    assert!(plain <= SMALL && rotating <= SMALL, "{plain}, {rotating}");
    assert!(with_spare <= WITH_SPARE, "{with_spare}");
    assert!(size_of::<Waits<'_>>() - size_of::<&Policy>() <= WAITS);
}

/// What a machine with three endpoints takes at the most, its heap included.
const SMALL: usize = 256;

/// The same with what a spare takes beside it.
const WITH_SPARE: usize = 1024;

/// What draws the waits alone, beside the reference to the policy.
const WAITS: usize = 32;

/// What a client of a fleet takes at the peak of an outage, with three endpoints and all that is planned for
/// it. Eight bytes more are what a herd counts of it: 256 together.
#[cfg(feature = "sim")]
const OF_A_FLEET: isize = 248;

#[cfg(feature = "sim")]
#[test]
fn a_client_of_a_fleet_is_small_at_the_peak_of_an_outage() {
    use failover_core::sim::{Deed, Fleet, Meets, Server};
    const CLIENTS: usize = 100_000;
    let second = |n| Time::ZERO + Duration::from_secs(n);
    let before = COUNTED.with(Cell::get).0;
    PEAK.set(before);
    let list = endpoints();
    let servers = list.iter().map(|traits| Server::new(*traits));
    let mut fleet = Fleet::new(Policy::default(), servers.collect(), CLIENTS, Seed::new(1));
    for server in 0..3 {
        fleet.deed(second(30), server, Deed::Meets(Meets::REFUSE));
        fleet.deed(second(30), server, Deed::RESET);
        fleet.deed(second(40), server, Deed::Meets(Meets::ACCEPT));
    }
    fleet.start_over(Duration::from_secs(15));
    fleet.run_until(second(60), u64::MAX, &mut |_, _| {});
    assert_eq!(fleet.connected(), CLIENTS);
    let each = (PEAK.get() - before) / isize::try_from(CLIENTS).unwrap();
    println!("a client of a fleet, 3 endpoints: {each} bytes");
    assert!(each <= OF_A_FLEET, "{each}");
}

#[test]
fn a_step_of_a_running_machine_takes_no_memory() {
    let policy = Arc::new(Policy::default());
    let mut machine = Machine::new(policy, endpoints(), Seed::new(1));
    let mut out = Outbox::default();
    run(&mut machine, &mut out, 100);
    let before = COUNTED.with(Cell::get).1;
    run(&mut machine, &mut out, 10_000);
    assert_eq!(
        COUNTED.with(Cell::get).1 - before,
        0,
        "allocations in 10000 steps"
    );
}

#[test]
fn a_machine_holds_no_more_for_all_that_came_and_left() {
    for (there, walk) in [10, 50, 200].into_iter().zip([
        Walk::Rotate,
        Walk::Weighted,
        Walk::Shuffled(failover_core::policy::Shuffle::Once),
    ]) {
        let standing = Standing::default().spares(1);
        let policy = Policy::builder().order(Order::new(walk)).standing(standing);
        let list: Vec<Traits> = (0..there).map(endpoint).collect();
        let (mut out, mut held) = (Outbox::default(), Vec::with_capacity(10_000));
        let before = COUNTED.with(Cell::get).0;
        let mut machine = Machine::new(Arc::new(policy.build().unwrap()), list, Seed::new(1));
        let mut now = Time::ZERO;
        machine.handle(Input::Start, &mut NoHooks, &mut out, now);
        for came in there..there + 10_000 {
            let (add, remove) = (endpoint(came), EndpointId::new(came - there));
            for change in [Change::Add(add), Change::Remove(remove)] {
                machine.handle(Input::Change(change), &mut NoHooks, &mut out, now);
                now = live(&mut machine, &mut out, now);
            }
            held.push(COUNTED.with(Cell::get).0 - before);
        }
        let (first, later) = held.split_at(1_000);
        let [first, later] = [first, later].map(|held| *held.iter().max().unwrap());
        println!("{there} endpoints, 1000 and 10000 came and left: {first} and {later} bytes");
        assert!(later <= first + 512, "{walk:?}: {first}, {later}");
    }
}

/// Every other dial fails; the others stand, and are lost after a while.
fn live(machine: &mut Machine, out: &mut Outbox, now: Time) -> Time {
    let done: Vec<Output> = out.drain().collect();
    for output in done {
        let failure = Failure::new(Kind::Refused);
        if let Output::Dial(order) = output {
            let attempt = order.attempt;
            let input = match attempt.number() % 2 {
                0 => Input::Failed { attempt, failure },
                _ => Input::Connected { attempt },
            };
            machine.handle(input, &mut NoHooks, out, now);
            if attempt.number() % 3 == 0 {
                let verdict = failover_core::machine::Verdict::AsPolicy;
                let lost = Input::Lost {
                    attempt,
                    failure,
                    verdict,
                };
                machine.handle(lost, &mut NoHooks, out, now);
            }
        }
    }
    let now = machine
        .next_wake()
        .unwrap_or(now)
        .min(now + Duration::from_secs(1));
    machine.handle(Input::Wake, &mut NoHooks, out, now);
    now
}

/// What a connector takes beside its session and its connection: its own state, its one endpoint, and
/// what it shares with its handles.
const IDLE: usize = 2048;

#[test]
fn a_connector_that_is_connected_and_idle_is_small() {
    let policy = Arc::new(Policy::default());
    drop(connected(&policy));
    let before = COUNTED.with(Cell::get).0;
    let (running, inline) = connected(&policy);
    let heap = usize::try_from(COUNTED.with(Cell::get).0 - before).unwrap();
    println!("a connected client, its future:   {inline} bytes");
    println!("its heap, that included:          {heap} bytes");
    println!(
        "connector, inline:                {} bytes",
        size_of::<Connector<Open, Still>>()
    );
    println!(
        "event, inline:                    {} bytes",
        size_of::<failover_core::drive::Event>()
    );
    println!(
        "report of an endpoint, inline:    {} bytes",
        size_of::<failover_core::drive::EndpointReport>()
    );
    assert!(heap <= IDLE, "{heap}");
    drop(running);
}

type Running = Pin<Box<dyn Future<Output = ()>>>;

/// A client that runs a session, and the size of its future.
fn connected(policy: &Arc<Policy>) -> (Running, usize) {
    let endpoint = Endpoint::parse("tcp://127.0.0.1:4222").unwrap();
    let mut connector = Connector::builder(Open, Still)
        .endpoint(endpoint)
        .policy(Arc::clone(policy))
        .build()
        .unwrap();
    let future = async move {
        let session = |_link| pending::<Result<(), Failure>>();
        connector.run(session).await.unwrap();
    };
    let inline = size_of_val(&future);
    let mut running: Running = Box::pin(future);
    let mut cx = Context::from_waker(Waker::noop());
    assert!(running.as_mut().poll(&mut cx).is_pending());
    (running, inline)
}

/// Always there.
struct Open;

impl Dial for Open {
    type Conn = ();
    type Error = Failure;

    async fn dial(&self, _: &Target, _: &DialContext) -> Result<(), Failure> {
        Ok(())
    }
}

/// A clock that stands.
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

/// What one more client takes, when policy and list are there already, after a hundred steps.
fn bytes_of_one(policy: Policy) -> usize {
    let policy = Arc::new(policy);
    let list = endpoints();
    let mut out = Outbox::default();
    // The outbox is the driver's: let it have its memory first.
    run(
        &mut Machine::new(Arc::clone(&policy), list.clone(), Seed::new(0)),
        &mut out,
        100,
    );
    let before = COUNTED.with(Cell::get).0;
    let mut machine = Machine::new(policy, list, Seed::new(1));
    run(&mut machine, &mut out, 100);
    let heap = COUNTED.with(Cell::get).0 - before;
    drop(machine);
    size_of::<Machine>() + usize::try_from(heap).unwrap()
}

/// Dials that fail, and once in a while a connection that is lost.
fn run(machine: &mut Machine, out: &mut Outbox, steps: u32) {
    let mut now = Time::ZERO;
    machine.handle(Input::Start, &mut NoHooks, out, now);
    for step in 0..steps {
        let dials: Option<AttemptId> = out
            .drain()
            .filter_map(|output| match output {
                Output::Dial(order) => Some(order.attempt),
                _ => None,
            })
            .next_back();
        let failure = Failure::new(Kind::Refused);
        let input = match dials {
            Some(attempt) if step % 10 == 9 => Input::Connected { attempt },
            Some(attempt) => Input::Failed { attempt, failure },
            None => {
                now = machine.next_wake().unwrap_or(now + Duration::from_secs(1));
                match machine.status() {
                    failover_core::machine::Status::Connected { link, .. } => Input::Lost {
                        attempt: link.attempt,
                        failure,
                        verdict: failover_core::machine::Verdict::AsPolicy,
                    },
                    _ => Input::Wake,
                }
            }
        };
        machine.handle(input, &mut NoHooks, out, now);
    }
}

fn endpoints() -> Endpoints {
    [0, 1, 2].map(endpoint).into()
}

fn endpoint(n: u32) -> Traits {
    Traits::new(EndpointId::new(n)).route(Security::Plain)
}

std::thread_local! {
    /// Bytes in use and allocations made by this thread.
    static COUNTED: Cell<(isize, u64)> = const { Cell::new((0, 0)) };
    /// The most bytes that were in use.
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

fn count(bytes: isize, allocations: u64) {
    let _ = COUNTED.try_with(|counted| {
        let (held, made) = counted.get();
        counted.set((held + bytes, made + allocations));
        let _ = PEAK.try_with(|peak| peak.set(peak.get().max(held + bytes)));
    });
}

// SAFETY: everything is the system allocator's; only numbers are kept beside it.
#[expect(
    unsafe_code,
    clippy::cast_possible_wrap,
    reason = "an allocator that counts is the measure"
)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize, 1);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize), 0);
        unsafe { System.dealloc(pointer, layout) }
    }
}
