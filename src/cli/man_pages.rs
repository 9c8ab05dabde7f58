//! `rigup generate man`: a page for each command, for packages.

use std::io;
use std::path::{Path, PathBuf};

use clap::{Arg, ArgAction, Command};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, italic, roman};
use serde_json::json;

use crate::cli::command::{CliError, CommandResult, Context};
use crate::cli::output_file::OutputFile;
use crate::engine::ExitStatus;

/// Writes a page for a command and for each of its subcommands into a folder, and prints their paths.
pub(crate) fn write(command: &Command, dir: &Path, context: &mut Context) -> CommandResult {
    for (name, page) in pages(command).map_err(CliError::setup)? {
        let file = OutputFile::open(dir.join(name), "the page")?;
        file.write(&page)?;
        let path = file.path();
        if context.output.is_json() {
            context.output.records([json!({ "type": "ManPage", "path": path })]);
        } else {
            context.output.path(path);
        }
    }
    Ok(ExitStatus::Success)
}

/// Returns the name and the text of each page, in the order of the help.
fn pages(command: &Command) -> io::Result<Vec<(PathBuf, Vec<u8>)>> {
    let man = Man::new(command.clone()).source(concat!("rigup ", env!("CARGO_PKG_VERSION")));
    // Without a date, the pages are the same each time. An empty one would be left out, and the next field taken for it.
    let man = man.date(" ").manual("User Commands");
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    // Without hyphens and wide spaces, which look like those of the options. By itself, clap_mangen leaves out the values of
    // options, and what can be repeated.
    Roff::new().control("nh", []).control("ad", ["l"]).to_writer(&mut page)?;
    Man::new(command.clone().override_usage(synopsis(command))).render_synopsis_section(&mut page)?;
    Roff::new().control("hy", []).control("ad", ["b"]).to_writer(&mut page)?;
    arguments(command).to_writer(&mut page)?;
    let only_options = |arg: Arg| if arg.is_positional() { arg.hide(true) } else { arg };
    Man::new(command.clone().mut_args(only_options)).render_options_section(&mut page)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut page)?;
    }
    let notes = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    after_help(&notes).to_writer(&mut page)?;
    let mut pages = vec![(man.get_filename().into(), page)];
    for subcommand in command.get_subcommands().filter(|command| !command.is_hide_set()) {
        pages.extend(self::pages(subcommand)?);
    }
    Ok(pages)
}

/// Returns the usage with each option and its value in place of `[OPTIONS]`.
fn synopsis(command: &Command) -> String {
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ");
    let is_optional = |arg: &&Arg| {
        let is_listed =
            !arg.is_positional() && !arg.is_hide_set() && !matches!(arg.get_action(), ArgAction::Help);
        is_listed && !usage.contains(&arg.to_string())
    };
    let options: Vec<String> = command.get_arguments().filter(is_optional).map(option).collect();
    usage.replace("[OPTIONS]", &options.join(" "))
}

/// Returns an option as a synopsis has it: `[-j|--jobs <N>]`, with `...` if it can be repeated.
fn option(arg: &Arg) -> String {
    let short = arg.get_short().map(|short| format!("-{short}|")).unwrap_or_default();
    let is_repeatable = matches!(arg.get_action(), ArgAction::Append | ArgAction::Count);
    format!("[{short}{arg}]{}", if is_repeatable { "..." } else { "" })
}

/// Returns the section of the arguments, with `...` after those that can be repeated.
fn arguments(command: &Command) -> Roff {
    let mut roff = Roff::new();
    let mut arguments = command.get_positionals().filter(|arg| !arg.is_hide_set()).peekable();
    if arguments.peek().is_some() {
        roff.control("SH", ["ARGUMENTS"]);
    }
    for arg in arguments {
        roff.control("TP", []).text([italic(arg.to_string())]);
        roff.text([roman(arg.get_help().map(ToString::to_string).unwrap_or_default())]);
        let values: Vec<String> =
            arg.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect();
        if !values.is_empty() {
            roff.text([roman(format!("[possible values: {}]", values.join(", ")))]);
        }
    }
    roff
}

/// Returns what follows the options: sections such as `Examples:`, whose indented lines stay as they are, and paragraphs.
fn after_help(text: &str) -> Roff {
    let mut roff = Roff::new();
    let mut is_indented = false;
    for line in text.lines() {
        if !line.is_empty() && line.starts_with(' ') != is_indented {
            is_indented = !is_indented;
            roff.control(if is_indented { "nf" } else { "fi" }, []);
        }
        match line.strip_suffix(':') {
            Some(heading) if !is_indented => roff.control("SH", [heading.to_uppercase().as_str()]),
            _ if line.is_empty() => roff.control("PP", []),
            _ => roff.text([roman(line)]),
        };
    }
    roff
}
