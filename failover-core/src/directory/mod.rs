//! The directory: endpoints by id, with their names, URLs and options.
//!
//! The machine knows ids only; the directory knows what they stand for. Nothing here is asked
//! while a decision is made.

mod endpoint;
mod options;
mod url;

use std::collections::BTreeSet;
use std::string::{String, ToString};
use std::sync::Arc;
use std::vec::Vec;

use thiserror::Error;

pub use self::endpoint::{Endpoint, Target};
pub use self::options::Options;
pub use self::url::{MAX_URL, Secret, Url, UrlError, UrlProblem};
use crate::endpoint::{EndpointId, MAX_ROUTES, Security, Traits};

/// Endpoints by id. Ids are given in the order of the list and never used twice.
#[derive(Clone, Debug, Default)]
pub struct Directory {
    entries: Vec<Arc<Endpoint>>,
}

impl Directory {
    /// The directory of these endpoints.
    ///
    /// # Errors
    /// When two endpoints have one name or one first URL, or an endpoint has too many routes.
    pub fn new(endpoints: impl IntoIterator<Item = Endpoint>) -> Result<Self, DirectoryError> {
        let mut directory = Self::default();
        let mut names = BTreeSet::new();
        let mut urls = BTreeSet::new();
        for mut endpoint in endpoints {
            let routes = endpoint.routes().len();
            if routes > MAX_ROUTES {
                return Err(DirectoryError::TooManyRoutes {
                    name: endpoint.name().to_string(),
                    routes,
                });
            }
            let identity = endpoint.routes()[0].clone().without_userinfo().expose();
            if !urls.insert(identity) {
                return Err(DirectoryError::TwiceTheSame {
                    url: endpoint.routes()[0].to_string(),
                });
            }
            if names.contains(endpoint.name()) {
                // Host and port may be the same over two transports; the whole URL then tells them
                // apart.
                endpoint = endpoint.named_after_url();
            }
            if !names.insert(endpoint.name().to_string()) {
                return Err(DirectoryError::SameName {
                    name: endpoint.name().to_string(),
                });
            }
            directory.entries.push(Arc::new(endpoint));
        }
        Ok(directory)
    }

    /// The endpoint with this id.
    #[must_use]
    pub fn get(&self, id: EndpointId) -> Option<&Arc<Endpoint>> {
        self.entries.get(usize::try_from(id.number()).ok()?)
    }

    /// All endpoints with their ids.
    pub fn iter(&self) -> impl Iterator<Item = (EndpointId, &Arc<Endpoint>)> {
        (0..).map(EndpointId::new).zip(&self.entries)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// What the machine needs to know of each endpoint; `security` answers for each route.
    pub fn traits(&self, security: impl Fn(&Target) -> Security) -> Vec<Traits> {
        self.iter()
            .map(|(id, endpoint)| {
                (0..endpoint.routes().len()).fold(Traits::new(id), |traits, route| {
                    let route = u8::try_from(route).unwrap_or(u8::MAX);
                    traits.route(security(&Target::new(Arc::clone(endpoint), route)))
                })
            })
            .collect()
    }
}

/// Why a list of endpoints is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DirectoryError {
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
}
