use super::*;
use crate::model::{
    BinaryId, Identity, Installed, MachineId, ProcessExit, ProcessId, ProcessSpec, ProcessType, ProviderName,
    RunSpec, Usage,
};

const NOW: i64 = 1_700_000_000;

fn seconds_ago(seconds: i64) -> Timestamp {
    Timestamp::from_second(NOW - seconds).unwrap()
}

fn started(id: u128, spec: ProcessSpec, ago: i64) -> Process {
    let machine_id = MachineId::from(1);
    let identity = Identity { pid: 7, start_ticks: 8, boot_id: "boot".to_owned() };
    Process::queued(ProcessId::from(id), machine_id, spec, seconds_ago(ago))
        .into_running(identity, seconds_ago(ago))
}

fn hook(id: u128, plugin: &str, name: &str, ago: i64) -> Process {
    let spec = ProcessSpec {
        plugin: plugin.to_owned(),
        hook_name: format!("on_BinaryRequest__10_{plugin}.sh"),
        timeout: Some(std::time::Duration::from_mins(10)),
        ..ProcessSpec::new(ProcessType::Hook, vec!["hook".to_owned(), format!("--name={name}")], "/")
    };
    started(id, spec, ago)
}

fn command(words: &[&str]) -> ProcessSpec {
    let words = words.iter().map(|word| (*word).to_owned()).collect();
    ProcessSpec::new(ProcessType::Cli, words, "/")
}

fn example_processes() -> [Process; 5] {
    let usage = Some(Usage { max_rss: 6_290_000, user_ms: 1_200, sys_ms: 300 });
    let exited = |code, ago| ProcessExit { usage, ..ProcessExit::exited(code, seconds_ago(ago)) };
    let run = RunSpec { slug: "nightly".to_owned(), description: String::new(), ttl: None };
    let mut backup = command(&["backup", "--into", "/srv/バックアップ/毎晩"]);
    backup.run = Some(run);
    [
        started(0x0198_0000_1111_1111, command(&["rigup", "install", "ripgrep", "yt-dlp"]), 90_000)
            .into_exited(exited(1, 89_800)),
        hook(0x0198_0000_2222_2222, "npm", "yt-dlp", 89_990).into_exited(exited(10, 89_989)),
        hook(0x0198_0000_3333_3333, "pip", "yt-dlp", 7_300)
            .into_exited(ProcessExit { reason: ExitReason::Timeout, ..exited(143, 6_700) }),
        started(0x0198_0000_4444_4444, backup, 185),
        Process::queued(
            ProcessId::from(0x0198_0000_5555_5555),
            MachineId::from(1),
            command(&["sh", "-c", "echo \u{1b}]0;title\u{7}"]),
            seconds_ago(1),
        ),
    ]
}

fn process_table() -> Table {
    let processes = example_processes();
    let rows: Vec<ProcessRow<'_>> = processes
        .iter()
        .zip(["", "├─ ", "└─ ", "", ""])
        .map(|(process, branch)| ProcessRow {
            process,
            branch,
            live: process.exit().is_none().then_some((41, 12_345_678)),
        })
        .collect();
    super::processes(&rows, seconds_ago(0))
}

#[test]
fn processes_fit_120_and_80_and_60_columns() {
    insta::assert_snapshot!(process_table().render(Some(120), false), @r"
        PROCESS   COMMAND                                     STATE                        DURATION    CPU    MEMORY   STARTED
        11111111  rigup install ripgrep yt-dlp                exit 1                       3 min 20 s  1.5 s  6.0 MiB  1 day ago
        22222222  ├─ npm/on_BinaryRequest__10_npm.sh yt-dlp   skipped                      1.0 s       1.5 s  6.0 MiB  1 day ago
        33333333  └─ pip/on_BinaryRequest__10_pip.sh yt-dlp   timed out after 600 s (143)  10 min 0 s  1.5 s  6.0 MiB  2 h ago
        44444444  nightly: backup --into /srv/バックアップ/…  running                      3 min 5 s   41 ms  12 MiB   3 min ago
        55555555  sh -c echo �]0;title�                       queued                                   41 ms  12 MiB
        ");
    insta::assert_snapshot!(process_table().render(Some(80), false), @r"
        PROCESS   COMMAND                   STATE                  DURATION    STARTED
        11111111  rigup install ripgrep y…  exit 1                 3 min 20 s  1 day ago
        22222222  ├─ npm/on_BinaryRequest…  skipped                1.0 s       1 day ago
        33333333  └─ pip/on_BinaryRequest…  timed out after 600 …  10 min 0 s  2 h ago
        44444444  nightly: backup --into …  running                3 min 5 s   3 min ago
        55555555  sh -c echo �]0;title�     queued
        ");
    insta::assert_snapshot!(process_table().render(Some(60), false), @r"
        PROCESS   COMMAND                   STATE
        11111111  rigup install ripgrep y…  exit 1
        22222222  ├─ npm/on_BinaryRequest…  skipped
        33333333  └─ pip/on_BinaryRequest…  timed out after 600 s (…
        44444444  nightly: backup --into …  running
        55555555  sh -c echo �]0;title�     queued
        ");
}

fn example_table() -> Table {
    binary_rows(example_binaries().iter().map(|binary| binary_row(binary, true)))
}

fn example_binaries() -> [Binary; 3] {
    let binary = |name| Binary::new(BinaryId::from(1), MachineId::from(1), name, seconds_ago(9));
    let installed = |provider, path: &str, version: &str| {
        Some(Installed {
            binprovider: ProviderName::from_static(provider),
            abspath: path.into(),
            version: version.to_owned(),
            package_version: String::new(),
            url: String::new(),
            url_sha256: String::new(),
            sha256: String::new(),
            fingerprint: String::new(),
            request_digest: String::new(),
            needs_wrapper: false,
        })
    };
    let rg = "/usr/bin/rg";
    let yt_dlp = "/home/anna/.local/share/rigup/lib/x86_64-linux/pip/yt-dlp/venv/bin/yt-dlp";
    [
        Binary { installed: installed("env", rg, "14.1.1"), ..binary("rg") },
        Binary { installed: installed("pip", yt_dlp, "2025.1.12.232754.dev0"), ..binary("yt-dlp") },
        Binary {
            binproviders: "npm,pip,brew,apt,env".to_owned(), ..binary("日本語の長い名前のプログラム")
        },
    ]
}

#[test]
fn binaries_fit_120_and_80_columns() {
    insta::assert_snapshot!(example_table().render(Some(120), false), @r"
        BINARY                        STATUS     VERSION                PROVIDER              PATH
        rg                            installed  14.1.1                 env                   /usr/bin/rg
        yt-dlp                        installed  2025.1.12.232754.dev0  pip                   …-linux/pip/yt-dlp/venv/bin/yt-dlp
        日本語の長い名前のプログラム  queued                            npm,pip,brew,apt,env
        ");
    insta::assert_snapshot!(example_table().render(Some(80), false), @r"
        BINARY                STATUS     VERSION       PROVIDER      PATH
        rg                    installed  14.1.1        env           /usr/bin/rg
        yt-dlp                installed  2025.1.12.2…  pip           …lp/venv/bin/yt-dlp
        日本語の長い名前の…   queued                   npm,pip,bre…
        ");
}

#[test]
fn attempts_fit_120_and_80_columns_with_their_whole_reasons() {
    let attempt = |provider, outcome, reason: &str, process_id: Option<u128>| Attempt {
        provider: ProviderName::from_static(provider),
        outcome,
        reason: reason.to_owned(),
        process_id: process_id.map(ProcessId::from),
    };
    let reason = "the version 1.0.0 is older than 2; try another provider, or lower the min_version of the requirement";
    let list = [
        (attempt("env", Outcome::Declined, "rg is not on PATH", Some(0x1_2345_6789)), seconds_ago(300)),
        (attempt("cargo", Outcome::Skipped, "no provider has this name", None), seconds_ago(200)),
        (attempt("apt", Outcome::Rejected, reason, Some(0x1_3345_6789)), seconds_ago(100)),
        (attempt("pip", Outcome::Installed, "", Some(0x2_9876_5432)), seconds_ago(9)),
    ];
    insta::assert_snapshot!(attempts(&list, seconds_ago(0)).render(Some(120), false), @r"
        PROVIDER  OUTCOME    REASON                                                                          TIME       PROCESS
        env       declined   rg is not on PATH                                                               5 min ago  23456789
        cargo     skipped    no provider has this name                                                       3 min ago
        apt       rejected   the version 1.0.0 is older than 2; try another provider, or lower the           1 min ago  33456789
                             min_version of the requirement
        pip       installed                                                                                  9 s ago    98765432
        ");
    insta::assert_snapshot!(attempts(&list, seconds_ago(0)).render(Some(80), false), @r"
        PROVIDER  OUTCOME    REASON                                  TIME       PROCESS
        env       declined   rg is not on PATH                       5 min ago  23456789
        cargo     skipped    no provider has this name               3 min ago
        apt       rejected   the version 1.0.0 is older than 2; try  1 min ago  33456789
                             another provider, or lower the
                             min_version of the requirement
        pip       installed                                          9 s ago    98765432
        ");
}

#[test]
fn the_state_of_a_process_is_a_few_words() {
    let at = seconds_ago(0);
    let timed_out = ProcessExit { reason: ExitReason::Timeout, ..ProcessExit::exited(143, at) };
    let stopped = ProcessExit { reason: ExitReason::Stopped, ..ProcessExit::exited(143, at) };
    let killed =
        ProcessExit { reason: ExitReason::Signalled, signal: Some(9), ..ProcessExit::exited(137, at) };
    for (exit, wanted) in [
        (ProcessExit::exited(0, at), Cell::success("exit 0")),
        (ProcessExit::exited(10, at), Cell::plain("skipped")),
        (ProcessExit::exited(3, at), Cell::failure("exit 3")),
        (timed_out, Cell::failure("timed out after 600 s (143)")),
        (stopped.clone(), Cell::failure("stopped (143)")),
        (ProcessExit { exit_code: Some(137), ..stopped }, Cell::failure("stopped (137)")),
        (killed, Cell::failure("signal 9")),
        (ProcessExit::lost(at), Cell::failure("lost")),
        (ProcessExit::spawn_failed(String::new(), at), Cell::failure("not started")),
    ] {
        assert_eq!(process_state(&hook(1, "env", "rg", 1).into_exited(exit)), wanted);
    }
}
