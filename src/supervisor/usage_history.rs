//! The resources that an execution of a daemon has used, sample by sample.

use std::collections::VecDeque;
use std::time::Duration;

use serde_json::{Value, json};

use crate::model::{DaemonName, ProcessId};
use crate::process::system::ResourceUsage;
use crate::process::tree_usage::TreeRoot;

/// How many samples are kept: those of an hour if one is taken every 10 seconds, as for hooks.
const MAX_SAMPLES: usize = 360;

/// A sample of the sums over the tree of a daemon, with the peaks of these sums until then.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct UsageSample {
    /// Resident memory in bytes.
    pub rss: u64,
    /// The largest `rss` so far.
    pub rss_peak: u64,
    /// CPU time since the sample before, in percent of one core.
    pub cpu_percent: f64,
    /// The largest `cpu_percent` so far.
    pub cpu_percent_peak: f64,
    /// Bytes read from disks since the start.
    pub read_bytes: u64,
    /// Bytes written to disks since the start.
    pub write_bytes: u64,
}

/// The samples of an execution.
#[derive(Debug)]
pub(crate) struct UsageHistory {
    /// The execution.
    pub process_id: ProcessId,
    /// Its process.
    pub root: TreeRoot,
    /// The time and the CPU time of the last measurement.
    last: Option<(Duration, Duration)>,
    samples: VecDeque<UsageSample>,
    /// How many of the last samples no hook has received.
    unsent: usize,
}

impl UsageHistory {
    /// Returns the history of an execution that was not measured yet.
    pub(crate) fn new(process_id: ProcessId, root: TreeRoot) -> Self {
        Self { process_id, root, last: None, samples: VecDeque::new(), unsent: 0 }
    }

    /// Adds a measurement. `at` is a time since any fixed start. The first measurement is no sample, because it shows no share
    /// of the CPU. Returns whether it is one.
    pub(crate) fn add(&mut self, at: Duration, usage: ResourceUsage) -> bool {
        let last = self.last.replace((at, usage.cpu));
        let Some((last_at, last_cpu)) = last.filter(|(last_at, _)| *last_at < at) else { return false };
        // The CPU time of a child that no member of the tree has reaped is lost.
        let used = usage.cpu.saturating_sub(last_cpu).as_secs_f64();
        let cpu_percent = (1000.0 * used / at.saturating_sub(last_at).as_secs_f64()).round() / 10.0;
        let before = self.samples.back();
        let sample = UsageSample {
            rss: usage.rss,
            rss_peak: before.map_or(0, |before| before.rss_peak).max(usage.rss),
            cpu_percent,
            cpu_percent_peak: before.map_or(0.0, |before| before.cpu_percent_peak).max(cpu_percent),
            read_bytes: usage.read_bytes,
            write_bytes: usage.write_bytes,
        };
        self.samples.push_back(sample);
        self.unsent = self.unsent.saturating_add(1);
        if self.samples.len() > MAX_SAMPLES {
            self.samples.pop_front();
        }
        true
    }

    /// Returns the records of the samples that no hook has received, oldest first.
    pub(crate) fn take_unsent(&mut self, name: &DaemonName) -> Vec<Value> {
        let count = std::mem::take(&mut self.unsent);
        self.records(name, count)
    }

    /// Returns the records of the last samples, oldest first.
    pub(crate) fn records(&self, name: &DaemonName, count: usize) -> Vec<Value> {
        let samples = self.samples.range(self.samples.len().saturating_sub(count)..);
        let record = |sample: &UsageSample| {
            json!({
                "type": "DaemonStats",
                "name": name,
                "pid": self.root.pid,
                "rss": sample.rss,
                "rss_peak": sample.rss_peak,
                "cpu_percent": sample.cpu_percent,
                "cpu_percent_peak": sample.cpu_percent_peak,
                "read_bytes": sample.read_bytes,
                "write_bytes": sample.write_bytes,
            })
        };
        samples.map(record).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history() -> UsageHistory {
        UsageHistory::new(ProcessId::generate(), TreeRoot { pid: 7, start_ticks: 1 })
    }

    fn usage(rss: u64, cpu_ms: u64) -> ResourceUsage {
        ResourceUsage { rss, cpu: Duration::from_millis(cpu_ms), ..ResourceUsage::default() }
    }

    #[test]
    fn the_cpu_share_is_that_since_the_sample_before_and_peaks_stay() {
        let mut history = history();
        let at = Duration::from_secs;
        assert!(!history.add(at(1), usage(10, 1000)));
        assert!(history.add(at(2), usage(30, 2500)) && history.add(at(4), usage(20, 2600)));
        // Lost CPU time, and a sample at the same time.
        assert!(history.add(at(5), usage(20, 0)) && !history.add(at(5), usage(99, 9000)));
        let name = "a".parse().unwrap();
        let records = history.records(&name, 9);
        let field = |key: &str| records.iter().map(|record| record[key].clone()).collect::<Vec<_>>();
        assert_eq!(field("cpu_percent"), [json!(150.0), json!(5.0), json!(0.0)]);
        assert_eq!(field("cpu_percent_peak"), [json!(150.0), json!(150.0), json!(150.0)]);
        assert_eq!(
            (field("rss"), field("rss_peak")),
            (vec![json!(30), json!(20), json!(20)], vec![json!(30); 3])
        );
        assert_eq!(history.records(&name, 1), records[2..]);
        assert_eq!((history.take_unsent(&name), history.take_unsent(&name)), (records.clone(), vec![]));
        assert_eq!((&records[0]["type"], &records[0]["pid"]), (&json!("DaemonStats"), &json!(7)));
    }

    #[test]
    fn only_the_last_samples_are_kept() {
        let mut history = history();
        for second in 0..1000 {
            history.add(Duration::from_secs(second), usage(second, 0));
        }
        let records = history.records(&"a".parse().unwrap(), usize::MAX);
        assert_eq!((records.len(), &records[0]["rss"]), (MAX_SAMPLES, &json!(640)));
    }
}
