//! The domain types with their states and transitions. Nothing here does I/O.

pub(crate) mod attempt;
pub(crate) mod attributes;
pub(crate) mod binary;
pub(crate) mod binary_spec;
pub(crate) mod daemon;
pub(crate) mod daemon_hooks;
pub(crate) mod error_line;
pub(crate) mod health;
pub(crate) mod id;
pub(crate) mod import;
pub(crate) mod interface;
pub(crate) mod lifecycle;
pub(crate) mod machine;
pub(crate) mod misspelling;
pub(crate) mod name;
pub(crate) mod plugin_name;
pub(crate) mod policy;
pub(crate) mod process;
pub(crate) mod readiness;
pub(crate) mod release;
pub(crate) mod restart_history;
pub(crate) mod retention;
pub(crate) mod secret;
pub(crate) mod text_enum;
pub(crate) mod version;
pub(crate) mod warnings;

pub(crate) use attributes::{ProcessAttributes, ResourceLimit};
pub(crate) use health::{Health, HealthCheck, HealthHistory};
pub(crate) use id::AttemptId;
pub(crate) use interface::{InterfaceFacts, NetworkInterface};
pub(crate) use policy::PolicySupport;
pub(crate) use readiness::{Readiness, ReadinessCheck};
pub(crate) use release::{Release, ReleaseFilter};
pub(crate) use restart_history::RestartHistory;
pub(crate) use retention::RetentionLimits;

pub use attempt::{Attempt, Outcome};
pub use binary::{Backoff, Binary, Installed};
pub use binary_spec::{BinarySpec, SpecVersionError};
pub(crate) use daemon::{
    Condition, Daemon, DaemonName, DaemonSpec, DaemonStatus, Dependency, InvalidDaemonName, LogLimits,
    Replica, Restart, Wanted,
};
pub(crate) use daemon_hooks::DaemonHooks;
pub use id::{BinaryId, InterfaceId, MachineId, ProcessId};
pub(crate) use lifecycle::LifecycleEvent;
pub use machine::{Guid, Machine, MachineFacts};
pub use name::{BinaryName, NameError};
pub use plugin_name::{PluginName, PluginNameError, ProviderName};
pub use policy::{Policy, PolicyError};
pub use process::{
    ExitReason, Identity, Process, ProcessExit, ProcessSpec, ProcessState, ProcessType, RunSpec, Running,
    Usage,
};
pub use text_enum::UnknownWord;
pub use version::{Version, VersionRange};
pub use warnings::Warnings;
