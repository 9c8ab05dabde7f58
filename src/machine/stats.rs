//! The load, memory and disk space of this machine.

use std::env;
use std::path::Path;
use std::thread;

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use sysinfo::System;

use crate::clock;

/// The folder of `disk_tmp_*`, regardless of `TMPDIR`, because only the settings read the environment.
const TMP: &str = "/tmp";

/// Returns `cpu_boot_time` (a time), `cpu_count` (logical CPUs that rigup may use), `cpu_load` (1, 5, 15 minutes), and
/// `_used_pct`, `_used_gb`, `_free_gb` (1024³ bytes) of `mem_virt`, `mem_swap`, and the file systems that hold
/// `/tmp` (`disk_tmp`), the running program (`disk_app`) and the data dir (`disk_data`), all with two decimals.
///
/// Values that cannot be determined are left out.
pub(super) fn gather(data_dir: &Path) -> Map<String, Value> {
    let mut stats = Map::new();
    cpu(&mut stats);
    memory(&mut stats);
    disk(&mut stats, "disk_tmp", Path::new(TMP));
    if let Ok(program) = env::current_exe() {
        disk(&mut stats, "disk_app", &program);
    }
    disk(&mut stats, "disk_data", data_dir);
    stats
}

fn cpu(stats: &mut Map<String, Value>) {
    let boot = System::boot_time().ok().and_then(|seconds| i64::try_from(seconds).ok());
    if let Some(boot) = boot.and_then(|seconds| Timestamp::from_second(seconds).ok()) {
        stats.insert("cpu_boot_time".to_owned(), json!(clock::format(boot)));
    }
    if let Ok(count) = thread::available_parallelism() {
        stats.insert("cpu_count".to_owned(), json!(count));
    }
    if let Ok(load) = System::load_average() {
        let load = [load.one, load.five, load.fifteen].map(two_decimals);
        stats.insert("cpu_load".to_owned(), json!(load));
    }
}

/// Adds memory and swap. Caches that the kernel can reclaim count as free.
fn memory(stats: &mut Map<String, Value>) {
    let Ok(mut system) = System::new() else { return };
    system.refresh_memory();
    let (total, free) = (system.total_memory(), system.available_memory());
    if total > 0 {
        space(stats, "mem_virt", total.saturating_sub(free), free);
        let (total, free) = (system.total_swap(), system.free_swap());
        space(stats, "mem_swap", total.saturating_sub(free), free);
    }
}

/// Adds the file system of `path`, which need not exist. Only space that users other than root can use is free, so the
/// percentage is the same as in `df`.
fn disk(stats: &mut Map<String, Value>, name: &str, path: &Path) {
    let here = Path::new(".");
    let folders = path.ancestors().map(|folder| if folder.as_os_str().is_empty() { here } else { folder });
    if let Some(fs) = folders.map(rustix::fs::statvfs).find_map(Result::ok) {
        let used = fs.f_blocks.saturating_sub(fs.f_bfree).saturating_mul(fs.f_frsize);
        space(stats, name, used, fs.f_bavail.saturating_mul(fs.f_frsize));
    }
}

fn space(stats: &mut Map<String, Value>, name: &str, used: u64, free: u64) {
    let (used, free) = (gigabytes(used), gigabytes(free));
    let total = used + free;
    let used_pct = if total > 0.0 { used / total * 100.0 } else { 0.0 };
    for (figure, value) in [("used_pct", used_pct), ("used_gb", used), ("free_gb", free)] {
        stats.insert(format!("{name}_{figure}"), json!(two_decimals(value)));
    }
}

#[expect(clippy::cast_precision_loss, reason = "two decimals of a gigabyte are shown")]
fn gigabytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 30)
}

fn two_decimals(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const GB: u64 = 1 << 30;

    fn of_space(used: u64, free: u64) -> Value {
        let mut stats = Map::new();
        space(&mut stats, "x", used, free);
        Value::Object(stats)
    }

    #[test]
    fn space_is_in_gigabytes_and_percent_with_two_decimals() {
        assert_eq!(of_space(GB, 2 * GB), json!({"x_used_pct": 33.33, "x_used_gb": 1.0, "x_free_gb": 2.0}));
        assert_eq!(of_space(GB / 3, 0), json!({"x_used_pct": 100.0, "x_used_gb": 0.33, "x_free_gb": 0.0}));
    }

    #[test]
    fn no_space_at_all_is_zero() {
        assert_eq!(of_space(0, 0), json!({"x_used_pct": 0.0, "x_used_gb": 0.0, "x_free_gb": 0.0}));
    }

    #[test]
    fn this_machine_has_every_figure() {
        let dir = tempfile::tempdir().unwrap();
        let stats = gather(dir.path());
        assert!(stats["cpu_boot_time"].as_str().unwrap().parse::<Timestamp>().is_ok());
        assert!(stats["cpu_count"].as_u64().unwrap() > 0);
        assert_eq!(stats["cpu_load"].as_array().unwrap().len(), 3);
        for name in ["mem_virt", "mem_swap", "disk_tmp", "disk_app", "disk_data"] {
            for figure in ["used_pct", "used_gb", "free_gb"] {
                assert!(stats[&format!("{name}_{figure}")].as_f64().unwrap() >= 0.0, "{name}_{figure}");
            }
        }
    }

    #[test]
    fn a_missing_folder_counts_as_its_parent() {
        let dir = tempfile::tempdir().unwrap();
        let mut stats = Map::new();
        disk(&mut stats, "nested", &dir.path().join("a/b/c"));
        disk(&mut stats, "relative", Path::new("no-such-folder-here/a"));
        assert_eq!(stats.len(), 6);
    }
}
