//! The host on which rigup runs: its facts and its record.

use std::sync::OnceLock;

use crate::boolean;
use crate::clock;
use crate::machine;
use crate::model::{Guid, InterfaceFacts, Machine, MachineFacts, MachineId};
use crate::settings::Settings;
use crate::store::{Store, StoreError};

/// The facts about a host that a new store does not know. They are gathered once, which takes almost as long as planning an
/// installation, so another thread may do it meanwhile.
#[derive(Debug, Default)]
pub(crate) struct NewHost(OnceLock<(MachineFacts, InterfaceFacts)>);

impl NewHost {
    /// Gathers and returns the facts.
    pub(crate) fn facts(&self, settings: &Settings) -> &(MachineFacts, InterfaceFacts) {
        self.0.get_or_init(|| {
            let facts = facts(settings);
            let interface = machine::interface::gather(&facts.hostname);
            (facts, interface)
        })
    }
}

/// Returns the record of this machine, and updates stale facts in it.
pub(super) fn find_machine(
    store: &Store,
    guid: Guid,
    host: &NewHost,
    settings: &Settings,
) -> Result<Machine, StoreError> {
    let now = clock::now();
    match store.machine_by_guid(&guid.value)? {
        Some(machine) if !machine.is_stale(now) => Ok(machine),
        Some(machine) => {
            let machine = Machine { facts: facts(settings), facts_at: now, modified_at: now, ..machine };
            store.save_machine(&machine)?;
            Ok(machine)
        }
        None => {
            let (facts, interface) = host.facts(settings);
            let new = Machine::new(MachineId::generate(), guid, facts.clone(), now);
            let machine = store.find_or_add_machine(&new)?;
            store.save_interface(machine.id, interface, now)?;
            Ok(machine)
        }
    }
}

/// Returns a function that returns the record of this machine with an id.
pub(super) fn new_machine<'a>(settings: &'a Settings, guid: &'a Guid) -> impl Fn(MachineId) -> Machine + 'a {
    |id| Machine::new(id, guid.clone(), facts(settings), clock::now())
}

pub(super) fn facts(settings: &Settings) -> MachineFacts {
    machine::facts::gather(is_container(settings), &settings.data_dir)
}

/// Returns whether this machine is a container, as the variable `IN_DOCKER` or its files say.
pub(super) fn is_container(settings: &Settings) -> bool {
    let in_docker = settings.environment.text("IN_DOCKER").and_then(boolean::parse);
    in_docker == Some(true) || machine::facts::is_container()
}
