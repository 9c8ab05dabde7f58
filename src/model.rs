//! The stored nouns with their states and transitions. Values only: nothing here does I/O.

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

pub(crate) use attempt::{Attempt, Outcome};
pub(crate) use binary::{Binary, Installed};
pub(crate) use id::{BinaryId, InterfaceId, MachineId, ProcessId};
pub(crate) use interface::NetworkInterface;
pub(crate) use machine::{Guid, Machine, MachineFacts};
pub(crate) use name::{BinaryName, NameError};
pub(crate) use plugin_name::{PluginName, PluginNameError, ProviderName};
pub(crate) use policy::{Policy, PolicySupport};
pub(crate) use process::{
    ExitReason, Identity, Process, ProcessExit, ProcessSpec, ProcessState, ProcessType,
};
pub(crate) use process::{RunSpec, Usage};
pub(crate) use retention::RetentionLimits;
pub(crate) use version::Version;
