//! The launcher: rigup between a waiter and a program that needs another user, priority or limit, which `posix_spawn` cannot
//! set. It applies them to itself and becomes the program, which keeps its pid and its start time.

use std::ffi::{CString, OsString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::unistd::{AccessFlags, User, access};
use rustix::fs::Mode;
use rustix::process::{Resource, Rlimit, getrlimit, setpriority_process, setrlimit, umask};

use crate::model::{ProcessAttributes, ResourceLimit};
use crate::process::spawn::{Child, CommandSpec, SpawnError};
use crate::process::{signals, wait};

/// The hidden command that starts rigup as a launcher.
pub(crate) const COMMAND: &str = "launch";

/// The resources whose limits can be set, by the names that systems use for them.
pub(crate) const RESOURCES: &[(&str, Resource)] = &[
    ("as", Resource::As),
    ("core", Resource::Core),
    ("cpu", Resource::Cpu),
    ("data", Resource::Data),
    ("fsize", Resource::Fsize),
    ("memlock", Resource::Memlock),
    ("nofile", Resource::Nofile),
    ("nproc", Resource::Nproc),
    ("rss", Resource::Rss),
    ("stack", Resource::Stack),
    #[cfg(target_os = "linux")]
    ("locks", Resource::Locks),
    #[cfg(target_os = "linux")]
    ("msgqueue", Resource::Msgqueue),
    #[cfg(target_os = "linux")]
    ("nice", Resource::Nice),
    #[cfg(target_os = "linux")]
    ("rtprio", Resource::Rtprio),
    #[cfg(target_os = "linux")]
    ("rttime", Resource::Rttime),
    #[cfg(target_os = "linux")]
    ("sigpending", Resource::Sigpending),
];

/// Returns the words in front of a command that make it run with these attributes; none if there are none.
pub(crate) fn words(rigup: &Path, attributes: Option<&ProcessAttributes>) -> Vec<OsString> {
    let Some(attributes) = attributes else { return Vec::new() };
    let attributes = serde_json::to_string(attributes).expect("numbers, texts and lists are JSON");
    [rigup.into(), COMMAND.into(), attributes.into(), "--".into()].into()
}

/// Starts a command with these attributes. Returns once it runs or could not be started.
pub(super) fn start(
    command: &CommandSpec,
    attributes: &ProcessAttributes,
    stdout: &File,
    stderr: &File,
) -> Result<Child, SpawnError> {
    let prepare = || io::Result::Ok((io::pipe()?, std::env::current_exe()?));
    let ((mut report, writer), rigup) = prepare().map_err(|error| command.error(&error))?;
    let launcher = command.clone().started_by(words(&rigup, Some(attributes)));
    let writer = File::from(OwnedFd::from(writer));
    let child = launcher.start(Some(&writer), stdout, stderr)?;
    drop(writer);
    let mut reason = String::new();
    // The launcher closes its end when it becomes the program.
    if report.read_to_string(&mut reason).is_err() || reason.is_empty() {
        return Ok(child);
    }
    let _ = wait::reap(&child);
    Err(failed(command, reason))
}

/// Becomes the program of a command, with these attributes. If that fails, writes the reason to standard input, if that is
/// the pipe of [`start`], and returns it otherwise.
pub(crate) fn exec(command: &CommandSpec, attributes: &ProcessAttributes) -> Result<(), SpawnError> {
    let detach = || -> io::Result<File> {
        let report = File::from(io::stdin().as_fd().try_clone_to_owned()?);
        rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
        Ok(report)
    };
    let mut report = detach().map_err(|error| command.error(&error))?;
    let error = match apply(attributes, &command.cwd) {
        Ok(()) => become_program(command),
        Err(reason) => failed(command, reason),
    };
    report.write_all(error.reason.as_bytes()).map_err(|_| error)
}

fn failed(command: &CommandSpec, reason: String) -> SpawnError {
    SpawnError { program: PathBuf::from(&command.program), reason, is_missing: false, is_exhausted: false }
}

/// Replaces this process by the program. Returns only if that fails.
fn become_program(command: &CommandSpec) -> SpawnError {
    let CommandSpec { program, args, env, .. } = command;
    let execute = || -> io::Result<()> {
        let file = CString::new(command.find_program()?.into_os_string().into_vec())?;
        let argv: Result<Vec<_>, _> =
            std::iter::once(program).chain(args).map(|word| CString::new(word.as_bytes())).collect();
        let env =
            env.iter().map(|(name, value)| CString::new([name.as_bytes(), b"=", value.as_bytes()].concat()));
        let env: Result<Vec<_>, _> = env.collect();
        signals::restore_defaults();
        nix::unistd::execve(&file, &argv?, &env?)?;
        Ok(())
    };
    let error = execute().err().unwrap_or_else(|| io::ErrorKind::Other.into());
    match command.in_shell(Some(&error)) {
        Some(command) => become_program(&command),
        None => command.error(&error),
    }
}

/// Applies the attributes to this process. Returns the reason if that fails.
fn apply(attributes: &ProcessAttributes, cwd: &Path) -> Result<(), String> {
    let ProcessAttributes { user, nice, cpu_affinity, rlimits, umask: mask, .. } = attributes;
    let user =
        user.as_deref().map(|name| find_user(name).ok_or(format!("there is no user {name}"))).transpose()?;
    if let Some(nice) = nice {
        setpriority_process(None, *nice).map_err(|error| {
            format!("cannot set its nice to {nice}: {error}; run rigup as root, or use a higher one")
        })?;
    }
    if !cpu_affinity.is_empty() {
        set_affinity(cpu_affinity)
            .map_err(|error| format!("cannot restrict it to the CPUs {cpu_affinity:?}: {error}"))?;
    }
    if let Some(mask) = mask {
        umask(Mode::from_raw_mode(*mask));
    }
    for (name, limit) in rlimits {
        set_limit(name, *limit)?;
    }
    if let Some(user) = user {
        become_user(&user).map_err(|error| format!("cannot become the user {}: {error}", user.name))?;
        access(cwd, AccessFlags::X_OK).map_err(|_| {
            let (name, cwd) = (&user.name, cwd.display());
            format!(
                "the user {name} may not enter its folder {cwd}; use another working_dir, or change the mode of the \
                 folder"
            )
        })?;
    }
    Ok(())
}

/// Returns the user with this name or uid.
pub(crate) fn find_user(name: &str) -> Option<User> {
    let by_uid = || User::from_uid(name.parse::<u32>().ok()?.into()).ok()?;
    User::from_name(name).ok().flatten().or_else(by_uid)
}

fn set_limit(name: &str, ResourceLimit { soft, hard }: ResourceLimit) -> Result<(), String> {
    let limit = |value: u64| (value != ResourceLimit::NONE).then_some(value);
    let Some((_, resource)) = RESOURCES.iter().find(|(known, _)| *known == name) else {
        return Err(format!("this system has no limit {name}"));
    };
    setrlimit(*resource, Rlimit { current: limit(soft), maximum: limit(hard) }).map_err(|error| {
        let text = |limit: Option<u64>| limit.map_or_else(|| "unlimited".to_owned(), |limit| limit.to_string());
        let (new, old) = (text(limit(hard)), text(getrlimit(*resource).maximum));
        format!(
            "cannot change its hard limit {name} from {old} to {new}: {error}; run rigup as root, or use a lower one"
        )
    })
}

#[cfg(target_os = "linux")]
fn set_affinity(cpus: &[usize]) -> io::Result<()> {
    let mut set = rustix::thread::CpuSet::new();
    for cpu in cpus {
        set.set(*cpu);
    }
    Ok(rustix::thread::sched_setaffinity(None, &set)?)
}

/// Becomes a user with all of its groups. Its output stays writable for it, even if it opens `/dev/stdout`.
#[cfg(target_os = "linux")]
fn become_user(user: &User) -> Result<(), Errno> {
    use nix::unistd::{initgroups, setgid, setuid};
    let name = CString::new(user.name.as_str()).map_err(|_| Errno::EINVAL)?;
    for stream in [io::stdout().as_fd(), io::stderr().as_fd()] {
        let _ = nix::unistd::fchown(stream, Some(user.uid), Some(user.gid));
    }
    initgroups(&name, user.gid)?;
    setgid(user.gid)?;
    setuid(user.uid)
}

#[cfg(not(target_os = "linux"))]
fn set_affinity(_cpus: &[usize]) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(not(target_os = "linux"))]
fn become_user(_user: &User) -> Result<(), Errno> {
    Err(Errno::ENOTSUP)
}
