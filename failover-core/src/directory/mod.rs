//! The directory: endpoints by id, with their names, URLs and options.
//!
//! The machine knows ids only; the directory knows what they stand for. Nothing here is asked
//! while a decision is made.

mod by_id;
mod endpoint;
mod learned;
mod options;
mod url;

use std::string::{String, ToString};
use std::sync::Arc;
use std::time::Duration;
use std::vec::Vec;

use thiserror::Error;

pub(crate) use self::by_id::ById;
pub use self::endpoint::{Endpoint, Overrides, Target};
pub use self::learned::{CertificateName, Learned, Learner, Refused, RefusedBecause};
pub use self::options::Options;
#[cfg(feature = "serde")]
pub(crate) use self::url::name_without_login;
pub use self::url::{MAX_URL, Secret, Url, UrlError, UrlProblem};
use crate::endpoint::{EndpointId, MAX_ROUTES, Security, Traits};
use crate::lookup::Lookup;
use crate::machine::Change;
use crate::policy::MIN_REDIAL;
use crate::time::Told;

/// Endpoints by id. Ids are given in the order of arrival and never used twice.
///
/// ```
/// use failover_core::directory::{Directory, Endpoint};
/// use failover_core::endpoint::Security;
///
/// let list = |urls: &[&str]| urls.iter().map(|url| Endpoint::parse(url)).collect::<Result<Vec<_>, _>>();
/// let mut directory = Directory::new(list(&["tcp://a:1", "tcp://b:1"])?)?;
///
/// // The file changed: a stays with its id, b leaves, c comes.
/// let changes = directory.replace(list(&["tcp://c:1", "tcp://a:1"])?, |_| Security::Plain)?;
/// assert_eq!(changes.len(), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Directory {
    entries: ById<Entry>,
    /// The id of the next one.
    next: u32,
}

/// One endpoint of a directory.
#[derive(Clone, Debug)]
struct Entry {
    endpoint: Arc<Endpoint>,
    origin: Origin,
}

/// Who named an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Origin {
    /// The configuration or the user. A learned list never removes it.
    Configured,
    /// A server, in a list that it pushed.
    Learned,
}

/// The security of each route, as the dialer tells it.
type SecurityOf<'a> = &'a dyn Fn(&Target) -> Security;

impl Directory {
    /// The directory of these endpoints.
    ///
    /// # Errors
    /// When two endpoints have one name or one first URL, or an endpoint has too many routes.
    pub fn new(endpoints: impl IntoIterator<Item = Endpoint>) -> Result<Self, DirectoryError> {
        Self::of(endpoints.into_iter().collect())
    }

    fn of(endpoints: Vec<Endpoint>) -> Result<Self, DirectoryError> {
        let mut directory = Self::default();
        for endpoint in checked(endpoints)? {
            directory.insert(endpoint, Origin::Configured);
        }
        Ok(directory)
    }

    /// The endpoint with this id.
    #[must_use]
    pub fn get(&self, id: EndpointId) -> Option<&Arc<Endpoint>> {
        self.entries.get(id).map(|entry| &entry.endpoint)
    }

    /// Who named the endpoint with this id.
    #[must_use]
    pub fn origin(&self, id: EndpointId) -> Option<Origin> {
        self.entries.get(id).map(|entry| entry.origin)
    }

    /// The id of the endpoint with this name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<EndpointId> {
        self.iter()
            .find(|(_, endpoint)| endpoint.name() == name)
            .map(|(id, _)| id)
    }

    /// All endpoints with their ids.
    pub fn iter(&self) -> impl Iterator<Item = (EndpointId, &Arc<Endpoint>)> {
        self.entries.iter().map(|(id, entry)| (id, &entry.endpoint))
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// What the machine needs to know of each endpoint; `security` answers for each route.
    pub fn traits(&self, security: impl Fn(&Target) -> Security) -> Vec<Traits> {
        self.traits_of_all(&security)
    }

    fn traits_of_all(&self, security: SecurityOf<'_>) -> Vec<Traits> {
        self.iter()
            .map(|(id, endpoint)| traits(id, endpoint, security))
            .collect()
    }

    /// Adds an endpoint, and says what the machine is to be told.
    ///
    /// # Errors
    /// When its name or its first URL is in the directory already, or it has too many routes. The
    /// directory is then as it was.
    pub fn add(
        &mut self,
        endpoint: Endpoint,
        security: impl Fn(&Target) -> Security,
    ) -> Result<Change, DirectoryError> {
        self.add_one(endpoint, &security)
    }

    fn add_one(
        &mut self,
        endpoint: Endpoint,
        security: SecurityOf<'_>,
    ) -> Result<Change, DirectoryError> {
        check_alone(&endpoint)?;
        let url = &endpoint.routes()[0];
        let is_present = |(_, known): (_, &Arc<Endpoint>)| parts(&known.routes()[0]) == parts(url);
        if self.iter().any(is_present) {
            return Err(DirectoryError::TwiceTheSame {
                url: url.to_string(),
            });
        }
        let endpoint = with_own_name(endpoint, |name| self.find(name).is_some())?;
        let (id, endpoint) = self.insert(endpoint, Origin::Configured);
        Ok(Change::Add(traits(id, &endpoint, security)))
    }

    /// Removes an endpoint, and says what the machine is to be told; nothing for an unknown id.
    pub fn remove(&mut self, id: EndpointId) -> Option<Change> {
        self.entries.remove(id).map(|_| Change::Remove(id))
    }

    /// Replaces the configured endpoints by these, and says what the machine is to be told. Those
    /// that were there before (by their first URL) keep id and state, and take over the new name,
    /// options and userinfo; one with other routes or [`Overrides`] begins anew, under a new id.
    /// Learned endpoints stay; one that is now configured becomes so.
    ///
    /// # Errors
    /// When two of them have one name or one first URL, or one has too many routes. The directory
    /// is then as it was.
    pub fn replace(
        &mut self,
        endpoints: impl IntoIterator<Item = Endpoint>,
        security: impl Fn(&Target) -> Security,
    ) -> Result<Vec<Change>, DirectoryError> {
        self.replace_all(endpoints.into_iter().collect(), &security)
    }

    fn replace_all(
        &mut self,
        endpoints: Vec<Endpoint>,
        security: SecurityOf<'_>,
    ) -> Result<Vec<Change>, DirectoryError> {
        let endpoints = checked(endpoints)?;
        let known = self.identities();
        let (mut stay, mut anew) = (Vec::new(), Vec::new());
        let mut changes = Vec::new();
        for endpoint in endpoints {
            let old = known.get(&identity(&endpoint)).copied();
            let same = old.filter(|id| self.get(*id).is_some_and(|old| is_same(old, &endpoint)));
            let id = match same {
                Some(id) => {
                    let entry = Entry {
                        endpoint: Arc::new(endpoint),
                        origin: Origin::Configured,
                    };
                    self.entries.insert(id, entry);
                    id
                }
                None => {
                    anew.extend(old);
                    let (id, endpoint) = self.insert(endpoint, Origin::Configured);
                    changes.push(Change::Add(traits(id, &endpoint, security)));
                    id
                }
            };
            stay.push(id);
        }
        stay.sort_unstable();
        anew.sort_unstable();
        let is_in = |list: &[EndpointId], id| list.binary_search(&id).is_ok();
        self.entries.retain(|id, entry| {
            let stays = is_in(&stay, id) || (entry.origin == Origin::Learned && !is_in(&anew, id));
            if !stays {
                changes.push(Change::Remove(id));
            }
            stays
        });
        Ok(changes)
    }

    fn insert(&mut self, endpoint: Endpoint, origin: Origin) -> (EndpointId, Arc<Endpoint>) {
        let id = EndpointId::new(self.next);
        self.next += 1;
        let endpoint = Arc::new(endpoint);
        let entry = Entry {
            endpoint: Arc::clone(&endpoint),
            origin,
        };
        self.entries.insert(id, entry);
        (id, endpoint)
    }

    /// All endpoints by what makes them the same as others.
    fn identities(&self) -> Lookup<String, EndpointId> {
        let all = self.iter();
        all.map(|(id, endpoint)| (identity(endpoint), id)).collect()
    }
}

/// The same endpoints, if none is there twice and none has too many routes.
fn checked(endpoints: Vec<Endpoint>) -> Result<Vec<Endpoint>, DirectoryError> {
    let (mut names, mut urls) = (Lookup::default(), Lookup::default());
    let mut list = Vec::new();
    for endpoint in endpoints {
        check_alone(&endpoint)?;
        if urls.insert(identity(&endpoint), ()).is_some() {
            return Err(DirectoryError::TwiceTheSame {
                url: endpoint.routes()[0].to_string(),
            });
        }
        let endpoint = with_own_name(endpoint, |name| names.contains(name))?;
        names.insert(endpoint.name().to_string(), ());
        list.push(endpoint);
    }
    Ok(list)
}

/// Whether it makes sense, whatever the others are.
fn check_alone(endpoint: &Endpoint) -> Result<(), DirectoryError> {
    let name = || endpoint.name().to_string();
    let routes = endpoint.routes().len();
    if routes > MAX_ROUTES {
        let name = name();
        return Err(DirectoryError::TooManyRoutes { name, routes });
    }
    match endpoint.overrides().deadline {
        Some(deadline) if deadline < MIN_REDIAL => {
            let name = name();
            Err(DirectoryError::ZeroDeadline { name, deadline })
        }
        Some(_) | None => Ok(()),
    }
}

/// The same endpoint under a name that no other has: host and port may be the same over two transports,
/// and the whole URL then tells them apart.
fn with_own_name(
    endpoint: Endpoint,
    is_taken: impl Fn(&str) -> bool,
) -> Result<Endpoint, DirectoryError> {
    if !is_taken(endpoint.name()) {
        return Ok(endpoint);
    }
    let endpoint = endpoint.named_after_url();
    match is_taken(endpoint.name()) {
        true => Err(DirectoryError::SameName {
            name: endpoint.name().to_string(),
        }),
        false => Ok(endpoint),
    }
}

/// What makes two spellings the same endpoint: the first URL.
fn identity(endpoint: &Endpoint) -> String {
    address(&endpoint.routes()[0])
}

/// A URL, normalised, without credentials.
fn address(url: &Url) -> String {
    let (scheme, host, port, rest) = parts(url);
    let port = port.map(|port| port.to_string());
    [scheme, host, &port.unwrap_or_default(), rest].join("|")
}

/// What of a URL says where it leads: scheme, host, port and the rest.
fn parts(url: &Url) -> (&str, &str, Option<u16>, &str) {
    let default = match url.scheme() {
        "ws" => Some(80),
        "wss" => Some(443),
        _ => None,
    };
    let rest = match url.rest() {
        "" => "/",
        rest => rest,
    };
    (url.scheme(), url.host(), url.port().or(default), rest)
}

/// Whether both are the same to the machine, which is told of an endpoint only once.
fn is_same(a: &Endpoint, b: &Endpoint) -> bool {
    let routes = a.routes().iter().map(parts);
    a.overrides() == b.overrides() && routes.eq(b.routes().iter().map(parts))
}

fn traits(id: EndpointId, endpoint: &Arc<Endpoint>, security: SecurityOf<'_>) -> Traits {
    let overrides = endpoint.overrides();
    let mut traits = Traits::new(id)
        .tier(overrides.tier)
        .weight(overrides.weight)
        .class(overrides.class);
    if let Some(deadline) = overrides.deadline {
        traits = traits.deadline(deadline);
    }
    (0..endpoint.routes().len()).fold(traits, |traits, route| {
        let route = u8::try_from(route).unwrap_or(u8::MAX);
        traits.route(security(&Target::new(Arc::clone(endpoint), route)))
    })
}

/// Why a list of endpoints is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DirectoryError {
    /// No endpoint at all.
    #[error("there is no endpoint")]
    Empty,
    /// Two endpoints with one name.
    #[error("two endpoints are named `{name}`: give one of them another name")]
    SameName {
        /// The name.
        name: String,
    },
    /// The same address twice, perhaps in two spellings.
    #[error("`{url}` is in the list twice: remove one of the two")]
    TwiceTheSame {
        /// The address.
        url: String,
    },
    /// A deadline below a millisecond.
    #[error("endpoint `{name}`: its deadline is {}; give a dial at least a millisecond", Told(*deadline))]
    ZeroDeadline {
        /// The endpoint's name.
        name: String,
        /// Its deadline.
        deadline: Duration,
    },
    /// More than [`MAX_ROUTES`] routes.
    #[error("endpoint `{name}` has {routes} routes, at most {MAX_ROUTES} are possible")]
    TooManyRoutes {
        /// The endpoint's name.
        name: String,
        /// How many it has.
        routes: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_spellings_of_one_address_are_refused() {
        let list = ["tcp://[::1]:1", "tcp://[0:0::1]:1"].map(|url| Endpoint::parse(url).unwrap());
        let refused = Directory::new(list).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "`tcp://[::1]:1` is in the list twice: remove one of the two"
        );
    }

    #[test]
    fn the_same_host_and_port_over_two_transports_are_told_apart_by_the_url() {
        let two = ["tcp://a:1", "tls://joe:secret@a:1"].map(|url| Endpoint::parse(url).unwrap());
        let directory = Directory::new(two).unwrap();
        let names: Vec<&str> = directory
            .iter()
            .map(|(_, endpoint)| endpoint.name())
            .collect();
        assert_eq!(names, ["a:1", "tls://***@a:1"]);
    }

    #[test]
    fn a_name_that_was_given_twice_is_refused() {
        let two = ["tcp://a:1", "tcp://b:1"].map(|url| Endpoint::parse(url).unwrap().named("x"));
        assert!(matches!(
            Directory::new(two),
            Err(DirectoryError::SameName { .. })
        ));
    }

    #[test]
    fn default_ports_and_empty_paths_are_other_spellings_of_one_address() {
        for two in [["ws://a", "WS://A:80/"], ["wss://a:443", "wss://a/"]] {
            let two = two.map(|url| Endpoint::parse(url).unwrap());
            assert!(matches!(
                Directory::new(two),
                Err(DirectoryError::TwiceTheSame { .. })
            ));
        }
    }

    #[test]
    fn what_stays_in_a_replaced_list_keeps_its_id_and_what_leaves_never_gives_it_back() {
        let list = |urls: &[&str]| -> Vec<Endpoint> {
            urls.iter()
                .map(|url| Endpoint::parse(url).unwrap())
                .collect()
        };
        let plain = |_: &Target| Security::Plain;
        let mut directory = Directory::new(list(&["tcp://a:1", "tcp://b:1"])).unwrap();
        let b = directory.find("b:1").unwrap();
        directory
            .replace(list(&["tcp://b:1", "tcp://c:1"]), plain)
            .unwrap();
        assert_eq!(directory.find("b:1"), Some(b));
        directory.replace(list(&["tcp://a:1"]), plain).unwrap();
        assert_eq!(directory.find("a:1"), Some(EndpointId::new(3)));
    }

    #[test]
    fn what_the_machine_knows_of_an_endpoint_never_changes_behind_its_back() {
        let list = |texts: &[&str]| -> Endpoint {
            let mut urls = texts.iter().map(|url| url.parse::<Url>().unwrap());
            let first = Endpoint::new(urls.next().unwrap()).named("x");
            urls.fold(first, Endpoint::or_via)
        };
        let security = |to: &Target| match to.url().scheme() {
            "tls" => Security::Tls,
            _ => Security::Plain,
        };
        let old = list(&["tls://joe:old@a:1", "tls://a:2"]);
        let replaced = |new: Endpoint| {
            let mut directory = Directory::new([old.clone()]).unwrap();
            let changes = directory.replace([new], security).unwrap();
            assert_eq!(directory.iter().count(), 1);
            changes
        };
        // Another password, another name: the same server.
        let same = list(&["tls://joe:new@a:1", "tls://a:2"]).named("y");
        assert_eq!(replaced(same), []);
        for new in [
            list(&["tls://joe:old@a:1", "tcp://a:2"]),
            list(&["tls://joe:old@a:1"]),
            list(&["tls://joe:old@a:1", "tls://a:2"]).tier(1),
            list(&["tls://joe:old@a:1", "tls://a:2"]).class(1),
        ] {
            let [Change::Add(traits), Change::Remove(gone)] = replaced(new)[..] else {
                panic!("it begins anew");
            };
            assert_eq!(
                (traits.id(), gone),
                (EndpointId::new(1), EndpointId::new(0))
            );
        }
    }

    #[test]
    fn a_bad_list_leaves_the_directory_as_it_was() {
        let mut directory = Directory::new([Endpoint::parse("tcp://a:1").unwrap()]).unwrap();
        let twice = ["tcp://b:1", "tcp://b:1"].map(|url| Endpoint::parse(url).unwrap());
        assert!(directory.replace(twice, |_| Security::Plain).is_err());
        assert!(
            directory
                .add(Endpoint::parse("tcp://A:1").unwrap(), |_| Security::Plain)
                .is_err()
        );
        assert_eq!(directory.iter().count(), 1);
        assert!(directory.find("a:1").is_some());
    }
}
