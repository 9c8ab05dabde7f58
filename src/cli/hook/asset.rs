//! `rigup hook asset`: chooses an asset of a release.

use std::borrow::Cow;
use std::io::{self, Read};

use crate::cli::command::{CliError, Context};
use crate::cli::message::message;
use crate::cli::standard_stream::StandardStream;
use crate::toolkit::asset;
use crate::toolkit::asset::platform::Platform;

/// The arguments of `rigup hook asset`.
#[derive(Debug, clap::Args)]
#[command(after_help = include_str!("../help/hook_asset.txt"))]
pub(crate) struct AssetArgs {
    /// Name of the program
    #[arg(long)]
    name: String,
    /// Platform, such as `linux-aarch64-musl` [default: this host's]
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<Platform>,
    /// Print every asset that fits, the best one first
    #[arg(long)]
    all: bool,
}

/// Prints the best of the assets whose names are on stdin. Returns whether one fits.
pub(crate) fn choose(args: &AssetArgs, context: &mut Context) -> Result<bool, CliError> {
    let platform = args.platform.or_else(Platform::of_host).ok_or_else(|| {
        CliError::usage("cannot tell the platform of this host; name one with `--platform`")
    })?;
    let mut input = Vec::new();
    StandardStream(io::stdin())
        .read_to_end(&mut input)
        .map_err(|error| CliError::setup(format!("cannot read stdin: {error}")))?;
    let lines = input.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii_end);
    let lines: Vec<&[u8]> = lines.filter(|line| !line.is_empty()).collect();
    let names: Vec<Cow<'_, str>> = lines.iter().map(|line| String::from_utf8_lossy(line)).collect();
    let ranked = asset::rank(&names, &args.name, platform);
    if ranked.is_empty() {
        message!("no asset of {} fits {platform}", args.name);
    }
    for &place in ranked.iter().take(if args.all { usize::MAX } else { 1 }) {
        context.output.raw(&[lines[place], b"\n"].concat());
    }
    Ok(!ranked.is_empty())
}
