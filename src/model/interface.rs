//! The network interface that a machine talks through.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::clock;
use crate::model::id::{InterfaceId, MachineId};

/// What can be seen of the network without asking anybody outside. Unknown facts are empty.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct InterfaceFacts {
    /// The MAC address of the interface, `aa:bb:cc:dd:ee:ff`.
    pub mac_address: String,
    /// The address the world sees; empty unless it was asked for.
    pub ip_public: String,
    /// The source address of outgoing traffic; `127.0.0.1` when offline.
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

/// A stored interface: one row per machine, addresses, MAC and name server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkInterface {
    /// The row's id.
    pub id: InterfaceId,
    /// The machine it belongs to.
    pub machine_id: MachineId,
    /// What it is.
    pub facts: InterfaceFacts,
    /// When the row was made.
    pub created_at: Timestamp,
    /// When it was last seen.
    pub modified_at: Timestamp,
}

/// An interface seen within this many minutes is taken as it is (1 h, as ArchiveBox does).
pub const RECHECK_MINUTES: i64 = 60;

impl NetworkInterface {
    /// Whether the facts have to be gathered again, also where they were gathered by a clock that was ahead.
    pub fn is_stale(&self, now: Timestamp) -> bool {
        now.duration_since(self.modified_at).abs().as_mins() >= RECHECK_MINUTES
    }

    /// The record as JSONL shows it.
    pub fn to_record(&self) -> Value {
        json!({
            "type": "NetworkInterface",
            "id": self.id,
            "machine_id": self.machine_id,
            "mac_address": self.facts.mac_address,
            "ip_public": self.facts.ip_public,
            "ip_local": self.facts.ip_local,
            "dns_server": self.facts.dns_server,
            "hostname": self.facts.hostname,
            "iface": self.facts.iface,
            "isp": self.facts.isp,
            "city": self.facts.city,
            "region": self.facts.region,
            "country": self.facts.country,
            "created_at": clock::spell(self.created_at),
            "modified_at": clock::spell(self.modified_at),
        })
    }
}
