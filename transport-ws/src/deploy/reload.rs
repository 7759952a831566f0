//! A changed file and a running connector.

use std::fmt;

use failover_core::config::{ConfigError, Deployment};
use failover_core::dial::{Dial, Registry};
use failover_core::directory::{Directory, Target};
use failover_core::drive::Handle;
use failover_core::endpoint::EndpointId;
use transport_tcp::ByteStream;

use super::error::DeployError;
use super::tables::Tables;
use super::{defaults_of, directory_over, listed, registry};

/// Brings a running connector's list in line with a deployment's file that has changed.
///
/// What can change is the list of endpoints, with their own tables. Policy, link policy and default
/// tables stay as they were at the start: [`Reloaded::waiting`] tells which of them the file has
/// otherwise now. An endpoint's own table counts over the defaults *that run*.
///
/// It keeps account of the list that it gave; let nobody else change the configured endpoints
/// through a handle. Learned ones are none of its business.
pub struct Reload {
    handle: Handle,
    registry: Registry<ByteStream>,
    running: Deployment<Tables>,
    directory: Directory,
}

/// What a reload did, by the names of endpoints.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reloaded {
    /// They came, or begin anew because their routes, tier, weight, deadline or class have changed.
    pub added: Vec<String>,
    /// They left, or begin anew. A connection to one of them is left as if it drained.
    pub removed: Vec<String>,
    /// They stay with their state. What their own tables say now counts from the next dial on, also
    /// where a file or variable named there has changed.
    pub kept: Vec<String>,
    /// What the file has otherwise and only a restart would bring.
    pub waiting: Vec<Part>,
}

/// A part of a deployment that cannot change while it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Part {
    /// `policy`.
    Policy,
    /// `link`.
    Link,
    /// `transport`, the default tables.
    Transport,
    /// The order of `endpoints`: those that came stand behind those that stay.
    Order,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Policy => "policy",
            Self::Link => "link",
            Self::Transport => "transport",
            Self::Order => "the order of endpoints",
        })
    }
}

impl fmt::Debug for Reload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reload")
            .field("handle", &self.handle)
            .finish_non_exhaustive()
    }
}

impl Reload {
    /// For the connector of this handle, which dials with this registry and began with this
    /// deployment.
    ///
    /// # Errors
    /// When the deployment makes no sense.
    pub fn new(
        handle: Handle,
        registry: Registry<ByteStream>,
        running: Deployment<Tables>,
    ) -> Result<Self, DeployError> {
        let directory = directory_over(&running, &defaults_of(&running), &registry)?;
        Ok(Self {
            handle,
            registry,
            running,
            directory,
        })
    }

    /// Checks the whole of this deployment, and if it is in order gives its endpoints to the
    /// connector, which takes them at its next poll. Reads the files that the tables name.
    ///
    /// # Errors
    /// The first thing that is wrong. Nothing has changed then.
    pub fn apply(&mut self, new: &Deployment<Tables>) -> Result<Reloaded, DeployError> {
        // As if it were started with it ...
        registry(new)?;
        directory_over(new, &defaults_of(new), &self.registry)?;
        // ... and as it will run.
        let wanted = directory_over(new, &defaults_of(&self.running), &self.registry)?;
        self.check_classes(&wanted)?;

        let list = listed(&wanted);
        let mut next = self.directory.clone();
        let security = |to: &Target| self.registry.security(to);
        next.replace(list.iter().cloned(), security)
            .map_err(ConfigError::from)?;
        let mut done = Reloaded {
            added: names(&next, |id| self.directory.get(id).is_none()),
            removed: names(&self.directory, |id| next.get(id).is_none()),
            kept: names(&next, |id| self.directory.get(id).is_some()),
            waiting: self.waiting(new)?,
        };
        if names(&next, |_| true) != names(&wanted, |_| true) {
            done.waiting.push(Part::Order);
        }
        self.handle.replace(list);
        self.directory = next;
        Ok(done)
    }

    fn check_classes(&self, wanted: &Directory) -> Result<(), DeployError> {
        let classes = self.running.policy()?.classes().len();
        for (_, endpoint) in wanted.iter() {
            let class = endpoint.overrides().class;
            if usize::from(class) > classes {
                return Err(DeployError::NoSuchClass {
                    endpoint: endpoint.name().to_string(),
                    class,
                    classes,
                });
            }
        }
        Ok(())
    }

    /// What differs from what runs.
    fn waiting(&self, new: &Deployment<Tables>) -> Result<Vec<Part>, DeployError> {
        let parts = [
            (Part::Policy, self.running.policy()? != new.policy()?),
            (Part::Link, self.running.link()? != new.link()?),
            (
                Part::Transport,
                defaults_of(&self.running) != defaults_of(new),
            ),
        ];
        let differing = parts.into_iter().filter(|(_, differs)| *differs);
        Ok(differing.map(|(part, _)| part).collect())
    }
}

/// The names of those whose ids pass.
fn names(directory: &Directory, passes: impl Fn(EndpointId) -> bool) -> Vec<String> {
    let passing = directory.iter().filter(|(id, _)| passes(*id));
    passing.map(|(_, one)| one.name().to_string()).collect()
}
