//! The requests that a hook is tested with: the good one, and those that are derived from it. Pure.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use serde_json::{Map, Value, json};

use crate::hook::command;
use crate::model::policy::{MIN_RELEASE_AGE_KEY, POSTINSTALL_SCRIPTS_KEY};
use crate::model::{BinaryId, MachineId, Policy};
use crate::plugin::hook_name::BINARY_REQUEST;

/// The name that providers are tested with if none is given: every Unix has this program.
pub(crate) const GUESS: &str = "sh";
/// A provider that does not exist.
const OTHER_PROVIDER: &str = "no-such-provider";
/// The size of a huge argument in bytes: Linux accepts none over 128 KiB.
const HUGE: usize = 100 << 10;

/// The arguments of a hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TestRequest {
    /// The arguments.
    pub arguments: Vec<OsString>,
    /// Whether the request is a guess, because none was given.
    pub is_guess: bool,
}

/// A request that does harm if the hook runs or prints its arguments unquoted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HostileRequest {
    /// The request.
    pub request: TestRequest,
    /// The hostile part of it, for messages.
    pub what: String,
    /// Whether the name does not exist; otherwise, a valid record is allowed.
    pub is_absent: bool,
}

impl TestRequest {
    /// Returns a request with these arguments.
    pub(crate) fn given(arguments: Vec<OsString>) -> Self {
        Self { is_guess: arguments.is_empty(), arguments }
    }

    /// Adds the arguments that the engine passes to a provider.
    #[must_use]
    pub(crate) fn for_provider(mut self, provider: &str, binary_id: BinaryId, machine_id: MachineId) -> Self {
        self.is_guess = self.value("name").is_none();
        let is_given = |key: &str| self.value(&key.replace('_', "-")).is_some();
        let rules = [MIN_RELEASE_AGE_KEY, POSTINSTALL_SCRIPTS_KEY];
        let best_effort: Vec<&str> = rules.into_iter().filter(|key| !is_given(key)).collect();
        let policy = Policy::default();
        let fields = [
            ("name", Value::from(GUESS)),
            ("binproviders", provider.into()),
            (MIN_RELEASE_AGE_KEY, policy.age().to_string().into()),
            (POSTINSTALL_SCRIPTS_KEY, policy.may_run_scripts().to_string().into()),
            ("best_effort", best_effort.join(",").into()),
            ("binary_id", binary_id.to_string().into()),
            ("machine_id", machine_id.to_string().into()),
        ];
        let missing: Vec<(&str, Value)> = fields.into_iter().filter(|(key, _)| !is_given(key)).collect();
        self.arguments.extend(command::arguments(&missing));
        self
    }

    /// Returns the value of an argument, or of its last occurrence.
    pub(crate) fn value(&self, key: &str) -> Option<&str> {
        self.arguments.iter().rev().find_map(|argument| value_of(argument, key)?.to_str())
    }

    /// Replaces all values of a key by this one.
    #[must_use]
    fn with(&self, key: &str, value: &str) -> Self {
        let mut request = self.without(key);
        request.arguments.push(format_argument(key, value));
        request
    }

    #[must_use]
    fn without(&self, key: &str) -> Self {
        let is_other = |argument: &&OsString| value_of(argument, key).is_none();
        Self { arguments: self.arguments.iter().filter(is_other).cloned().collect(), ..*self }
    }

    /// Returns a request for this name, without the overrides, which might name a package that exists.
    #[must_use]
    pub(crate) fn named(&self, name: &str) -> Self {
        self.without("overrides").with("name", name)
    }

    /// Returns a request that allows only another provider.
    #[must_use]
    pub(crate) fn for_other_provider(&self) -> Self {
        self.with("binproviders", OTHER_PROVIDER)
    }

    /// Adds unknown arguments.
    #[must_use]
    pub(crate) fn with_unknown(&self) -> Self {
        let mut request = self.clone();
        request.arguments.insert(0, format_argument("rigup-unknown", "a=b c"));
        request.arguments.push("--rigup-unknown-flag".into());
        request
    }

    /// Adds another name in front, which the hook must ignore because the last name counts.
    #[must_use]
    pub(crate) fn with_repeated_name(&self, other: &str) -> Self {
        let mut request = self.clone();
        request.arguments.insert(0, format_argument("name", other));
        request
    }

    /// Adds 100 KiB that the hook must ignore: for a provider, in the overrides of another provider; for another hook,
    /// in an unknown argument.
    #[must_use]
    pub(crate) fn huge(&self, is_provider: bool) -> Self {
        let huge = "x".repeat(HUGE);
        if !is_provider {
            return self.with("rigup-huge", &huge);
        }
        self.with_overrides(OTHER_PROVIDER, json!({"packages": [huge]}))
    }

    fn with_overrides(&self, provider: &str, value: Value) -> Self {
        let mut overrides = self.overrides();
        overrides.insert(provider.to_owned(), value);
        self.with("overrides", &Value::Object(overrides).to_string())
    }

    /// Returns the request as a line of a batch hook's stdin, followed by those of other requests.
    pub(crate) fn lines(&self, others: &[&Self]) -> Vec<u8> {
        let all = std::iter::once(self).chain(others.iter().copied());
        all.map(|request| Value::Object(request.record()).to_string() + "\n").collect::<String>().into_bytes()
    }

    fn record(&self) -> Map<String, Value> {
        let mut record = Map::from_iter([("type".to_owned(), Value::from(BINARY_REQUEST))]);
        for argument in &self.arguments {
            let text = argument.to_string_lossy();
            let Some(text) = text.strip_prefix("--") else { continue };
            let (key, value) = text.split_once('=').unwrap_or((text, "true"));
            let key = key.replace('-', "_");
            let value = match key.as_str() {
                "overrides" | MIN_RELEASE_AGE_KEY | POSTINSTALL_SCRIPTS_KEY => {
                    serde_json::from_str(value).unwrap_or(Value::Null)
                }
                _ => value.into(),
            };
            record.insert(key, value);
        }
        record
    }

    /// Returns the overrides.
    pub(crate) fn overrides(&self) -> Map<String, Value> {
        let given = self.value("overrides").and_then(|json| serde_json::from_str(json).ok());
        given.unwrap_or_default()
    }

    /// Returns requests with shell syntax that creates the file `canary`, in the current folder or at its path. Their
    /// names have no slash, backslash, control character or leading hyphen, because the engine passes no such names.
    pub(crate) fn hostile(&self, provider: Option<&str>, canary: &Path) -> Vec<HostileRequest> {
        let word = canary.file_name().unwrap_or_default().to_string_lossy();
        let shell = format!("a$(touch {word})`touch {word}`;touch {word};");
        let quotes = format!("a';touch {word};'\";touch {word};\"");
        let words = "b\u{f6}se \u{540d}\u{524d} \u{1f980} *".to_owned();
        let texts =
            [(shell, "shell text"), (quotes, "quotes"), (words, "blanks and characters beyond ASCII")]
                .into_iter();
        let hostile = |request, what, is_absent| HostileRequest { request, what, is_absent };
        let Some(provider) = provider else {
            let of_text = |(text, what): (String, &str)| {
                hostile(self.with_all_values(&text), format!("{what} in every value"), false)
            };
            return texts.map(of_text).collect();
        };
        let path = canary.to_string_lossy();
        let with_path = |text: &str| text.replace('@', &path);
        let shell = [
            "$(touch @)",
            "`touch @`",
            ";touch @;",
            "';touch @;'",
            "\";touch @;\"",
            "a\ntouch @\n",
            "|touch @",
        ];
        let options = ["--to-command=touch @", "-oDPkg::Pre-Invoke::=touch @"];
        let packages =
            [(shell.map(with_path).to_vec(), "shell text"), (options.map(with_path).to_vec(), "options")];
        let names = texts.map(|(text, what)| hostile(self.named(&text), format!("{what} in the name"), true));
        let overrides = packages.into_iter().map(|(packages, what)| {
            let request = self.with_overrides(provider, json!({"packages": packages}));
            hostile(request, format!("{what} among the packages"), false)
        });
        names.chain(overrides).collect()
    }

    /// Replaces every value by this text, and adds an argument if there is none.
    fn with_all_values(&self, text: &str) -> Self {
        let mut request = self.clone();
        for argument in &mut request.arguments {
            let bytes = argument.as_bytes();
            if let Some(end) = bytes.iter().position(|&byte| byte == b'=') {
                *argument = OsString::from_vec([&bytes[..=end], text.as_bytes()].concat());
            }
        }
        if request.arguments.is_empty() {
            request.arguments.push(format_argument("url", text));
        }
        request
    }
}

fn format_argument(key: &str, value: &str) -> OsString {
    format!("--{key}={value}").into()
}

fn value_of<'a>(argument: &'a OsStr, key: &str) -> Option<&'a OsStr> {
    let rest = argument.as_bytes().strip_prefix(b"--")?.strip_prefix(key.as_bytes())?;
    rest.strip_prefix(b"=").map(OsStr::from_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::id::ProcessId;
    use crate::model::name::BinaryName;

    fn good(arguments: &[&str]) -> TestRequest {
        TestRequest::given(arguments.iter().map(Into::into).collect()).for_provider(
            "mine",
            BinaryId::from(0),
            MachineId::from(0),
        )
    }

    #[test]
    fn a_provider_receives_all_the_arguments_that_the_engine_passes() {
        let guess = good(&[]);
        assert!(guess.is_guess);
        let nil = ProcessId::from(0);
        let expected = [
            "--name=sh".to_owned(),
            "--binproviders=mine".to_owned(),
            "--min-release-age=7".to_owned(),
            "--postinstall-scripts=false".to_owned(),
            "--best-effort=min_release_age,postinstall_scripts".to_owned(),
            format!("--binary-id={nil}"),
            format!("--machine-id={nil}"),
        ];
        assert_eq!(guess.arguments, expected.map(OsString::from));
        let given = good(&["--name=jq", "--binproviders=other,mine", "--min-release-age=1"]);
        assert_eq!(given.value("best-effort"), Some("postinstall_scripts"), "the other rule is stated");
        assert!(!given.is_guess);
        assert_eq!((given.value("name"), given.value("binproviders")), (Some("jq"), Some("other,mine")));
    }

    #[test]
    fn the_last_of_a_repeated_argument_is_the_real_one() {
        let request = good(&["--name=jq"]).with_repeated_name("decoy");
        assert_eq!(request.arguments[0], "--name=decoy");
        assert_eq!(request.value("name"), Some("jq"));
    }

    #[test]
    fn a_batch_hook_receives_its_requests_as_records() {
        let request = TestRequest::given(vec!["--name=jq".into(), "--overrides={\"mine\":[\"x\"]}".into()]);
        let lines = String::from_utf8(request.lines(&[&request.named("other")])).unwrap();
        let expected = "{\"type\":\"BinaryRequest\",\"name\":\"jq\",\"overrides\":{\"mine\":[\"x\"]}}\n\
                        {\"type\":\"BinaryRequest\",\"name\":\"other\"}\n";
        assert_eq!(lines, expected);
    }

    #[test]
    fn a_huge_argument_keeps_the_given_overrides() {
        let request = good(&["--overrides={\"mine\":[\"ripgrep\"]}"]).huge(true);
        let overrides: Value = serde_json::from_str(request.value("overrides").unwrap()).unwrap();
        assert_eq!(overrides["mine"], json!(["ripgrep"]));
        let size = request.value("overrides").unwrap().len();
        assert!((HUGE..128 << 10).contains(&size), "{size}");
    }

    #[test]
    fn the_engine_accepts_every_hostile_name() {
        let all = good(&[]).hostile(Some("mine"), Path::new("/disk/k01234567"));
        for hostile in all.iter().filter(|hostile| hostile.is_absent) {
            let name = hostile.request.value("name").unwrap();
            assert!(BinaryName::parse(name, None).is_ok(), "{name}");
        }
        assert!(
            all.iter()
                .any(|hostile| !hostile.is_absent
                    && hostile.request.value("overrides").unwrap().contains("\\n"))
        );
    }

    #[test]
    fn every_argument_value_of_another_event_becomes_hostile() {
        let request = TestRequest::given(vec!["--url=https://example.org".into(), "--deep".into()]);
        let all = request.hostile(None, Path::new("/disk/k"));
        assert_eq!(all[0].request.arguments, ["--url=a$(touch k)`touch k`;touch k;", "--deep"]);
        assert_eq!(
            TestRequest::given(Vec::new()).hostile(None, Path::new("/k"))[0].request.arguments.len(),
            1
        );
    }
}
