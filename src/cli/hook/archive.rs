//! `rigup hook verify`, `unpack` and `program`: for hook scripts that download archives.

use std::io::{self, Read};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use crate::cli::cli_error::CliError;
use crate::cli::command::{CommandResult, Context, interrupt};
use crate::cli::message::message;
use crate::engine::ExitStatus;
use crate::fs::dir::with_path;
use crate::toolkit::checksum::{self, Checksum};
use crate::toolkit::minisign::{self, MinisignError};
use crate::toolkit::unpack::{self, UnpackError};
use crate::toolkit::unpacked_program::{self, ProgramError};

/// The exit code if nothing proves that a file is the right one or a wrong one.
const NO_CHECKSUM: ExitStatus = ExitStatus::Code(10);

/// The largest list of checksums in a pipe, in bytes.
const MAX_LIST: u64 = 4 << 20;

/// The arguments of `rigup hook verify`.
#[derive(Debug, clap::Args)]
#[command(
    group = clap::ArgGroup::new("proof").required(true).multiple(true),
    override_usage = "rigup hook verify [OPTIONS] <FILE>"
)]
pub(crate) struct VerifyArgs {
    /// File to verify
    file: PathBuf,
    /// Its SHA-256 digest
    #[arg(long, value_name = "DIGEST", group = "proof")]
    sha256: Option<String>,
    /// List of checksums, such as SHA256SUMS; the first that has one of the file counts
    #[arg(long, value_name = "LIST", group = "proof")]
    checksums: Vec<PathBuf>,
    /// Name of the file in the lists [default: that of FILE]
    #[arg(long, requires = "checksums")]
    name: Option<String>,
    /// Signature of minisign
    #[arg(long, value_name = "SIGNATURE", group = "proof", requires = "key")]
    minisign: Option<PathBuf>,
    /// Public key of minisign, in Base64
    #[arg(long, requires = "minisign")]
    key: Option<String>,
}

/// The arguments of `rigup hook program`.
#[derive(Debug, clap::Args)]
pub(crate) struct ProgramArgs {
    /// Folder that an archive was unpacked into
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Name of the program
    #[arg(long)]
    name: String,
    /// Path of the program in the folder, in which `*` stands for any characters but `/`
    #[arg(long, value_name = "PATH")]
    bin: Option<String>,
    /// Provider whose overrides an error names, in place of DIR and `--bin`
    #[arg(long)]
    provider: Option<String>,
}

/// The arguments of `rigup hook unpack`.
#[derive(Debug, clap::Args)]
pub(crate) struct UnpackArgs {
    /// Archive or compressed file. Any other file is copied
    file: PathBuf,
    /// Folder to unpack into, which must be new or empty
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

/// Runs `rigup hook unpack`.
pub(crate) fn unpack(args: &UnpackArgs) -> CommandResult {
    match unpack::unpack(&args.file, &args.folder, &interrupt()?) {
        Ok(()) => Ok(ExitStatus::Success),
        Err(UnpackError::Interrupted(signal)) => Ok(ExitStatus::Interrupted(signal)),
        Err(error) => Err(unpack_error(&args.file, &error)),
    }
}

/// Returns the error of the command: a file or a folder that cannot be used is not the archive's fault.
fn unpack_error(file: &Path, error: &UnpackError) -> CliError {
    let text = format!("cannot unpack {}: {error}", file.display());
    match error {
        UnpackError::Io(..)
        | UnpackError::Unreadable(_)
        | UnpackError::NotRegular
        | UnpackError::NoSpace(..)
        | UnpackError::NotEmpty(_) => CliError::setup(text),
        _ => CliError::not_found(text),
    }
}

/// Runs `rigup hook program`.
pub(crate) fn program(args: &ProgramArgs, context: &mut Context) -> CommandResult {
    let ProgramArgs { folder, name, bin, provider } = args;
    match unpacked_program::find(folder, name, bin.as_deref()) {
        Ok(path) => {
            context.output.raw(&[path.as_os_str().as_encoded_bytes(), b"\n"].concat());
            Ok(ExitStatus::Success)
        }
        Err(error @ ProgramError::Unreadable(_)) => Err(CliError::setup(error)),
        Err(error) => Err(match provider {
            Some(provider) => CliError::not_found(error.of_requirement(provider)),
            None => CliError::not_found(error),
        }),
    }
}

/// Runs `rigup hook verify`. If no list has a checksum, nothing is wrong with the file.
pub(crate) fn verify(args: &VerifyArgs) -> CommandResult {
    let file = &args.file;
    let cannot = |cause: &dyn std::fmt::Display| format!("cannot verify {}: {cause}", file.display());
    let io = |error: io::Error| CliError::setup(cannot(&error));
    // A list that does not name the file says nothing about it, but a file that cannot be read is an error.
    check_regular(file).and_then(|()| fs_err::File::open(file)).map_err(io)?;
    if let Some(digest) = &args.sha256 {
        let checksum = Checksum::parse(digest).filter(Checksum::is_sha256);
        let checksum =
            checksum.ok_or_else(|| CliError::usage(format!("{digest} is not a SHA-256 digest")))?;
        check(file, &checksum, "--sha256").map_err(io)??;
    }
    if let (Some(signature), Some(key)) = (&args.minisign, &args.key) {
        let signature =
            check_regular(signature).and_then(|()| fs_err::read_to_string(signature)).map_err(io)?;
        minisign::verify(file, &signature, key).map_err(|error| match error {
            MinisignError::Io(error) => io(error),
            error => CliError::not_found(cannot(&error)),
        })?;
    }
    let own_name = file.file_name().unwrap_or_default().to_string_lossy();
    let name = args.name.as_deref().unwrap_or(&own_name);
    let mut unreadable = None;
    for list in &args.checksums {
        let content = read_list(list).map_err(io)?;
        let list_name = list.file_name().unwrap_or_default().to_string_lossy();
        match checksum::find(&content, &list_name, name) {
            Ok(Some(checksum)) => {
                check(file, &checksum, &list_name).map_err(io)??;
                return Ok(ExitStatus::Success);
            }
            Ok(None) => {}
            Err(error) => drop(unreadable.get_or_insert(error)),
        }
    }
    if let Some(unreadable) = unreadable {
        return Err(CliError::not_found(cannot(&unreadable)));
    }
    if args.checksums.is_empty() {
        return Ok(ExitStatus::Success);
    }
    message!("{}", cannot(&format!("no list has a checksum of {name}")));
    Ok(NO_CHECKSUM)
}

/// Checks that a path leads to a regular file: a FIFO could block.
fn check_regular(path: &Path) -> io::Result<()> {
    if fs_err::metadata(path)?.is_file() {
        return Ok(());
    }
    Err(with_path(path, io::Error::other("it is not a regular file")))
}

/// Reads a list of checksums: a regular file, or a pipe that is open already, as that of `<(command)` is.
fn read_list(path: &Path) -> io::Result<Vec<u8>> {
    let is_open = path == Path::new("/dev/stdin")
        || ["/dev/fd", "/proc/self/fd"].iter().any(|folder| path.parent() == Some(Path::new(folder)));
    if !is_open || !fs_err::metadata(path)?.file_type().is_fifo() {
        return check_regular(path).and_then(|()| fs_err::read(path));
    }
    let mut content = Vec::new();
    fs_err::File::open(path)?.take(MAX_LIST + 1).read_to_end(&mut content)?;
    if content.len() as u64 <= MAX_LIST {
        return Ok(content);
    }
    Err(with_path(path, io::Error::other(format!("it has more than {MAX_LIST} bytes"))))
}

/// Checks a file against a checksum from this source.
fn check(file: &Path, checksum: &Checksum, source: &str) -> io::Result<Result<(), CliError>> {
    let found = checksum.of_file(file)?;
    if found == checksum.digest() {
        return Ok(Ok(()));
    }
    let text =
        format!("{} has the digest {found}, but {source} states {}", file.display(), checksum.digest());
    Ok(Err(CliError::not_found(text)))
}
