//! The XML of a Synapse endpoint.

use std::time::Duration;

use failover_core::link::Late;
use failover_core::policy::Class;
use failover_core::preset::{PresetName, Synapse, SynapseCode, SynapseGroup};
use roxmltree::{Document, Node};

use crate::migrate::{Draft, MigrateError};

/// An endpoint that can be dialled.
struct Leaf {
    name: Option<String>,
    url: String,
    settings: Synapse,
    tier: u8,
}

/// What was read so far.
#[derive(Default)]
struct Reader {
    leaves: Vec<Leaf>,
    notes: Vec<String>,
}

pub(super) fn draft(text: &str) -> Result<Draft, MigrateError> {
    // Documents with a DTD, where entities are declared, are refused by default.
    let document = Document::parse(text).map_err(|error| MigrateError::input("XML", error))?;
    let root = document.root_element();
    if root.tag_name().name() != "endpoint" {
        return Err(wrong(root, "the root must be `endpoint`"));
    }
    let mut reader = Reader::default();
    let group = reader.endpoint(root)?;
    let Some(first) = reader.leaves.first() else {
        return Err(wrong(root, "it has no address to dial"));
    };
    let settings = Synapse {
        group,
        ..first.settings.clone()
    };
    let mut kinds = vec![first.settings.clone()];
    let mut preset = settings.preset()?;
    for leaf in &reader.leaves {
        if !kinds.iter().any(|known| same_rules(known, &leaf.settings)) {
            let class = Class::default()
                .health(leaf.settings.health())
                .reactions(leaf.settings.reactions());
            preset.policy = preset.policy.to_builder().class(class).build()?;
            kinds.push(leaf.settings.clone());
        }
        if leaf.settings.timeout != settings.timeout {
            let note = "timeout: the reply deadline is one for all, that of the first endpoint";
            reader.notes.push(note.into());
        }
    }
    let mut draft = Draft::of(PresetName::Synapse, preset, &[])?;
    reader.notes.into_iter().for_each(|note| draft.note(note));
    for leaf in reader.leaves {
        let url = leaf.url.parse()?;
        let class = kinds
            .iter()
            .position(|known| same_rules(known, &leaf.settings));
        let server = draft.server(&url)?;
        server.name = leaf.name;
        server.tier = (leaf.tier > 0).then_some(leaf.tier);
        server.class = class
            .and_then(|class| u8::try_from(class).ok())
            .filter(|class| *class > 0);
    }
    Ok(draft)
}

fn same_rules(a: &Synapse, b: &Synapse) -> bool {
    a.health() == b.health() && a.reactions() == b.reactions()
}

/// The line and what is wrong there.
fn wrong(node: Node<'_, '_>, problem: &str) -> MigrateError {
    let at = node.document().text_pos_at(node.range().start);
    let name = node.tag_name().name();
    MigrateError::input(format!("line {}, `{name}`", at.row), problem)
}

fn children<'a, 'd>(node: Node<'a, 'd>) -> impl Iterator<Item = Node<'a, 'd>> {
    node.children().filter(Node::is_element)
}

impl Reader {
    /// The top: a group, or one endpoint alone.
    fn endpoint(&mut self, root: Node<'_, '_>) -> Result<SynapseGroup, MigrateError> {
        let group = children(root).find(|node| {
            matches!(
                node.tag_name().name(),
                "failover" | "loadbalance" | "recipientlist"
            )
        });
        let Some(group) = group else {
            self.leaf(root, 0)?;
            return Ok(SynapseGroup::Failover);
        };
        match group.tag_name().name() {
            "failover" => self.failover(group),
            "loadbalance" => {
                self.balanced(group, 0)?;
                Ok(balance(group))
            }
            _ => Err(wrong(
                group,
                "a recipient list sends to all: there is no equal",
            )),
        }
    }

    fn failover(&mut self, group: Node<'_, '_>) -> Result<SynapseGroup, MigrateError> {
        let mut kind = match group.attribute("dynamic") {
            Some("false") => SynapseGroup::StaticFailover,
            _ => SynapseGroup::Failover,
        };
        let inner = |node: Node<'_, '_>, name| children(node).any(|node| node.has_tag_name(name));
        let local = |node: Node<'_, '_>, name: &str| {
            children(node).any(|node| node.tag_name().name() == name)
        };
        let has_groups =
            children(group).any(|child| local(child, "loadbalance") || inner(child, "loadbalance"));
        for (tier, child) in (0_u8..=u8::MAX).zip(children(group)) {
            if local(child, "failover") {
                return Err(wrong(
                    child,
                    "a failover within a failover: write its endpoints into the outer one",
                ));
            }
            let balanced = children(child).find(|node| node.tag_name().name() == "loadbalance");
            match balanced {
                Some(balanced) => {
                    kind = balance(balanced);
                    self.balanced(balanced, tier)?;
                }
                None => self.leaf(child, if has_groups { tier } else { 0 })?,
            }
        }
        if has_groups {
            self.notes.push("nested groups: each is a tier; a higher tier is left for a lower one at the next dial".into());
        }
        Ok(kind)
    }

    fn balanced(&mut self, group: Node<'_, '_>, tier: u8) -> Result<(), MigrateError> {
        for child in children(group) {
            match child.tag_name().name() {
                "endpoint"
                    if children(child).any(|node| {
                        matches!(node.tag_name().name(), "failover" | "loadbalance")
                    }) =>
                {
                    return Err(wrong(child, "a group within a load balance has no equal"));
                }
                "endpoint" => self.leaf(child, tier)?,
                "member" => self
                    .notes
                    .push("loadbalance member: write it as an endpoint".into()),
                _ => return Err(wrong(child, "here stand `endpoint`s")),
            }
        }
        Ok(())
    }

    fn leaf(&mut self, node: Node<'_, '_>, tier: u8) -> Result<(), MigrateError> {
        if node.tag_name().name() != "endpoint" {
            return Err(wrong(node, "here stand `endpoint`s"));
        }
        for child in children(node) {
            let url = match child.tag_name().name() {
                "address" => child.attribute("uri"),
                "http" => child.attribute("uri-template"),
                "property" | "description" => {
                    self.notes.push("property, description: no equal".into());
                    continue;
                }
                "default" | "wsdl" => {
                    return Err(wrong(
                        child,
                        "it names no server that could be dialled: use `address` or `http`",
                    ));
                }
                _ => return Err(wrong(child, "unknown: here stand `address` or `http`")),
            };
            let Some(url) = url else {
                return Err(wrong(child, "it has no `uri` (`uri-template` for `http`)"));
            };
            if child
                .attributes()
                .any(|attribute| !attribute.name().starts_with("uri"))
            {
                self.notes
                    .push("statistics, trace, format, method and the like: no equal".into());
            }
            let settings = self.settings(child)?;
            self.leaves.push(Leaf {
                name: node.attribute("name").map(Into::into),
                url: url.into(),
                settings,
                tier,
            });
        }
        Ok(())
    }

    fn settings(&mut self, node: Node<'_, '_>) -> Result<Synapse, MigrateError> {
        let mut to = Synapse::default();
        let (mut reply, mut then) = (None, Late::Report);
        for part in children(node) {
            let name = part.tag_name().name();
            for field in children(part) {
                match (name, field.tag_name().name()) {
                    ("timeout", "duration") => reply = Some(millis(field)?),
                    ("timeout", "responseAction" | "action") => {
                        then = match text(field) {
                            "fault" => Late::Fault,
                            "discard" => Late::Discard,
                            "never" => Late::Report,
                            _ => return Err(wrong(field, "it must be fault, discard or never")),
                        };
                    }
                    ("suspendOnFailure", "initialDuration") => to.initial_duration = millis(field)?,
                    ("suspendOnFailure", "progressionFactor") => {
                        let factor = text(field).parse();
                        to.progression_factor = factor
                            .map_err(|_| wrong(field, "it must be a decimal number, at least 1"))?;
                    }
                    ("suspendOnFailure", "maximumDuration") => {
                        to.maximum_duration = Some(millis(field)?)
                    }
                    ("suspendOnFailure", "errorCodes") => to.suspend_codes = Some(codes(field)?),
                    ("markForSuspension", "errorCodes") => to.mark_codes = codes(field)?,
                    ("markForSuspension", "retriesBeforeSuspension") => {
                        let retries = text(field).parse();
                        to.retries_before_suspension = retries
                            .map_err(|_| wrong(field, "it must be a whole number from 0 to 254"))?;
                    }
                    ("markForSuspension", "retryDelay") => to.retry_delay = millis(field)?,
                    ("retryConfig", "disabledErrorCodes") => {
                        to.disabled_codes = codes(field)?;
                        self.notes.push("retryConfig/disabledErrorCodes: `stop` ends the walk with that error, and closes the connector".into());
                    }
                    ("retryConfig", "enabledErrorCodes") => {
                        self.notes.push("retryConfig/enabledErrorCodes: no equal; write the other codes as `stop`".into());
                    }
                    ("timeout" | "suspendOnFailure" | "markForSuspension" | "retryConfig", _) => {
                        return Err(wrong(field, "unknown here"));
                    }
                    _ => {}
                }
            }
            match name {
                "timeout" | "suspendOnFailure" | "markForSuspension" | "retryConfig" => {}
                "enableAddressing" | "enableSec" | "enableRM" | "authentication" => {
                    self.notes
                        .push(format!("{name}: of the protocol, no equal"));
                }
                _ => {
                    return Err(wrong(
                        part,
                        "unknown: here stand `timeout`, `suspendOnFailure`, `markForSuspension`, `retryConfig`",
                    ));
                }
            }
        }
        to.timeout = reply.map(|reply| (reply, then));
        Ok(to)
    }
}

fn balance(group: Node<'_, '_>) -> SynapseGroup {
    match group.attribute("algorithm") {
        Some(algorithm) if algorithm.contains("Weighted") => SynapseGroup::WeightedLoadBalance,
        _ => SynapseGroup::LoadBalance,
    }
}

fn text<'a>(node: Node<'a, '_>) -> &'a str {
    node.text().unwrap_or_default().trim()
}

fn millis(node: Node<'_, '_>) -> Result<Duration, MigrateError> {
    let millis = text(node).parse().map(Duration::from_millis);
    millis.map_err(|_| wrong(node, "it must be a whole number of milliseconds"))
}

/// Codes between commas; −1 alone means none.
fn codes(node: Node<'_, '_>) -> Result<Vec<SynapseCode>, MigrateError> {
    if text(node) == "-1" {
        return Ok(Vec::new());
    }
    let codes = text(node).split(',').map(|code| code.trim().parse());
    let codes: Result<Vec<u32>, _> = codes.collect();
    let right = "it must be codes such as `101504, 101505`, or -1 for none";
    let codes = codes.map_err(|_| wrong(node, right))?;
    Ok(codes.into_iter().map(SynapseCode::new).collect())
}
