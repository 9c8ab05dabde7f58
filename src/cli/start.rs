//! `rigup start`, `rigup post` and `rigup result`: detached runs, and what they say about themselves.

use std::ffi::OsString;
use std::io::Read;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::cli::error::{CliError, Exit};
use crate::cli::output::Output;
use crate::cli::process;
use crate::cli::search;
use crate::cli::session::Session;
use crate::runs::messages::{self, NoteError};
use crate::runs::start::{RunRequest, Slug, StartError, Starter};
use crate::settings::Settings;

const START_EXAMPLES: &str = "\
Examples:
  rigup start --slug backup -- restic backup /home
  rigup start --slug crawl --max-live 2 --max-runtime 3600 -- ./crawl.sh https://example.org
  id=$(rigup start --slug build --json -- make | jq -r .id); rigup process wait \"$id\"

The run outlives its caller. `rigup process list --slug NAME` lists the runs of a kind, `process logs -f`,
`process wait` and `process kill` work on them as on any process. Inside a run, `rigup post` and
`rigup result` tell how it goes; `rigup process show` shows both.
Exit code: 1 where --max-live is reached, and nothing was made; 1 where CMD cannot be started.";

const POST_EXAMPLES: &str = "\
Examples, inside a run that `rigup start` started:
  rigup post 'half of it is done'
  rigup post 'page fetched' url=https://example.org size=1234";

const RESULT_EXAMPLES: &str = "\
Examples, inside a run that `rigup start` started:
  rigup result '{\"pages\": 12}'
  make-report | rigup result -";

/// What to run, and how long.
#[derive(Debug, clap::Args)]
#[command(after_help = START_EXAMPLES)]
pub(crate) struct StartArgs {
    /// What runs of this kind are called: a-z, 0-9, - and _
    #[arg(long, value_name = "NAME")]
    slug: Slug,
    /// What this run is for
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    description: String,
    /// Refuse where so many runs of this kind are alive
    #[arg(long, value_name = "N")]
    max_live: Option<u32>,
    /// End it after so many seconds, or `none`
    #[arg(long, value_name = "S", default_value = "28800", value_parser = limit)]
    max_runtime: Limit,
    /// Let its logs be removed by the way, or by `rigup process gc`, so many seconds after its end, or `none`
    #[arg(long, value_name = "S", default_value = "86400", value_parser = limit)]
    ttl: Limit,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "CMD")]
    command: Vec<OsString>,
}

/// A time, or none at all.
#[derive(Debug, Clone, Copy)]
struct Limit(Option<Duration>);

fn limit(text: &str) -> Result<Limit, String> {
    match text.parse() {
        Ok(seconds) if seconds > 0 => Ok(Limit(Some(Duration::from_secs(seconds)))),
        _ if text == "none" => Ok(Limit(None)),
        _ => Err("give whole seconds, at least 1, or `none`".to_owned()),
    }
}

/// A message.
#[derive(Debug, clap::Args)]
#[command(after_help = POST_EXAMPLES)]
pub(crate) struct PostArgs {
    /// What to say
    text: String,
    /// What belongs to it
    #[arg(value_name = "KEY=VALUE")]
    extra: Vec<String>,
}

/// A result.
#[derive(Debug, clap::Args)]
#[command(after_help = RESULT_EXAMPLES)]
pub(crate) struct ResultArgs {
    /// Any JSON; `-` reads it from standard input
    #[arg(value_name = "JSON")]
    value: String,
}

/// `rigup start`
pub(crate) fn start(args: StartArgs, settings: &Settings, output: &mut Output) -> Result<Exit, CliError> {
    let mut command = args.command.into_iter();
    let program = command.next().ok_or_else(|| CliError::Usage("no command to run".to_owned()))?;
    let cwd = std::env::current_dir().map_err(CliError::unusable)?;
    let keep = search::own(settings)?.keep();
    let session = Session::open(settings)?;
    session.finish_lost()?;
    let starter = Starter {
        settings,
        store: &session.store,
        machine_id: session.machine.id,
        iface_id: Some(session.interface()?.id),
        parent_id: session.known_parent(settings)?,
    };
    let wish = RunRequest {
        slug: args.slug,
        description: args.description,
        program,
        args: command.collect(),
        cwd,
        max_live: args.max_live,
        max_runtime: args.max_runtime.0,
        ttl: args.ttl.0,
    };
    let process = match starter.start(wish) {
        Ok(process) => process,
        Err(error @ StartError::TooMany { .. }) => return Err(CliError::NotFound(error.to_string())),
        Err(error) => return Err(CliError::unusable(error)),
    };
    process::write(std::slice::from_ref(&process), output)?;
    session.clean_by_the_way(process.id, keep, settings);
    match process.exit().filter(|_| process.running().is_none()) {
        Some(exit) => Err(CliError::NotFound(exit.stderr_tail.clone())),
        None => Ok(Exit::Well),
    }
}

/// `rigup post`. Says nothing: its standard output is the log of the run.
pub(crate) fn post(args: &PostArgs, settings: &Settings) -> Result<Exit, CliError> {
    let mut extra = Map::new();
    for pair in &args.extra {
        match pair.split_once('=') {
            Some((key, value)) if !matches!(key, "" | "time" | "text") => {
                extra.insert(key.to_owned(), value.into());
            }
            _ => {
                return Err(CliError::Usage(format!(
                    "{pair:?} is no KEY=VALUE, where KEY is neither `time` nor `text`"
                )));
            }
        }
    }
    let run_dir = messages::current(&settings.environment)?;
    messages::post(&run_dir, &args.text, extra)?;
    Ok(Exit::Well)
}

/// `rigup result`. Says nothing, as `post`.
pub(crate) fn result(args: &ResultArgs, settings: &Settings) -> Result<Exit, CliError> {
    let mut text = args.value.clone();
    if text == "-" {
        text.clear();
        let read = std::io::stdin().read_to_string(&mut text);
        read.map_err(|error| CliError::Usage(format!("standard input cannot be read: {error}")))?;
    }
    let value: Value = serde_json::from_str(&text).map_err(|error| {
        CliError::Usage(format!("the result is not JSON ({error}); a text needs its quotes: '\"done\"'"))
    })?;
    let run_dir = messages::current(&settings.environment)?;
    messages::set_result(&run_dir, &value)?;
    Ok(Exit::Well)
}

impl From<NoteError> for CliError {
    fn from(error: NoteError) -> Self {
        match error {
            NoteError::TooLong(_) => Self::Usage(error.to_string()),
            NoteError::NoRun | NoteError::NoRunDir(_) => Self::NotFound(error.to_string()),
            NoteError::Io(error) => Self::unusable(format!("the run dir cannot be written: {error}")),
        }
    }
}
