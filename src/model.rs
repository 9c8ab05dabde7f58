//! The stored nouns with their states and transitions. Values only: nothing here does I/O.

pub mod attempt;
pub mod binary;
pub mod id;
pub mod import;
pub mod interface;
pub mod machine;
pub mod name;
pub mod plugin_name;
pub mod policy;
pub mod process;
pub mod retention;
pub mod text_enum;
pub mod version;

pub use attempt::{Attempt, Outcome};
pub use binary::{Binary, BinaryState, Installed, Queued};
pub use id::{AttemptId, BinaryId, InterfaceId, MachineId, ProcessId};
pub use interface::{InterfaceFacts, NetworkInterface};
pub use machine::{Guid, Machine, MachineFacts};
pub use name::{BinaryName, NameError};
pub use plugin_name::{PluginName, PluginNameError, ProviderName};
pub use policy::{Policy, PolicyError, PolicySupport};
pub use process::{ExitReason, Identity, Process, ProcessExit, ProcessSpec, ProcessState, ProcessType};
pub use process::{RunSpec, Running, Usage};
pub use retention::RetentionLimits;
pub use text_enum::UnknownWord;
pub use version::Version;
