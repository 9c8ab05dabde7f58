//! `posix_spawn`: starts a child without the copy of rigup's memory that `fork` makes.

use std::ffi::{CString, OsStr};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::process::system;

/// A program file to start; it is not looked up on PATH.
pub(super) struct Image<'a> {
    pub(super) file: &'a Path,
    pub(super) argv: Vec<&'a OsStr>,
    pub(super) env: Vec<(&'a OsStr, &'a OsStr)>,
    pub(super) cwd: &'a Path,
    /// Standard input, output and error.
    pub(super) streams: [BorrowedFd<'a>; 3],
}

impl Image<'_> {
    /// Starts the program in a session of its own, with no signal blocked and every signal at its default, and returns its
    /// pid.
    pub(super) fn spawn(&self) -> io::Result<u32> {
        let file = c_string(self.file.as_os_str())?;
        let cwd = c_string(self.cwd.as_os_str())?;
        let argv = self.argv.iter().map(|word| c_string(word)).collect::<io::Result<Vec<_>>>()?;
        let env = self
            .env
            .iter()
            .map(|(name, value)| Ok(CString::new([name.as_bytes(), b"=", value.as_bytes()].concat())?))
            .collect::<io::Result<Vec<_>>>()?;
        let actions = Actions::new()?;
        actions.change_to(&cwd)?;
        for (target, stream) in (0..).zip(self.streams) {
            actions.duplicate(stream, target)?;
        }
        let attributes = Attributes::new()?;
        let (argv, env) = (pointers(&argv), pointers(&env));
        let mut pid = 0;
        // SAFETY: file, argv and env are live, NUL-terminated, and the two lists end with a null pointer; actions and
        // attributes were initialized.
        #[expect(unsafe_code, reason = "nix's posix_spawn changes no folder and starts no session")]
        check(unsafe {
            libc::posix_spawn(
                &raw mut pid,
                file.as_ptr(),
                actions.0.as_ptr(),
                attributes.0.as_ptr(),
                argv.as_ptr().cast(),
                env.as_ptr().cast(),
            )
        })?;
        u32::try_from(pid).map_err(io::Error::other)
    }
}

struct Actions(MaybeUninit<libc::posix_spawn_file_actions_t>);

impl Actions {
    fn new() -> io::Result<Self> {
        let mut actions = MaybeUninit::uninit();
        // SAFETY: the pointer is to live memory of the right type.
        #[expect(unsafe_code, reason = "see Image::spawn")]
        check(unsafe { libc::posix_spawn_file_actions_init(actions.as_mut_ptr()) })?;
        Ok(Self(actions))
    }

    fn change_to(&self, cwd: &CString) -> io::Result<()> {
        // SAFETY: the actions were initialized, and the path is copied.
        #[expect(unsafe_code, reason = "see Image::spawn")]
        check(unsafe { libc::posix_spawn_file_actions_addchdir_np(self.0.as_ptr().cast_mut(), cwd.as_ptr()) })
    }

    fn duplicate(&self, stream: BorrowedFd<'_>, target: i32) -> io::Result<()> {
        let actions = self.0.as_ptr().cast_mut();
        // SAFETY: the actions were initialized, and the descriptor is open until the child was started.
        #[expect(unsafe_code, reason = "see Image::spawn")]
        check(unsafe { libc::posix_spawn_file_actions_adddup2(actions, stream.as_raw_fd(), target) })
    }
}

impl Drop for Actions {
    fn drop(&mut self) {
        // SAFETY: the actions were initialized, and are not used again.
        #[expect(unsafe_code, reason = "see Image::spawn")]
        unsafe {
            libc::posix_spawn_file_actions_destroy(self.0.as_mut_ptr());
        }
    }
}

struct Attributes(MaybeUninit<libc::posix_spawnattr_t>);

impl Attributes {
    fn new() -> io::Result<Self> {
        let flags = system::SETSID
            | libc::c_short::try_from(libc::POSIX_SPAWN_SETSIGDEF | libc::POSIX_SPAWN_SETSIGMASK)
                .map_err(io::Error::other)?;
        let mut all = MaybeUninit::uninit();
        let mut none = MaybeUninit::uninit();
        let mut attributes = MaybeUninit::uninit();
        // SAFETY: every pointer is to live memory of its type; the sets are filled before they are read, and the
        // attributes are initialized before they are changed.
        #[expect(unsafe_code, reason = "see Image::spawn")]
        unsafe {
            libc::sigfillset(all.as_mut_ptr());
            libc::sigemptyset(none.as_mut_ptr());
            check(libc::posix_spawnattr_init(attributes.as_mut_ptr()))?;
            let this = Self(attributes);
            let attributes = this.0.as_ptr().cast_mut();
            check(libc::posix_spawnattr_setflags(attributes, flags))?;
            check(libc::posix_spawnattr_setsigdefault(attributes, all.as_ptr()))?;
            check(libc::posix_spawnattr_setsigmask(attributes, none.as_ptr()))?;
            Ok(this)
        }
    }
}

impl Drop for Attributes {
    fn drop(&mut self) {
        // SAFETY: the attributes were initialized, and are not used again.
        #[expect(unsafe_code, reason = "see Image::spawn")]
        unsafe {
            libc::posix_spawnattr_destroy(self.0.as_mut_ptr());
        }
    }
}

/// Converts the result of a function that returns the error number instead of setting `errno`.
fn check(error: libc::c_int) -> io::Result<()> {
    if error == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(error)) }
}

fn c_string(text: &OsStr) -> io::Result<CString> {
    Ok(CString::new(text.as_bytes())?)
}

fn pointers(strings: &[CString]) -> Vec<*const libc::c_char> {
    strings.iter().map(|string| string.as_ptr()).chain([std::ptr::null()]).collect()
}
