//! A command that shares rigup's terminal, and for which rigup only stands in.

use std::io;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use signal_hook::consts::SIGINT;

use crate::process::signals::Interrupt;
use crate::process::spawn::Child;
use crate::process::wait::{self, Reaped};
use crate::process::{poll, subreaper};

/// How soon a further signal is passed on.
const TICK: Duration = Duration::from_millis(50);

/// Waits for the command, however long it takes, and passes on what asks rigup to stop: it is the command that
/// decides. A Ctrl-C at the terminal is not passed on, for the command got it, too.
pub fn see_out(child: &Child, interrupt: &Interrupt) -> io::Result<Reaped> {
    let mut passed_on = 0;
    loop {
        let is_over = if passed_on == 0 {
            let [is_over, _] = poll::readable([child.fd(), interrupt.fd()], Instant::now() + 20 * TICK);
            is_over
        } else {
            wait::is_over_by(child, Instant::now() + TICK)
        };
        if is_over {
            return wait::reap(child);
        }
        // The first process of a container is given the orphans of all others.
        subreaper::reap();
        let asked = interrupt.count();
        if asked > passed_on
            && let Some(number) = interrupt.signal()
            && let Some(signal) = Signal::from_named_raw(number)
            && !(number == SIGINT && has_terminal())
        {
            child.handle.signal(signal);
        }
        passed_on = asked;
    }
}

/// Whether the terminal sends its Ctrl-C to this process's group.
fn has_terminal() -> bool {
    let terminal = std::fs::File::open("/dev/tty");
    terminal.is_ok_and(|it| rustix::termios::tcgetpgrp(it).ok() == Some(rustix::process::getpgrp()))
}
