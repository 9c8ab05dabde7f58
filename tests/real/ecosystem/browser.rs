//! Published plugins by other authors with a browser: rigup beside abx-dl, the program that they were written for.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::Value;

use super::{NEWEST, OLD, published_in_venv};
use crate::context_with_registries;
use crate::server::Server;
use crate::test_context::{CommandOutput, TestContext, died_of, signal};

/// Every plugin that works with a page of the loopback interface, and needs no program that only the internet has.
const PLUGINS: &str = "accessibility,chrome,chrome_mhtml,consolelog,dns,dom,favicon,git,hashes,headers,htmltotext,\
                       modalcloser,parse_dom_outlinks,parse_html_urls,parse_txt_urls,pdf,redirects,responses,\
                       screenshot,seo,sslcerts,staticfile,title,wget";

/// Returns the newest version of an npm package that matches a specification such as `abxbus@2.5.6`.
fn npm_version(context: &TestContext, specification: &str) -> Option<String> {
    let npm = Path::new("npm");
    let output = context.command_for(npm, &["view", specification, "version"]).output().unwrap();
    let version = String::from_utf8(output.stdout).unwrap().trim().to_owned();
    (output.status.success() && !version.is_empty()).then_some(version)
}

/// Changes what this machine cannot satisfy in the installed copy: the requirements of npm packages in a version that
/// the registry does not have, and the versions of Node and Chromium, which come from Debian.
#[expect(clippy::print_stderr, reason = "names each change")]
fn relax_pins(context: &TestContext, plugins: &Path) {
    let path = plugins.join("chrome/chrome_utils.js");
    let script = fs::read_to_string(&path).unwrap();
    let minimum = "chromiumVersionAtLeast(output, [149, 0, 0])";
    if script.contains(minimum) {
        eprintln!("chrome: {minimum}: any version from Debian");
        fs::write(&path, script.replace(minimum, "true")).unwrap();
    }
    for plugin in PLUGINS.split(',').chain(["puppeteer"]) {
        let path = plugins.join(plugin).join("config.json");
        let Ok(text) = fs::read_to_string(&path) else { continue };
        let mut config: Value = serde_json::from_str(&text).unwrap();
        for entry in config["required_binaries"].as_array_mut().unwrap() {
            let name = entry["name"].as_str().unwrap().to_owned();
            if ["{NODE_BINARY}", "{CHROME_BINARY}"].contains(&name.as_str()) {
                eprintln!("{plugin}: {name}: any version from Debian");
                let entry = entry.as_object_mut().unwrap();
                entry.retain(|key, _| !["min_version", "max_version"].contains(&key.as_str()));
                entry.insert("binproviders".to_owned(), "env".into());
                continue;
            }
            let packages: Vec<String> = entry["overrides"]
                .as_object()
                .into_iter()
                .flatten()
                .flat_map(|(_, options)| options["install_args"].as_array().into_iter().flatten())
                .filter_map(|argument| argument.as_str().map(str::to_owned))
                .collect();
            for package in packages {
                let Some((name, version)) = package.rsplit_once('@').filter(|(name, _)| !name.is_empty())
                else {
                    continue;
                };
                if npm_version(context, &package).is_none() {
                    let newest = npm_version(context, name).unwrap();
                    eprintln!("{plugin}: {name}: {newest} in place of {version}");
                    *entry = serde_json::from_str(&entry.to_string().replace(version, &newest)).unwrap();
                }
            }
        }
        fs::write(&path, config.to_string()).unwrap();
    }
}

/// The status of each hook, by plugin and name.
type Statuses = BTreeMap<(String, String), String>;

/// Returns the last status of each hook that has an `ArchiveResult`. abx-dl may print two records on one line. 1.11.115
/// may lose the last record of a hook, but not its output, which is in the record of its process.
fn statuses(stdout: &str) -> Statuses {
    let records = serde_json::Deserializer::from_str(stdout).into_iter::<Value>();
    let records: Vec<Value> = records.map(Result::unwrap).collect();
    let is_result = |record: &Value| record["type"] == "ArchiveResult";
    let text = |record: &Value, key: &str| record[key].as_str().unwrap().to_owned();
    let named = |record: &Value, result: &Value| {
        let hook = text(record, "hook_name");
        let hook = hook.trim_end_matches(".py").trim_end_matches(".js").to_owned();
        ((text(record, "plugin"), hook), text(result, "status"))
    };
    let results = records.iter().filter(|record| is_result(record)).map(|result| named(result, result));
    let printed = records.iter().filter(|record| record["exit_code"] == 0).filter_map(|process| {
        let lines = process["stdout"].as_str()?.lines();
        let mut records = lines.filter_map(|line| serde_json::from_str::<Value>(line).ok());
        records.rfind(is_result).map(|result| named(process, &result))
    });
    results.chain(printed).collect()
}

/// Returns the paths of the files that hooks write. Ids and times, which differ in each run, are `N`. abx-dl 1.11.115
/// also stores a script and the output of each hook there.
fn files(folder: &Path) -> BTreeSet<String> {
    let files = walkdir::WalkDir::new(folder).into_iter().map(|entry| entry.unwrap().into_path());
    let relative = files
        .filter(|path| path.is_file())
        .map(|path| path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned());
    let is_of_abx_dl = |path: &String| {
        let name = path.rsplit('/').next().unwrap();
        name.starts_with("on_") && [".sh", ".log"].iter().any(|ending| name.ends_with(ending))
    };
    relative.filter(|path| !is_of_abx_dl(path)).map(|path| without_ids(&path)).collect()
}

fn without_ids(path: &str) -> String {
    let is_id = |word: &str| {
        let digits = word.chars().filter(char::is_ascii_digit).count();
        digits >= 8 || word.len() >= 4 && word.chars().all(|character| character.is_ascii_hexdigit())
    };
    let words = path.split_inclusive(|character: char| !character.is_ascii_alphanumeric());
    words
        .map(|part| {
            let word = part.trim_end_matches(|character: char| !character.is_ascii_alphanumeric());
            if is_id(word) { part.replacen(word, "N", 1) } else { part.to_owned() }
        })
        .collect()
}

/// What a run stores: the statuses, and the files that [`files`] returns.
#[derive(Debug, PartialEq)]
struct Archive {
    statuses: Statuses,
    files: BTreeSet<String>,
}

/// Prints the results and the times. Does not compare the times, because other tests run meanwhile.
#[expect(clippy::print_stderr, reason = "the results and the times are a report of the test")]
fn print_results([abx_dl, rigup]: [&Archive; 2], [abx_dl_time, rigup_time]: [Duration; 2]) {
    for (hook, status) in &abx_dl.statuses {
        let other = rigup.statuses.get(hook).map_or("none", String::as_str);
        eprintln!("{}: abx-dl {status}, rigup {other}", hook.1);
    }
    eprintln!("abx-dl {abx_dl_time:.1?}, rigup {rigup_time:.1?}");
}

/// Runs the published plugins with abx-dl, and then with rigup, and returns what each stores. Asserts that rigup leaves
/// no process, also when it is interrupted. Returns `None` if the plugins cannot be installed.
fn archive_page(packages: &[&str]) -> Option<[Archive; 2]> {
    // With two browsers at once, the published hooks reach their time limits.
    static BROWSER: Mutex<()> = Mutex::new(());
    let _browser = BROWSER.lock().unwrap_or_else(PoisonError::into_inner);
    let mut context = context_with_registries();
    let plugins = published_in_venv(&mut context, packages)?;
    relax_pins(&context, &plugins);
    let tmp = context.path("tmp");
    fs::create_dir(&tmp).unwrap();
    // Chromium does not start with its sandbox as root, and starts slowly while other tests run.
    context.set("CHROME_SANDBOX", "false").set("TIMEOUT", "120").set("TMPDIR", tmp);
    context.set("RIGUP_PLUGINS_DIR", plugins);
    let server = Server::start(&context);

    let start = Instant::now();
    // abx-dl 1.11.115 passes the path on to hooks that run in other folders, so it must be absolute.
    let folder = context.path("here/abx-dl");
    let args = ["dl", "--plugins", PLUGINS, "--dir", folder.to_str().unwrap(), &server.url];
    let abx_dl = context.command_for(&context.path("venv/bin/abx-dl"), &args).output().unwrap();
    let abx_dl_time = start.elapsed();
    let abx_dl_statuses = statuses(&CommandOutput::new(&args, &abx_dl).succeeds().stdout);
    let abx_dl = Archive { statuses: abx_dl_statuses, files: files(&folder) };
    assert!(abx_dl.statuses.len() > 20, "{abx_dl:?}");

    let start = Instant::now();
    context.run(&["install", "--plugins", PLUGINS]).succeeds();
    let url = format!("--url={}", server.url);
    let run = |folder: &str| {
        let options = ["run", "--ready-timeout", "120", "--plugins", PLUGINS, "--output-dir", folder];
        context.command(&[&options[..], &["CrawlSetup,Snapshot", &url]].concat())
    };
    let rigup = run("rigup").output().unwrap();
    let rigup_time = start.elapsed();
    assert!(rigup.status.success(), "{}", String::from_utf8_lossy(&rigup.stderr));
    assert_eq!(context.live_processes(), []);
    let rigup_statuses = statuses(&String::from_utf8(rigup.stdout).unwrap());
    let rigup = Archive { statuses: rigup_statuses, files: files(&context.path("here/rigup")) };
    print_results([&abx_dl, &rigup], [abx_dl_time, rigup_time]);

    for interrupt in [Signal::SIGTERM, Signal::SIGINT] {
        let mut rigup = run(interrupt.as_str()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(rigup.stdout.take().unwrap()).lines().map(Result::unwrap);
        assert!(lines.any(|line| line.contains("page loaded")), "the browser shows the page");
        signal(rigup.id(), interrupt);
        assert!(died_of(rigup.wait().unwrap(), interrupt));
        assert_eq!(context.live_processes(), []);
    }
    Some([abx_dl, rigup])
}

#[test]
#[ignore = "downloads from a registry: run with --ignored"]
fn newest_published_plugins_archive_a_page_as_with_abx_dl() {
    let Some([abx_dl, rigup]) = archive_page(&NEWEST) else { return };
    assert_eq!(rigup, abx_dl);
}

#[test]
#[ignore = "downloads from a registry: run with --ignored"]
fn older_published_plugins_archive_a_page_as_with_abx_dl() {
    let Some([mut abx_dl, mut rigup]) = archive_page(&OLD) else { return };
    // This version of abx-dl does not wait until its daemons are ready, so `responses` may miss the page.
    assert!(rigup.files.is_superset(&abx_dl.files), "{rigup:?}, {abx_dl:?}");
    for (archive, terminated) in [(&mut abx_dl, "failed"), (&mut rigup, "noresult")] {
        archive.files.retain(|path| !path.starts_with("responses/"));
        // This hook waits for 10 s after the page is loaded. If it is terminated before, it prints no result, and
        // abx-dl 1.11.115 reports `failed`; rigup reports `noresult`, as the newest abx-dl does.
        let hook = ["redirects", "on_Snapshot__25_redirects.daemon.bg"].map(str::to_owned);
        let status = archive.statuses.remove(&hook.into()).unwrap();
        assert!([terminated, "succeeded"].contains(&status.as_str()), "{status}");
    }
    assert_eq!(rigup, abx_dl);
}
