//! The line of a program's standard error that says why the program failed.

use std::borrow::Cow;

/// The beginning of the last line that clap, which most Rust programs use, prints below a usage error.
const CLAP_END: &str = "For more information";

/// Returns the line that says why a program failed, or `None` if there is none: the last line or, if that belongs to the
/// stack of an exception, to what Node prints below it, or to the usage that clap prints below an error, the exception or
/// the error.
pub(crate) fn find(stderr: &str) -> Option<Cow<'_, str>> {
    let lines: Vec<&str> = stderr.lines().filter(|line| !line.trim().is_empty()).collect();
    let last = *lines.last()?;
    if last.starts_with(CLAP_END)
        && let Some(error) = usage_error(&lines)
    {
        return Some(error.into());
    }
    let is_frame = |line: &&str| line.trim_start().starts_with("at ") && line.starts_with([' ', '\t']);
    let is_from_node = last.starts_with("Node.js v");
    let exception = if is_from_node || last == "}" || is_frame(&last) {
        // Node prints the line of the source, carets, then the exception.
        let is_marked = |line: &&str| line.trim().bytes().all(|byte| byte == b'^');
        let carets = lines.iter().rposition(is_marked).filter(|_| is_from_node);
        let above_stack = || {
            let stack = lines.iter().rposition(is_frame)?;
            lines[..stack].iter().rposition(|line| !is_frame(line))
        };
        carets.map(|carets| carets + 1).or_else(above_stack)
    } else {
        None
    };
    Some(exception.map_or(last, |at| lines[at]).trim().into())
}

/// Returns the usage error of clap, with the arguments that it lists below.
fn usage_error(lines: &[&str]) -> Option<String> {
    let error = lines.iter().rposition(|line| line.starts_with("error: "))?;
    let listed = lines[error + 1..].iter().take_while(|line| line.starts_with("  "));
    let listed = listed.map(|line| line.trim()).filter(|line| !line.starts_with("tip: "));
    Some([lines[error].trim()].into_iter().chain(listed).collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_of_a_process_is_above_the_stack_of_its_exception() {
        let stack = "    at f (/p/a.js:1:30)\n    at node:internal/main:28:49";
        for (stderr, expected) in [
            ("one\n two \n\n".to_owned(), "two"),
            (format!("log\n/p/a.js:1\nx\n ^\n\nError: a\n{stack}\n\nNode.js v20.1.0\n"), "Error: a"),
            (
                format!("x\n ^\n\nError: a\n\n- /p/a.js\n{stack} {{\n  code: 1\n}}\n\nNode.js v20\n"),
                "Error: a",
            ),
            ("throw {a:1}\n^\n{ a: 1 }\n\nNode.js v20\n".to_owned(), "{ a: 1 }"),
            (format!("log\nError: a\n{stack}\n"), "Error: a"),
            (format!("Error: a\n{stack} {{\n  code: 1\n}}\n"), "Error: a"),
            ("    at f (/p/a.js:1:30)\n".to_owned(), "at f (/p/a.js:1:30)"),
            ("{\n  \"a\": 1\n}\n".to_owned(), "}"),
        ] {
            assert_eq!(find(&stderr).as_deref(), Some(expected), "{stderr}");
        }
        assert_eq!(find(" \n"), None);
    }

    #[test]
    fn the_error_of_clap_is_above_its_usage() {
        let end = "\n\nUsage: rigup hook begin --provider <NAME>\n\nFor more information, try '--help'.\n";
        for (error, expected) in [
            (
                "log\nerror: unexpected argument '--x' found\n\n  tip: a similar argument exists: '--y'",
                "error: unexpected argument '--x' found",
            ),
            (
                "error: the following required arguments were not provided:\n  --provider <NAME>\n  <KEY>",
                "error: the following required arguments were not provided: --provider <NAME> <KEY>",
            ),
            (
                "error: invalid value 'a'\n  [possible values: b, c]",
                "error: invalid value 'a' [possible values: b, c]",
            ),
        ] {
            assert_eq!(find(&format!("{error}{end}")).as_deref(), Some(expected));
        }
        assert_eq!(
            find("For more information, see the page\n").as_deref(),
            Some("For more information, see the page")
        );
    }
}
