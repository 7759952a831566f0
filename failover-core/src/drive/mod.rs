//! The connector: the only loop, the only place that awaits.

mod builder;
mod clock;
mod connector;
mod error;
mod event;
mod guard;
mod handle;

pub use self::builder::ConnectorBuilder;
pub use self::clock::Clock;
pub use self::connector::{Connector, Established};
pub use self::error::{BuildError, DeadlinePassed, EndpointReport, GiveUp, Loss};
pub use self::event::{Attempt, AttemptError, Event, Events, Link, NextDial, What};
pub use self::handle::{Handle, Status};
