//! What identifies a package: its name and its version.

/// The package that owns a program.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_field_names, reason = "records have a `version` and a `package_version`, too")]
pub(crate) struct Package {
    /// The name by which a package manager of the system knows it; empty for one of another kind.
    pub name: String,
    /// The version to compare with others: that of the author, without the distribution's epoch and revision.
    pub version: String,
    /// The version as the package manager writes it.
    pub package_version: String,
}

impl Package {
    /// Returns a package of which only the version matters.
    pub(crate) fn new(version: &str) -> Self {
        Self { name: String::new(), version: version.to_owned(), package_version: version.to_owned() }
    }
}

/// Returns the author's part of a version of Debian or Arch Linux: `10.11.19` of `1:10.11.19+dfsg-0+deb12u1`.
pub(in crate::install) fn upstream_version(version: &str) -> &str {
    let version = version.split_once(':').map_or(version, |(_, rest)| rest);
    let version = version.rsplit_once('-').map_or(version, |(upstream, _)| upstream);
    let version = version.rsplit_once("+really").map_or(version, |(_, real)| real);
    let repacked = ["+dfsg", "~dfsg", ".dfsg", "+ds", "~ds", "+repack"];
    let end = repacked.iter().filter_map(|suffix| version.find(suffix)).min();
    &version[..end.unwrap_or(version.len())]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_a_debian_package_is_that_of_its_author() {
        for (version, expected) in [
            ("1:10.11.19-0+deb12u1", "10.11.19"),
            ("18.19.0+dfsg-6~deb12u2", "18.19.0"),
            ("2.14.7+ds-1", "2.14.7"),
            ("3.0+really2.9-1", "2.9"),
            ("1.2.3", "1.2.3"),
            ("3.0~rc1-2", "3.0~rc1"),
        ] {
            assert_eq!(upstream_version(version), expected);
        }
    }
}
