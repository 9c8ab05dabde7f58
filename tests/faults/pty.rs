//! Pseudo-terminals.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Stdio};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::pty::{Winsize, openpty};
use nix::unistd::ttyname;

use crate::test_context::TestContext;

/// Starts a program on a new terminal of this width, whose path is in the variable `TERMINAL`. Returns the other end of the
/// terminal.
pub(crate) fn start_on_pty(context: &mut TestContext, words: &[&str], columns: u16) -> (File, Child) {
    let size = Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    let pty = openpty(Some(&size), None).unwrap();
    // The terminal must be gone once the test closes its end.
    fcntl(&pty.master, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).unwrap();
    context.set("TERMINAL", ttyname(&pty.slave).unwrap()).set("TERM", "xterm");
    let slave = || Stdio::from(pty.slave.try_clone().unwrap());
    let all = [&["--ctty"], words].concat();
    let mut command = context.command_for(Path::new("setsid"), &all);
    let rigup = command.stdin(slave()).stdout(slave()).stderr(slave()).spawn().unwrap();
    (File::from(pty.master), rigup)
}
