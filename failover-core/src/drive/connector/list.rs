//! Changes of the list of endpoints, through handles and from servers.

use std::string::String;
use std::sync::Arc;
use std::vec::Vec;

use crate::attempt::AttemptId;
use crate::dial::Dial;
use crate::directory::{DirectoryError, Endpoint, Target};
use crate::drive::builder::check_routes;
use crate::drive::clock::Clock;
use crate::drive::connector::Connector;
use crate::drive::error::ListError;
use crate::drive::event::What;
use crate::drive::guard::Guarded;
use crate::drive::handle::Change;
use crate::drive::report::EndpointReport;
use crate::endpoint::EndpointId;
use crate::machine::{self, Input};
use crate::time::Time;

/// Names of endpoints that left the list are kept for this many.
const DEPARTED: usize = 256;

impl<D: Dial + 'static, C: Clock> Connector<D, C> {
    pub(super) fn find(&self, name: String) -> Result<EndpointId, ListError> {
        self.directory
            .find(&name)
            .ok_or(ListError::Unknown { name })
    }

    /// Changes the list: wholly, or not at all.
    pub(super) fn change_list(&mut self, change: Change) -> Result<(), ListError> {
        let dialer = Arc::clone(&self.dialer);
        let security = |to: &Target| dialer.security(to);
        let changes = match change {
            Change::Add(endpoint) => {
                check_routes(&*self.dialer, &Arc::new(endpoint.clone()))?;
                Vec::from([self.directory.add(endpoint, security)?])
            }
            Change::Remove(name) => {
                let id = self.find(name)?;
                self.directory.remove(id).into_iter().collect()
            }
            Change::Replace(endpoints) => {
                if endpoints.is_empty() {
                    return Err(DirectoryError::Empty.into());
                }
                for endpoint in &endpoints {
                    check_routes(&*self.dialer, &Arc::new(endpoint.clone()))?;
                }
                let changes = self.directory.replace(endpoints, security)?;
                self.renew_reports();
                changes
            }
            Change::Off(name) => return self.switch(name, machine::Change::Off),
            Change::On(name) => return self.switch(name, machine::Change::On),
        };
        let (added, removed) = self.take_over(&changes);
        if !changes.is_empty() {
            self.publish(self.clock.now(), What::ListChanged { added, removed });
        }
        self.feed_changes(changes);
        Ok(())
    }

    fn switch(
        &mut self,
        name: String,
        change: impl Fn(EndpointId) -> machine::Change,
    ) -> Result<(), ListError> {
        let id = self.find(name)?;
        self.feed_changes([change(id)]);
        self.note(id, |_| {});
        Ok(())
    }

    fn feed_changes(&mut self, changes: impl IntoIterator<Item = machine::Change>) {
        for change in changes {
            self.record_names(change);
            self.feed(Input::Change(change), None);
        }
    }

    /// Who stays in a replaced list may have another name and other options.
    fn renew_reports(&self) {
        self.shared.with(|inside| {
            for (id, endpoint) in self.directory.iter() {
                if let Some(report) = inside.reports.get_mut(id) {
                    report.endpoint = Arc::clone(endpoint);
                }
            }
        });
    }

    /// Brings the reports in line with a changed directory, and says who came and who left.
    fn take_over(
        &mut self,
        changes: &[machine::Change],
    ) -> (Vec<Arc<Endpoint>>, Vec<Arc<Endpoint>>) {
        let (mut added, mut removed) = (Vec::new(), Vec::new());
        for change in changes {
            match *change {
                machine::Change::Add(traits) => {
                    let id = traits.id();
                    if let Some(endpoint) = self.endpoint(id) {
                        let report = EndpointReport::new(Arc::clone(&endpoint));
                        self.shared.with(|inside| inside.reports.insert(id, report));
                        added.push(endpoint);
                    }
                }
                machine::Change::Remove(id) => {
                    if let Some(report) = self.shared.with(|inside| inside.reports.remove(id)) {
                        removed.push(Arc::clone(&report.endpoint));
                        self.depart(id, report.endpoint);
                    }
                }
                machine::Change::Off(_) | machine::Change::On(_) => {}
            }
        }
        (added, removed)
    }

    /// Keeps the name of an endpoint that left, for a while: always of the connected one.
    fn depart(&mut self, id: EndpointId, endpoint: Arc<Endpoint>) {
        self.departed.push_back((id, endpoint));
        if self.departed.len() <= DEPARTED {
            return;
        }
        let connected = if let machine::Status::Connected { link, .. } = self.machine.status() {
            Some(link.endpoint)
        } else {
            None
        };
        let oldest = self
            .departed
            .iter()
            .position(|(id, _)| Some(*id) != connected);
        if let Some(oldest) = oldest {
            self.departed.remove(oldest);
        }
    }

    /// A server pushed a list. It counts only if it came over the connection that is out.
    pub(super) fn hear_list(&mut self, connection: AttemptId, list: &[String]) {
        let by = self.out.as_ref().map(|out| &out.link);
        let Some(by) = by.filter(|link| link.id == connection) else {
            return;
        };
        self.teacher = Some(by.clone());
        self.learner.handle_list(list.iter().map(String::as_str));
        self.merge_learned(self.clock.now());
    }

    pub(super) fn merge_learned(&mut self, now: Time) {
        let Some(list) = self.learner.poll_list(now) else {
            return;
        };
        let Some(by) = self.teacher.take() else {
            return;
        };
        let dialer = Arc::clone(&self.dialer);
        let mut hooks = Guarded {
            hooks: &mut *self.hooks,
            panicked: None,
        };
        let learned = self.directory.learn(
            &by.target,
            &list,
            &self.learner,
            |to| dialer.security(to),
            &mut hooks,
        );
        if let Some(message) = hooks.panicked {
            self.tell_panic(message, now);
        }
        let (added, removed) = self.take_over(&learned.changes);
        let what = What::Discovered {
            by,
            added,
            removed,
            refused: learned.refused,
        };
        self.publish(now, what);
        self.feed_changes(learned.changes);
    }
}
