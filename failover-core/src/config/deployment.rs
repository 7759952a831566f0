//! A whole deployment in a file.

use core::fmt;
use core::marker::PhantomData;
use std::string::String;
use std::vec::Vec;

use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use serde::{Serialize, Serializer};
use thiserror::Error;

use crate::config::form::form;
use crate::config::link::{LinkForm, LinkFormError};
use crate::config::policy::{FormError, PolicyForm};
use crate::config::value::Span;
use crate::directory::{Directory, DirectoryError, Endpoint, Url, name_without_login};
use crate::link::LinkPolicy;
use crate::policy::Policy;
use crate::preset::PresetName;

/// The version of the format that is written, and the only one that is read.
pub const VERSION: u32 = 1;

form! {
    /// A whole deployment: the endpoints, the policy, and the transports' own tables, whose type is
    /// `T`.
    ///
    /// `Debug` shows no credentials. `Serialize` writes them: it writes the file.
    ///
    /// ```
    /// use failover_core::config::Deployment;
    ///
    /// let text = r#"{
    ///   "version": 1,
    ///   "endpoints": ["tls://a.example:7443", { "url": "wss://b.example/feed", "tier": 1 }],
    ///   "policy": { "preset": "nats", "deadline": "5s" }
    /// }"#;
    /// let deployment: Deployment<serde::de::IgnoredAny> = serde_json::from_str(text)?;
    /// assert_eq!(deployment.directory()?.iter().count(), 2);
    /// assert_eq!(deployment.policy()?.deadline().as_secs(), 5);
    ///
    /// let typo = r#"{ "policy": { "dedline": "5s" } }"#;
    /// let error = serde_json::from_str::<Deployment<()>>(typo).unwrap_err();
    /// assert!(error.to_string().contains("did you mean `deadline`?"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub struct Deployment<T> {
        /// [`VERSION`].
        version: u32,
        /// The servers.
        endpoints: Vec<EndpointForm<T>>,
        /// How to stay connected.
        policy: PolicyForm,
        /// What a message client does over the connection ([`messaging`](crate::messaging)).
        link: LinkForm,
        /// The transports' own table.
        transport: T,
    }
}

/// A server: its URL alone, or a table.
#[derive(Clone, Debug, PartialEq)]
pub enum EndpointForm<T> {
    /// Its URL alone.
    Url(UrlText),
    /// A table.
    Server(ServerForm<T>),
}

form! {
    /// A server and what it has of its own.
    pub struct ServerForm<T> {
        /// Its name. Default: host and port.
        name: String,
        /// Its URL.
        url: UrlText,
        /// Further routes to it, tried in order when those before fail.
        routes: Vec<UrlText>,
        /// Its tier: lower ones are preferred.
        tier: u8,
        /// Its weight.
        weight: u16,
        /// The deadline of each dial.
        deadline: Span,
        /// Its class in the policy, from 1.
        class: u8,
        /// The transports' own table for it.
        transport: T,
    }
}

/// A URL in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UrlText(pub Url);

impl Serialize for UrlText {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.0.expose())
    }
}

impl<'de> Deserialize<'de> for UrlText {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        text.parse().map(Self).map_err(de::Error::custom)
    }
}

impl<T: Serialize> Serialize for EndpointForm<T> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Url(url) => url.serialize(to),
            Self::Server(server) => server.serialize(to),
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for EndpointForm<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Either<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Either<T> {
            type Value = EndpointForm<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an endpoint's URL, or a table with the key `url`")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<EndpointForm<T>, E> {
                let url = text.parse().map_err(E::custom)?;
                Ok(EndpointForm::Url(UrlText(url)))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<EndpointForm<T>, A::Error> {
                let server: ServerForm<T> =
                    Deserialize::deserialize(MapAccessDeserializer::new(map))?;
                if let Some(name) = &server.name
                    && name_without_login(name) != name.as_str()
                {
                    return Err(de::Error::custom(
                        "the endpoint's `name` holds a login or a query, and names are shown everywhere: write one such as \"primary\"",
                    ));
                }
                match server.url {
                    Some(_) => Ok(EndpointForm::Server(server)),
                    None => Err(de::Error::custom(
                        "the endpoint has no `url`: write one such as \"tls://host:port\"",
                    )),
                }
            }
        }
        from.deserialize_any(Either(PhantomData))
    }
}

/// Why a deployment cannot be.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The version is missing or another.
    #[error("this file has {found}, this program reads `version = {VERSION}`")]
    Version {
        /// What the file has.
        found: String,
    },
    /// There is no endpoint.
    #[error("there is no endpoint: write `endpoints = [\"tls://host:port\"]`")]
    NoEndpoints,
    /// An endpoint without URL.
    #[error("an endpoint has no `url`")]
    NoUrl,
    /// An endpoint names a class that the policy does not have.
    #[error("endpoint `{endpoint}`: there is no class {class}, the policy has {classes}")]
    NoSuchClass {
        /// The endpoint's name.
        endpoint: String,
        /// The class that it names.
        class: u8,
        /// How many there are.
        classes: usize,
    },
    /// The endpoints do not go together.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// The policy was refused.
    #[error("policy: {0}")]
    Policy(#[from] FormError),
    /// The link policy was refused.
    #[error(transparent)]
    Link(#[from] LinkFormError),
}

impl<T> Deployment<T> {
    /// Checks everything: the version, the endpoints, their classes, both policies.
    ///
    /// # Errors
    /// The first thing that is wrong, and what would be right.
    pub fn check(&self) -> Result<(), ConfigError> {
        let wrong = |found: String| Err(ConfigError::Version { found });
        match self.version {
            Some(VERSION) => {}
            Some(other) => return wrong(format!("`version = {other}`")),
            None => return wrong("no version".into()),
        }
        if self.endpoints.as_ref().is_none_or(Vec::is_empty) {
            return Err(ConfigError::NoEndpoints);
        }
        let classes = self.policy()?.classes().len();
        for (_, endpoint) in self.directory()?.iter() {
            let class = endpoint.overrides().class;
            if usize::from(class) > classes {
                return Err(ConfigError::NoSuchClass {
                    endpoint: endpoint.name().into(),
                    class,
                    classes,
                });
            }
        }
        self.link().map(drop)
    }

    /// The policy.
    ///
    /// # Errors
    /// When it makes no sense.
    pub fn policy(&self) -> Result<Policy, ConfigError> {
        match &self.policy {
            Some(form) => Ok(form.policy()?),
            None => Ok(Policy::default()),
        }
    }

    /// What to do over the connection: the preset's, with what the file says.
    ///
    /// # Errors
    /// When it makes no sense.
    pub fn link(&self) -> Result<LinkPolicy, ConfigError> {
        let preset = self.policy.as_ref().and_then(|policy| policy.preset);
        let preset = preset.map_or(PresetName::Default, |preset| preset.0);
        let base = preset.preset().map_err(FormError::from)?.link;
        match &self.link {
            Some(form) => Ok(form.link(base)?),
            None => Ok(base),
        }
    }

    /// The endpoints, without the transports' own tables.
    ///
    /// # Errors
    /// When they do not go together.
    pub fn directory(&self) -> Result<Directory, ConfigError> {
        self.directory_with(|endpoint, _| endpoint)
    }

    /// The endpoints; `equip` gives each its options from its own table.
    ///
    /// # Errors
    /// When they do not go together.
    pub fn directory_with(
        &self,
        equip: impl Fn(Endpoint, Option<&T>) -> Endpoint,
    ) -> Result<Directory, ConfigError> {
        let forms = self.endpoints.iter().flatten();
        let endpoints = forms.map(|form| {
            let endpoint = form.endpoint()?;
            let own = match form {
                EndpointForm::Url(_) => None,
                EndpointForm::Server(server) => server.transport.as_ref(),
            };
            Ok(equip(endpoint, own))
        });
        let endpoints: Vec<Endpoint> = endpoints.collect::<Result<_, ConfigError>>()?;
        Ok(Directory::new(endpoints)?)
    }
}

impl<T> EndpointForm<T> {
    /// The endpoint, without the transports' own table.
    ///
    /// # Errors
    /// When it has no URL.
    pub fn endpoint(&self) -> Result<Endpoint, ConfigError> {
        let server = match self {
            Self::Url(url) => return Ok(Endpoint::new(url.0.clone())),
            Self::Server(server) => server,
        };
        let Some(url) = &server.url else {
            return Err(ConfigError::NoUrl);
        };
        let mut endpoint = Endpoint::new(url.0.clone())
            .tier(server.tier.unwrap_or_default())
            .weight(server.weight.unwrap_or(1))
            .class(server.class.unwrap_or_default());
        for route in server.routes.iter().flatten() {
            endpoint = endpoint.or_via(route.0.clone());
        }
        if let Some(name) = &server.name {
            endpoint = endpoint.named(name.as_str());
        }
        if let Some(deadline) = server.deadline {
            endpoint = endpoint.deadline(deadline.0);
        }
        Ok(endpoint)
    }
}
