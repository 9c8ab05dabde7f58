//! `rigup hook repository`: the repositories of a program.

use crate::cli::command::Context;
use crate::cli::message::message;
use crate::toolkit::repository;

/// Prints the repositories on GitHub whose releases contain a program. Returns whether there is one.
pub(crate) fn print(program: &str, context: &mut Context) -> bool {
    let repositories = repository::repositories(program);
    for repository in &repositories {
        context.output.line(repository);
    }
    if repositories.is_empty() {
        let programs = repository::programs_of(program);
        let hint = if programs.is_empty() {
            String::new()
        } else {
            format!("; the project of this name releases {}", programs.join(", "))
        };
        message!("no repository of a program called {program} is known{hint}");
    }
    !repositories.is_empty()
}
