//! What is told of a record, in two forms: a line for people, a JSON object for programs.

use std::time::Duration;

use failover_core::drive::{HookAnswer, Otherwise, Replayed};
use failover_core::endpoint::{EndpointId, Security};
use failover_core::machine::{DialOrder, Output, Verdict};
use failover_core::policy::{Choice, DelayAnswer, Reaction};
use failover_core::time::Time;
use serde_json::{Value, json};

use crate::recording::why::Wait;
use crate::simulate::{Line, Names, Said};
use crate::timeline::{Mark, Style, millis, millis_at, short};

/// Something that a record tells.
#[derive(Debug)]
pub struct Told<'a> {
    pub(super) at: Time,
    pub(super) names: &'a dyn Names,
    pub(super) what: What<'a>,
}

/// What a record tells.
#[derive(Debug)]
pub(super) enum What<'a> {
    /// A dial that begins, or an event of the machine: in the words of `simulate`.
    Said(Said<'a>),
    /// What a user, or the network, said: in the words of a scenario.
    Command(String),
    Added(EndpointId),
    Removed(EndpointId),
    Held(DialOrder),
    Begun(DialOrder),
    Learned(EndpointId, u8, Security),
    /// What the application makes of the loss that follows.
    Verdict(Verdict),
    /// Another connector found it to be bad.
    Rests(EndpointId, Duration),
    Recovered(EndpointId),
    Hook(HookAnswer),
    /// Why it waits.
    Wait(Wait),
    /// From here on this version does otherwise.
    Differs {
        line: usize,
        step: &'a Replayed<'a>,
    },
}

impl Told<'_> {
    /// For people, without the line's end. Nothing where the next line says it all.
    #[must_use]
    pub fn text(&self, style: Style) -> Option<String> {
        let name = |id: EndpointId| self.line(Said::World("")).name(id);
        let (mark, word, text) = match &self.what {
            What::Said(said) => return self.line(*said).text(style),
            What::Command(words) => return self.line(Said::Command(words)).text(style),
            What::Added(id) => {
                let routes = self.names.routes(0, *id).join(", ");
                let text = format!("+{} ({routes})", name(*id));
                (Mark::Deed, "list changed", text)
            }
            What::Removed(id) => (Mark::Deed, "list changed", format!("-{}", name(*id))),
            What::Held(dial) => {
                let name = name(dial.endpoint);
                let text = format!("{name} waits for a permit to dial [dial {}]", dial.number);
                (Mark::Note, "held", text)
            }
            What::Begun(dial) => {
                let name = name(dial.endpoint);
                let text = format!("{name} has its permit [dial {}]", dial.number);
                (Mark::Note, "dial begins", text)
            }
            What::Learned(id, route, security) => {
                let over = self.line(Said::World("")).over(*id, *route);
                let text = format!("{over} is really {}", is(*security));
                (Mark::Note, "learned", text)
            }
            What::Verdict(verdict) => {
                let text = format!("of the application on the loss: {}", ruled(*verdict));
                (Mark::Deed, "verdict", text)
            }
            What::Rests(id, rest) => {
                let text = format!("by other clients: {} rests for {}", name(*id), short(*rest));
                (Mark::Deed, "told", text)
            }
            What::Recovered(id) => {
                let text = format!("by other clients: {} is back", name(*id));
                (Mark::Deed, "told", text)
            }
            What::Hook(answer) => (Mark::Deed, "hook", self.answer(answer)),
            What::Wait(wait) => (Mark::Note, "because", wait.text(&name)),
            What::Differs { line, step } => {
                let text = self.differs(*line, step);
                (Mark::Bad, "differs", text)
            }
        };
        Some(style.line(self.at, mark, word, &text))
    }

    /// For programs.
    #[must_use]
    pub fn json(&self) -> Value {
        let name = |id: EndpointId| self.line(Said::World("")).name(id);
        let told = match &self.what {
            What::Said(said) => return self.line(*said).json(),
            What::Command(words) => json!({"event": "command", "do": words}),
            What::Added(id) => json!({
                "event": "list-changed",
                "added": [name(*id)],
                "removed": [],
                "routes": self.names.routes(0, *id),
            }),
            What::Removed(id) => {
                json!({"event": "list-changed", "added": [], "removed": [name(*id)]})
            }
            What::Held(dial) => json!({
                "event": "held",
                "endpoint": name(dial.endpoint),
                "attempt": dial.attempt.number(),
            }),
            What::Begun(dial) => json!({
                "event": "dial-begins",
                "endpoint": name(dial.endpoint),
                "attempt": dial.attempt.number(),
            }),
            What::Learned(id, route, security) => json!({
                "event": "learned",
                "endpoint": name(*id),
                "route": route,
                "security": is(*security),
            }),
            What::Verdict(verdict) => json!({"event": "verdict", "verdict": ruled(*verdict)}),
            What::Rests(id, rest) => {
                json!({"event": "told-to-rest", "endpoint": name(*id), "for_ms": millis(*rest)})
            }
            What::Recovered(id) => json!({"event": "told-to-be-back", "endpoint": name(*id)}),
            What::Hook(answer) => json!({"event": "hook", "answer": self.answer(answer)}),
            What::Wait(wait) => wait.json(&name),
            What::Differs { line, step } => json!({
                "event": "differs",
                "line": line,
                "recorded": step.entry.outputs,
                "now": step.outputs,
                "because": otherwise(step.otherwise),
            }),
        };
        let mut told = told;
        if let Value::Object(map) = &mut told {
            map.insert("at_ms".into(), millis_at(self.at));
        }
        told
    }

    fn line<'a>(&'a self, said: Said<'a>) -> Line<'a> {
        Line {
            at: self.at,
            client: Some(0),
            names: Some(self.names),
            said,
        }
    }

    fn answer(&self, answer: &HookAnswer) -> String {
        let name = |id: EndpointId| self.line(Said::World("")).name(id);
        match answer {
            HookAnswer::Delay(DelayAnswer::Exactly(delay)) => {
                format!("wait exactly {}", short(*delay))
            }
            HookAnswer::Delay(DelayAnswer::PlusJitter(delay)) => {
                format!("wait {} and the policy's jitter", short(*delay))
            }
            HookAnswer::Choice(Choice::Endpoint(id)) => format!("dial {}", name(*id)),
            HookAnswer::Choice(Choice::EndpointAfter(id, wait)) => {
                format!("dial {} after {}", name(*id), short(*wait))
            }
            HookAnswer::Judge(reaction) => format!("the failure means: {}", means(*reaction)),
            HookAnswer::AsSuggested | HookAnswer::Delay(_) | HookAnswer::Choice(_) | _ => {
                "as the policy suggests".to_string()
            }
        }
    }

    fn differs(&self, line: usize, step: &Replayed<'_>) -> String {
        let mut text = format!("line {line} of the record: ");
        if let Some(because) = otherwise(step.otherwise) {
            text += because;
            text += "; ";
        }
        let now: Vec<String> = step.outputs.iter().map(|o| self.output(o)).collect();
        text += "this version would now say: ";
        text += &match now.is_empty() {
            true => "nothing".to_string(),
            false => now.join("; "),
        };
        text + ". What follows is as it was recorded"
    }

    /// An output in one line, without time and colours.
    fn output(&self, output: &Output) -> String {
        let said = match output {
            Output::Dial(order) => Said::Dial(*order),
            Output::Event(event) => Said::Event(*event),
            Output::Cancel(dial) => return format!("cancel {dial}"),
            Output::HangUp { attempt, .. } => return format!("hang up {attempt}"),
            other => return format!("{other:?}"),
        };
        let text = self.line(said).text(Style::Plain).unwrap_or_default();
        let words: Vec<&str> = text.split_whitespace().skip(1).collect();
        words.join(" ")
    }
}

fn otherwise(otherwise: Option<Otherwise>) -> Option<&'static str> {
    Some(match otherwise? {
        Otherwise::NotTaken => "this version does not take that input in",
        Otherwise::Asked => "this version asks the hooks something else",
        _ => "this version does otherwise",
    })
}

const fn is(security: Security) -> &'static str {
    match security {
        Security::Plain => "plain",
        Security::Tls => "TLS",
    }
}

fn ruled(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::AsPolicy => "as the policy says",
        Verdict::Retry => "the same server first",
        Verdict::Next => "the next server",
        Verdict::Suspend => "suspend the server",
        Verdict::Remove => "take the server out",
        Verdict::Stop => "stop",
        _ => "another",
    }
}

fn means(reaction: Reaction) -> &'static str {
    match reaction {
        Reaction::Next => "go on to the next",
        Reaction::Mark => "mark the server",
        Reaction::Suspend => "suspend the server",
        Reaction::Remove => "take the server out",
        Reaction::Stop => "stop",
        _ => "something else",
    }
}
