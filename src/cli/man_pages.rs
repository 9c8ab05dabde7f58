//! `rigup generate man`: a page for each command, for packages.

use std::io;
use std::path::{Path, PathBuf};

use clap::Command;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};
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
            context.output.line(path.display());
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
    man.render_synopsis_section(&mut page)?;
    man.render_options_section(&mut page)?;
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
