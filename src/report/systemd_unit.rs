//! A unit of systemd that keeps a supervisor.

use std::fmt::Write as _;

/// The exit codes after which a further start would end in the same way: a daemon has failed for good, a usage error, and a
/// manifest that cannot be used.
const FINAL_EXIT_CODES: &str = "1 2 3";

/// The time after which systemd takes a silent supervisor for one that hangs.
const WATCHDOG: &str = "1min";

/// A unit of systemd, each value as it is, without quotes.
#[derive(Debug)]
pub(crate) struct SystemdUnit {
    /// The command that supervises in the foreground.
    pub start: Vec<String>,
    /// The command that stops all daemons.
    pub stop: Vec<String>,
    /// The folder in which both run.
    pub working_dir: String,
    /// Their variables.
    pub env: Vec<(&'static str, String)>,
    /// The user that runs them, or `None` for the service manager of a user.
    pub user: Option<String>,
}

impl SystemdUnit {
    /// Returns the text of the unit.
    pub(crate) fn text(&self) -> String {
        let command = |words: &[String]| {
            words.iter().map(|word| quoted(&word.replace('$', "$$"))).collect::<Vec<_>>().join(" ")
        };
        let mut text = format!("[Unit]\nDescription=Daemons of {}\n", percents(&self.working_dir));
        if self.user.is_some() {
            text.push_str("Wants=network-online.target\nAfter=network-online.target\n");
        }
        text.push_str("\n[Service]\nType=notify\nNotifyAccess=main\n");
        if let Some(user) = &self.user {
            let _ = writeln!(text, "User={user}");
        }
        let _ = writeln!(text, "WorkingDirectory={}", percents(&self.working_dir));
        for (name, value) in &self.env {
            let _ = writeln!(text, "Environment={}", quoted(&format!("{name}={value}")));
        }
        let _ = writeln!(text, "ExecStart={}\nExecStop={}", command(&self.start), command(&self.stop));
        text.push_str("# Daemons outlive a crash of the supervisor, and the next one takes them over.\n");
        text.push_str("KillMode=process\nRestart=on-failure\n");
        let _ = writeln!(text, "RestartPreventExitStatus={FINAL_EXIT_CODES}\nWatchdogSec={WATCHDOG}");
        // `rigup down` gives each daemon its own grace period.
        text.push_str("TimeoutStopSec=infinity\n");
        let target = if self.user.is_some() { "multi-user.target" } else { "default.target" };
        let _ = write!(text, "\n[Install]\nWantedBy={target}\n");
        text
    }
}

/// Quotes a word so that systemd reads it as it is.
fn quoted(word: &str) -> String {
    let word = percents(word);
    let is_plain = |letter: char| letter.is_alphanumeric() || "@%+=:,./_-$".contains(letter);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word;
    }
    format!(
        "\"{}\"",
        word.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n").replace('\t', "\\t")
    )
}

/// Doubles the sign of specifiers.
fn percents(text: &str) -> String {
    text.replace('%', "%%")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_has_each_value_as_systemd_reads_it() {
        let unit = SystemdUnit {
            start: ["/opt/my rigup", "up", "-f", "/srv/a\"b\\c/100%/$x"].map(str::to_owned).into(),
            stop: vec!["/opt/rigup".to_owned(), "down".to_owned()],
            working_dir: "/srv/my app/100%".to_owned(),
            env: vec![("PATH", "/bin:/x y".to_owned())],
            user: Some("me".to_owned()),
        };
        let text = unit.text();
        for line in [
            "Description=Daemons of /srv/my app/100%%",
            "User=me",
            "WorkingDirectory=/srv/my app/100%%",
            "Environment=\"PATH=/bin:/x y\"",
            r#"ExecStart="/opt/my rigup" up -f "/srv/a\"b\\c/100%%/$$x""#,
            "ExecStop=/opt/rigup down",
            "WantedBy=multi-user.target",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in {text}");
        }
        let text = SystemdUnit { user: None, ..unit }.text();
        assert!(
            text.contains("WantedBy=default.target") && !text.contains("User=") && !text.contains("network")
        );
    }
}
