//! The command line: one file per command. Commands call the library and hand values to `report`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::cli::error::{CliError, Exit};
use crate::cli::output::{ColorChoice, Output, say};
use crate::settings::{Environment, Flags, Settings};

mod apply;
mod binary;
mod config;
mod error;
mod exec;
mod hook;
mod init;
mod input;
mod install;
mod lock;
mod lockfile;
mod machine;
mod output;
mod plugin;
mod process;
mod progress;
mod run;
mod search;
mod session;
mod start;
mod timings;
mod waiter;
mod work;
mod workshop;

const EXAMPLES: &str = "\
Examples:
  rigup install                         everything that the plugins here require
  rigup install --plugins git,ytdlp     just what these two require
  rigup install jq --min-version 1.6    a binary that no plugin requires
  rigup load                            what is there already; installs nothing
  rigup process tree                    what was run, and how it ended

Exit codes:
  0  all well
  1  something asked for was not got; each is named with its reason
  2  wrong use
  3  rigup cannot work: the data dir, a setting, a lock file, or a plugin asked for by name is unusable
  129, 130, 143  interrupted; every child was ended first";

/// Gets the binaries that plugins need, runs their hooks, and keeps a true record of every process it starts.
#[derive(Debug, Parser)]
#[command(name = "rigup", version, after_help = EXAMPLES, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// Options of every command.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Global options")]
struct Global {
    /// Records, logs and what providers install (env: `RIGUP_DATA_DIR`, `DATA_DIR`; default: ~/.local/share/rigup)
    #[arg(long, global = true, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Where providers install (env: `RIGUP_LIB_DIR`, `LIB_DIR`; default: `DATA_DIR/lib/<arch>-<os>`)
    #[arg(long, global = true, value_name = "DIR")]
    lib_dir: Option<PathBuf>,
    /// Where binaries are linked (env: `RIGUP_LIB_BIN_DIR`, `LIB_BIN_DIR`; default: `LIB_DIR/bin`)
    #[arg(long, global = true, value_name = "DIR")]
    lib_bin_dir: Option<PathBuf>,
    /// A folder of plugins or providers, before RIGUP_PLUGINS_DIR, ./plugins and ./providers; repeatable
    #[arg(long, global = true, value_name = "DIR")]
    plugins_dir: Vec<PathBuf>,
    /// Trust this folder with all that is in it, whoever may write there; repeatable (env: `RIGUP_TRUST_DIR`, or
    /// `trust_dirs` in rigup.toml)
    #[arg(long, global = true, value_name = "DIR")]
    trust_dir: Vec<PathBuf>,
    /// Print JSONL, also on a terminal
    #[arg(long, global = true)]
    json: bool,
    /// When to use color
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    color: ColorChoice,
    /// Say nothing but errors on stderr
    #[arg(long, short, global = true)]
    quiet: bool,
    /// Say more on stderr: every attempt with its reason and the command to see its log
    #[arg(long, short, global = true, conflicts_with = "quiet")]
    verbose: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Get the binaries that plugins require, or just the named ones
    Install(install::InstallArgs),
    /// Write down what was got, so that `install --locked` gets exactly that elsewhere
    Lock(lock::LockArgs),
    /// Tell what is there already; installs nothing, exit 1 where something is missing
    Load(install::LoadArgs),
    /// JSONL in, JSONL out: requests are resolved, records are stored, anything else passes through
    Apply(apply::ApplyArgs),
    /// Run every hook of an event: foreground ones in order, background ones beside them
    Run(run::RunArgs),
    /// Run a command with what was installed first on PATH, and record it
    Exec(exec::ExecArgs),
    /// Start a run that outlives its caller, and print its record
    Start(start::StartArgs),
    /// Inside a run: say how it goes
    Post(start::PostArgs),
    /// Inside a run: say what came of it
    Result(start::ResultArgs),
    /// What lies in the plugin folders
    #[command(subcommand)]
    Plugin(plugin::PluginCommand),
    /// Every setting of every plugin, its value, and where that comes from
    Config(config::ConfigArgs),
    /// The hooks that are found, and what hook scripts get from rigup
    #[command(subcommand)]
    Hook(hook::HookCommand),
    /// Write a plugin or a provider to begin with
    #[command(subcommand)]
    Init(init::InitCommand),
    /// The binaries that were asked for, and what became of them
    #[command(subcommand)]
    Binary(binary::BinaryCommand),
    /// Every process that was started, with its ending and its logs
    #[command(subcommand)]
    Process(process::ProcessCommand),
    /// The machine that rigup runs on, and others whose records are here
    #[command(subcommand)]
    Machine(machine::MachineCommand),
    /// What rigup starts itself as, to see a background process out
    #[command(hide = true, name = crate::process::waiter::COMMAND)]
    Waiter(waiter::WaiterArgs),
    /// Short for `process list`
    #[command(hide = true)]
    Ps(process::ListArgs),
    /// Short for `process logs`
    #[command(hide = true)]
    Logs(process::logs::LogsArgs),
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage } else { Exit::Well }.into();
        }
    };
    let environment = Environment::of_this_process();
    let mut output = Output::new(cli.global.json, cli.global.color, &environment);
    let talk = output::Talk { quiet: cli.global.quiet, verbose: cli.global.verbose };
    let flags = Flags {
        data_dir: cli.global.data_dir,
        lib_dir: cli.global.lib_dir,
        lib_bin_dir: cli.global.lib_bin_dir,
        plugins_dirs: cli.global.plugins_dir,
        trust_dirs: cli.global.trust_dir,
    };
    let done = Settings::merge(flags, environment).map_err(CliError::unusable).and_then(|settings| {
        settings.warnings.iter().for_each(|it| say(&format!("warning: {it}")));
        run(cli.command, &settings, &mut output, talk)
    });
    match done.and_then(|exit| match output.flush() {
        Ok(()) | Err(CliError::OutputClosed) => Ok(exit),
        Err(error) => Err(error),
    }) {
        Ok(exit) => exit.into(),
        Err(error) => {
            if let Some(message) = error.message() {
                say(&format!("error: {message}"));
            }
            error.exit().into()
        }
    }
}

fn run(
    command: Command,
    settings: &Settings,
    output: &mut Output,
    talk: output::Talk,
) -> Result<Exit, CliError> {
    match command {
        Command::Install(args) => install::install(args, settings, output, talk),
        Command::Lock(args) => lock::lock(args, settings, output, talk),
        Command::Load(args) => install::load(args, settings, output, talk),
        Command::Apply(args) => apply::apply(&args, settings, output, talk),
        Command::Run(args) => run::run(args, settings, output, talk),
        Command::Exec(args) => exec::exec(&args, settings),
        Command::Start(args) => start::start(args, settings, output),
        Command::Post(args) => start::post(&args, settings),
        Command::Result(args) => start::result(&args, settings),
        Command::Waiter(args) => waiter::run(args, settings, output),
        Command::Plugin(command) => plugin::run(command, settings, output),
        Command::Config(args) => config::config(&args, settings, output),
        Command::Hook(command) => hook::run(command, settings, output, talk),
        Command::Init(command) => init::run(command, output),
        Command::Binary(command) => binary::run(command, settings, output),
        Command::Process(command) => process::run(command, settings, output),
        Command::Machine(command) => machine::run(command, settings, output),
        Command::Ps(args) => process::list(args, settings, output),
        Command::Logs(args) => process::logs::logs(&args, settings, output),
    }
}
