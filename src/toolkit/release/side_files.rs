//! The files of a release that are about others: checksums and signatures.

use crate::toolkit::release::model::{Asset, PublishedRelease};

/// The files of a release.
#[derive(Debug, Default)]
pub(crate) struct SideFiles<'a>(&'a [Asset]);

/// The ends of the names of files with the checksum of one file, in order of preference.
const SIDECARS: [&str; 6] = [".sha256", ".sha256sum", ".sha256.txt", ".sha512", ".sha512sum", ".sha512.txt"];

/// The words in the names of files with the checksums of several files.
const LISTS: [&str; 7] =
    ["checksums", "sha256sums", "sha256sum", "sha512sums", "sha512sum", "shasums256", "sha256"];

/// The ends of the names of such files.
const LIST_ENDS: [&str; 6] = ["", ".txt", ".asc", ".sum", ".sha256", ".sha512"];

impl<'a> SideFiles<'a> {
    /// Returns the files of a release.
    pub(crate) fn of(release: &'a PublishedRelease) -> Self {
        Self(&release.assets)
    }

    fn named(&self, name: &str) -> Option<&'a Asset> {
        self.0.iter().find(|asset| asset.name.eq_ignore_ascii_case(name))
    }

    /// Returns the addresses of the files that may contain the checksum of a file: its own first.
    pub(crate) fn checksums_of(&self, name: &str) -> Vec<String> {
        let own = SIDECARS.iter().filter_map(|end| self.named(&format!("{name}{end}")));
        let lists = self.0.iter().filter(|asset| is_list(&asset.name));
        own.chain(lists).map(|asset| asset.url.clone()).collect()
    }

    /// Returns the address of the signature of a file that minisign made.
    pub(crate) fn minisign_of(&self, name: &str) -> Option<String> {
        self.named(&format!("{name}.minisig")).map(|asset| asset.url.clone())
    }

    /// Returns the addresses of the files with which cosign verifies a file: a bundle, or a signature and a certificate.
    pub(crate) fn cosign_of(&self, name: &str) -> Vec<String> {
        let first = |ends: &[&str]| ends.iter().find_map(|end| self.named(&format!("{name}{end}")));
        let url = |asset: &Asset| asset.url.clone();
        if let Some(bundle) = first(&[".sigstore.json", ".sigstore", ".bundle", ".cosign.bundle"]) {
            return vec![url(bundle)];
        }
        match (first(&[".sig"]), first(&[".pem", ".crt", ".cert"])) {
            (Some(signature), Some(certificate)) => vec![url(signature), url(certificate)],
            _ => Vec::new(),
        }
    }
}

/// Whether a file contains the checksums of several files, by its name: `SHA256SUMS`, `x_1.0_checksums.txt`.
fn is_list(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    LIST_ENDS.iter().filter_map(|end| name.strip_suffix(end)).any(|stem| {
        let words: Vec<&str> = stem.split(['_', '-']).collect();
        words.last().is_some_and(|last| LISTS.contains(last))
            || LISTS.contains(&words.first().copied().unwrap_or_default())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn release(names: &[&str]) -> PublishedRelease {
        let asset =
            |name: &&str| Asset { name: (*name).to_owned(), url: (*name).to_owned(), ..Asset::default() };
        PublishedRelease { assets: names.iter().map(asset).collect(), ..PublishedRelease::default() }
    }

    #[test]
    fn the_checksum_of_a_file_is_in_its_own_file_or_in_a_list() {
        let release = release(&[
            "x.gz",
            "y.gz",
            "SHA256SUMS",
            "x_1.0_checksums.txt",
            "x.gz.sha256",
            "y.gz.sha256",
            "SHASUMS256.txt",
            "checksums_sha512.txt",
            "SHA256SUMS.sig",
            "x.gz.minisig",
        ]);
        let files = SideFiles::of(&release);
        assert_eq!(
            files.checksums_of("x.gz"),
            ["x.gz.sha256", "SHA256SUMS", "x_1.0_checksums.txt", "SHASUMS256.txt", "checksums_sha512.txt"]
        );
        assert_eq!(files.minisign_of("x.gz").as_deref(), Some("x.gz.minisig"));
        assert_eq!(files.minisign_of("y.gz"), None);
    }

    #[test]
    fn cosign_needs_a_bundle_or_a_signature_with_a_certificate() {
        let release = release(&["a.sig", "a.pem", "b.sigstore.json", "b.sig", "c.sig"]);
        let files = SideFiles::of(&release);
        assert_eq!(files.cosign_of("a"), ["a.sig", "a.pem"]);
        assert_eq!(files.cosign_of("b"), ["b.sigstore.json"]);
        assert!(files.cosign_of("c").is_empty());
    }
}
