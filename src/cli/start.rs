//! `rigup start`, `rigup post` and `rigup result`: detached runs and their messages.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use clap::builder::{OsStringValueParser, TypedValueParser};
use serde_json::{Map, Value};

use crate::cli::command::{CliError, CommandResult, Context};
use crate::cli::completions::{command, values};
use crate::cli::message::print_event;
use crate::cli::process::table;
use crate::cli::standard_stream::StandardStream;
use crate::cli::{count, daemon};
use crate::duration::{self, Limit};
use crate::engine::completion;
use crate::engine::{EngineError, ExitStatus, RunRequest, Slug};
use crate::jsonl::{self, StrictValue};
use crate::process::messages::{self, MessageError};

/// The arguments of `rigup start`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = include_str!("help/start.txt"),
    override_usage = "rigup start <DAEMON>...\n       rigup start [OPTIONS] --slug <NAME> -- <CMD>..."
)]
pub(crate) struct StartArgs {
    /// Group the run with others of the same name (a-z, 0-9, - and _)
    #[arg(long, value_name = "NAME", requires = "command", add = values(completion::slugs))]
    slug: Option<Slug>,
    /// Describe the run
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    description: String,
    /// Do not start the run if N runs with this slug are live
    #[arg(long, value_name = "N", value_parser = count::parse::<u32>)]
    max_live: Option<u32>,
    /// Terminate the run after TIME, or never (`none`)
    #[arg(long, value_name = "TIME", default_value = "8h", value_parser = duration::parse_positive_limit)]
    max_runtime: Limit,
    /// Remove logs TIME after exit, or never (`none`)
    #[arg(long, value_name = "TIME", default_value = "1d", value_parser = duration::parse_limit)]
    ttl: Limit,
    /// Run CMD in DIR [default: the current folder]
    #[arg(long, value_name = "DIR")]
    cwd: Option<PathBuf>,
    /// Set a variable of CMD; repeatable
    #[arg(long, value_name = "K=V", value_parser = OsStringValueParser::new().try_map(|pair| parse_variable(&pair)))]
    env: Vec<(String, OsString)>,
    /// Start these daemons instead of a run
    #[arg(value_name = "DAEMON", conflicts_with = "slug", add = values(completion::daemons))]
    names: Vec<String>,
    /// The command and its arguments
    #[arg(last = true, requires = "slug", conflicts_with = "names", value_name = "CMD", add = command())]
    command: Vec<OsString>,
}

/// The arguments of `rigup post`.
#[derive(Debug, clap::Args)]
#[command(after_help = include_str!("help/post.txt"))]
pub(crate) struct PostArgs {
    /// The text of the message; one that is JSON keeps its type
    #[arg(allow_negative_numbers = true)]
    text: String,
    /// Further fields of the message; a VALUE that is JSON keeps its type
    #[arg(value_name = "KEY=VALUE")]
    extra: Vec<String>,
}

/// The arguments of `rigup result`.
#[derive(Debug, clap::Args)]
#[command(after_help = include_str!("help/result.txt"))]
pub(crate) struct ResultArgs {
    /// Any JSON value; `-` reads it from standard input
    #[arg(value_name = "JSON", allow_negative_numbers = true)]
    value: String,
}

/// Splits `NAME=VALUE`. The value may have any bytes.
fn parse_variable(pair: &OsStr) -> Result<(String, OsString), &'static str> {
    let bytes = pair.as_bytes();
    let end =
        memchr::memchr(b'=', bytes).ok_or("use NAME=VALUE; CMD gets all variables of the caller anyway")?;
    let name = std::str::from_utf8(&bytes[..end]).map_err(|_| "the name is not UTF-8")?;
    Ok((name.to_owned(), OsStr::from_bytes(&bytes[end + 1..]).to_owned()))
}

/// Runs `rigup start`.
pub(crate) fn start(args: StartArgs, context: &mut Context) -> CommandResult {
    let mut command = args.command.into_iter();
    let (Some(slug), Some(program)) = (args.slug, command.next()) else {
        if args.names.is_empty() {
            return Err(CliError::usage(
                "cannot start: no daemon and no command is named; use `rigup start NAME...` for daemons, or \
                 `rigup start --slug NAME -- CMD` for a run",
            ));
        }
        return daemon::start(args.names, context);
    };
    let request = RunRequest {
        slug,
        description: args.description,
        program,
        args: command.collect(),
        cwd: match args.cwd {
            Some(folder) => std::path::absolute(folder).map_err(EngineError::CurrentDir)?,
            // As in a shell, a command can run in a folder that was removed.
            None => std::env::current_dir().unwrap_or_else(|_| ".".into()),
        },
        env: args.env,
        max_live: args.max_live,
        max_runtime: args.max_runtime.0,
        ttl: args.ttl.0,
    };
    let process = context.engine(&print_event)?.start(request)?;
    table::write(std::slice::from_ref(&process), &mut context.output);
    match process.exit().filter(|_exit| process.running().is_none()) {
        Some(exit) => Err(CliError::not_found(exit.stderr_tail.clone())),
        None => Ok(ExitStatus::Success),
    }
}

/// Runs `rigup post`. Prints nothing, because standard output is the log of the run.
pub(crate) fn post(args: &PostArgs, context: &Context) -> CommandResult {
    let mut extra = Map::new();
    for pair in &args.extra {
        let named = pair.split_once('=').filter(|(key, _)| !matches!(*key, "" | "time" | "text"));
        let (key, value) = named.ok_or_else(|| {
            CliError::usage(format!("{pair:?} is not KEY=VALUE with a KEY other than `time` and `text`"))
        })?;
        if extra.insert(key.to_owned(), posted(value)?).is_some() {
            return Err(CliError::usage(format!("the field {key:?} is given twice")));
        }
    }
    let text = posted(&args.text)?;
    let run_dir = messages::current(&context.settings.environment)?;
    messages::post(&run_dir, text, extra)?;
    Ok(ExitStatus::Success)
}

/// Returns the value that a word on the command line stands for: JSON if it is JSON, otherwise the word as a string.
fn posted(word: &str) -> Result<Value, CliError> {
    match serde_json::from_str(word) {
        Ok(StrictValue(value)) => Ok(value),
        Err(error) if error.is_data() => Err(CliError::usage(format!(
            "cannot post {word:?}: {}; to post it as text, quote it twice: '\"...\"'",
            jsonl::parse_error(&error)
        ))),
        Err(_) => Ok(word.into()),
    }
}

/// Runs `rigup result`. Prints nothing, like `post`.
pub(crate) fn result(args: &ResultArgs, context: &Context) -> CommandResult {
    let mut text = args.value.clone();
    if text == "-" {
        text.clear();
        let read = StandardStream(io::stdin()).read_to_string(&mut text);
        read.map_err(|error| CliError::usage(format!("cannot read standard input: {error}")))?;
    }
    let StrictValue(value) = serde_json::from_str(&text).map_err(|error| {
        CliError::usage(if error.is_data() {
            format!("the result is refused: {error}")
        } else {
            format!("the result is not JSON: {error}; quote a text twice: '\"done\"'")
        })
    })?;
    let run_dir = messages::current(&context.settings.environment)?;
    messages::set_result(&run_dir, &value)?;
    Ok(ExitStatus::Success)
}

impl From<MessageError> for CliError {
    fn from(error: MessageError) -> Self {
        match error {
            MessageError::TooLong(..) | MessageError::TooDeep(_) => Self::usage(error),
            MessageError::NotInRun | MessageError::NotRunDir(_) => Self::not_found(error),
            MessageError::Io(error) => Self::setup(format!("cannot write to the run dir: {error}")),
        }
    }
}
