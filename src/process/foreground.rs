//! A command in the foreground: it shares rigup's terminal, and rigup passes signals on to it.

use std::io;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use signal_hook::consts::SIGINT;

use crate::model::ProcessExit;
use crate::process::signals::Interrupt;
use crate::process::spawn::Child;
use crate::process::{poll, subreaper, wait};

/// The longest delay before another signal is passed on.
const TICK: Duration = Duration::from_millis(50);

/// Waits for the command, however long it takes, and passes the signals that interrupt rigup on to it: the command decides
/// what to do. A Ctrl-C at the terminal is not passed on, because the terminal sends it to the command as well.
pub(crate) fn wait(child: &Child, interrupt: &Interrupt) -> io::Result<ProcessExit> {
    let mut passed_on = 0;
    loop {
        let has_exited = if passed_on == 0 {
            let [has_exited, _] =
                poll::readable([child.handle.fd(), interrupt.fd()], Instant::now() + 20 * TICK);
            has_exited
        } else {
            wait::has_exited_by(child, Instant::now() + TICK)
        };
        if has_exited {
            return wait::reap(child);
        }
        // The first process of a container becomes the parent of all orphans in it.
        subreaper::reap_orphans();
        let count = interrupt.count();
        if count > passed_on
            && let Some(number) = interrupt.signal()
            && let Some(signal) = Signal::from_named_raw(number)
            && !(number == SIGINT && is_foreground_group())
        {
            child.handle.signal(signal);
        }
        passed_on = count;
    }
}

/// Whether the terminal sends a Ctrl-C to this process's group.
fn is_foreground_group() -> bool {
    std::fs::File::open("/dev/tty")
        .is_ok_and(|terminal| rustix::termios::tcgetpgrp(terminal).ok() == Some(rustix::process::getpgrp()))
}
