//! For any `binaries.jsonl`, an accepted requirement has a name that is valid for a folder and a link, is the same
//! after a round trip through a record or a hook's arguments, and has no prefix outside LIB_DIR.

use std::path::{Component, Path};

use rigup::internal::plan::{self, HostProviders, Request, Selection};
use rigup::internal::requirement::{self, Providers, Requirement};
use rigup::internal::{
    BinaryId, BinaryName, HookRequest, MAX_CHARS, MachineId, ProviderConfig, ProviderName, Version, arguments,
};

const HOME: &str = "/home/me";
const LIB_DIR: &str = "/lib/dir";

/// The formats in which pip, npm, gem and apt accept a version of a package.
const FORMATS: [&str; 4] = ["=={}", "@{}", ":{}", "={}"];

/// A host on which all known providers are curated.
#[derive(Debug)]
struct Host([ProviderName; 2]);

impl HostProviders for Host {
    fn curated(&self) -> Vec<ProviderName> {
        self.0.to_vec()
    }

    fn system(&self) -> Vec<ProviderName> {
        Vec::new()
    }
}

pub(crate) fn check(input: &[u8]) {
    let path = Path::new("/plugins/p/binaries.jsonl");
    let (requirements, diagnostics) = requirement::read_from(None, path, input, Some(Path::new(HOME)));
    let lines = input.split(|&byte| byte == b'\n').count();
    let errors = diagnostics.iter().filter(|diagnostic| !diagnostic.is_warning).count();
    assert!(requirements.len() + errors <= lines);
    for diagnostic in &diagnostics {
        assert!(diagnostic.line.is_some_and(|line| line <= lines as u64), "{diagnostic}");
    }
    requirements.iter().for_each(check_requirement);
}

pub(crate) fn check_requirement(requirement: &Requirement) {
    check_name(&requirement.name);
    assert!(requirement.min_version.is_empty() || Version::looks_like_version(&requirement.min_version));

    let host = Host(["env", "pip"].map(ProviderName::from_static));
    let selection = Selection { host: Some(&host), ..Selection::default() };
    let known = &host.0;
    let steps = plan::plan(std::slice::from_ref(requirement), &selection, known);
    let [Ok(request)] = &steps[..] else { panic!("the plan is {steps:?}") };
    check_record(requirement, request);
    let providers = request
        .candidates
        .iter()
        .chain(known)
        .map(ProviderName::as_str)
        .chain(requirement.overrides.providers().map(ProviderName::as_str));
    for provider in providers {
        let on_argv = from_arguments(request, provider);
        check_request(requirement, request, provider, &on_argv);
        let line = arguments::input_line(request, provider, BinaryId::from(0), MachineId::from(0));
        let fields = serde_json::from_str(&line).expect("the input of a batch hook is an object");
        let in_batch = HookRequest::from_record(&fields, None).expect("a batch hook can read its input");
        assert_eq!(in_batch, on_argv, "a batch hook receives a different request");
    }
}

/// Asserts that a name is valid for a folder and a link, and parses to itself.
fn check_name(name: &BinaryName) {
    assert_eq!(BinaryName::parse(name.as_str(), None).as_ref(), Ok(name));
    let link = name.link_name();
    let parts: Vec<_> = Path::new(link).components().collect();
    assert!(matches!(parts[..], [Component::Normal(only)] if only == link), "{link:?}");
    assert!(link.chars().count() <= MAX_CHARS && !link.contains(char::is_control) && !link.starts_with('-'));
    assert_eq!(name.file().is_some(), name.as_str() != link);
    assert!(name.file().is_none_or(|file| file.is_absolute()));
}

/// Asserts that the record of a request is a requirement: `rigup apply` reads what `rigup install --dry-run` prints.
fn check_record(requirement: &Requirement, request: &Request) {
    let record = request.to_record("queued").to_string();
    let reparsed = requirement::parse_line(requirement.plugin.as_ref(), record.as_bytes(), None)
        .expect("the record can be parsed");
    let providers = Providers::Only(request.candidates.clone());
    let source = String::new();
    let expected = Requirement { providers, source, setting: None, pays_from: None, ..requirement.clone() };
    assert_eq!(reparsed, expected);
}

fn from_arguments(request: &Request, provider: &str) -> HookRequest {
    let arguments = arguments::arguments(request, provider, BinaryId::from(0), MachineId::from(0));
    let arguments: Vec<String> = arguments
        .into_iter()
        .map(|argument| argument.into_string().expect("each argument is UTF-8"))
        .collect();
    assert!(
        arguments.iter().all(|argument| argument.starts_with("--") && !argument.contains('\0')),
        "{arguments:?}"
    );
    HookRequest::parse(&arguments, None).expect("a hook can read its arguments")
}

/// Asserts that a provider's hook receives the values of the requirement.
fn check_request(requirement: &Requirement, planned: &Request, provider: &str, request: &HookRequest) {
    let providers = match &requirement.providers {
        Providers::Default => &Providers::Only(planned.candidates.clone()),
        stated => stated,
    };
    assert_eq!((&request.name, &request.providers), (&requirement.name, providers));
    assert_eq!(request.overrides, requirement.overrides);
    let override_min_version = requirement.overrides.of(provider).min_version.as_deref();
    assert_eq!(request.min_version.trim(), override_min_version.unwrap_or(&requirement.min_version).trim());
    let policy = requirement.overrides.of(provider).policy.or(requirement.policy);
    assert_eq!(
        (request.policy.age(), request.policy.may_run_scripts()),
        (policy.age(), policy.may_run_scripts())
    );

    let exact = HookRequest { exact_version: "1.2.3".to_owned(), ..request.clone() };
    let may_be_options = requirement.overrides.of(provider).get("install_args").is_some();
    let packages = |version_format: Option<&str>| {
        let version_format = version_format.map(str::to_owned);
        let config = ProviderConfig { version_format, ..ProviderConfig::default() };
        exact.packages(provider, &config)
    };
    let Ok(unpinned) = packages(None) else {
        assert!(may_be_options, "only options are rejected");
        return;
    };
    for format in FORMATS {
        let pinned = packages(Some(format)).expect("the same options were accepted");
        assert_eq!(pinned.len(), unpinned.len());
        assert!(pinned.iter().zip(&unpinned).filter(|(one, other)| one != other).count() <= 1, "{pinned:?}");
        for package in unpinned.iter().chain(&pinned) {
            assert!(!package.contains(char::is_control) && !package.trim().is_empty(), "{package:?}");
            assert!(may_be_options || !package.starts_with('-'), "{package}");
        }
    }
    if let Ok(prefix) = request.prefix("pip", Path::new(LIB_DIR)) {
        let folder = prefix.path(Path::new(LIB_DIR));
        let inside = folder.strip_prefix(LIB_DIR).expect("a prefix is in LIB_DIR");
        let parts: Vec<_> = inside.components().collect();
        assert!(parts.iter().all(|part| matches!(part, Component::Normal(_))), "{}", folder.display());
        assert!((2..=3).contains(&parts.len()), "{}", folder.display());
    }
}
