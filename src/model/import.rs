//! Records that were printed once, read back: what another data dir knew, or an older tool.

use std::str::FromStr;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::model::machine::{Guid, Machine, MachineFacts};
use crate::model::process::{
    Identity, Process, ProcessExit, ProcessSpec, ProcessState, ProcessType, RunSpec, Running, Usage,
};

/// Why a record cannot be taken in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    /// A key that has to be there.
    #[error("it has no \"{0}\"")]
    Missing(&'static str),
    /// A key whose value is none.
    #[error("its \"{0}\" is none: {1}")]
    Bad(&'static str, String),
    /// Only a process that is over can be taken in: nobody here could see its end.
    #[error("the process is {0}, and only one that is over can be stored by a rigup that did not start it")]
    NotOver(String),
}

/// The keys of a record. What is absent, null or of another type counts as empty, but for what names a thing.
struct Fields<'a>(&'a Map<String, Value>);

impl Fields<'_> {
    fn text(&self, key: &str) -> String {
        self.0.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
    }

    fn flag(&self, key: &str) -> bool {
        self.0.get(key).and_then(Value::as_bool).unwrap_or_default()
    }

    fn number<N: TryFrom<u64>>(&self, key: &str) -> Option<N> {
        self.0.get(key)?.as_u64()?.try_into().ok()
    }

    fn signed(&self, key: &str) -> Option<i32> {
        self.0.get(key)?.as_i64()?.try_into().ok()
    }

    fn object(&self, key: &str) -> Map<String, Value> {
        self.0.get(key).and_then(Value::as_object).cloned().unwrap_or_default()
    }

    fn duration(&self, key: &str) -> Option<Duration> {
        self.number(key).map(Duration::from_secs)
    }

    fn id<I: FromStr<Err = uuid::Error>>(&self, key: &'static str) -> Result<Option<I>, ImportError> {
        self.parsed(key, str::parse)
    }

    fn time(&self, key: &'static str) -> Result<Option<Timestamp>, ImportError> {
        self.parsed(key, str::parse)
    }

    fn parsed<T, E: ToString>(
        &self,
        key: &'static str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Result<Option<T>, ImportError> {
        match self.0.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => {
                parse(text).map(Some).map_err(|error| ImportError::Bad(key, error.to_string()))
            }
            Some(other) => Err(ImportError::Bad(key, other.to_string())),
        }
    }
}

/// A machine. `now` stands for times that the record does not have.
pub fn machine(fields: &Map<String, Value>, now: Timestamp) -> Result<Machine, ImportError> {
    let it = Fields(fields);
    let guid = Guid { value: it.text("guid"), source: it.text("guid_source") };
    if guid.value.is_empty() {
        return Err(ImportError::Missing("guid"));
    }
    Ok(Machine {
        id: it.id("id")?.ok_or(ImportError::Missing("id"))?,
        guid,
        facts: MachineFacts {
            hostname: it.text("hostname"),
            hw_in_docker: it.flag("hw_in_docker"),
            hw_in_vm: it.flag("hw_in_vm"),
            hw_manufacturer: it.text("hw_manufacturer"),
            hw_product: it.text("hw_product"),
            hw_uuid: it.text("hw_uuid"),
            os_arch: it.text("os_arch"),
            os_family: it.text("os_family"),
            os_platform: it.text("os_platform"),
            os_release: it.text("os_release"),
            os_kernel: it.text("os_kernel"),
            stats: it.object("stats"),
        },
        config: it.object("config"),
        created_at: it.time("created_at")?.unwrap_or(now),
        modified_at: it.time("modified_at")?.unwrap_or(now),
        num_uses_failed: it.number("num_uses_failed").unwrap_or_default(),
        num_uses_succeeded: it.number("num_uses_succeeded").unwrap_or_default(),
    })
}

/// A process that is over. Its run dir stays with the rigup that made it: what one record claims is no reason to remove
/// a folder one day.
pub fn process(fields: &Map<String, Value>) -> Result<Process, ImportError> {
    let it = Fields(fields);
    if it.text("status") != "exited" {
        return Err(ImportError::NotOver(it.text("status")));
    }
    let usage = match (it.number("max_rss"), it.number("user_ms"), it.number("sys_ms")) {
        (Some(max_rss), Some(user_ms), Some(sys_ms)) => Some(Usage { max_rss, user_ms, sys_ms }),
        _ => None,
    };
    let exit = ProcessExit {
        ended_at: it.time("ended_at")?.ok_or(ImportError::Missing("ended_at"))?,
        exit_code: it.signed("exit_code"),
        signal: it.signed("signal"),
        reason: it.parsed("exit_reason", str::parse)?.ok_or(ImportError::Missing("exit_reason"))?,
        stdout_tail: it.text("stdout_tail"),
        stderr_tail: it.text("stderr_tail"),
        stdout_bytes: it.number("stdout_bytes").unwrap_or_default(),
        stderr_bytes: it.number("stderr_bytes").unwrap_or_default(),
        usage,
    };
    let running = match (it.number("pid"), it.number("start_ticks"), it.time("started_at")?) {
        (Some(pid), Some(start_ticks), Some(started_at)) => {
            Some(Running { identity: Identity { pid, start_ticks, boot_id: it.text("boot_id") }, started_at })
        }
        _ => None,
    };
    let queued = queued(&it, exit.ended_at)?;
    Ok(Process { state: ProcessState::Exited(running, exit), ..queued })
}

/// Returns a process as it was before its start, without its run dir.
pub fn queued_process(fields: &Map<String, Value>) -> Result<Process, ImportError> {
    let it = Fields(fields);
    let created_at = it.time("created_at")?.ok_or(ImportError::Missing("created_at"))?;
    queued(&it, created_at)
}

/// Returns a process as it was before its start. `created_at` stands for a time that the record does not have.
fn queued(it: &Fields<'_>, created_at: Timestamp) -> Result<Process, ImportError> {
    let slug = it.text("slug");
    let run = (!slug.is_empty()).then(|| RunSpec {
        slug,
        description: it.text("description"),
        ttl: it.duration("ttl_seconds"),
    });
    let process_type: ProcessType =
        it.parsed("process_type", str::parse)?.ok_or(ImportError::Missing("process_type"))?;
    let words = it.0.get("cmd").and_then(Value::as_array).into_iter().flatten();
    let cmd = words.filter_map(Value::as_str).map(str::to_owned).collect();
    let spec = ProcessSpec {
        plugin: it.text("plugin"),
        hook_name: it.text("hook_name"),
        env: it.object("env"),
        timeout: it.duration("timeout"),
        run,
        ..ProcessSpec::new(process_type, cmd, it.text("pwd"))
    };
    Ok(Process {
        id: it.id("id")?.ok_or(ImportError::Missing("id"))?,
        machine_id: it.id("machine_id")?.ok_or(ImportError::Missing("machine_id"))?,
        parent_id: it.id("parent_id")?,
        binary_id: it.id("binary_id")?,
        iface_id: it.id("iface_id")?,
        spec,
        created_at: it.time("created_at")?.unwrap_or(created_at),
        state: ProcessState::Queued,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::id::{MachineId, ProcessId};

    fn fields(value: &Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    fn over() -> Process {
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
        Process::queued(ProcessId::from_u128(u128::MAX), MachineId::from_u128(0), spec, Timestamp::UNIX_EPOCH)
            .into_running(identity, Timestamp::UNIX_EPOCH)
            .into_exited(exit)
    }

    #[test]
    fn a_process_that_is_over_comes_back_as_it_was_printed() {
        assert_eq!(process(&fields(&over().to_record())).unwrap(), over());
    }

    #[test]
    fn a_run_dir_that_a_record_claims_is_not_taken_over() {
        let mut record = over().to_record();
        record["run_dir"] = json!("/home/me");
        assert_eq!(process(&fields(&record)).unwrap().spec.run_dir, None);
    }

    #[test]
    fn a_process_that_is_not_over_or_makes_no_sense_is_refused() {
        for (key, value, expected) in [
            ("status", json!("running"), "the process is running, and only one that is over"),
            ("ended_at", json!(null), "it has no \"ended_at\""),
            ("ended_at", json!("soon"), "its \"ended_at\" is none: "),
            ("id", json!(7), "its \"id\" is none: 7"),
            ("exit_reason", json!("tired"), "its \"exit_reason\" is none: "),
            ("process_type", json!(null), "it has no \"process_type\""),
        ] {
            let mut record = over().to_record();
            record[key] = value;
            let error = process(&fields(&record)).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        }
    }

    #[test]
    fn a_machine_comes_back_as_it_was_printed() {
        let guid = Guid { value: "ab".to_owned(), source: "random".to_owned() };
        let facts = MachineFacts { hostname: "h".to_owned(), hw_in_vm: true, ..MachineFacts::default() };
        let mut it = Machine::new(MachineId::from_u128(u128::MAX), guid, facts, Timestamp::UNIX_EPOCH);
        it.config = fields(&json!({"X_BINARY": "/bin/sh"}));
        assert_eq!(machine(&fields(&it.to_record()), Timestamp::UNIX_EPOCH).unwrap(), it);
        let nameless = json!({"id": MachineId::from_u128(u128::MAX)});
        assert_eq!(machine(&fields(&nameless), Timestamp::UNIX_EPOCH), Err(ImportError::Missing("guid")));
    }
}
