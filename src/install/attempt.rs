//! One hook, started for one request or for many, and what comes of it for each.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::exhaustion;
use crate::fs::dir::make_private_dir;
use crate::hook::run::{HookJob, RunError, Runner};
use crate::install::event::InstallEvent;
use crate::install::plan::Request;
use crate::install::verdict::{self, Verdict};
use crate::install::verify::Claim;
use crate::model::attempt::Outcome;
use crate::model::binary::Binary;
use crate::model::name;
use crate::model::process::Process;
use crate::plugin::builtin;
use crate::plugin::discovery::Hook;
use crate::process::run_dir::RunDir;
use crate::process::tail;
use crate::store::StoreError;

pub mod question;

/// A request, and the binary that it is about.
#[derive(Debug, Clone)]
pub struct Question {
    /// What is wanted.
    pub request: Arc<Request>,
    /// Its record.
    pub binary: Binary,
    /// Whether the record is new or changed, and has to be stored before the hook is started.
    pub is_unsaved: bool,
    /// Where the link will be.
    pub link: PathBuf,
}

/// What came of a hook.
#[derive(Debug)]
pub struct Answer {
    /// Its process, with its ending, to be stored with what it means.
    pub process: Process,
    /// What it comes to for each question.
    pub verdicts: Vec<Verdict>,
}

/// Why a hook could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// A folder cannot be made.
    #[error("{0}")]
    Folder(io::Error),
    /// The hook cannot be run.
    #[error(transparent)]
    Run(#[from] RunError),
    /// Something cannot be recorded.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// rigup has a fault, of which the panic tells.
    #[error("rigup has a fault, and panicked; please report what stands above")]
    Panicked,
}

/// Runs a provider's hook and judges its answers. A batch hook gets the questions on its standard input, any other hook
/// its only one as arguments.
pub fn ask(
    runner: &Runner<'_>,
    hook: &Hook,
    questions: &[Question],
    timeout: Duration,
    on_event: impl Fn(InstallEvent),
) -> Result<Answer, AskError> {
    on_event(InstallEvent::Started { provider: hook.plugin.to_string() });
    let settings = runner.settings;
    let machine = settings.data_dir.join("machines").join(runner.machine_id.to_string());
    let job = match questions {
        [Question { request, binary, .. }] if !hook.name.is_batch => {
            let id = binary.id;
            let folder = machine.join("binaries").join(request.name.link_name()).join(id.to_string());
            HookJob {
                hook,
                arguments: question::arguments(request, &hook.plugin, id, runner.machine_id),
                cwd: folder.join(hook.plugin.as_str()),
                binary_id: Some(id),
                input: None,
                timeout,
            }
        }
        many => {
            let lines = many
                .iter()
                .map(|it| question::line(&it.request, &hook.plugin, it.binary.id, runner.machine_id) + "\n");
            HookJob {
                hook,
                arguments: Vec::new(),
                cwd: machine.join("batches").join(hook.plugin.as_str()),
                binary_id: if let [only] = many { Some(only.binary.id) } else { None },
                input: Some(lines.collect::<String>().into_bytes()),
                timeout,
            }
        }
    };
    make_private_dir(&job.cwd).map_err(AskError::Folder)?;
    let waiting = || {
        let file = &hook.name.file_name;
        on_event(InstallEvent::Output { line: format!("waiting for another rigup that unpacks {file}") });
    };
    let ready = runner.prepare(job, waiting)?;
    let unsaved: Vec<&Binary> = questions.iter().filter(|it| it.is_unsaved).map(|it| &it.binary).collect();
    runner.store.begin_attempts(&ready.process, &unsaved)?;
    let finished = runner.run(
        ready,
        || (),
        |run_dir| last_line(run_dir, |line| on_event(InstallEvent::Output { line })),
    )?;
    for warning in &finished.warnings {
        on_event(InstallEvent::Warning(format!("{}: {warning}", hook.plugin)));
    }
    let files: Vec<Option<PathBuf>> = questions
        .iter()
        .map(|it| it.request.overrides.of(&hook.plugin).abspath(settings.home.as_deref()))
        .collect();
    let provider = hook.provider();
    let claims: Vec<Claim<'_>> = questions
        .iter()
        .zip(&files)
        .map(|(question, file)| Claim {
            name: question.request.name.as_str(),
            min_version: question.request.min_version_of(&hook.plugin),
            provider: &provider,
            link: &question.link,
            abspath: file.as_deref(),
            version: question.request.overrides.of(&hook.plugin).version(),
            locked: question.request.locked.as_ref().map(|it| (it, settings.lib_dir.as_path())),
            is_measured: builtin::is_one(&hook.path, &settings.data_dir),
        })
        .collect();
    let mut verdicts = verdict::verdicts(&finished, &hook.plugin, &claims, timeout, &on_event);
    for verdict in &mut verdicts {
        // Hooks have words of their own for it, such as "I/O error".
        if let Verdict::Lost(Outcome::Failed, reason) = verdict
            && exhaustion::is_full(&settings.lib_dir)
        {
            reason.push_str("; no space is left in ");
            reason.push_str(&settings.lib_dir.to_string_lossy());
        }
    }
    Ok(Answer { process: finished.process, verdicts })
}

fn last_line(run_dir: &RunDir, show: impl FnOnce(String)) {
    let tail = tail::read(&run_dir.stderr(), 1, 512).unwrap_or_default();
    if !tail.trim().is_empty() {
        show(tail.trim().to_owned());
    }
}

/// The links that hooks above this rigup, which wait for it, are working on. Other hooks of the rigup above run beside
/// those; they are worth waiting for.
pub fn links_above(runner: &Runner<'_>) -> Result<Vec<String>, StoreError> {
    let store = runner.store;
    let mut links = Vec::new();
    let mut seen = Vec::new();
    let mut above = store.process(runner.parent_id)?;
    while let Some(process) = above.filter(|it| !seen.contains(&it.id)) {
        if process.exit().is_none() {
            let mut names = asked_for(&process);
            if let Some(id) = process.binary_id {
                let binaries = store.binaries_of(runner.machine_id)?.into_values();
                names.extend(binaries.filter(|it| it.id == id).map(|it| it.name));
            }
            links.extend(names.iter().map(|it| name::link_name(it).to_owned()));
        }
        seen.push(process.id);
        above = match process.parent_id {
            Some(id) => store.process(id)?,
            None => None,
        };
    }
    Ok(links)
}

/// The names of the requests that a batch hook was started for, as its run dir has them; none for any other hook.
fn asked_for(process: &Process) -> Vec<String> {
    let input = process.spec.run_dir.as_deref().map(|it: &Path| RunDir::at(it).input());
    let text = input.and_then(|it| fs_err::read_to_string(it).ok()).unwrap_or_default();
    let requests = text.lines().filter_map(|it| serde_json::from_str::<Value>(it).ok());
    requests.filter_map(|it| it["name"].as_str().map(str::to_owned)).collect()
}
