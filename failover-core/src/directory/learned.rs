//! Lists that a server pushes: checked, bounded, merged, and not too often.

use std::net::IpAddr;
use std::string::{String, ToString};
use std::sync::Arc;
use std::time::Duration;
use std::vec::Vec;

use thiserror::Error;

use crate::directory::{
    Directory, Endpoint, Origin, SecurityOf, Target, UrlProblem, identity, traits,
};
use crate::endpoint::{EndpointId, Security};
use crate::lookup::Lookup;
use crate::machine::Change;
use crate::policy::{Admission, AdmitAsked, Hooks};
use crate::time::Time;

/// Takes in the lists that servers push, and says when one may be merged.
///
/// Pushed lists are input from outside: at most [`most`](Self::most) learned endpoints are kept,
/// each address is checked, and a server that changes its mind every second causes one merge per
/// [`debounce`](Self::debounce), of its latest list.
///
/// ```
/// use core::time::Duration;
/// use failover_core::directory::{Directory, Endpoint, Learner, Target};
/// use failover_core::endpoint::Security;
/// use failover_core::policy::NoHooks;
/// use failover_core::time::Time;
///
/// let mut directory = Directory::new([Endpoint::parse("tls://seed.example:4222")?])?;
/// let teacher = Target::parse("tls://seed.example:4222")?;
/// let mut learner = Learner::default();
/// learner.handle_list(["10.0.0.2:4222", "10.0.0.3:4222"]);
///
/// let list = learner.poll_list(Time::ZERO).expect("the first list is merged at once");
/// let learned = directory.learn(&teacher, &list, &learner, |_| Security::Tls, &mut NoHooks);
/// assert_eq!(learned.changes.len(), 2);
/// assert!(directory.find("10.0.0.2:4222").is_some());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Learner {
    most: usize,
    debounce: Duration,
    waiting: Option<Vec<String>>,
    not_before: Time,
}

impl Default for Learner {
    /// At most 256 learned endpoints, one merge per second.
    fn default() -> Self {
        Self {
            most: 256,
            debounce: Duration::from_secs(1),
            waiting: None,
            not_before: Time::ZERO,
        }
    }
}

impl Learner {
    /// The same, keeping at most this many learned endpoints. Default 256.
    #[must_use]
    pub fn most(mut self, most: usize) -> Self {
        self.most = most;
        self
    }

    /// The same, merging at most once in this time. Default 1 s.
    #[must_use]
    pub fn debounce(mut self, debounce: Duration) -> Self {
        self.debounce = debounce;
        self
    }

    /// A server pushed this list. The latest replaces one that still waits; what lies beyond twice
    /// the bound is not even kept.
    pub fn handle_list<'a>(&mut self, list: impl IntoIterator<Item = &'a str>) {
        let bound = self.most.saturating_mul(2);
        self.waiting = Some(
            list.into_iter()
                .take(bound)
                .map(ToString::to_string)
                .collect(),
        );
    }

    /// The list to merge, if there is one and it is time.
    pub fn poll_list(&mut self, now: Time) -> Option<Vec<String>> {
        if now < self.not_before {
            return None;
        }
        let list = self.waiting.take()?;
        self.not_before = now + self.debounce;
        Some(list)
    }

    /// When the waiting list may be merged.
    #[must_use]
    pub fn next_wake(&self) -> Option<Time> {
        self.waiting.as_ref().map(|_| self.not_before)
    }
}

/// What became of a pushed list.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Learned {
    /// What the machine is to be told.
    pub changes: Vec<Change>,
    /// What was not taken, and why.
    pub refused: Vec<Refused>,
}

/// An address of a pushed list that was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refused {
    /// The address, without credentials.
    pub address: String,
    /// Why.
    pub because: RefusedBecause,
}

/// Why an address of a pushed list was not taken.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RefusedBecause {
    /// It is not an endpoint's address.
    #[error("it is no address: {0}")]
    Address(UrlProblem),
    /// Credentials come from the user, not from a server.
    #[error("it carries credentials")]
    Credentials,
    /// `0.0.0.0` or `[::]`: what the server listens at. No client may send there (RFC 1122, section
    /// 3.2.1.3), and those that can reach themselves.
    #[error("it stands for every address of the server: what does that advertise to clients?")]
    Unspecified,
    /// A server may name other servers, not other transports.
    #[error("its scheme is `{scheme}`, not that of the connection that taught it")]
    Scheme {
        /// The scheme.
        scheme: String,
    },
    /// The connection that taught it is TLS, and it is not.
    #[error("it would go from TLS to plain text")]
    Downgrade,
    /// It is in the list twice.
    #[error("it is in the list twice")]
    Twice,
    /// The user's filter did not admit it.
    #[error("the filter did not admit it")]
    NotAdmitted,
    /// There are as many learned endpoints as are kept.
    #[error("there are {most} learned endpoints already")]
    TooMany {
        /// The bound.
        most: usize,
    },
}

/// The name that a learned server's certificate must carry: that of the server which taught it, when
/// the learned address is a bare IP. An option for TLS layers, which ask for an option of their own
/// first.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CertificateName(pub String);

impl Directory {
    /// Merges a list that the server behind `teacher` pushed: unknown servers are added, learned
    /// ones that it names no longer are removed, configured ones stay whatever it says.
    ///
    /// An address without a scheme inherits scheme and path of the teacher's URL, and every learned
    /// server the teacher's options (headers, credentials, TLS settings: it is one deployment).
    /// The user's filter, [`Hooks::admit`], is asked once for each new server.
    pub fn learn(
        &mut self,
        teacher: &Target,
        list: &[String],
        learner: &Learner,
        security: impl Fn(&Target) -> Security,
        hooks: &mut dyn Hooks,
    ) -> Learned {
        self.merge(teacher, list, learner, &security, hooks)
    }

    fn merge(
        &mut self,
        teacher: &Target,
        list: &[String],
        learner: &Learner,
        security: SecurityOf<'_>,
        hooks: &mut dyn Hooks,
    ) -> Learned {
        let mut learned = Learned::default();
        let known = self.identities();
        let mut named = Lookup::default();
        let mut new = Vec::new();
        for address in list {
            match check_learned(address, teacher, security, &known, &mut named) {
                Ok(Some(endpoint)) => new.push(endpoint),
                Ok(None) => {}
                Err(refused) => learned.refused.push(refused),
            }
        }
        self.prune(&named, &mut learned.changes);
        let mut kept = self
            .entries
            .values()
            .filter(|entry| entry.origin == Origin::Learned)
            .count();
        for endpoint in new {
            let address = endpoint.routes()[0].to_string();
            let asked = AdmitAsked::new(&address, teacher.endpoint().name());
            let because = if kept >= learner.most {
                RefusedBecause::TooMany { most: learner.most }
            } else if self.find(endpoint.name()).is_some()
                || hooks.admit(&asked) != Admission::Admit
            {
                RefusedBecause::NotAdmitted
            } else {
                let (id, endpoint) = self.insert(endpoint, Origin::Learned);
                kept += 1;
                let traits = traits(id, &endpoint, security);
                learned.changes.push(Change::Add(traits));
                continue;
            };
            learned.refused.push(Refused { address, because });
        }
        learned
    }

    /// Learned endpoints leave that are not named any more.
    fn prune(&mut self, named: &Lookup<String, ()>, changes: &mut Vec<Change>) {
        self.entries.retain(|id, entry| {
            let stays =
                entry.origin == Origin::Configured || named.contains(&identity(&entry.endpoint));
            if !stays {
                changes.push(Change::Remove(id));
            }
            stays
        });
    }
}

/// The endpoint that a learned address stands for, if it is new.
fn check_learned(
    address: &str,
    teacher: &Target,
    security: SecurityOf<'_>,
    known: &Lookup<String, EndpointId>,
    named: &mut Lookup<String, ()>,
) -> Result<Option<Endpoint>, Refused> {
    let origin = teacher.url();
    let url = match address.contains("://") {
        true => address.to_string(),
        false => format!("{}://{address}{}", origin.scheme(), origin.rest()),
    };
    let endpoint = Endpoint::parse(&url).map_err(|error| Refused {
        address: error.input().to_string(),
        because: RefusedBecause::Address(error.problem),
    })?;
    let url = &endpoint.routes()[0];
    let refused = |because| {
        Err(Refused {
            address: url.to_string(),
            because,
        })
    };
    if url.userinfo().is_some() {
        return refused(RefusedBecause::Credentials);
    }
    let address = url.host().parse::<IpAddr>();
    if address.is_ok_and(|address| address.is_unspecified()) {
        return refused(RefusedBecause::Unspecified);
    }
    let target = Target::new(Arc::new(endpoint.clone()), 0);
    if security(teacher) == Security::Tls && security(&target) == Security::Plain {
        return refused(RefusedBecause::Downgrade);
    }
    if url.scheme() != origin.scheme() {
        let scheme = url.scheme().to_string();
        return refused(RefusedBecause::Scheme { scheme });
    }
    let identity = identity(&endpoint);
    if named.insert(identity.clone(), ()).is_some() {
        return refused(RefusedBecause::Twice);
    }
    if known.contains(&identity) {
        return Ok(None);
    }
    Ok(Some(heir(endpoint, teacher)))
}

/// A learned endpoint with what it inherits from the one that taught it.
fn heir(endpoint: Endpoint, teacher: &Target) -> Endpoint {
    let own = endpoint.routes()[0].host().to_string();
    let name = teacher.url().host();
    let endpoint = endpoint.with_options_of(teacher.endpoint());
    match (is_address(&own), teacher.option::<CertificateName>()) {
        // What the teacher has from another goes on to addresses ...
        (true, Some(_)) => endpoint,
        // ... and not to what has a name of its own.
        (false, Some(_)) => endpoint.with(CertificateName(own)),
        (true, None) if !is_address(name) => endpoint.with(CertificateName(name.to_string())),
        (_, None) => endpoint,
    }
}

/// Whether this host is an address, perhaps with a zone (`fe80::1%eth0`).
fn is_address(host: &str) -> bool {
    let address = host.split('%').next().unwrap_or(host);
    address.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::NoHooks;

    /// Admits every tenth server.
    struct Tens;

    impl Hooks for Tens {
        fn admit(&mut self, asked: &AdmitAsked<'_>) -> Admission {
            assert_eq!(asked.teacher, "seed:1");
            match asked.url.starts_with("tcp://") && asked.url.ends_with("0:1") {
                true => Admission::Admit,
                false => Admission::Refuse,
            }
        }
    }

    fn tls(to: &Target) -> Security {
        match to.url().scheme() {
            "tls" | "wss" => Security::Tls,
            _ => Security::Plain,
        }
    }

    fn learn(directory: &mut Directory, teacher: &str, list: &[&str]) -> Learned {
        let teacher = Target::parse(teacher).unwrap();
        let list: Vec<String> = list.iter().map(ToString::to_string).collect();
        directory.learn(&teacher, &list, &Learner::default(), tls, &mut NoHooks)
    }

    fn seeded(url: &str) -> Directory {
        Directory::new([Endpoint::parse(url).unwrap()]).unwrap()
    }

    fn names(directory: &Directory) -> Vec<&str> {
        directory
            .iter()
            .map(|(_, endpoint)| endpoint.name())
            .collect()
    }

    #[test]
    fn unknown_servers_come_forgotten_ones_leave_and_configured_ones_stay() {
        let mut directory = seeded("tcp://seed:1");
        learn(&mut directory, "tcp://seed:1", &["seed:1", "a:1", "b:1"]);
        assert_eq!(names(&directory), ["seed:1", "a:1", "b:1"]);
        let learned = learn(&mut directory, "tcp://seed:1", &["b:1", "c:1"]);
        assert_eq!(names(&directory), ["seed:1", "b:1", "c:1"]);
        assert_eq!(learned.changes.len(), 2);
        learn(&mut directory, "tcp://seed:1", &[]);
        assert_eq!(names(&directory), ["seed:1"]);
    }

    #[test]
    fn the_same_list_again_changes_nothing() {
        let mut directory = seeded("tcp://seed:1");
        let list = ["a:1", "A:1", "[::1]:2", "[0:0::1]:2"];
        assert_eq!(
            learn(&mut directory, "tcp://seed:1", &list).changes.len(),
            2
        );
        let again = learn(&mut directory, "tcp://seed:1", &list);
        assert!(again.changes.is_empty());
        assert_eq!(again.refused.len(), 2);
    }

    #[test]
    fn a_list_may_not_lead_from_tls_to_plain_nor_carry_credentials() {
        let mut directory = seeded("tls://seed:1");
        let list = [
            "tcp://evil:1",
            "tls://joe:secret@evil:1",
            "wss://evil:1",
            "a b:1",
            "good:1",
        ];
        let learned = learn(&mut directory, "tls://seed:1", &list);
        assert_eq!(names(&directory), ["seed:1", "good:1"]);
        let because: Vec<RefusedBecause> =
            learned.refused.iter().map(|r| r.because.clone()).collect();
        assert_eq!(because[0], RefusedBecause::Downgrade);
        assert_eq!(because[1], RefusedBecause::Credentials);
        assert_eq!(
            because[2],
            RefusedBecause::Scheme {
                scheme: "wss".into()
            }
        );
        assert!(!format!("{learned:?}").contains("secret"));
    }

    #[test]
    fn an_address_that_stands_for_every_address_of_a_server_is_none_of_it() {
        let mut directory = seeded("tcp://seed:1");
        let learned = learn(&mut directory, "tcp://seed:1", &["0.0.0.0:1", "[::]:1"]);
        assert_eq!(names(&directory), ["seed:1"]);
        let because = learned.refused.iter().map(|refused| &refused.because);
        assert!(because.eq([&RefusedBecause::Unspecified; 2]));
    }

    #[test]
    fn a_bare_address_inherits_scheme_path_options_and_the_certificates_name() {
        let seed = Endpoint::parse("wss://seed.example/stream")
            .unwrap()
            .with(7_u8);
        let teacher = Target::new(Arc::new(seed.clone()), 0);
        let mut directory = Directory::new([seed]).unwrap();
        let list = ["10.0.0.2:443".to_string()];
        directory.learn(&teacher, &list, &Learner::default(), tls, &mut NoHooks);
        let id = directory.find("10.0.0.2:443").unwrap();
        let learned = Target::new(Arc::clone(directory.get(id).unwrap()), 0);
        assert_eq!(learned.url().expose(), "wss://10.0.0.2:443/stream");
        assert_eq!(learned.option(), Some(&7_u8));
        assert_eq!(
            learned.option(),
            Some(&CertificateName("seed.example".into()))
        );

        // What that one names: an address has the first name, a name has its own.
        let list = ["10.0.0.3:443", "[fe80::3%eth0]:443", "n4.example:443"].map(String::from);
        directory.learn(&learned, &list, &Learner::default(), tls, &mut NoHooks);
        for (named, certified) in [
            ("10.0.0.3:443", "seed.example"),
            ("[fe80::3%eth0]:443", "seed.example"),
            ("n4.example:443", "n4.example"),
        ] {
            let id = directory.find(named).unwrap();
            let option = directory.get(id).unwrap().options().get();
            assert_eq!(option, Some(&CertificateName(certified.into())));
        }
    }

    #[test]
    fn ten_thousand_addresses_are_bounded_and_a_filter_is_obeyed() {
        let mut directory = seeded("tcp://seed:1");
        let many: Vec<String> = (0..10_000).map(|n| format!("host{n}:1")).collect();
        let teacher = Target::parse("tcp://seed:1").unwrap();
        let mut learner = Learner::default().most(100);
        learner.handle_list(many.iter().map(String::as_str));
        let list = learner.poll_list(Time::ZERO).unwrap();
        let learned = directory.learn(&teacher, &list, &learner, tls, &mut Tens);
        assert_eq!(learned.changes.len(), 20);
        let learned = directory.learn(&teacher, &list, &learner, tls, &mut NoHooks);
        assert_eq!(learned.changes.len(), 80);
    }

    #[test]
    fn a_server_that_changes_its_mind_all_the_time_causes_one_merge_a_second() {
        let mut learner = Learner::default();
        let mut merges = Vec::new();
        for tenth in 0..100_u32 {
            let now = Time::ZERO + Duration::from_millis(100) * tenth;
            learner.handle_list([format!("a{tenth}:1").as_str()]);
            merges.extend(learner.poll_list(now).map(|list| list[0].clone()));
        }
        assert_eq!(merges.len(), 10);
        assert_eq!(merges[1], "a10:1", "the latest list counts");
        assert_eq!(
            learner.next_wake(),
            Some(Time::ZERO + Duration::from_secs(10))
        );
    }
}
