//! A provider's hook that rigup has started itself, and for which it does what `hook begin` and `hook binary` would do.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

use crate::clock;
use crate::install::begin::{self, BegunHook, HookStart};
use crate::install::probe::Prober;
use crate::install::verify::VerifyError;
use crate::model::Outcome;
use crate::plugin::config::provider::ProviderConfig;
use crate::process::signals::Interrupt;
use crate::protocol::Record;
use crate::settings::{Environment, Settings};
use crate::toolkit::begin::locked_script;
use crate::toolkit::binary::Search;
use crate::toolkit::built::BuiltPrefix;
use crate::toolkit::request::HookRequest;
use crate::toolkit::single::SingleSearch;

/// The maximum size of the variable with the code, in bytes. Linux allows 128 KiB.
const MAX_VARIABLE: usize = 100 << 10;

/// A hook that holds its lock.
#[derive(Debug)]
pub(crate) struct StartedHook {
    request: HookRequest,
    provider: String,
    config: ProviderConfig,
    /// The settings as the hook has them.
    settings: Settings,
    code: String,
}

/// A Binary record of a hook, which leaves the prefix to rigup. It states nothing that rigup itself finds out.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct BuiltRecord {
    #[serde(rename = "type")]
    _kind: IgnoredAny,
    name: String,
    abspath: PathBuf,
    built: PathBuf,
    #[serde(default)]
    relocate: bool,
    #[serde(default)]
    package_version: String,
    #[serde(default)]
    unenforced: Vec<String>,
}

impl StartedHook {
    /// Returns `None` if the hook has to run `hook begin`, which prints what is wrong.
    pub(crate) fn new(start: &HookStart<'_>, settings: &Settings) -> Option<Self> {
        let HookStart { arguments, provider, config, environment } = start;
        let arguments = arguments.iter().map(|argument| argument.to_str().map(str::to_owned));
        let arguments = arguments.collect::<Option<Vec<String>>>()?;
        let request = HookRequest::parse(&arguments, settings.home.as_deref()).ok()?;
        if !request.providers.allows(provider) {
            return None;
        }
        let settings = Settings { environment: Environment::of_command(environment), ..settings.clone() };
        let script = locked_script(&request, provider, config, &settings, clock::now()).ok()?;
        let code = format!("{script}unset {}\nbegun=yes\n", begin::VARIABLE);
        let (provider, config) = ((*provider).to_owned(), (*config).clone());
        (code.len() <= MAX_VARIABLE).then_some(Self { request, provider, config, settings, code })
    }
}

impl BegunHook for StartedHook {
    fn code(&self) -> &str {
        &self.code
    }

    fn put_in_place(
        &self,
        record: &Map<String, Value>,
        interrupt: &Interrupt,
        on_message: &dyn Fn(String),
    ) -> Result<Vec<Record>, (Outcome, String)> {
        let Self { request, provider, config, settings, .. } = self;
        let failed = |reason: String| (Outcome::Failed, reason);
        let invalid = |error: serde_json::Error| failed(format!("its Binary record is not valid: {error}"));
        let BuiltRecord { name, abspath, built, relocate, package_version, unenforced, .. } =
            BuiltRecord::deserialize(record).map_err(invalid)?;
        if name != request.name.as_str() {
            let error = VerifyError::WrongName { found: name, requested: request.name.to_string() };
            return Err((error.outcome(), error.to_string()));
        }
        let prefix =
            request.prefix(provider, &settings.lib_dir).map_err(|error| failed(error.to_string()))?;
        let part = prefix.part(&settings.lib_dir);
        // A link would lead out of LIB_DIR.
        let is_folder = |path: &&Path| path.symlink_metadata().is_ok_and(|found| found.is_dir());
        let mut folders = built.ancestors().take_while(|path| path.starts_with(&part));
        if !built.starts_with(&part) || !folders.all(|path| is_folder(&path)) {
            return Err(failed(format!("{} is not {} or a folder in it", built.display(), part.display())));
        }
        let built =
            BuiltPrefix { built: &built, prefix: prefix.path(&settings.lib_dir), is_shared: false, settings };
        if relocate {
            built.relocate(on_message).map_err(|error| (Outcome::Failed, error.to_string()))?;
        }
        let search = Search {
            provider,
            metadata: config.metadata,
            settings,
            prober: Prober::new(settings, interrupt),
        };
        let search = SingleSearch {
            search,
            name: &request.name,
            request: Some(request),
            abspath: Some(&abspath),
            built: Some(built),
            package_version: Some(&*package_version).filter(|version| !version.is_empty()),
            config,
            or_decline: false,
            download: None,
            unenforced: &unenforced,
        };
        Ok(search.records()?.into_iter().filter_map(|record| Record::from_value(0, record)).collect())
    }
}
