//! The machine on which rigup runs.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::clock;
use crate::model::id::MachineId;

/// A machine's guid and its source. Clones of an image share a machine id; the source helps to detect this.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Guid {
    /// Hex HMAC-SHA256 with the OS machine id as key and `archivebox` as message: 64 characters.
    #[serde(rename = "guid")]
    pub value: String,
    /// The file that the machine id was read from, `IOPlatformUUID`, or `random` for an id that is kept in the data
    /// dir.
    #[serde(rename = "guid_source")]
    pub source: String,
}

/// The source of a guid that is derived from a random id in the data dir.
pub(crate) const RANDOM: &str = "random";

impl Guid {
    /// Returns whether the guid is that of a data dir, because the machine is a container or has no id.
    pub(crate) fn is_random(&self) -> bool {
        self.source == RANDOM
    }
}

/// Facts about the hardware and the operating system. Unknown facts are empty.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct MachineFacts {
    /// The host's name.
    pub hostname: String,
    /// Whether this is a container (Docker, Podman, containerd, LXC).
    pub hw_in_docker: bool,
    /// Whether this is a virtual machine.
    pub hw_in_vm: bool,
    /// The manufacturer of the board or hypervisor, from DMI.
    pub hw_manufacturer: String,
    /// The product's name, from DMI.
    pub hw_product: String,
    /// The product's UUID, if this user may read it.
    pub hw_uuid: String,
    /// `x86_64`, `aarch64`, ...
    pub os_arch: String,
    /// `linux`, `macos`, ...
    pub os_family: String,
    /// The kernel's own description: name, release and architecture.
    pub os_platform: String,
    /// The distribution and its version, such as `Debian GNU/Linux 12 (bookworm)`.
    pub os_release: String,
    /// The kernel's version.
    pub os_kernel: String,
    /// Load, memory (GB) and disk (GB) when the facts were gathered.
    pub stats: Map<String, Value>,
}

/// A stored machine: one row per guid.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "type")]
pub struct Machine {
    /// The id.
    pub id: MachineId,
    /// The guid.
    #[serde(flatten)]
    pub guid: Guid,
    /// The facts.
    #[serde(flatten)]
    pub facts: MachineFacts,
    /// The paths of binaries: only keys that end in `_BINARY`, with paths that exist.
    pub config: Map<String, Value>,
    /// When the facts were gathered.
    #[serde(skip)]
    pub facts_at: Timestamp,
    /// When the machine was first stored.
    #[serde(serialize_with = "clock::serialize")]
    pub created_at: Timestamp,
    /// When the facts or the config last changed.
    #[serde(serialize_with = "clock::serialize")]
    pub modified_at: Timestamp,
    /// The number of requests on this machine that failed.
    pub num_uses_failed: u32,
    /// The number of requests on this machine that succeeded.
    pub num_uses_succeeded: u32,
}

/// Facts older than this many hours are gathered again (7 days, as ArchiveBox does).
pub(crate) const RECHECK_HOURS: i64 = 7 * 24;

impl Machine {
    /// Returns a machine that is not stored yet.
    pub fn new(id: MachineId, guid: Guid, facts: MachineFacts, now: Timestamp) -> Self {
        Self {
            id,
            guid,
            facts,
            config: Map::new(),
            facts_at: now,
            created_at: now,
            modified_at: now,
            num_uses_failed: 0,
            num_uses_succeeded: 0,
        }
    }

    /// Returns whether the facts must be gathered again. Facts with a time in the future, which a wrong clock causes,
    /// are stale, too.
    pub fn is_stale(&self, now: Timestamp) -> bool {
        now.duration_since(self.facts_at).abs().as_hours() >= RECHECK_HOURS
    }

    /// Returns the record.
    pub fn to_record(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }
}
