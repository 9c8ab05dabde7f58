//! Parses Machine and Process records from other data dirs or older tools, and Binary records in run dirs.

use std::str::FromStr;
use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::clock;
use crate::duration;
use crate::model::binary::{Backoff, Binary, Installed};
use crate::model::machine::{Guid, Machine, MachineFacts};
use crate::model::plugin_name::ProviderName;
use crate::model::policy::Policy;
use crate::model::process::{
    Identity, Process, ProcessExit, ProcessSpec, ProcessState, RunSpec, Running, Usage,
};
use crate::model::secret::mask;

/// An error in a record that is imported.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ImportError {
    /// A required key is missing.
    #[error("the record has no \"{0}\"")]
    Missing(&'static str),
    /// The value of a key is invalid.
    #[error("the record has an invalid \"{0}\": {1}")]
    Invalid(&'static str, String),
    /// The process has not exited, and rigup could not observe its exit.
    #[error("the process is {0}; only an exited process can be imported")]
    NotExited(String),
}

/// The keys of a record. A missing value or null counts as empty.
struct Fields<'a>(&'a Map<String, Value>);

impl Fields<'_> {
    /// Returns a value, or the empty value of its type if the record has none.
    fn get<T: DeserializeOwned + Default>(&self, key: &'static str) -> Result<T, ImportError> {
        match self.0.get(key) {
            None | Some(Value::Null) => Ok(T::default()),
            Some(value) => T::deserialize(value).map_err(|_| ImportError::Invalid(key, value.to_string())),
        }
    }

    fn duration(&self, key: &'static str) -> Result<Option<Duration>, ImportError> {
        match self.get::<Option<f64>>(key)? {
            Some(seconds) if seconds < 0.0 => Err(ImportError::Invalid(key, seconds.to_string())),
            seconds => Ok(seconds.map(duration::saturating)),
        }
    }

    /// Parses a value that is written as text, or returns `None` if the record has none.
    fn parsed<T: FromStr<Err: ToString>>(&self, key: &'static str) -> Result<Option<T>, ImportError> {
        match self.0.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => {
                text.parse().map(Some).map_err(|error: T::Err| ImportError::Invalid(key, error.to_string()))
            }
            Some(other) => Err(ImportError::Invalid(key, other.to_string())),
        }
    }

    fn time(&self, key: &'static str) -> Result<Option<Timestamp>, ImportError> {
        let text = self.parsed::<String>(key)?;
        let time = text.map(|text| clock::parse(&text)).transpose();
        time.map_err(|error| ImportError::Invalid(key, error.to_string()))
    }

    fn required<T: FromStr<Err: ToString>>(&self, key: &'static str) -> Result<T, ImportError> {
        self.parsed(key)?.ok_or(ImportError::Missing(key))
    }
}

/// Reads a machine. `now` is used for times that the record does not have.
pub(crate) fn machine(fields: &Map<String, Value>, now: Timestamp) -> Result<Machine, ImportError> {
    let fields = Fields(fields);
    let guid = Guid { value: fields.get("guid")?, source: fields.get("guid_source")? };
    if guid.value.is_empty() {
        return Err(ImportError::Missing("guid"));
    }
    let modified_at = fields.time("modified_at")?.unwrap_or(now);
    Ok(Machine {
        id: fields.required("id")?,
        guid,
        facts: MachineFacts {
            hostname: fields.get("hostname")?,
            hw_in_docker: fields.get("hw_in_docker")?,
            hw_in_vm: fields.get("hw_in_vm")?,
            hw_manufacturer: fields.get("hw_manufacturer")?,
            hw_product: fields.get("hw_product")?,
            hw_uuid: fields.get("hw_uuid")?,
            os_arch: fields.get("os_arch")?,
            os_family: fields.get("os_family")?,
            os_platform: fields.get("os_platform")?,
            os_release: fields.get("os_release")?,
            os_kernel: fields.get("os_kernel")?,
            stats: fields.get("stats")?,
        },
        config: fields.get("config")?,
        facts_at: modified_at,
        created_at: fields.time("created_at")?.unwrap_or(now),
        modified_at,
        num_uses_failed: fields.get("num_uses_failed")?,
        num_uses_succeeded: fields.get("num_uses_succeeded")?,
    })
}

/// Reads a process that has exited. Its run dir is left out, because `process gc` would remove that folder.
pub(crate) fn process(fields: &Map<String, Value>) -> Result<Process, ImportError> {
    let fields = Fields(fields);
    let status: String = fields.required("status")?;
    if status != "exited" {
        return Err(ImportError::NotExited(status));
    }
    let exit = exit(fields.0)?;
    let running = match (fields.get("pid")?, fields.get("start_ticks")?, fields.time("started_at")?) {
        (Some(pid), Some(start_ticks), Some(started_at)) => Some(Running {
            identity: Identity { pid, start_ticks, boot_id: fields.get("boot_id")? },
            started_at,
        }),
        _ => None,
    };
    let queued = queued(&fields, exit.ended_at)?;
    Ok(Process { state: ProcessState::Exited(running, exit), ..queued })
}

/// Reads an installed binary.
pub(crate) fn binary(fields: &Map<String, Value>) -> Result<Binary, ImportError> {
    let policy = Policy::parse(fields).map_err(|error| ImportError::Invalid("policy", error.to_string()))?;
    let fields = Fields(fields);
    let provider = ProviderName::parse(&fields.get::<String>("binprovider")?);
    let installed = Installed {
        binprovider: provider.map_err(|error| ImportError::Invalid("binprovider", error.to_string()))?,
        abspath: fields.get::<String>("abspath")?.into(),
        version: fields.get("version")?,
        package_version: fields.get("package_version")?,
        url: fields.get("url")?,
        url_sha256: fields.get("url_sha256")?,
        sha256: fields.get("sha256")?,
        fingerprint: fields.get("fingerprint")?,
        request_digest: fields.get("request_digest")?,
        needs_wrapper: fields.get("needs_wrapper")?,
    };
    Ok(Binary {
        id: fields.required("id")?,
        machine_id: fields.required("machine_id")?,
        name: fields.get("name")?,
        binproviders: fields.get("binproviders")?,
        min_version: fields.get("min_version")?,
        max_version: fields.get("max_version")?,
        policy,
        overrides: fields.get("overrides")?,
        backoff: Backoff::default(),
        installed: Some(installed),
        created_at: fields.time("created_at")?.ok_or(ImportError::Missing("created_at"))?,
        modified_at: fields.time("modified_at")?.ok_or(ImportError::Missing("modified_at"))?,
        num_uses_failed: fields.get("num_uses_failed")?,
        num_uses_succeeded: fields.get("num_uses_succeeded")?,
    })
}

/// Reads the exit of a process.
pub(crate) fn exit(fields: &Map<String, Value>) -> Result<ProcessExit, ImportError> {
    let fields = Fields(fields);
    Ok(ProcessExit {
        ended_at: fields.time("ended_at")?.ok_or(ImportError::Missing("ended_at"))?,
        exit_code: fields.get::<Option<u8>>("exit_code")?.map(i32::from),
        signal: fields.get("signal")?,
        reason: fields.required("exit_reason")?,
        stdout_tail: fields.get("stdout_tail")?,
        stderr_tail: fields.get("stderr_tail")?,
        stdout_bytes: fields.get("stdout_bytes")?,
        stderr_bytes: fields.get("stderr_bytes")?,
        usage: Usage::deserialize(fields.0).ok(),
    })
}

/// Reads a process in its state before it was started. Its run dir is left out.
pub(crate) fn queued_process(fields: &Map<String, Value>) -> Result<Process, ImportError> {
    let fields = Fields(fields);
    queued(&fields, fields.time("created_at")?.ok_or(ImportError::Missing("created_at"))?)
}

/// Reads a process in its state before it was started. `created_at` is used if the record does not have one.
fn queued(fields: &Fields<'_>, created_at: Timestamp) -> Result<Process, ImportError> {
    let slug: String = fields.get("slug")?;
    let (description, ttl) = (fields.get("description")?, fields.duration("ttl_seconds")?);
    let run = (!slug.is_empty()).then_some(RunSpec { slug, description, ttl });
    let cmd = fields.get("cmd")?;
    let mut env = fields.get("env")?;
    mask(&mut env);
    let spec = ProcessSpec {
        plugin: fields.get("plugin")?,
        hook_name: fields.get("hook_name")?,
        env,
        timeout: fields.duration("timeout")?,
        run,
        ..ProcessSpec::new(fields.required("process_type")?, cmd, fields.get::<String>("pwd")?)
    };
    Ok(Process {
        id: fields.required("id")?,
        machine_id: fields.required("machine_id")?,
        parent_id: fields.parsed("parent_id")?,
        binary_id: fields.parsed("binary_id")?,
        iface_id: fields.parsed("iface_id")?,
        spec,
        created_at: fields.time("created_at")?.unwrap_or(created_at),
        state: ProcessState::Queued,
        warnings: fields.get("warnings")?,
        data_dir_id: String::new(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::id::{MachineId, ProcessId};
    use crate::model::process::ProcessType;

    fn fields(value: &Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    fn exited() -> Process {
        let spec = ProcessSpec {
            plugin: "p".to_owned(),
            hook_name: "on_X__1_y.sh".to_owned(),
            env: fields(&json!({"A": "b"})),
            timeout: Some(Duration::from_secs(9)),
            run: Some(RunSpec { slug: "s".to_owned(), description: "d".to_owned(), ttl: None }),
            ..ProcessSpec::new(ProcessType::Binary, vec!["sh".to_owned(), "-c".to_owned()], "/tmp")
        };
        let identity = Identity { pid: 7, start_ticks: 8, boot_id: "boot".to_owned() };
        let usage = Some(Usage { max_rss: 1, user_ms: 2, sys_ms: 3 });
        let exit = ProcessExit { usage, signal: Some(15), ..ProcessExit::exited(143, Timestamp::UNIX_EPOCH) };
        Process::queued(ProcessId::from(u128::MAX), MachineId::from(0), spec, Timestamp::UNIX_EPOCH)
            .into_running(identity, Timestamp::UNIX_EPOCH)
            .into_exited(exit)
    }

    #[test]
    fn an_exited_process_is_read_from_its_record() {
        assert_eq!(process(&fields(&exited().to_record())).unwrap(), exited());
    }

    #[test]
    fn the_secrets_in_the_environment_of_a_record_are_masked() {
        let mut record = exited().to_record();
        record["env"] = json!({"API_TOKEN": "x", "my_password": ["y"], "PATH": "/bin"});
        let masked = json!({"API_TOKEN": "***", "my_password": "***", "PATH": "/bin"});
        assert_eq!(Value::from(process(&fields(&record)).unwrap().spec.env), masked);
    }

    #[test]
    fn the_run_dir_of_a_record_is_left_out() {
        let mut record = exited().to_record();
        record["run_dir"] = json!("/home/me");
        assert_eq!(process(&fields(&record)).unwrap().spec.run_dir, None);
    }

    #[test]
    fn a_running_process_and_an_invalid_record_are_errors() {
        for (key, value, expected) in [
            ("status", json!("running"), "the process is running; only an exited process"),
            ("ended_at", json!(null), "the record has no \"ended_at\""),
            ("ended_at", json!("soon"), "the record has an invalid \"ended_at\": "),
            ("ended_at", json!("-009998-01-01T00:00:00Z"), "the record has an invalid \"ended_at\": "),
            ("id", json!(7), "the record has an invalid \"id\": 7"),
            ("exit_reason", json!("tired"), "the record has an invalid \"exit_reason\": "),
            ("process_type", json!(null), "the record has no \"process_type\""),
            ("exit_code", json!("zero"), "the record has an invalid \"exit_code\": \"zero\""),
            ("exit_code", json!(-15), "the record has an invalid \"exit_code\": -15"),
            ("exit_code", json!(4_294_967_296_u64), "the record has an invalid \"exit_code\": "),
            ("ttl_seconds", json!("a day"), "the record has an invalid \"ttl_seconds\": \"a day\""),
            ("cmd", json!("sh -c true"), "the record has an invalid \"cmd\": "),
        ] {
            let mut record = exited().to_record();
            record[key] = value;
            let error = process(&fields(&record)).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        }
    }

    #[test]
    fn a_machine_is_read_from_its_record() {
        let guid = Guid { value: "ab".to_owned(), source: "random".to_owned() };
        let facts = MachineFacts { hostname: "h".to_owned(), hw_in_vm: true, ..MachineFacts::default() };
        let mut stored = Machine::new(MachineId::from(u128::MAX), guid, facts, Timestamp::UNIX_EPOCH);
        stored.config = fields(&json!({"X_BINARY": "/bin/sh"}));
        assert_eq!(machine(&fields(&stored.to_record()), Timestamp::UNIX_EPOCH).unwrap(), stored);
        let nameless = json!({"id": MachineId::from(u128::MAX)});
        assert_eq!(machine(&fields(&nameless), Timestamp::UNIX_EPOCH), Err(ImportError::Missing("guid")));
    }
}
