//! A policy as text: the TOML form, and the presets by name.
//!
//! Every key may be left out: it then has the value of the preset that is named, or of the default.
//! `docs/scenario.md` lists them.

use std::time::Duration;

use failover_core::failure::{Kind, Scope};
use failover_core::policy::{
    Backoff, Class, Every, Failback, Health, Jitter, Limit, Limits, Lost, MaxAge, NobodyReady, On,
    Order, Overlap, Pace, PlainFallback, Policy, Ratio, Reaction, Reactions, Resume, Shuffle,
    Standing, Start, Walk,
};
use failover_core::preset::PresetName;
use failover_core::race::{Race, Stagger};
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::span;

/// A policy in its text form.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Form {
    #[serde(skip_serializing_if = "Option::is_none")]
    order: Option<OrderForm>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pace: Option<PaceForm>,
    #[serde(skip_serializing_if = "Option::is_none")]
    jitter: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls_jitter: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    start: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stable_after: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deadline: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    turn_deadline: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    plain_fallback: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nobody_ready: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limits: Option<LimitsForm>,
    #[serde(skip_serializing_if = "Option::is_none")]
    start_up_limits: Option<LimitsForm>,
    #[serde(skip_serializing_if = "Option::is_none")]
    health: Option<HealthForm>,
    #[serde(skip_serializing_if = "Option::is_none")]
    standing: Option<StandingForm>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resume: Option<ResumeForm>,
    #[serde(skip_serializing_if = "Option::is_none")]
    race: Option<RaceForm>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reactions: Vec<ReactionForm>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    classes: Vec<ClassForm>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
struct ClassForm {
    #[serde(skip_serializing_if = "Option::is_none")]
    per_endpoint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    health: Option<HealthForm>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reactions: Vec<ReactionForm>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
struct OrderForm {
    #[serde(skip_serializing_if = "Option::is_none")]
    walk: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lost: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
struct PaceForm {
    #[serde(skip_serializing_if = "Option::is_none")]
    law: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    base: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    factor: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls_base: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    every: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    min: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cap: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    first: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
struct LimitsForm {
    #[serde(skip_serializing_if = "Option::is_none")]
    turns: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    per_endpoint: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sweeps: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    elapsed: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
struct HealthForm {
    #[serde(skip_serializing_if = "Option::is_none")]
    initial: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    factor: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    maximum: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retries: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_delay: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
struct StandingForm {
    #[serde(skip_serializing_if = "Option::is_none")]
    overlap: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    spares: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    drain_spread: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    grace: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    wake_spread: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failback: Option<FailbackForm>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_age: Option<MaxAgeForm>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
struct FailbackForm {
    #[serde(skip_serializing_if = "Option::is_none")]
    every: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    good_probes: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    settle: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct MaxAgeForm {
    age: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    spread: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct ResumeForm {
    window: String,
    every: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    first: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct RaceForm {
    most: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    stagger: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct ReactionForm {
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<u32>,
    then: String,
}

/// A key of a policy that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {what}")]
pub struct FormError {
    /// Which key: `pace.base`. Empty if it is not one alone.
    pub key: String,
    /// What is wrong, and what would be right.
    pub what: String,
}

/// The policy of a preset with these keys of its own.
///
/// # Errors
/// A preset or key that is not known, or a value that makes no sense.
pub fn policy(preset: Option<&str>, own: &Table) -> Result<Policy, FormError> {
    let base = preset_policy(preset.unwrap_or("default"))?;
    if own.is_empty() {
        return Ok(base);
    }
    let mut table = Table::try_from(Form::from(&base)).map_err(|e| wrong("", e.to_string()))?;
    if own.contains_key("jitter") {
        table.remove("tls_jitter");
    }
    merge(&mut table, own);
    let form = Form::deserialize(Value::Table(table))
        .map_err(|error| wrong("", error.message().trim()))?;
    form.policy()
}

fn preset_policy(name: &str) -> Result<Policy, FormError> {
    let known = PresetName::ALL.map(PresetName::as_str);
    let found: Result<PresetName, _> = name.parse();
    let preset = found.map_err(|_| {
        let near = crate::near::nearest(name, known.into_iter());
        let hint = near.map_or(String::new(), |near| format!(" (did you mean {near:?}?)"));
        let what = format!(
            "no preset is called {name:?}{hint}; there are {}",
            known.join(", ")
        );
        wrong("preset", what)
    })?;
    let preset = preset
        .preset()
        .map_err(|e| wrong("preset", e.to_string()))?;
    Ok(preset.policy)
}

/// Tables are merged key by key; but a pace with another law keeps nothing of the old law's.
fn merge(table: &mut Table, own: &Table) {
    for (key, value) in own {
        match (table.get_mut(key), value) {
            (Some(Value::Table(old)), Value::Table(new)) => {
                if new.contains_key("law") {
                    for part in ["base", "factor", "tls_base"] {
                        old.remove(part);
                    }
                }
                merge(old, new);
            }
            _ => {
                table.insert(key.clone(), value.clone());
            }
        }
    }
}

fn wrong(key: &str, what: impl Into<String>) -> FormError {
    FormError {
        key: key.to_string(),
        what: what.into(),
    }
}

/// A word and what it stands for.
type Words<T> = [(&'static str, T)];

const WALKS: &Words<Walk> = &[
    ("listed", Walk::Listed),
    ("first-ready", Walk::FirstReady),
    ("rotate", Walk::Rotate),
    ("shuffled", Walk::Shuffled(Shuffle::Once)),
    ("shuffled-each-loss", Walk::Shuffled(Shuffle::EachLoss)),
    ("shuffled-each-sweep", Walk::Shuffled(Shuffle::EachSweep)),
    ("weighted", Walk::Weighted),
    ("least-failed", Walk::LeastFailed),
];
const LOST: &Words<Lost> = &[
    ("first", Lost::First),
    ("in-place", Lost::InPlace),
    ("last", Lost::Last),
    ("turn-taken", Lost::TurnTaken),
];
const EVERY: &Words<Every> = &[
    ("attempt", Every::Attempt),
    ("endpoint", Every::Endpoint),
    ("return", Every::Return),
    ("sweep", Every::Sweep),
];
const STARTS: &Words<Start> = &[
    ("cascade", Start::Cascade),
    ("first-only", Start::FirstOnly),
    ("persevere", Start::Persevere),
];
const FALLBACKS: &Words<PlainFallback> = &[
    ("refuse", PlainFallback::Refuse),
    ("allow", PlainFallback::Allow),
];
const NOBODY: &Words<NobodyReady> = &[
    ("wait", NobodyReady::Wait),
    ("fail", NobodyReady::Fail),
    ("least-bad", NobodyReady::LeastBad),
];
const REACTIONS: &Words<Reaction> = &[
    ("next", Reaction::Next),
    ("mark", Reaction::Mark),
    ("suspend", Reaction::Suspend),
    ("remove", Reaction::Remove),
    ("stop", Reaction::Stop),
];
/// How far a failure reaches, by its words.
pub(crate) const SCOPES: &Words<Scope> = &[
    ("transient", Scope::Transient),
    ("endpoint", Scope::Endpoint),
    ("fatal", Scope::Fatal),
];
/// The kinds of failure by their words.
pub(crate) const KINDS: &Words<Kind> = &[
    ("resolve", Kind::Resolve),
    ("refused", Kind::Refused),
    ("unreachable", Kind::Unreachable),
    ("timeout", Kind::Timeout),
    ("reset", Kind::Reset),
    ("closed", Kind::Closed),
    ("tls", Kind::Tls),
    ("upgrade", Kind::Upgrade),
    ("protocol", Kind::Protocol),
    ("auth", Kind::Auth),
    ("wrong-role", Kind::WrongRole),
    ("stale", Kind::Stale),
    ("cancelled", Kind::Cancelled),
    ("exhausted", Kind::Exhausted),
    ("draining", Kind::Draining),
    ("none-ready", Kind::NoneReady),
    ("other", Kind::Other),
];

/// What a word stands for, or which words there are.
pub(crate) fn word<T: Copy>(words: &Words<T>, text: &str) -> Result<T, String> {
    let found = words.iter().find(|(word, _)| *word == text);
    found.map(|(_, value)| *value).ok_or_else(|| {
        let all: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let near = crate::near::nearest(text, all.iter().copied());
        let hint = near.map_or(String::new(), |near| format!(" (did you mean {near:?}?)"));
        format!("{text:?} is none of {}{hint}", all.join(", "))
    })
}

fn word_of<T: Copy + PartialEq>(words: &Words<T>, value: T) -> Option<String> {
    let found = words.iter().find(|(_, other)| *other == value);
    found.map(|(word, _)| (*word).to_string())
}

/// A text that may be there, as a value.
fn read<T>(
    key: &str,
    text: Option<&String>,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Result<Option<T>, FormError> {
    text.map(|text| parse(text).map_err(|what| wrong(key, what)))
        .transpose()
}

fn named<T: Copy>(
    key: &str,
    text: Option<&String>,
    words: &Words<T>,
) -> Result<Option<T>, FormError> {
    read(key, text, |text| word(words, text))
}

fn time(key: &str, text: Option<&String>) -> Result<Option<Duration>, FormError> {
    read(key, text, span::duration)
}

fn ratio(key: &str, text: Option<&String>) -> Result<Option<Ratio>, FormError> {
    read(key, text, |text| {
        text.parse()
            .map_err(|error: failover_core::policy::RatioError| error.to_string())
    })
}

impl Form {
    /// The policy that it stands for.
    ///
    /// # Errors
    /// The first key that makes no sense.
    pub fn policy(&self) -> Result<Policy, FormError> {
        let mut policy = Policy::builder()
            .order(self.order()?)
            .pace(self.pace()?)
            .limits(self.limits("limits", self.limits.as_ref())?)
            .start_up_limits(self.limits("start_up_limits", self.start_up_limits.as_ref())?)
            .health(read_health(
                "health",
                self.health.clone().unwrap_or_default(),
            )?)
            .standing(self.standing()?)
            .reactions(read_reactions("reactions", &self.reactions)?);
        let jitter = read("jitter", self.jitter.as_ref(), span::jitter)?;
        let tls_jitter = read("tls_jitter", self.tls_jitter.as_ref(), span::jitter)?;
        if let Some(jitter) = jitter {
            policy = policy.jitter(jitter);
        }
        if let Some(jitter) = tls_jitter.or(jitter) {
            policy = policy.tls_jitter(jitter);
        }
        if let Some(start) = named("start", self.start.as_ref(), STARTS)? {
            policy = policy.start(start);
        }
        if let Some(life) = time("stable_after", self.stable_after.as_ref())? {
            policy = policy.stable_after(life);
        }
        if let Some(deadline) = time("deadline", self.deadline.as_ref())? {
            policy = policy.deadline(deadline);
        }
        if let Some(deadline) = time("turn_deadline", self.turn_deadline.as_ref())? {
            policy = policy.turn_deadline(deadline);
        }
        for (number, form) in self.classes.iter().enumerate() {
            policy = policy.class(read_class(number, form)?);
        }
        if let Some(allow) = named("plain_fallback", self.plain_fallback.as_ref(), FALLBACKS)? {
            policy = policy.plain_fallback(allow);
        }
        if let Some(nobody) = named("nobody_ready", self.nobody_ready.as_ref(), NOBODY)? {
            policy = policy.nobody_ready(nobody);
        }
        if let Some(ResumeForm {
            window,
            every,
            first,
        }) = &self.resume
        {
            let window = span::duration(window).map_err(|w| wrong("resume.window", w))?;
            let every = span::duration(every).map_err(|w| wrong("resume.every", w))?;
            let first = time("resume.first", first.as_ref())?.unwrap_or_default();
            policy = policy.resume(Resume::new(window, every).first(first));
        }
        if let Some(RaceForm { most, stagger }) = &self.race {
            let stagger = match stagger.as_deref() {
                Some("trained") => Stagger::TRAINED,
                _ => {
                    time("race.stagger", stagger.as_ref())?.map_or(Stagger::DEFAULT, Stagger::Fixed)
                }
            };
            let race = Race::new(*most, stagger).map_err(|e| wrong("race", e.to_string()))?;
            policy = policy.race(race);
        }
        policy.build().map_err(|error| wrong("", error.to_string()))
    }

    fn order(&self) -> Result<Order, FormError> {
        let form = self.order.clone().unwrap_or_default();
        let mut order = Order::default();
        if let Some(walk) = named("order.walk", form.walk.as_ref(), WALKS)? {
            order.walk = walk;
        }
        if let Some(lost) = named("order.lost", form.lost.as_ref(), LOST)? {
            order.lost = lost;
        }
        Ok(order)
    }

    fn pace(&self) -> Result<Pace, FormError> {
        let form = self.pace.clone().unwrap_or_default();
        let mut pace = Pace::default();
        let base = time("pace.base", form.base.as_ref())?;
        let factor = ratio("pace.factor", form.factor.as_ref())?;
        let tls_base = time("pace.tls_base", form.tls_base.as_ref())?;
        let law = form.law.as_deref().unwrap_or("exponential");
        if factor.is_some() && !matches!(law, "exponential" | "affine") {
            return Err(wrong("pace.factor", format!("the law {law} has no factor")));
        }
        if tls_base.is_some() && law != "phase-ladder" {
            let what = format!("the law {law} has none; only phase-ladder has");
            return Err(wrong("pace.tls_base", what));
        }
        let base = base.unwrap_or(Duration::from_millis(250));
        let factor = factor.unwrap_or(Ratio::TWO);
        pace.backoff = match law {
            "exponential" => Backoff::Exponential { base, factor },
            "affine" => Backoff::Affine {
                initial: base,
                factor,
            },
            "constant" => Backoff::Constant(base),
            "decorrelated" => Backoff::Decorrelated { base },
            "phase-ladder" => Backoff::PhaseLadder {
                spread: base,
                tls_spread: tls_base.unwrap_or(base),
            },
            other => {
                let laws: &Words<()> = &[
                    ("constant", ()),
                    ("exponential", ()),
                    ("affine", ()),
                    ("decorrelated", ()),
                    ("phase-ladder", ()),
                ];
                let what = word(laws, other).err().unwrap_or_default();
                return Err(wrong("pace.law", what));
            }
        };
        if let Some(every) = named("pace.every", form.every.as_ref(), EVERY)? {
            pace.every = every;
        }
        pace.min = time("pace.min", form.min.as_ref())?.unwrap_or(pace.min);
        pace.cap = time("pace.cap", form.cap.as_ref())?.unwrap_or(pace.cap);
        pace.first = time("pace.first", form.first.as_ref())?.unwrap_or(pace.first);
        Ok(pace)
    }

    #[expect(clippy::unused_self, reason = "reads like its neighbours")]
    fn limits(&self, key: &str, form: Option<&LimitsForm>) -> Result<Limits, FormError> {
        let Some(form) = form else {
            return Ok(Limits::UNLIMITED);
        };
        let limit = |limit: Option<u32>| limit.map_or(Limit::Unlimited, Limit::AtMost);
        let mut limits = Limits::UNLIMITED
            .turns(limit(form.turns))
            .per_endpoint(limit(form.per_endpoint))
            .sweeps(limit(form.sweeps));
        limits.elapsed = time(&format!("{key}.elapsed"), form.elapsed.as_ref())?;
        Ok(limits)
    }

    fn standing(&self) -> Result<Standing, FormError> {
        let form = self.standing.clone().unwrap_or_default();
        let mut standing = Standing::default().spares(form.spares.unwrap_or(0));
        if form.overlap == Some(false) {
            standing.overlap = Overlap::Forbidden;
        }
        let or = |key: &str, text: &Option<String>, value| {
            Ok(time(key, text.as_ref())?.unwrap_or(value))
        };
        standing.drain_spread = or(
            "standing.drain_spread",
            &form.drain_spread,
            standing.drain_spread,
        )?;
        standing.grace = or("standing.grace", &form.grace, standing.grace)?;
        standing.wake_spread = or(
            "standing.wake_spread",
            &form.wake_spread,
            standing.wake_spread,
        )?;
        if let Some(form) = &form.failback {
            let mut failback = Failback::default();
            failback.every = or("standing.failback.every", &form.every, failback.every)?;
            failback.settle = or("standing.failback.settle", &form.settle, failback.settle)?;
            failback.good_probes = form.good_probes.unwrap_or(failback.good_probes);
            standing = standing.failback(failback);
        }
        if let Some(MaxAgeForm { age, spread }) = &form.max_age {
            let age = span::duration(age).map_err(|w| wrong("standing.max_age.age", w))?;
            let mut max_age = MaxAge::new(age);
            max_age.spread = or("standing.max_age.spread", spread, max_age.spread)?;
            standing = standing.max_age(max_age);
        }
        Ok(standing)
    }
}

fn read_health(key: &str, form: HealthForm) -> Result<Health, FormError> {
    let mut health = Health::default();
    let key = |part: &str| format!("{key}.{part}");
    health.initial = time(&key("initial"), form.initial.as_ref())?.unwrap_or(health.initial);
    health.maximum = time(&key("maximum"), form.maximum.as_ref())?.unwrap_or(health.maximum);
    health.retry_delay =
        time(&key("retry_delay"), form.retry_delay.as_ref())?.unwrap_or(health.retry_delay);
    health.factor = ratio(&key("factor"), form.factor.as_ref())?.unwrap_or(health.factor);
    health.retries = form.retries.unwrap_or(health.retries);
    Ok(health)
}

fn read_reactions(key: &str, forms: &[ReactionForm]) -> Result<Reactions, FormError> {
    let mut reactions = Reactions::default();
    for (number, form) in forms.iter().enumerate() {
        let key = |part: &str| format!("{key}[{number}].{part}");
        let mut on = On::ANY;
        on.kind = named(&key("kind"), form.kind.as_ref(), KINDS)?;
        on.scope = named(&key("scope"), form.scope.as_ref(), SCOPES)?;
        on.code = form.code;
        let then = word(REACTIONS, &form.then).map_err(|what| wrong(&key("then"), what))?;
        reactions = reactions.on(on, then);
    }
    Ok(reactions)
}

fn read_class(number: usize, form: &ClassForm) -> Result<Class, FormError> {
    let key = |part: &str| format!("classes[{number}].{part}");
    let mut class = Class::default().reactions(read_reactions(&key("reactions"), &form.reactions)?);
    if let Some(health) = &form.health {
        class = class.health(read_health(&key("health"), health.clone())?);
    }
    let limit = read(
        &key("per_endpoint"),
        form.per_endpoint.as_ref(),
        span::limit,
    )?;
    class.per_endpoint = limit;
    Ok(class)
}

/// Every part that has a text form, in full. A delay hook has none.
impl From<&Policy> for Form {
    fn from(policy: &Policy) -> Self {
        use failover_core::endpoint::Security;
        let duration = |duration| Some(span::text(duration));
        let order = policy.order();
        Self {
            order: Some(OrderForm {
                walk: word_of(WALKS, order.walk),
                lost: word_of(LOST, order.lost),
            }),
            pace: Some(pace_form(policy.pace())),
            jitter: jitter_text(policy.jitter(Security::Plain)),
            tls_jitter: jitter_text(policy.jitter(Security::Tls)),
            start: word_of(STARTS, policy.start()),
            stable_after: duration(policy.stable_after()),
            deadline: duration(policy.deadline()),
            plain_fallback: word_of(FALLBACKS, policy.plain_fallback()),
            nobody_ready: word_of(NOBODY, policy.nobody_ready()),
            limits: limits_form(policy.limits()),
            start_up_limits: limits_form(policy.start_up_limits()),
            turn_deadline: policy.turn_deadline().map(span::text),
            health: Some(health_form(policy.health())),
            standing: Some(standing_form(policy.standing())),
            resume: policy.resume().map(|resume| ResumeForm {
                window: span::text(resume.window),
                every: span::text(resume.every),
                first: Some(span::text(resume.first)),
            }),
            race: (policy.race() != Race::OFF).then(|| RaceForm {
                most: policy.race().most(),
                stagger: match policy.race().stagger() {
                    Stagger::Fixed(stagger) => duration(stagger),
                    Stagger::Trained { .. } | _ => Some("trained".to_string()),
                },
            }),
            reactions: reaction_forms(policy.reactions()),
            classes: policy.classes().iter().map(class_form).collect(),
        }
    }
}

fn health_form(health: Health) -> HealthForm {
    HealthForm {
        initial: Some(span::text(health.initial)),
        factor: Some(health.factor.to_string()),
        maximum: Some(span::text(health.maximum)),
        retries: Some(health.retries),
        retry_delay: Some(span::text(health.retry_delay)),
    }
}

fn reaction_forms(reactions: &Reactions) -> Vec<ReactionForm> {
    let form = |(on, then): &(On, Reaction)| ReactionForm {
        kind: on.kind.and_then(|kind| word_of(KINDS, kind)),
        scope: on.scope.and_then(|scope| word_of(SCOPES, scope)),
        code: on.code,
        then: word_of(REACTIONS, *then).unwrap_or_default(),
    };
    reactions.rules().iter().map(form).collect()
}

fn class_form(class: &Class) -> ClassForm {
    ClassForm {
        per_endpoint: class.per_endpoint.map(|limit| match limit {
            Limit::Unlimited => "unlimited".to_string(),
            Limit::AtMost(most) => most.to_string(),
        }),
        health: class.health.map(health_form),
        reactions: reaction_forms(&class.reactions),
    }
}

fn pace_form(pace: Pace) -> PaceForm {
    let (law, base, factor, tls_base) = match pace.backoff {
        Backoff::Constant(wait) => ("constant", wait, None, None),
        Backoff::Exponential { base, factor } => ("exponential", base, Some(factor), None),
        Backoff::Affine { initial, factor } => ("affine", initial, Some(factor), None),
        Backoff::Decorrelated { base } => ("decorrelated", base, None, None),
        Backoff::PhaseLadder { spread, tls_spread } => {
            ("phase-ladder", spread, None, Some(tls_spread))
        }
        _ => ("unknown", Duration::ZERO, None, None),
    };
    PaceForm {
        law: Some(law.to_string()),
        base: Some(span::text(base)),
        factor: factor.map(|factor| factor.to_string()),
        tls_base: tls_base.map(span::text),
        every: word_of(EVERY, pace.every),
        min: Some(span::text(pace.min)),
        cap: Some(span::text(pace.cap)),
        first: Some(span::text(pace.first)),
    }
}

/// A jitter as [`span::jitter`] reads it.
pub(crate) fn jitter_text(jitter: Jitter) -> Option<String> {
    Some(match jitter {
        Jitter::None => "none".to_string(),
        Jitter::Full => "full".to_string(),
        Jitter::Equal => "equal".to_string(),
        Jitter::UpTo(width) => span::text(width),
        Jitter::Proportional(p) => format!("{}%", Ratio::from_ppm(p.ppm() * 100)),
        _ => return None,
    })
}

fn limits_form(limits: Limits) -> Option<LimitsForm> {
    let most = |limit| match limit {
        Limit::Unlimited => None,
        Limit::AtMost(most) => Some(most),
    };
    (limits != Limits::UNLIMITED).then(|| LimitsForm {
        turns: most(limits.turns),
        per_endpoint: most(limits.per_endpoint),
        sweeps: most(limits.sweeps),
        elapsed: limits.elapsed.map(span::text),
    })
}

fn standing_form(standing: Standing) -> StandingForm {
    StandingForm {
        overlap: (standing.overlap == Overlap::Forbidden).then_some(false),
        spares: Some(standing.spares),
        drain_spread: Some(span::text(standing.drain_spread)),
        grace: Some(span::text(standing.grace)),
        wake_spread: Some(span::text(standing.wake_spread)),
        failback: standing.failback.map(|failback| FailbackForm {
            every: Some(span::text(failback.every)),
            good_probes: Some(failback.good_probes),
            settle: Some(span::text(failback.settle)),
        }),
        max_age: standing.max_age.map(|max_age| MaxAgeForm {
            age: span::text(max_age.age),
            spread: Some(span::text(max_age.spread)),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_can_be_written_and_read_back() {
        for name in PresetName::ALL {
            let preset = name.preset().unwrap().policy;
            let text = toml::to_string(&Form::from(&preset)).unwrap();
            let form: Form = toml::from_str(&text).unwrap();
            assert_eq!(form.policy(), Ok(preset), "{text}");
        }
        let default = policy(Some("default"), &Table::new());
        assert_eq!(default, Ok(Policy::default()));
    }

    #[test]
    fn a_policy_that_is_written_is_read_back_as_the_same() {
        use failover_core::testing::Case;
        let mut compared = 0;
        for seed in 0..2000_u32 {
            let bytes: Vec<u8> = (0..64_u32)
                .map(|n| (seed.wrapping_mul(2_654_435_761) ^ n.wrapping_mul(40_503)) as u8)
                .map(|byte| byte.wrapping_mul(31).rotate_left(3))
                .collect();
            let policy = Case::policy_from_bytes(&bytes).build().unwrap();
            if policy.pace().custom != failover_core::policy::CustomDelay::Off {
                continue;
            }
            let text = toml::to_string(&Form::from(&policy)).unwrap();
            let form: Form = toml::from_str(&text).unwrap();
            assert_eq!(form.policy().as_ref(), Ok(&policy), "{text}");
            compared += 1;
        }
        assert!(compared > 500, "{compared}");
    }

    #[test]
    fn a_key_of_its_own_beats_the_presets_and_a_new_law_forgets_the_old_one() {
        let own = |text: &str| policy(Some("stompit"), &text.parse().unwrap()).unwrap();
        let limits = own("limits = { per_endpoint = 10 }").limits();
        assert_eq!(limits.per_endpoint, Limit::AtMost(10));
        let pace = own("pace = { law = \"constant\", base = \"1s\" }").pace();
        assert_eq!(pace.backoff, Backoff::Constant(Duration::from_secs(1)));
        assert_eq!(pace.every, Every::Return);
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_its_key() {
        let refused = |text: &str| {
            let error = policy(None, &text.parse().unwrap()).unwrap_err();
            error.to_string()
        };
        assert!(refused("order = { walk = \"rotat\" }").contains("did you mean \"rotate\"?"));
        assert!(refused("deadline = \"5\"").starts_with("deadline: a duration is a number and"));
        assert!(refused("dead_line = \"5s\"").contains("unknown field `dead_line`"));
        assert!(refused("pace = { min = \"9s\" }").contains("9s"));
        assert!(policy(Some("nuts"), &Table::new()).is_err());
    }
}
