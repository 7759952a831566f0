//! An endpoint as people write it: a server with a name, its routes and options.

use std::borrow::Cow;
use std::fmt;
use std::string::String;
use std::sync::Arc;
use std::time::Duration;
use std::vec::Vec;

use crate::directory::options::Options;
use crate::directory::url::{Url, UrlError, name_without_login};
use crate::endpoint::MAX_ROUTES;

/// One server: its name, the routes to it (tried in order within one turn) and its options.
///
/// A server that is listed under two names is two endpoints, each with failures and waits of its own; to be
/// one, they are routes of one.
///
/// ```
/// use failover_core::directory::Endpoint;
///
/// let server = Endpoint::parse("wss://broker.example:443/stream")?
///     .or_via("tls://broker.example:7443".parse()?)
///     .named("primary");
/// assert_eq!(server.name(), "primary");
/// assert_eq!(server.routes().len(), 2);
/// # Ok::<(), failover_core::directory::UrlError>(())
/// ```
#[derive(Clone)]
pub struct Endpoint {
    name: String,
    named: Named,
    overrides: Overrides,
    routes: Vec<Url>,
    options: Options,
}

impl Endpoint {
    /// The server at this URL, named after its host and port (or after the whole URL, where a list
    /// has several of that name).
    #[must_use]
    pub fn new(url: Url) -> Self {
        Self {
            name: url.authority(),
            named: Named::AfterAddress,
            overrides: Overrides::default(),
            routes: Vec::from([url]),
            options: Options::default(),
        }
    }

    /// The server at the URL that this text spells.
    ///
    /// # Errors
    /// When the text is not an endpoint's URL; the error says why, without credentials.
    pub fn parse(url: &str) -> Result<Self, UrlError> {
        url.parse().map(Self::new)
    }

    /// The same with another name: unique in a list, used in events, errors and metrics. Of a name that
    /// is a URL or holds a login (`user:password@`), the login and the query are hidden, and it is known by
    /// what is left.
    ///
    /// ```
    /// use failover_core::directory::Endpoint;
    ///
    /// let server = Endpoint::parse("tcp://a.example:4222")?.named("tcp://joe:secret@a.example");
    /// assert_eq!(server.name(), "tcp://***@a.example");
    /// # Ok::<(), failover_core::directory::UrlError>(())
    /// ```
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        let name = name.into();
        self.name = match name_without_login(&name) {
            Cow::Borrowed(_) => name,
            Cow::Owned(hidden) => hidden,
        };
        self.named = Named::ByUser;
        self
    }

    /// The same with its URL as its name (without credentials), if nobody gave it one.
    pub(crate) fn named_after_url(mut self) -> Self {
        if self.named == Named::AfterAddress {
            self.name = self.routes[0].to_string();
        }
        self
    }

    /// The same with one more route to the same server, tried when those before it fail
    /// (protocol cascading). At most [`MAX_ROUTES`]; the directory refuses more.
    #[must_use]
    pub fn or_via(mut self, url: Url) -> Self {
        self.routes.push(url);
        self
    }

    /// The same with an option for one of its layers, found there by its type.
    #[must_use]
    pub fn with<T: Send + Sync + 'static>(mut self, option: T) -> Self {
        self.options = self.options.with(option);
        self
    }

    /// The same in this tier: lower ones are preferred. Default 0.
    #[must_use]
    pub fn tier(mut self, tier: u8) -> Self {
        self.overrides.tier = tier;
        self
    }

    /// The same with this weight, for [`Walk::Weighted`](crate::policy::Walk). Default 1; 0 counts
    /// as 1.
    #[must_use]
    pub fn weight(mut self, weight: u16) -> Self {
        self.overrides.weight = weight;
        self
    }

    /// The same with a deadline of its own for each dial, instead of the policy's.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.overrides.deadline = Some(deadline);
        self
    }

    /// The same with the rules of this class of the policy, instead of those for all.
    #[must_use]
    pub fn class(mut self, class: u8) -> Self {
        self.overrides.class = class;
        self
    }

    /// What it has of its own where the policy speaks for all.
    #[must_use]
    pub fn overrides(&self) -> Overrides {
        self.overrides
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The routes, first choice first.
    #[must_use]
    pub fn routes(&self) -> &[Url] {
        &self.routes
    }

    /// The same with all the options of another endpoint, and none of its own.
    pub(crate) fn with_options_of(mut self, other: &Self) -> Self {
        self.options = other.options.clone();
        self
    }

    /// The options.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.options
    }
}

/// What an endpoint has of its own where the policy speaks for all: it beats the policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Overrides {
    /// Its tier. Default 0.
    pub tier: u8,
    /// Its weight. Default 1.
    pub weight: u16,
    /// How long a dial of it may take. Default: the policy's.
    pub deadline: Option<Duration>,
    /// Its class in the policy: health, reactions and limit of its own. Default: 0, which is none.
    pub class: u8,
}

impl Default for Overrides {
    fn default() -> Self {
        Self {
            tier: 0,
            weight: 1,
            deadline: None,
            class: 0,
        }
    }
}

/// Where an endpoint has its name from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Named {
    AfterAddress,
    ByUser,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("name", &self.name)
            .field("routes", &self.routes)
            .field("options", &self.options)
            .finish()
    }
}

/// What a dialer is asked to dial: an endpoint through one of its routes.
///
/// ```
/// use failover_core::directory::Target;
///
/// let target = Target::parse("tcp://127.0.0.1:4222")?;
/// assert_eq!(target.url().port(), Some(4222));
/// # Ok::<(), failover_core::directory::UrlError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Target {
    endpoint: Arc<Endpoint>,
    route: u8,
}

impl Target {
    /// The endpoint's route with this number; a number beyond its routes means the last.
    #[must_use]
    pub fn new(endpoint: Arc<Endpoint>, route: u8) -> Self {
        let last = endpoint.routes.len().min(MAX_ROUTES).saturating_sub(1);
        Self {
            endpoint,
            route: route.min(u8::try_from(last).unwrap_or(u8::MAX)),
        }
    }

    /// The only route of the server at the URL that this text spells.
    ///
    /// # Errors
    /// When the text is not an endpoint's URL.
    pub fn parse(url: &str) -> Result<Self, UrlError> {
        Ok(Self::new(Arc::new(Endpoint::parse(url)?), 0))
    }

    /// The same endpoint, with its name and options, at this URL alone: where the server sends its
    /// clients on.
    #[must_use]
    pub fn moved_to(&self, url: Url) -> Self {
        let mut endpoint = Endpoint::clone(&self.endpoint);
        endpoint.routes = Vec::from([url]);
        Self::new(Arc::new(endpoint), 0)
    }

    /// The endpoint.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The number of the route, from 0.
    #[must_use]
    pub fn route(&self) -> u8 {
        self.route
    }

    /// The URL to dial.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.endpoint.routes[usize::from(self.route)]
    }

    /// The endpoint's option of this type.
    #[must_use]
    pub fn option<T: Send + Sync + 'static>(&self) -> Option<&T> {
        self.endpoint.options.get()
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.url(), f)
    }
}
