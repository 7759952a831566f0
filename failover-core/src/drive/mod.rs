//! The connector: the only loop, the only place that awaits.

mod behind;
mod builder;
mod callbacks;
mod clock;
mod connector;
mod error;
mod event;
mod guard;
mod handle;
mod keep;
mod leave;
mod metrics;
mod recorder;
mod report;
mod share;
mod spans;

pub use self::behind::{Client, Driver, NoConnection};
pub use self::builder::ConnectorBuilder;
pub use self::callbacks::Callbacks;
pub use self::clock::Clock;
pub use self::connector::{Arrival, Connections, Connector, Established};
pub use self::error::{BuildError, DeadlinePassed, GiveUp, ListError, Loss};
pub use self::event::{Attempt, AttemptError, Event, Events, Link, NextDial, What};
pub use self::handle::{Handle, Status, TooManyChanges, Watch};
pub use self::keep::Keep;
pub use self::leave::Leave;
pub use self::metrics::Metrics;
#[cfg(feature = "serde")]
pub use self::recorder::{
    EndLine, EndpointLine, HeadLine, InputLine, Line, MachineLine, ReadError, ReadProblem, Version,
};
pub use self::recorder::{
    Entry, HookAnswer, KnownEndpoint, Otherwise, Recorder, Recording, Replay, Replayed,
};
pub use self::report::{Counters, EndpointReport, Snapshot};
pub use self::share::{BudgetRules, DialLimiter, HeldBy, RetryBudget, SharedHealth};
