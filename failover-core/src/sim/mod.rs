//! A virtual world for the real machine: endpoints with weather, a virtual clock, a trace.
//!
//! Nothing here decides anything: a [`World`] plays the network and the clock, the
//! [`Machine`](crate::machine::Machine) inside it is the one that everybody uses, and the [`Trace`]
//! is what happened, in order. A [`Fleet`] is the same for many clients and servers of limited
//! capacity. Whatever goes wrong in a world goes wrong again with the same seed.
//!
//! ```
//! use std::time::Duration;
//! use failover_core::endpoint::{EndpointId, Security, Traits};
//! use failover_core::machine::Status;
//! use failover_core::policy::{Policy, Seed};
//! use failover_core::sim::{Meets, Weather, World};
//! use failover_core::time::Time;
//!
//! // Two servers that refuse for ten seconds.
//! let endpoints = [0, 1].map(|n| Traits::new(EndpointId::new(n)).route(Security::Plain));
//! let up = Time::ZERO + Duration::from_secs(10);
//! let weather = Weather::new(Meets::REFUSE).everywhere(up, Meets::ACCEPT);
//! let mut world = World::new(Policy::default(), endpoints, Seed::new(7), weather);
//! world.start();
//! world.run_until(Time::ZERO + Duration::from_secs(60), 1000);
//! assert!(matches!(world.machine().status(), Status::Connected { .. }));
//! let dials = world.trace().dials().count();
//! assert!((10..40).contains(&dials), "{dials}");
//! ```

mod client;
mod fleet;
mod part;
mod queue;
mod server;
mod trace;
mod weather;
mod word;
mod world;

pub use self::fleet::{Fleet, Moment, Watch};
pub use self::part::Part;
pub use self::server::{Capacity, Deed, Server};
pub use self::trace::{Asked, Step, Trace};
pub use self::weather::{Meets, Weather};
pub use self::word::{Whom, Word};
pub use self::world::{Command, Trick, World};
