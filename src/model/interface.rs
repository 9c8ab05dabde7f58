//! The network interface that a machine uses.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use crate::clock;
use crate::model::id::{InterfaceId, MachineId};

/// Facts about a network interface, which are gathered without traffic except for the public address and its location.
/// Unknown facts are empty.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct InterfaceFacts {
    /// The MAC address of the interface, `aa:bb:cc:dd:ee:ff`.
    pub mac_address: String,
    /// The public address; empty unless it was requested.
    pub ip_public: String,
    /// The source address of outgoing traffic; `127.0.0.1` if the machine is offline.
    pub ip_local: String,
    /// The first name server of resolv.conf.
    pub dns_server: String,
    /// The host's name.
    pub hostname: String,
    /// The interface's name, such as `eth0`.
    pub iface: String,
    /// The provider of `ip_public`.
    pub isp: String,
    /// The city of `ip_public`.
    pub city: String,
    /// The region of `ip_public`.
    pub region: String,
    /// The country of `ip_public`.
    pub country: String,
}

/// A stored interface: one row for each combination of machine, addresses, MAC address and name server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "type")]
pub struct NetworkInterface {
    /// The id.
    pub id: InterfaceId,
    /// Its machine.
    pub machine_id: MachineId,
    /// The facts.
    #[serde(flatten)]
    pub facts: InterfaceFacts,
    /// When the interface was first stored.
    #[serde(serialize_with = "clock::serialize")]
    pub created_at: Timestamp,
    /// When rigup last found that the machine uses it.
    #[serde(serialize_with = "clock::serialize")]
    pub modified_at: Timestamp,
}

/// Facts older than this many minutes are gathered again (1 h, as ArchiveBox does).
pub(crate) const RECHECK_MINUTES: i64 = 60;

impl NetworkInterface {
    /// Returns whether the facts must be gathered again. Facts with a time in the future, which a wrong clock causes,
    /// are stale, too.
    pub fn is_stale(&self, now: Timestamp) -> bool {
        now.duration_since(self.modified_at).abs().as_mins() >= RECHECK_MINUTES
    }

    /// Returns the record.
    pub fn to_record(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }
}
