//! How a package of a request is written: its name, its version, or its location.

use crate::plugin::config::provider::{SYSTEM_VERSION_FORMAT, VERSION_PLACEHOLDER, is_version};

/// Adds a version in the package manager's format to the first package, which stands for the binary. Does not change a
/// package that already has an exact version, or that is a URL, a folder or an alias. Changes nothing if the version is
/// not plain.
pub(crate) fn pin(packages: &mut [String], format: &str, version: &str) {
    let version = version.strip_prefix(['v', 'V']).unwrap_or(version);
    if !is_version(version, format) {
        return;
    }
    if let Some(first) = packages.iter_mut().find(|package| !package.starts_with('-')) {
        *first = pinned(first, format, version).unwrap_or_else(|| first.clone());
    }
}

/// Adds a version to the first package as [`pin`] does, unless the package already states one.
pub(crate) fn add_version(packages: &mut [String], format: &str, version: &str) {
    let first = packages.iter().find(|package| !package.starts_with('-'));
    if first.is_some_and(|first| without_version(first, Some(format)) == first) {
        pin(packages, format, version);
    }
}

/// Limits the first package to releases up to a version, in the package manager's format. Changes nothing if the package
/// states versions of its own that another limit cannot be added to, or if the version is not made of numbers.
pub(crate) fn limit(packages: &mut [String], format: &str, max: &str) {
    let first = packages.iter_mut().find(|package| !package.starts_with('-'));
    // The epoch of a Python package: 1!2.0
    let (epoch, max) = max.split_at(max.find('!').filter(|_| format.starts_with('<')).map_or(0, |at| at + 1));
    let (Some(first), Some(max)) = (first.filter(|first| is_name(first)), with_numbers(max, 3)) else {
        return;
    };
    match format.chars().next() {
        // The forms of Python packages: x>=1,<=3
        Some('<') if first.contains(['<', '>', '=', '!', '~']) => first.push(','),
        Some(separator) if first.chars().skip(1).any(|c| c == separator) => return,
        _ => {}
    }
    *first += &format.replace(VERSION_PLACEHOLDER, &[epoch, &max].concat());
}

/// Returns a version with at least `count` numbers, without leading zeros: npm and cargo read `<=3` as `<4`, and `1.2` as
/// the newest 1.2.x. Returns `None` if it has other parts.
pub(crate) fn with_numbers(version: &str, count: u8) -> Option<String> {
    let version = version.strip_prefix(['v', 'V']).unwrap_or(version);
    let mut numbers = version.split('.').map(str::parse).collect::<Result<Vec<u64>, _>>().ok()?;
    numbers.resize(numbers.len().max(count.into()), 0);
    Some(numbers.iter().map(u64::to_string).collect::<Vec<_>>().join("."))
}

/// Writes `package@1.2`, which every requirement may use, in the package manager's format.
pub(crate) fn with_version(package: &str, format: &str) -> Option<String> {
    let (name, version) = package.rsplit_once('@').filter(|(name, _)| !name.is_empty() && is_name(name))?;
    let version = version.strip_prefix(['v', 'V']).unwrap_or(version);
    let is_other_format = !format.starts_with(&format!("@{VERSION_PLACEHOLDER}"));
    (is_other_format && is_version(version, format))
        .then(|| format!("{name}{}", format.replace(VERSION_PLACEHOLDER, version)))
}

fn pinned(package: &str, format: &str, version: &str) -> Option<String> {
    if !is_name(package) {
        return None;
    }
    let suffix = format.replace(VERSION_PLACEHOLDER, version);
    let separator = format.split(VERSION_PLACEHOLDER).next()?.chars().next()?;
    if format.starts_with("==") {
        // The forms of Python packages: x, x[extra], x>=1,<3
        return match package.find(['<', '>', '=', '!', '~']) {
            None => Some(format!("{package}{suffix}")),
            Some(_) if package.contains("==") && !package.contains('*') => None,
            Some(_) => Some(format!("{package},{suffix}")),
        };
    }
    // An npm scope begins with the separator: @postlight/parser
    match package.char_indices().skip(1).find(|&(_, c)| c == separator) {
        None => Some(format!("{package}{suffix}")),
        Some((at, _)) if is_exact(&package[at + separator.len_utf8()..], separator) => None,
        Some((at, _)) => Some(format!("{}{suffix}", &package[..at])),
    }
}

/// Returns a package without its version, which `format` separates from the name, and without extras.
pub(crate) fn without_version<'a>(package: &'a str, format: Option<&str>) -> &'a str {
    let Some(separator) = format.and_then(|format| format.chars().next()) else { return package };
    let is_end = |c: char| c == separator || separator == '=' && "<>!~[ ;".contains(c);
    // An npm scope begins with the separator: @postlight/parser
    let end = package.char_indices().skip(1).find(|&(_, c)| is_end(c));
    end.map_or(package, |(at, _)| &package[..at])
}

/// Returns the name under which a registry lists a package, which may have extras, and the version that the package states
/// with `@`, `=`, `==` or `:`, which is empty if it states none. Returns `None` if it states versions in another way, or is not
/// from a registry.
pub(crate) fn listed(package: &str) -> Option<(&str, &str)> {
    let package = package.strip_prefix("npm:").map_or(package, without_program);
    let is_end = |c: char| "@=<>!~[:; ".contains(c);
    // An npm scope begins with the separator: @postlight/parser
    let end = package.char_indices().skip(1).find(|&(_, c)| is_end(c));
    let (name, rest) = package.split_at(end.map_or(package.len(), |(at, _)| at));
    let rest = if rest.starts_with('[') { rest.split_once(']')?.1 } else { rest };
    let separator = ["==", "=", "@v", "@", ":"].into_iter().find(|separator| rest.starts_with(separator));
    let version = separator.map_or(rest, |separator| &rest[separator.len()..]);
    let format = match separator {
        Some("=") => SYSTEM_VERSION_FORMAT,
        Some("==") => "==",
        _ => "",
    };
    let has_only_version = rest.is_empty() || separator.is_some() && is_version(version, format);
    let is_plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-+@/".contains(&byte));
    (has_only_version && is_plain && is_name(name)).then_some((name, version))
}

/// Returns a package without the program that deno runs of it: `typescript` for `typescript/tsc`.
fn without_program(package: &str) -> &str {
    let mut slashes = package.match_indices('/').map(|(at, _)| at);
    let end = if package.starts_with('@') { slashes.nth(1) } else { slashes.next() };
    end.map_or(package, |at| &package[..at])
}

/// Whether a package is a name with an optional version, and not a location.
fn is_name(package: &str) -> bool {
    let is_location =
        package.contains("://") || package.starts_with(['.', '/', '~']) || package.contains([' ', ';']);
    // `user/repository` is a location; a module path begins with a host, and a scope with @.
    let (owner, is_path) = package.split_once('/').map_or((package, false), |(owner, _)| (owner, true));
    !is_location && (!is_path || owner.starts_with('@') || owner.contains('.'))
}

/// Returns whether a package is a URL, a repository, a file or a folder rather than the name of a package in a registry,
/// with an optional version. Applies to the forms of npm and Python; a module path of Go is a location too.
pub(crate) fn is_location(package: &str) -> bool {
    const ARCHIVES: [&str; 5] = [".tgz", ".tar", ".tar.gz", ".zip", ".whl"];
    // npm's alias: x@npm:@scope/y@1 or npm:y
    let package = package.strip_prefix("npm:").unwrap_or(package);
    let named = package.split_once("@npm:").map_or(package, |(_, named)| named);
    let scoped = named.strip_prefix('@').and_then(|scope| scope.split_once('/'));
    let name = scoped.map_or(named, |(_, name)| name);
    name.contains(['/', ':'])
        || name.starts_with(['.', '~'])
        || ARCHIVES.iter().any(|end| name.ends_with(end))
}

/// Whether a version is exact: it has three numbers, or an epoch or alias in front. After apt's `=` or gem's `:`, every
/// version that is not a pattern is exact.
fn is_exact(version: &str, separator: char) -> bool {
    let starts_with_digit = |text: &str| text.starts_with(|c: char| c.is_ascii_digit());
    let numbers = version.trim_start_matches('v').split(['.', '-', '+']);
    version.contains(':')
        || numbers.take_while(|number| starts_with_digit(number)).count() > 2
        || ['=', ':'].contains(&separator) && starts_with_digit(version) && !version.contains('*')
}

#[cfg(test)]
mod tests;
