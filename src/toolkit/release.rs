//! The release assets that a request can be installed from: `rigup hook release`.

use std::ffi::OsStr;
use std::path::PathBuf;

use jiff::{SignedDuration, Timestamp};

use crate::boolean;
use crate::fs::dir::parent;
use crate::fs::lib_dir::folder_name;
use crate::model::policy::MIN_RELEASE_AGE_KEY;
use crate::process::signals::Interrupt;
use crate::settings::Settings;
use crate::toolkit::asset::platform::Platform;
use crate::toolkit::download::{AssetSource, KnownDigest};
use crate::toolkit::http::HttpClient;
use crate::toolkit::http::url::{Url, UrlError};
use crate::toolkit::release::choice::{Choice, Criteria};
use crate::toolkit::release::error::ReleaseError;
use crate::toolkit::release::found::FoundRelease;
use crate::toolkit::release::host::{ReleaseHost, Repository};
use crate::toolkit::release::lookup::ReleaseLookup;
use crate::toolkit::release::model::{Asset, PublishedRelease};
use crate::toolkit::release::side_files::SideFiles;
use crate::toolkit::release::stated::StatedRelease;
use crate::toolkit::release::template::Template;
use crate::toolkit::repository;
use crate::toolkit::request::HookRequest;
use crate::toolkit::unpacked_asset::DIGITS;

mod choice;
pub(crate) mod error;
mod found;
pub(crate) mod host;
pub(crate) mod listing;
mod lookup;
mod model;
mod side_files;
mod stated;
mod tag;
mod template;
mod token;

/// The setting that makes `require_checksum` the default of all requirements.
const REQUIRE_CHECKSUM: &str = "REQUIRE_CHECKSUM";

/// The longest tag in the name of a folder, in bytes: a file name has at most 255, and `-` and a digest follow the tag.
const MAX_TAG: usize = 255 - 1 - DIGITS;

/// What a request says about its file.
#[derive(Debug)]
struct StatedAsset {
    /// The name, with `*` for any text.
    template: Option<Template>,
    sha256: Option<String>,
}

/// A search for the release of a request.
#[derive(Debug)]
pub(crate) struct ReleaseSearch<'a> {
    provider: &'a str,
    request: &'a HookRequest,
    stated: StatedRelease<'a>,
    settings: &'a Settings,
    interrupt: &'a Interrupt,
    platform: Platform,
    now: Timestamp,
}

impl<'a> ReleaseSearch<'a> {
    /// Returns a search for this host.
    pub(crate) fn new(
        provider: &'a str,
        request: &'a HookRequest,
        settings: &'a Settings,
        interrupt: &'a Interrupt,
        now: Timestamp,
    ) -> Result<Self, ReleaseError> {
        let platform = Platform::of_host().ok_or(ReleaseError::NoPlatform)?;
        let overrides = request.overrides.of(provider);
        let stated = StatedRelease { provider, overrides, platform };
        Ok(Self { provider, request, stated, settings, interrupt, platform, now })
    }

    /// Finds the files: the one at the address that the request states, or those of a release of its repository. A pinned
    /// file is not looked up.
    pub(crate) fn find(&self, is_at_url: bool) -> Result<FoundRelease, ReleaseError> {
        self.stated.check(self.has_pin())?;
        let bin = self.stated.bin()?;
        let mut found = if is_at_url { self.at_url()? } else { self.in_repository()? };
        let length = found.release.file_name().map_or(0, OsStr::len);
        if length > MAX_TAG {
            let (parent, name) = (parent(&found.release).to_owned(), self.request.name.to_string());
            return Err(ReleaseError::LongTag(parent, length, MAX_TAG, name));
        }
        found.bin = bin.expand(&found.version, &found.tag, self.platform);
        Ok(found)
    }

    /// Returns the file at the address that the request states.
    fn at_url(&self) -> Result<FoundRelease, ReleaseError> {
        let template = self.stated.url()?.ok_or_else(|| ReleaseError::NoAddress(self.provider.to_owned()))?;
        let version = self.stated.version_of(self.request, false)?;
        if version.is_empty() && template.has_version() {
            let is_upgrade = !self.request.not_below.is_empty();
            let error = if is_upgrade { ReleaseError::NoNewerVersion } else { ReleaseError::NoVersion };
            return Err(error(self.provider.to_owned(), self.request.name.to_string()));
        }
        let url = template.expand(version, version, self.platform);
        let name = Url::parse(&url)?.file_name().ok_or(UrlError::Invalid(url.clone()))?;
        let asset = Asset { name, url, ..Asset::default() };
        let candidate = self.candidate(&asset, None, &SideFiles::default())?;
        Ok(FoundRelease::new(String::new(), version.to_owned(), PathBuf::new(), vec![candidate]))
    }

    fn in_repository(&self) -> Result<FoundRelease, ReleaseError> {
        let host = ReleaseHost::new(self.stated.text("host")?, self.settings)?;
        let (repository, tag) = self.repository()?;
        let folder = |tag: &str| self.folder(&host, &repository, tag);
        if !self.request.exact_url.is_empty() {
            let url = Url::parse(&self.request.exact_url)?;
            let version = self.request.exact_version.clone();
            // .../releases/download/<tag>/<file>, or an address in the API with #<tag>/<file>; a tag may contain slashes.
            let api_url = host.is_of_api(&url).then(|| url.as_str().to_owned());
            let mut parts = url.fragment_segments().filter(|_| api_url.is_some()).unwrap_or_else(|| {
                url.segments().into_iter().skip_while(|part| part != "download").skip(1).collect()
            });
            let name = parts.pop().or_else(|| url.file_name());
            let name = name.ok_or_else(|| UrlError::Invalid(url.to_string()))?;
            let tag = if parts.is_empty() { version.clone() } else { parts.join("/") };
            let asset = Asset { name, url: url.as_str().to_owned(), api_url, ..Asset::default() };
            let candidate = self.candidate(&asset, Some((&host, &repository)), &SideFiles::default())?;
            return Ok(FoundRelease::new(tag.clone(), version, folder(&tag), vec![candidate]));
        }
        let client = HttpClient::find(self.settings, self.interrupt)?;
        let asset = self.stated_asset()?;
        let criteria = self.criteria(&repository, tag.as_deref(), &asset)?;
        let of_release = |choice: Choice<'_>| {
            let side_files = SideFiles::of(choice.release);
            let of_host = Some((&host, &repository));
            let candidates = choice.assets.iter().map(|asset| self.candidate(asset, of_host, &side_files));
            let Choice { release: PublishedRelease { tag, .. }, version, .. } = &choice;
            Ok(FoundRelease::new(
                tag.clone(),
                version.clone(),
                folder(tag),
                candidates.collect::<Result<_, _>>()?,
            ))
        };
        let must_keep_age = criteria.released_before.is_some()
            && !self.request.best_effort.iter().any(|rule| rule == MIN_RELEASE_AGE_KEY);
        let lookup = ReleaseLookup {
            provider: self.provider,
            client: &client,
            host: &host,
            repository: &repository,
            criteria,
            must_keep_age,
        };
        lookup.run(&of_release)
    }

    /// Returns what the request says about its file.
    fn stated_asset(&self) -> Result<StatedAsset, ReleaseError> {
        Ok(StatedAsset { template: self.stated.asset()?, sha256: self.stated.sha256()? })
    }

    /// Whether a lock file pins the digest of the file.
    fn has_pin(&self) -> bool {
        !self.request.exact_url_sha256.is_empty()
    }

    /// Returns what the request accepts of the releases of a repository.
    fn criteria<'c>(
        &'c self,
        repository: &'c Repository,
        tag: Option<&'c str>,
        asset: &'c StatedAsset,
    ) -> Result<Criteria<'c>, ReleaseError> {
        let age = self.request.policy.age();
        let released_before = self.now - SignedDuration::from_secs_f64(age * 86_400.0);
        Ok(Criteria {
            program: self.request.name.link_name(),
            repository: &repository.name,
            tag,
            tag_prefix: self.stated.text("tag_prefix")?,
            with_prereleases: self.stated.flag("prerelease")?,
            versions: self.request.versions(),
            exact_version: self.stated.version_of(self.request, true)?,
            released_before: (age > 0.0).then_some(released_before),
            asset: asset.template.as_ref(),
            sha256: asset.sha256.as_deref(),
            platform: self.platform,
        })
    }

    /// Returns the repository, and the tag that the request names with it.
    fn repository(&self) -> Result<(Repository, Option<String>), ReleaseError> {
        const FORM: &str = "the owner and the name of a repository, such as \"owner/name\"";
        let packages: Vec<&String> =
            self.stated.overrides.packages.iter().filter(|package| !package.starts_with('-')).collect();
        if packages.len() > 1 {
            return Err(ReleaseError::SeveralPackages(self.provider.to_owned(), packages.len()));
        }
        let package = packages.first();
        let wrong = |key| ReleaseError::Override(self.provider.to_owned(), key, FORM);
        let (named, tag) = match package.map(|package| (package, package.rsplit_once('@'))) {
            Some((_, Some((_, "")))) => return Err(wrong("packages")),
            Some((_, Some((named, tag)))) if !named.is_empty() => (Some(named), Some(tag.to_owned())),
            Some((package, _)) => (Some(package.as_str()), None),
            None => (None, None),
        };
        if let Some(stated) = self.stated.text("repo")? {
            return Ok((Repository::parse(stated).ok_or_else(|| wrong("repo"))?, tag));
        }
        let program = match named {
            Some(named) if named.contains('/') => {
                return Ok((Repository::parse(named).ok_or_else(|| wrong("packages"))?, tag));
            }
            Some(named) => named,
            None => self.request.name.link_name(),
        };
        let (program, provider) = (program.to_owned(), self.provider.to_owned());
        match &repository::repositories(&program)[..] {
            [] => Err(ReleaseError::NoRepository(program, provider)),
            [only] => Ok((Repository::parse(only).ok_or_else(|| wrong("repo"))?, tag)),
            several => Err(ReleaseError::SeveralRepositories(program, provider, several.join(", "))),
        }
    }

    /// Returns the start of the path of the prefix of a release, in which no part has a slash.
    fn folder(&self, host: &ReleaseHost<'_>, repository: &Repository, tag: &str) -> PathBuf {
        let part = |text: &str| text.replace('/', "+");
        let owner = part(&repository.owner);
        let name = host.name();
        let owner = if name == host::GITHUB || host.is_github() {
            owner
        } else {
            format!("{}+{owner}", name.replace(':', "+"))
        };
        let tag = match part(tag) {
            tag if tag.is_empty() || tag.starts_with('.') => format!("+{tag}"),
            tag => tag,
        };
        self.settings.lib_dir.join(self.provider).join(&*folder_name(&owner)).join(&repository.name).join(tag)
    }

    /// Returns a file with what is known about it.
    fn candidate(
        &self,
        asset: &Asset,
        of: Option<(&ReleaseHost<'_>, &Repository)>,
        side_files: &SideFiles<'_>,
    ) -> Result<AssetSource, ReleaseError> {
        let stated = if self.has_pin() { None } else { self.stated.sha256()? };
        let stated = stated.map(|sha256| (sha256, format!("overrides.{}.sha256", self.provider)));
        let of_api = || {
            let (host, _) = of?;
            Some((asset.sha256.clone()?, format!("the API of {}", host.name())))
        };
        let pinned =
            self.has_pin().then(|| (self.request.exact_url_sha256.clone(), "the lock file".to_owned()));
        let known = pinned.or(stated).or_else(of_api);
        let known = known.map(|(sha256, source)| KnownDigest { sha256: sha256.to_ascii_lowercase(), source });
        let is_required =
            self.settings.environment.text(REQUIRE_CHECKSUM).and_then(boolean::parse) == Some(true);
        let minisign = self.stated.text("minisign")?.map(str::to_owned);
        Ok(AssetSource {
            name: asset.name.clone(),
            url: asset.url.clone(),
            api_url: asset.api_url.clone(),
            host: self.stated.text("host")?.map(str::to_owned),
            size: asset.size,
            checksums: side_files.checksums_of(&asset.name),
            signature: side_files.minisign_of(&asset.name),
            cosign: side_files.cosign_of(&asset.name),
            known,
            minisign,
            verify: self.stated.verify()?.map(str::to_owned),
            repository: of.map(|(_, repository)| repository.to_string()),
            require_checksum: self.stated.flag("require_checksum")? || is_required,
            ..AssetSource::default()
        })
    }
}
