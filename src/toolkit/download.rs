//! Downloads a file and verifies it: `rigup hook download`.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::fs::digest;
use crate::fs::dir::with_path;
use crate::model::Outcome;
use crate::process::signals::Interrupt;
use crate::settings::Settings;
use crate::shell;
use crate::toolkit::checksum::{self, UnreadableChecksum};
use crate::toolkit::download::provenance::{Checked, ProvenanceError};
use crate::toolkit::http::error::HttpError;
use crate::toolkit::http::url::{self, Url, UrlError};
use crate::toolkit::http::{HttpClient, HttpRequest};
use crate::toolkit::minisign::{self, MinisignError};
use crate::toolkit::release::host::ReleaseHost;

mod provenance;

/// The largest checksum file or signature, in bytes.
const MAX_SIDE_FILE: u64 = 4 << 20;

/// The largest page that a server may send instead of a small file, in bytes.
const MAX_ERROR_PAGE: u64 = 1 << 20;

/// How many characters of the name of a file are in that of the incomplete one, which may have at most 255 bytes.
const MAX_START: usize = 60;

/// A file to download, as one line of JSON in the variable `candidates`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct AssetSource {
    /// The name of the file.
    pub(crate) name: String,
    /// The public address.
    pub(crate) url: String,
    /// The address in the API of the host, which a token opens, if the public one needs a login.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) api_url: Option<String>,
    /// The host of the API; absent for GitHub.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) host: Option<String>,
    /// The size in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) size: Option<u64>,
    /// The digest, if it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) known: Option<KnownDigest>,
    /// The addresses of files that may contain the checksum.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) checksums: Vec<String>,
    /// The address of the signature of minisign.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) signature: Option<String>,
    /// The public key of minisign.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) minisign: Option<String>,
    /// The addresses of the files for cosign.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) cosign: Vec<String>,
    /// The further check that the request asks for: `attestation` or `cosign`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) verify: Option<String>,
    /// The repository, `owner/name`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) repository: Option<String>,
    /// Whether a file is refused that nothing verifies.
    pub(crate) require_checksum: bool,
    /// Whether nothing warns of a file that nothing verifies, because the hook does.
    #[serde(skip)]
    pub(crate) is_verified_by_hook: bool,
    /// The setting of the user that names the address.
    #[serde(skip)]
    pub(crate) setting: Option<String>,
}

/// A digest, and who states it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KnownDigest {
    pub(crate) sha256: String,
    pub(crate) source: String,
}

/// A file that was downloaded and verified.
#[derive(Debug)]
pub(crate) struct DownloadedAsset {
    file: PathBuf,
    url: String,
    sha256: String,
    warning: Option<String>,
}

/// Why a file was not downloaded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DownloadError {
    /// The source is neither an address nor a line of `candidates`.
    #[error("the source of the download is not valid: {0}")]
    Source(String),
    /// The file has no name that a file can have.
    #[error("cannot download {0}: it has no file name")]
    Name(String),
    /// The address cannot be used.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// The download failed.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The download failed, and a setting names the address.
    #[error("{0}; {1} names the server")]
    Setting(Box<HttpError>, String),
    /// The file has another size than the host says.
    #[error("{0} has {1} bytes, not the {2} that its host states; try again")]
    Size(String, u64, u64),
    /// The file has another digest.
    #[error("{0} has sha256 {1}, but {2} states {3}")]
    Digest(String, String, String, String),
    /// The file has another checksum than a file of the release states.
    #[error("{0} has the digest {1}, but {2} states {3}")]
    Checksum(String, String, String, String),
    /// A file of the release should have the checksum of the file, but does not.
    #[error("cannot verify {0}: {1}; set sha256 if you know its digest")]
    Unreadable(String, UnreadableChecksum),
    /// The file is not signed with the key of the request.
    #[error("{0} is not signed with the key in minisign: {1}: {2}")]
    Minisign(String, String, MinisignError),
    /// There is no signature.
    #[error("{0} has no signature: the release has no {0}.{1}")]
    NoSignature(String, &'static str),
    /// A further check failed.
    #[error(transparent)]
    Provenance(#[from] ProvenanceError),
    /// Nothing verifies the file.
    #[error("{0} has no checksum, and require_checksum is set; set sha256 to {1} if you trust it")]
    NoChecksum(String, String),
    /// The file cannot be written.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl DownloadError {
    /// Returns the outcome of the attempt.
    pub(crate) fn outcome(&self) -> Outcome {
        match self {
            Self::Http(HttpError::NoDownloader) => Outcome::Declined,
            Self::Http(_)
            | Self::Setting(..)
            | Self::Size(..)
            | Self::Io(_)
            | Self::Unreadable(..)
            | Self::Provenance(ProvenanceError::NotAsked(..)) => Outcome::Failed,
            _ => Outcome::Rejected,
        }
    }

    /// Returns the signal that interrupted the download, or `None` if none did.
    pub(crate) fn signal(&self) -> Option<i32> {
        match self {
            Self::Http(HttpError::Interrupted(signal))
            | Self::Provenance(ProvenanceError::Interrupted(signal)) => Some(*signal),
            _ => None,
        }
    }
}

impl AssetSource {
    /// Whether a source is a line of `candidates`, and not an address.
    pub(crate) fn is_line(source: &str) -> bool {
        source.trim_start().starts_with('{')
    }

    /// Parses a line of `candidates`.
    pub(crate) fn parse_line(line: &str) -> Result<Self, DownloadError> {
        serde_json::from_str(line).map_err(|error| DownloadError::Source(error.to_string()))
    }

    /// Returns the source of the file at an address, which may be one of `http` or `file` if `setting` of the user names it.
    /// With a digest, the file must have it. Nothing warns of a file without one if `is_verified_by_hook`.
    pub(crate) fn at(
        address: &str,
        setting: Option<&str>,
        sha256: Option<&str>,
        is_verified_by_hook: bool,
    ) -> Result<Self, DownloadError> {
        let local = url::local_path(address).filter(|_| setting.is_some());
        let name = match &local {
            Some(path) => path.file_name().map(|name| name.to_string_lossy().into_owned()),
            None => parse_url(address, setting)?.file_name(),
        };
        let name = name.ok_or_else(|| DownloadError::Name(url::redacted(address)))?;
        let known = sha256.map(|sha256| KnownDigest {
            sha256: sha256.to_owned(),
            source: "the option --sha256".to_owned(),
        });
        let (url, setting) = (address.to_owned(), setting.map(str::to_owned));
        Ok(Self { name, url, known, is_verified_by_hook, setting, ..Self::default() })
    }

    /// Returns the line that [`Self::parse`] reads.
    pub(crate) fn to_line(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Downloads the file into a folder, which is created. The file is there only if it was verified.
    pub(crate) fn run(
        &self,
        folder: &Path,
        settings: &Settings,
        interrupt: &Interrupt,
    ) -> Result<DownloadedAsset, DownloadError> {
        let is_name =
            !self.name.is_empty() && !self.name.contains(['/', '\0']) && ![".", ".."].contains(&&*self.name);
        if !is_name {
            return Err(DownloadError::Name(self.url.clone()));
        }
        let client = HttpClient::find(settings, interrupt)?;
        fs_err::create_dir_all(folder)?;
        let folder = fs_err::canonicalize(folder)?;
        let start: String = self.name.chars().take(MAX_START).collect();
        let part =
            tempfile::Builder::new().prefix(&format!(".{start}.")).tempfile_in(&folder)?.into_temp_path();
        let url = match url::local_path(&self.url).filter(|_| self.setting.is_some()) {
            Some(local) => fs_err::copy(local, &part).map(|_| self.url.clone())?,
            None => self.fetch(&client, settings, &part).map_err(|error| self.of_setting(error))?,
        };
        let found = fs_err::metadata(&part)?.len();
        if let Some(stated) = self.size.filter(|size| *size != found) {
            return Err(DownloadError::Size(self.name.clone(), found, stated));
        }
        let sha256 = digest::sha256(&part)?;
        let check = UncheckedFile { client: &client, settings, interrupt, folder: &folder, file: &part };
        let warning = self.verify(&sha256, &check)?;
        let file = folder.join(&self.name);
        part.persist(&file).map_err(|error| with_path(&file, error.error))?;
        Ok(DownloadedAsset { file, url, sha256, warning })
    }

    /// Downloads the file from its public address or, if that is not open to all or pinned, from the API. Returns the address.
    fn fetch(
        &self,
        client: &HttpClient<'_>,
        settings: &Settings,
        file: &Path,
    ) -> Result<String, DownloadError> {
        let url = parse_url(&self.url, self.setting.as_deref())?;
        let request = |url, credential| HttpRequest {
            url,
            accept: "application/octet-stream",
            credential,
            max_bytes: self.size.map(|size| size.max(MAX_ERROR_PAGE)),
            follows: true,
        };
        // The rest of a file that was cut off has the status 206.
        let is_success = |status| matches!(status, 200 | 206);
        let credential = || {
            Ok::<_, DownloadError>(ReleaseHost::new(self.host.as_deref(), settings)?.credential_for_files())
        };
        let is_at_api = self.api_url.as_ref() == Some(&self.url);
        let of_api = if is_at_api { credential()? } else { None };
        let status = client.get(request(&url, of_api.as_ref()), file)?.status;
        if status == 204 {
            // Neither curl nor wget writes a file without content.
            fs_err::write(file, "")?;
            return Ok(url.as_str().to_owned());
        }
        if is_success(status) {
            return Ok(url.as_str().to_owned());
        }
        if matches!(status, 401 | 403 | 404)
            && let Some(api_url) = self.api_url.as_ref().filter(|_| !is_at_api)
            && let Some(credential) = credential()?
        {
            let api_url = Url::parse(api_url)?;
            if is_success(client.get(request(&api_url, Some(&credential)), file)?.status) {
                return Ok(api_url.as_str().to_owned());
            }
        }
        Err(HttpError::Status(url, status).into())
    }

    /// Adds the setting that names the address to an error of the network.
    fn of_setting(&self, error: DownloadError) -> DownloadError {
        match (error, &self.setting) {
            (DownloadError::Http(error @ (HttpError::Failed(..) | HttpError::Status(..))), Some(setting)) => {
                DownloadError::Setting(Box::new(error), setting.clone())
            }
            (error, _) => error,
        }
    }

    /// Verifies the file. Returns a warning if nothing does.
    fn verify(&self, sha256: &str, check: &UncheckedFile<'_>) -> Result<Option<String>, DownloadError> {
        let is_signed = self.verify_signatures(check)?;
        let mut unreadable = None;
        match &self.known {
            Some(known) if known.sha256 == sha256 => return Ok(None),
            Some(KnownDigest { sha256: stated, source }) if digest::is_sha256(stated) => {
                let (name, found) = (self.name.clone(), sha256.to_owned());
                return Err(DownloadError::Digest(name, found, source.clone(), stated.clone()));
            }
            Some(KnownDigest { source, .. }) => {
                unreadable = Some(UnreadableChecksum(source.clone(), self.name.clone()));
            }
            None => {}
        }
        for address in &self.checksums {
            let (source, text) = check.side_file(address)?;
            let stated = match checksum::find(&text, &source, &self.name) {
                Ok(Some(stated)) => stated,
                Ok(None) => continue,
                Err(error) => {
                    unreadable.get_or_insert(error);
                    continue;
                }
            };
            let (found, stated) = (stated.of_file(check.file)?, stated.digest());
            if found == stated {
                return Ok(None);
            }
            return Err(DownloadError::Checksum(self.name.clone(), found, source, stated.to_owned()));
        }
        if is_signed {
            return Ok(None);
        }
        if let Some(unreadable) = unreadable {
            return Err(DownloadError::Unreadable(self.name.clone(), unreadable));
        }
        if self.require_checksum {
            return Err(DownloadError::NoChecksum(self.name.clone(), sha256.to_owned()));
        }
        if self.is_verified_by_hook {
            return Ok(None);
        }
        Ok(Some(format!("{} has no checksum, so nothing verifies that it is unchanged", self.name)))
    }
}

/// Parses an address, which may be one of `http` if a setting of the user names it.
fn parse_url(address: &str, setting: Option<&str>) -> Result<Url, UrlError> {
    if setting.is_some() { Url::of_setting(address) } else { Url::parse(address) }
}

impl AssetSource {
    /// Verifies what the request asks for besides the checksum. Returns whether it asks for anything.
    fn verify_signatures(&self, check: &UncheckedFile<'_>) -> Result<bool, DownloadError> {
        if let Some(key) = &self.minisign {
            let address = self
                .signature
                .as_ref()
                .ok_or_else(|| DownloadError::NoSignature(self.name.clone(), "minisig"))?;
            let (source, signature) = check.side_file(address)?;
            minisign::verify(check.file, &String::from_utf8_lossy(&signature), key)
                .map_err(|error| DownloadError::Minisign(self.name.clone(), source, error))?;
        }
        let Some(verify) = &self.verify else { return Ok(self.minisign.is_some()) };
        let repository = self.repository.as_deref().unwrap_or_default();
        let UncheckedFile { settings, interrupt, file, .. } = *check;
        let host = ReleaseHost::new(self.host.as_deref(), settings)?;
        let server = Some(host.name()).filter(|_| host.is_github());
        let server = server.as_deref();
        let checked = Checked { file, name: &self.name, repository, server, settings, interrupt };
        if verify == "attestation" {
            checked.check_attestation()?;
        } else {
            let no_signature = || DownloadError::NoSignature(self.name.clone(), "sigstore.json");
            let files = self.cosign.iter().map(|address| {
                let mut file = tempfile::NamedTempFile::new_in(check.folder)?;
                file.write_all(&check.side_file(address)?.1)?;
                Ok(file.into_temp_path())
            });
            let files = files.collect::<Result<Vec<_>, DownloadError>>()?;
            let paths: Vec<&Path> = files.iter().map(|file| &**file).collect();
            if paths.is_empty() {
                return Err(no_signature());
            }
            checked.check_signature(&paths)?;
        }
        Ok(true)
    }
}

/// What verifies a file.
#[derive(Debug)]
struct UncheckedFile<'a> {
    client: &'a HttpClient<'a>,
    settings: &'a Settings,
    interrupt: &'a Interrupt,
    folder: &'a Path,
    file: &'a Path,
}

impl UncheckedFile<'_> {
    /// Downloads a file about the file. Returns its name and its content. Without it, nothing is known.
    fn side_file(&self, address: &str) -> Result<(String, Vec<u8>), DownloadError> {
        let url = Url::parse(address)?;
        let request = HttpRequest {
            url: &url,
            accept: "application/octet-stream",
            credential: None,
            max_bytes: Some(MAX_SIDE_FILE),
            follows: true,
        };
        let content = tempfile::NamedTempFile::new_in(self.folder)?.into_temp_path();
        let headers = self.client.get(request, &content)?;
        if !matches!(headers.status, 200 | 206) {
            return Err(HttpError::Status(url, headers.status).into());
        }
        let name = url.file_name().unwrap_or_else(|| url.to_string());
        Ok((name, fs_err::read(&content)?))
    }
}

impl DownloadedAsset {
    /// Returns the file as shell code, which sets variables.
    pub(crate) fn script(&self) -> String {
        let variables =
            [("file", &*self.file.to_string_lossy()), ("url", &self.url), ("sha256", &self.sha256)];
        let assign = |(name, value): (&str, &str)| format!("{name}={}\n", shell::quote_text(value));
        // `hook begin` has set the variable.
        let warn = |text: &String| format!("[ \"${{has_pin-}}\" ] || warn {}\n", shell::quote_text(text));
        self.warning.iter().map(warn).collect::<String>()
            + &variables.into_iter().map(assign).collect::<String>()
    }
}
