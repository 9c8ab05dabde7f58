//! The command line: one file for each command. Commands call the engine and print what it returns.

use std::ffi::{OsStr, OsString};
use std::process::ExitCode;

use clap::{Args, ColorChoice, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::cli::command::{CliError, CommandResult, Context, Verbosity};
use crate::cli::command_report::{PendingReport, ReportOptions};
use crate::cli::generate::GenerateCommand;
use crate::cli::hook::{AddArguments, HookCommand};
use crate::cli::junit::JunitArgs;
use crate::cli::message::{error, warning};
use crate::cli::output::{Format, Output};
use crate::cli::output_queue::STDERR;
use crate::engine::{EngineError, ExitStatus};
use crate::process::{prepare_executable, signals};
use crate::settings::{Environment, FORMAT_VARIABLE, Flags, Settings, SettingsUse};

mod apply;
mod attachment;
mod background_supervisor;
mod binary;
mod choice;
mod ci;
mod ci_log;
mod cli_error;
mod command;
mod command_report;
mod completions;
mod config;
mod count;
mod daemon;
mod daemon_binaries;
mod doctor;
mod env;
mod events;
mod exec;
mod failure;
mod generate;
mod graph;
mod hook;
mod init;
mod install;
mod junit;
mod launch;
mod line_printer;
mod list;
mod lock;
mod logs;
mod machine;
mod man_pages;
mod message;
mod outdated;
mod output;
mod output_file;
mod output_queue;
mod plugin;
mod process;
mod progress;
mod report;
mod run;
mod show_logs;
mod standard_stream;
mod start;
mod stats;
mod status_display;
mod timings;
mod typed;
mod uninstall;
mod up;
mod upgrade;
mod usage;
mod waiter;
mod which;
mod why;

/// Installs the binaries that plugins require, runs their hooks, and records every process it starts
#[derive(Debug, Parser)]
#[command(name = "rigup", version, after_help = include_str!("cli/help/rigup.txt"), max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// The options of every command.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Global options")]
struct Global {
    #[command(flatten)]
    folders: Flags,
    /// Print JSONL instead of tables
    #[arg(long, global = true, conflicts_with = "format")]
    json: bool,
    /// Print data as `table` or `jsonl` [env: RIGUP_FORMAT]
    #[arg(long, global = true, value_name = "FORM", hide_possible_values = true)]
    format: Option<Format>,
    /// Use color
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    color: ColorChoice,
    #[command(flatten)]
    verbosity: Verbosity,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Install the binaries that plugins require, or only the given ones
    Install(install::InstallArgs),
    /// Write the installed versions to a lock file, for `install --locked`
    Lock(lock::LockArgs),
    /// Report which binaries are installed, without installing any
    Load(install::LoadArgs),
    /// Show which installed binaries have a newer version
    Outdated(outdated::OutdatedArgs),
    /// Install newer versions of installed binaries
    Upgrade(upgrade::UpgradeArgs),
    /// Remove binaries with the files that no other binary uses
    Uninstall(uninstall::UninstallArgs),
    /// Read records, resolve requests, store the rest, and print the results
    Apply(apply::ApplyArgs),
    /// Run every hook of one or more events
    Run(run::RunArgs),
    /// Run a command with the installed binaries first on PATH
    Exec(exec::ExecArgs),
    /// List the binaries of this machine with their sizes and last errors
    #[command(after_help = include_str!("cli/help/list.txt"))]
    List,
    /// Explain which plugins require a binary, how it was installed, or why it is not
    Why(why::WhyArgs),
    /// Print where installed binaries are
    Which(which::WhichArgs),
    /// Find what keeps rigup or installed programs from working
    #[command(after_help = include_str!("cli/help/doctor.txt"))]
    Doctor,
    /// Print what puts the installed binaries on the PATH of a shell
    Env(env::EnvArgs),
    /// Start the daemons that a manifest declares, and supervise them
    Up(up::UpArgs),
    /// Stop all daemons and their supervisor
    #[command(after_help = include_str!("cli/help/down.txt"))]
    Down(up::DownArgs),
    /// List the daemons and runs that are alive
    Ps(daemon::PsArgs),
    /// Start daemons by name, or a detached run, which outlives its caller
    Start(start::StartArgs),
    /// Stop daemons, which stay stopped until they are started by name
    #[command(after_help = include_str!("cli/help/stop.txt"))]
    Stop(daemon::NamesArgs),
    /// Stop and start daemons
    #[command(after_help = include_str!("cli/help/restart.txt"))]
    Restart(daemon::NamesArgs),
    /// Wait until daemons have ended, and exit with the code of the first that failed
    #[command(after_help = include_str!("cli/help/wait.txt"))]
    Wait(daemon::NamesArgs),
    /// Print the logs of daemons, or what processes wrote
    Logs(logs::LogsArgs),
    /// Print the CPU use, memory, reads and writes of daemons
    Stats(stats::StatsArgs),
    /// Show what the declared daemons wait for
    Graph(graph::GraphArgs),
    /// Write files for other programs: a systemd unit, man pages
    #[command(subcommand)]
    Generate(generate::GenerateCommand),
    /// Write a page about what is installed, what failed, and what ran
    Report(report::ReportArgs),
    /// Print the events of daemons as they happen
    Events(events::EventsArgs),
    /// Post a progress message from inside a run
    Post(start::PostArgs),
    /// Store the final result from inside a run
    Result(start::ResultArgs),
    /// Show the plugins on the search path
    #[command(subcommand)]
    Plugin(plugin::PluginCommand),
    /// Show every setting with its value and origin
    Config(config::ConfigArgs),
    /// List and test hooks, or call the toolkit from a hook script
    #[command(subcommand)]
    Hook(hook::HookCommand),
    /// Print the script with which a shell completes rigup's commands, options and names
    Completions(completions::CompletionsArgs),
    /// Create a plugin or provider from a working template
    #[command(subcommand)]
    Init(init::InitCommand),
    /// Show and edit the records of binaries
    #[command(subcommand)]
    Binary(binary::BinaryCommand),
    /// Show, wait for and terminate processes
    #[command(subcommand)]
    Process(process::ProcessCommand),
    /// Show and edit the records of machines
    #[command(subcommand)]
    Machine(machine::MachineCommand),
}

/// The command line of a rigup that rigup starts itself. It is parsed without the other commands, because their parser takes
/// longer to build than a waiter takes to start.
#[derive(Debug, Parser)]
#[command(name = "rigup")]
struct InternalCli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: InternalCommand,
}

#[derive(Debug, Subcommand)]
enum InternalCommand {
    /// Wait for a background process
    #[command(name = crate::process::waiter::COMMAND)]
    Waiter(waiter::WaiterArgs),
    /// Become a program with another user, priority or limit
    #[command(name = crate::process::launcher::COMMAND)]
    Launch(launch::LaunchArgs),
    /// Supervise daemons in the background
    #[command(name = background_supervisor::SUPERVISE)]
    Supervise,
    /// Install what is due whenever a retry time comes
    #[cfg(target_os = "linux")]
    #[command(name = crate::supervisor::manifest::RETRY)]
    Retry,
}

/// Runs the executable.
pub fn main() -> ExitCode {
    prepare_executable();
    let status = run_command_line();
    // Whether someone reads the messages does not change the exit code.
    let _ = STDERR.drain();
    if let ExitStatus::Interrupted(signal) = status {
        signals::die_of(signal);
    }
    ExitCode::from(status.code())
}

/// Runs the command line of this process. Everything is stored, released and printed when this returns.
fn run_command_line() -> ExitStatus {
    let name = std::env::args_os().nth(1).unwrap_or_default();
    if InternalCommand::has_subcommand(&name.to_string_lossy()) {
        return InternalCli::try_parse()
            .map_or_else(|error| usage::print(error, command_line()), run_internal);
    }
    if completions::complete(command_line) {
        return ExitStatus::Success;
    }
    let environment = Environment::of_this_process();
    ci_log::set_reader(ci::system_of(&environment));
    let of_named = named_command().and_then(|command| command.try_get_matches().ok());
    let matches = of_named.map_or_else(|| command_line().try_get_matches(), Ok);
    let parsed = matches.and_then(|matches| Cli::from_arg_matches(&matches));
    let parsed = parsed.map_err(|error| {
        typed::with_tip(usage::with_printable_arguments(error, command_line()), command_line())
    });
    match parsed {
        Err(error) => {
            let reported = command_report::of_parser(&error);
            let status = usage::print(error, command_line());
            if let Some(error) = reported {
                let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
                let options = ReportOptions::of_rejected(&arguments, &command_line());
                let _ = options.publish(PendingReport::default(), Some(&error), &environment);
            }
            status
        }
        Ok(Cli { global, command }) => {
            let (uses, options) = (command.settings_use(), command.report_options());
            let environment =
                if command.has_one_form() { environment.without(FORMAT_VARIABLE) } else { environment };
            run_with_settings(global, environment, uses, options, |context| run(command, context))
        }
    }
}

/// Returns the parser of the command line.
fn command_line() -> clap::Command {
    typed::with_aliases(Cli::command())
}

/// The commands that scripts, hooks and prompts run often.
const FREQUENT: [(&str, AddArguments); 12] = [
    ("apply", apply::ApplyArgs::augment_args),
    ("env", env::EnvArgs::augment_args),
    ("exec", exec::ExecArgs::augment_args),
    ("install", install::InstallArgs::augment_args),
    ("load", install::LoadArgs::augment_args),
    ("lock", lock::LockArgs::augment_args),
    ("post", start::PostArgs::augment_args),
    ("result", start::ResultArgs::augment_args),
    ("run", run::RunArgs::augment_args),
    ("start", start::StartArgs::augment_args),
    ("upgrade", upgrade::UpgradeArgs::augment_args),
    ("which", which::WhichArgs::augment_args),
];

/// Returns a parser that knows only the command which the first arguments of this process name, or `None` if that is not a
/// frequent one. It accepts what [`command_line`] accepts, and takes a sixth of the time to build. Its errors and its help
/// differ.
fn named_command() -> Option<clap::Command> {
    let mut names = std::env::args_os().skip(1);
    let name = names.next()?;
    let command = if name == "hook" {
        clap::Command::new("hook").subcommand(find_frequent(&hook::FREQUENT, &names.next()?)?)
    } else {
        find_frequent(&FREQUENT, &name)?
    };
    Some(Global::augment_args(clap::Command::new("rigup")).subcommand(command))
}

fn find_frequent(commands: &[(&'static str, AddArguments)], name: &OsStr) -> Option<clap::Command> {
    let (name, add_arguments) = commands.iter().find(|(frequent, _)| name == *frequent)?;
    Some(add_arguments(clap::Command::new(*name)))
}

fn run_internal(InternalCli { global, command }: InternalCli) -> ExitStatus {
    let environment = Environment::of_this_process();
    match command {
        InternalCommand::Waiter(args) => waiter::run(args, global.folders, &environment),
        InternalCommand::Launch(args) => launch::run(args, &environment),
        InternalCommand::Supervise => {
            let uses = SettingsUse::Values;
            run_with_settings(global, environment, uses, None, background_supervisor::supervise)
        }
        #[cfg(target_os = "linux")]
        InternalCommand::Retry => {
            run_with_settings(global, environment, SettingsUse::Values, None, |context| {
                Ok(crate::engine::retry::run(&context.settings, &message::print_event)?)
            })
        }
    }
}

/// Runs a command that needs the settings. Prints its error, and publishes its report.
fn run_with_settings(
    global: Global,
    environment: Environment,
    uses: SettingsUse,
    options: Option<ReportOptions>,
    run: impl FnOnce(&mut Context) -> CommandResult,
) -> ExitStatus {
    let Global { folders, json, format, color, verbosity } = global;
    let output = Output::new(format.or(json.then_some(Format::Jsonl)), color, &environment);
    let options = options.map(|options| (options, environment.clone()));
    let mut report = PendingReport::default();
    let status = output.map_err(CliError::usage).and_then(|output| {
        let settings = Settings::merge_for(uses, folders, environment)?;
        // A rigup that runs this one because of a record has printed them.
        let is_printed = settings.followed.is_none() && uses != SettingsUse::Examined;
        for warning in settings.file_errors.iter().chain(&settings.warnings).filter(|_| is_printed) {
            warning!("{warning}");
        }
        let mut context = Context { settings, output, verbosity, report: PendingReport::default() };
        let status = run_and_flush(run, &mut context);
        report = context.report;
        status
    });
    let (status, ended_by) = match status {
        Ok(status @ ExitStatus::Interrupted(signal)) => {
            (status, Some(EngineError::Interrupted(signal).into()))
        }
        Ok(status) => (status, None),
        Err(error) => {
            error!("{error}");
            (error.status, Some(error))
        }
    };
    let published =
        options.map(|(options, environment)| options.publish(report, ended_by.as_ref(), &environment));
    if let Some(Err(error)) = published {
        error!("{error}");
        return status.or_incomplete();
    }
    status
}

fn run_and_flush(run: impl FnOnce(&mut Context) -> CommandResult, context: &mut Context) -> CommandResult {
    let status = run(context);
    let interrupted_by = signals::interrupted_by();
    let finished = context.output.finish();
    let status = status?;
    finished.map_err(|error| usage::output_error(&error))?;
    // A signal counts until everything is printed.
    let during = signals::interrupted_by().filter(|_| interrupted_by.is_none());
    Ok(during.map_or(status, ExitStatus::Interrupted))
}

impl Command {
    /// Returns the options for its report, or `None` if it only prints what it did.
    fn report_options(&self) -> Option<ReportOptions> {
        let (command, ci, junit) = match self {
            Self::Install(args) => ("rigup install", Some(args.ci), args.junit.clone()),
            Self::Load(args) => ("rigup load", Some(args.ci), JunitArgs::default()),
            Self::Lock(args) => ("rigup lock", Some(args.ci), JunitArgs::default()),
            Self::Run(args) => ("rigup run", Some(args.ci), args.junit.clone()),
            Self::Hook(HookCommand::Test(args)) => ("rigup hook test", None, args.junit.clone()),
            _ => return None,
        };
        Some(ReportOptions { command: command.to_owned(), ci, junit })
    }

    /// Returns how it uses the settings.
    fn settings_use(&self) -> SettingsUse {
        use Command::{
            Completions, Config, Doctor, Down, Env, Events, Generate, Hook, Init, Logs, Post, Process, Ps,
            Report, Restart, Stats, Stop, Wait, Which,
        };
        match self {
            Doctor => SettingsUse::Examined,
            // What a file keeps must not be removed by the default limits.
            Process(command) if command.prunes() => SettingsUse::Values,
            Down(..) | Events(..) | Logs(..) | Process(..) | Ps(..) | Report(..) | Restart(..)
            | Stats(..) | Stop(..) | Wait(..) | Which(..) => SettingsUse::Folders,
            Config(args) if args.is_path() => SettingsUse::Paths,
            Completions(..)
            | Env(..)
            | Generate(GenerateCommand::Man { .. })
            | Hook(HookCommand::Ready)
            | Init(..)
            | Post(..)
            | Self::Result(..) => SettingsUse::Paths,
            _ => SettingsUse::Values,
        }
    }

    /// Whether it prints the same in each form of data, so that it does not read `RIGUP_FORMAT`. Startup files and scripts
    /// run these commands.
    fn has_one_form(&self) -> bool {
        match self {
            Self::Completions(..) | Self::Env(..) | Self::Post(..) | Self::Result(..) | Self::Which(..) => {
                true
            }
            Self::Config(args) => args.is_path(),
            _ => false,
        }
    }
}

fn run(command: Command, context: &mut Context) -> CommandResult {
    match command {
        Command::Install(args) => install::install(args, context),
        Command::Lock(args) => lock::lock(args, context),
        Command::Load(args) => install::load(args, context),
        Command::Outdated(args) => outdated::outdated(args, context),
        Command::Upgrade(args) => upgrade::upgrade(args, context),
        Command::Uninstall(args) => uninstall::uninstall(&args, context),
        Command::Apply(args) => apply::apply(&args, context),
        Command::Run(args) => run::run(args, context),
        Command::List => list::list(context),
        Command::Why(args) => why::why(&args, context),
        Command::Which(args) => which::which(&args, context),
        Command::Doctor => doctor::doctor(context),
        Command::Env(args) => env::env(&args, context),
        Command::Exec(args) => exec::exec(&args, context),
        Command::Start(args) => start::start(args, context),
        Command::Post(args) => start::post(&args, context),
        Command::Result(args) => start::result(&args, context),
        Command::Plugin(command) => plugin::run(command, context),
        Command::Config(args) => config::config(&args, context),
        Command::Completions(args) => completions::completions(&args, context),
        Command::Hook(command) => hook::run(command, context),
        Command::Init(command) => init::run(command, context),
        Command::Binary(command) => binary::run(command, context),
        Command::Process(command) => process::run(command, context),
        Command::Machine(command) => machine::run(command, context),
        Command::Up(args) => up::up(args, context),
        Command::Down(args) => up::down(&args, context),
        Command::Ps(args) => daemon::ps(&args, context),
        Command::Stop(args) => daemon::stop(&args, context),
        Command::Restart(args) => daemon::restart(args, context),
        Command::Wait(args) => daemon::wait(&args, context),
        Command::Stats(args) => stats::stats(args, context),
        Command::Graph(args) => graph::graph(&args, context),
        Command::Generate(command) => {
            let command_line = || usage::without_global_options(Cli::command().disable_help_subcommand(true));
            generate::run(&command, command_line, context)
        }
        Command::Report(args) => report::report(args, context),
        Command::Events(args) => events::events(args, context),
        Command::Logs(args) => logs::logs(args, context),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parser_of_a_frequent_command_has_its_arguments() {
        let all = command_line();
        let hooks = all.find_subcommand("hook").unwrap();
        for (commands, frequent) in [(&all, &FREQUENT[..]), (hooks, &hook::FREQUENT)] {
            for (name, _) in frequent {
                let named = find_frequent(frequent, OsStr::new(name)).unwrap();
                let expected = commands.find_subcommand(name).unwrap();
                assert!(named.get_arguments().eq(expected.get_arguments()), "{name}");
            }
        }
    }
}
