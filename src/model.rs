//! The domain types with their states and transitions. Nothing here does I/O.

pub(crate) mod attempt;
pub(crate) mod binary;
pub(crate) mod id;
pub(crate) mod import;
pub(crate) mod interface;
pub(crate) mod machine;
pub(crate) mod name;
pub(crate) mod plugin_name;
pub(crate) mod policy;
pub(crate) mod process;
pub(crate) mod retention;
pub(crate) mod text_enum;
pub(crate) mod version;

pub(crate) use id::{AttemptId, InterfaceId};
pub(crate) use interface::{InterfaceFacts, NetworkInterface};
pub(crate) use name::NameError;
pub(crate) use plugin_name::{PluginName, PluginNameError};
pub(crate) use policy::{PolicyError, PolicySupport};
pub(crate) use process::{RunSpec, Usage};
pub(crate) use retention::RetentionLimits;
pub(crate) use text_enum::UnknownWord;

pub use attempt::{Attempt, Outcome};
pub use binary::{Binary, BinaryState, Installed, Queued};
pub use id::{BinaryId, MachineId, ProcessId};
pub use machine::{Guid, Machine, MachineFacts};
pub use name::BinaryName;
pub use plugin_name::ProviderName;
pub use policy::Policy;
pub use process::{
    ExitReason, Identity, Process, ProcessExit, ProcessSpec, ProcessState, ProcessType, Running,
};
pub use version::Version;
