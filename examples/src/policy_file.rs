//! A policy from a file: a deployment's, a scenario's, or the `[policy]` alone.

use failover_core::config::{Deployment, EndpointForm, LinkForm, PolicyForm, VERSION};
use failover_core::policy::PolicyError;
use failover_core::preset::{Preset, PresetName};
use serde::Deserialize;
use serde::de::IgnoredAny;
use toml::Spanned;
use toml::de::DeTable;

use crate::scenario::{Scenario, ScenarioError, Source};

/// A policy with its name and what it wants of the link.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct PolicyFile {
    /// What to call it.
    pub name: String,
    /// The policy, and the link policy that goes with it.
    pub preset: Preset,
    /// How many endpoints the file lists; zero, if none.
    pub endpoints: usize,
}

/// A deployment with an `about`; it may have no endpoints yet.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    version: Spanned<u32>,
    #[serde(default)]
    about: String,
    endpoints: Option<Spanned<Vec<EndpointForm<IgnoredAny>>>>,
    policy: Option<Spanned<PolicyForm>>,
    link: Option<Spanned<LinkForm>>,
    #[serde(rename = "transport")]
    _transport: Option<IgnoredAny>,
}

impl PolicyFile {
    /// The policy of this preset.
    ///
    /// # Errors
    /// When the preset's own policy is refused.
    pub fn of_preset(name: PresetName) -> Result<Self, PolicyError> {
        Ok(Self {
            name: name.as_str().to_string(),
            preset: name.preset()?,
            endpoints: 0,
        })
    }

    /// The policy that this text stands for; `file` is named in errors.
    ///
    /// # Errors
    /// The first thing that makes no sense, with its line and key.
    pub fn parse(file: &str, text: &str) -> Result<Self, ScenarioError> {
        let source = Source { file, text };
        let table = DeTable::parse(text).map_err(|error| source.unreadable(&error))?;
        if table.get_ref().contains_key("until") {
            let scenario = Scenario::parse(file, text)?;
            let listed = scenario.endpoints.iter();
            return Ok(Self {
                name: file.to_string(),
                endpoints: listed.filter(|named| named.server.configured).count(),
                preset: Preset {
                    policy: scenario.policy,
                    link: scenario.link,
                },
            });
        }
        let raw: Raw = toml::from_str(text).map_err(|error| source.unreadable(&error))?;
        source.version(&raw.version)?;
        let name = match raw.about.trim() {
            "" => file.to_string(),
            about => format!("{file} ({about})"),
        };
        let endpoints = raw.endpoints.as_ref();
        let endpoints = endpoints.map_or(0, |listed| listed.get_ref().len());
        let preset = raw.preset(source)?;
        Ok(Self {
            name,
            preset,
            endpoints,
        })
    }
}

impl Raw {
    fn preset(self, source: Source<'_>) -> Result<Preset, ScenarioError> {
        fn apart<T>(part: Option<Spanned<T>>) -> (usize, Option<T>) {
            let at = part.as_ref().map_or(0, |part| part.span().start);
            (at, part.map(Spanned::into_inner))
        }
        let (policy_at, policy) = apart(self.policy);
        let (link_at, link) = apart(self.link);
        let (endpoints_at, endpoints) = apart(self.endpoints);
        let mut deployment = Deployment::<IgnoredAny>::default();
        deployment.version = Some(VERSION);
        deployment.policy = policy;
        deployment.link = link;
        deployment.endpoints = endpoints;
        let wrong = |at, table| {
            move |error: failover_core::config::ConfigError| {
                source.in_table(at, table, &error.to_string())
            }
        };
        let preset = Preset {
            policy: deployment.policy().map_err(wrong(policy_at, "policy"))?,
            link: deployment.link().map_err(wrong(link_at, "link"))?,
        };
        if deployment.endpoints.is_some() {
            deployment
                .check()
                .map_err(wrong(endpoints_at, "endpoints"))?;
        }
        Ok(preset)
    }
}
