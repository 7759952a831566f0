//! What a step of the machine costs: `cargo bench --bench machine`.

use std::sync::Arc;
use std::time::Duration;

use divan::Bencher;
use failover_core::attempt::AttemptId;
use failover_core::endpoint::{EndpointId, Security, Traits};
use failover_core::failure::{Failure, Kind, Scope};
use failover_core::machine::{Input, Machine, Outbox, Output};
use failover_core::policy::{
    Backoff, Jitter, NoHooks, Order, Pace, Policy, PolicyBuilder, Seed, Shuffle, Start, Walk,
};
use failover_core::time::Time;

const LONG: u32 = 1_000_000;

fn main() {
    divan::main();
}

/// A dial fails, and the next one starts at once: its event and its order made and read.
#[divan::bench]
fn failure_to_next_dial_of_3(bencher: Bencher<'_, '_>) {
    let never = Pace::new(Backoff::Constant(Duration::ZERO)).min(Duration::ZERO);
    let mut run = Run::new(
        3,
        Policy::builder().pace(never).jitter(Jitter::None),
        Scope::Transient,
    );
    bencher.bench_local(|| run.step());
}

/// A dial fails, and the next one starts, after the wait of its sweep where it has one: that
/// wake-up is handled, too.
#[divan::bench(args = [3, 10, 64, 65, LONG])]
fn listed(bencher: Bencher<'_, '_>, endpoints: u32) {
    steps(bencher, endpoints, Walk::Listed, Scope::Transient);
}

#[divan::bench(args = [3, 10, LONG])]
fn rotate(bencher: Bencher<'_, '_>, endpoints: u32) {
    steps(bencher, endpoints, Walk::Rotate, Scope::Transient);
}

#[divan::bench(args = [3, 10, LONG])]
fn shuffled_once(bencher: Bencher<'_, '_>, endpoints: u32) {
    let walk = Walk::Shuffled(Shuffle::Once);
    steps(bencher, endpoints, walk, Scope::Transient);
}

#[divan::bench(args = [3, 10, LONG])]
fn shuffled_each_sweep(bencher: Bencher<'_, '_>, endpoints: u32) {
    let walk = Walk::Shuffled(Shuffle::EachSweep);
    steps(bencher, endpoints, walk, Scope::Transient);
}

#[divan::bench(args = [3, 10, LONG])]
fn weighted(bencher: Bencher<'_, '_>, endpoints: u32) {
    steps(bencher, endpoints, Walk::Weighted, Scope::Transient);
}

#[divan::bench(args = [3, 10, LONG])]
fn least_failed(bencher: Bencher<'_, '_>, endpoints: u32) {
    steps(bencher, endpoints, Walk::LeastFailed, Scope::Transient);
}

/// The same when each failure suspends its endpoint, and others come back meanwhile.
#[divan::bench(args = [10, LONG])]
fn rotate_with_suspensions(bencher: Bencher<'_, '_>, endpoints: u32) {
    steps(bencher, endpoints, Walk::Rotate, Scope::Endpoint);
}

fn steps(bencher: Bencher<'_, '_>, endpoints: u32, walk: Walk, scope: Scope) {
    let policy = Policy::builder()
        .order(Order::new(walk))
        .start(Start::Persevere);
    let mut run = Run::new(endpoints, policy, scope);
    bencher.bench_local(|| run.step());
}

/// A client whose dials fail for ever.
struct Run {
    machine: Machine,
    out: Outbox,
    now: Time,
    dial: AttemptId,
    failure: Failure,
}

impl Run {
    fn new(endpoints: u32, policy: PolicyBuilder, scope: Scope) -> Self {
        let list: Vec<Traits> = (0..endpoints)
            .map(|id| Traits::new(EndpointId::new(id)).route(Security::Plain))
            .map(|traits| traits.weight(1 + u16::try_from(traits.id().number() % 100).unwrap_or(0)))
            .collect();
        let policy = Arc::new(policy.build().expect("a policy"));
        let mut failure = Failure::new(Kind::Refused);
        failure.scope = scope;
        let mut run = Self {
            machine: Machine::new(policy, list, Seed::new(1)),
            out: Outbox::default(),
            now: Time::ZERO,
            dial: AttemptId::new(0),
            failure,
        };
        run.feed(Input::Start);
        run
    }

    /// The dial in flight fails after a millisecond; time goes on to the next one.
    fn step(&mut self) -> AttemptId {
        self.now = self.now + Duration::from_millis(1);
        let (attempt, failure) = (self.dial, self.failure);
        self.feed(Input::Failed { attempt, failure });
        while self.dial == attempt {
            let Some(at) = self.machine.next_wake() else {
                break;
            };
            self.now = self.now.max(at);
            self.feed(Input::Wake);
        }
        self.dial
    }

    fn feed(&mut self, input: Input) {
        let (out, hooks) = (&mut self.out, &mut NoHooks);
        divan::black_box(self.machine.handle(input, hooks, out, self.now));
        for output in self.out.drain() {
            if let Output::Dial(order) = divan::black_box(output) {
                self.dial = order.attempt;
            }
        }
    }
}
