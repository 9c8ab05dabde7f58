//! A sandbox for programs that rigup runs only to inspect them: they can write only below one folder, and signal only
//! each other.

use std::fs::File;
use std::io;
use std::panic;
use std::path::Path;
use std::thread;

use crate::exhaustion;

/// Calls a function in a thread whose children can create, change and remove files only below `folder`; since Linux 6.12,
/// they can signal only each other, and connect only to each other's abstract sockets. Systems other than Linux 5.13 and
/// later do not support this; there, the children can do what this process can.
pub(crate) fn with_writable<T: Send>(folder: &Path, run: impl FnOnce() -> T + Send) -> io::Result<T> {
    let folder = File::open(folder)?;
    thread::scope(|scope| {
        let thread = thread::Builder::new().spawn_scoped(scope, || {
            restrict_thread(&folder);
            run()
        });
        let thread = thread.map_err(|error| io::Error::other(exhaustion::explain(&error)))?;
        thread.join().or_else(|payload| panic::resume_unwind(payload))
    })
}

/// The devices that each program may write to.
#[cfg(target_os = "linux")]
const DEVICES: [&str; 6] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/tty", "/dev/ptmx", "/dev/pts"];

#[cfg(target_os = "linux")]
fn restrict_thread(folder: &File) {
    use landlock::{
        ABI, Access, AccessFs, PathBeneath, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError, Scope,
        path_beneath_rules,
    };
    // The crate leaves out the rights that the kernel does not know.
    let writes = AccessFs::from_write(ABI::V7);
    let restrict = || -> Result<(), RulesetError> {
        let rules = Ruleset::default().handle_access(writes)?.scope(Scope::from_all(ABI::V7))?.create()?;
        let rules = rules.add_rules(path_beneath_rules(DEVICES, writes))?;
        rules.add_rule(PathBeneath::new(folder, writes))?.restrict_self()?;
        Ok(())
    };
    // A kernel without Landlock is not an error, and a program that cannot be restricted is still inspected.
    let _ = restrict();
}

#[cfg(not(target_os = "linux"))]
fn restrict_thread(_folder: &File) {}
