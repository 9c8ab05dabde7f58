use std::os::unix::fs::PermissionsExt;
use std::sync::LazyLock;

use serde_json::json;

use super::*;

static ENV: LazyLock<ProviderName> = LazyLock::new(|| ProviderName::from_static("env"));

fn expected(min_version: &str) -> Expected<'_> {
    let max = if min_version.is_empty() { "" } else { "3" };
    let versions = VersionRange { min: min_version, max };
    Expected::new("sh", versions, &ENV, Path::new("/lib/bin/sh"))
}

fn check(min_version: &str, record: &Value) -> Result<Installed, String> {
    verify(expected(min_version), record.as_object().unwrap()).map_err(|error| error.to_string())
}

#[test]
fn accepts_a_correct_record_with_its_fingerprint_and_digest() {
    let found = check("1", &json!({"name": "sh", "abspath": "/bin/sh", "version": "1.0"})).unwrap();
    assert_eq!(found.abspath, Path::new("/bin/sh"));
    assert_eq!(found.sha256, digest::sha256(Path::new("/bin/sh")).unwrap());
    assert_eq!(Some(found.fingerprint), probe::fingerprint(Path::new("/bin/sh")));
}

#[test]
fn the_file_and_the_version_of_the_request_take_precedence() {
    let (abspath, version) = (Some(Path::new("/bin/sh")), Some("2.0"));
    let expected = Expected { abspath, version, ..expected("1.5") };
    let record = json!({"name": "sh", "abspath": "/bin/sh", "version": "1.0"});
    assert_eq!(verify(expected, record.as_object().unwrap()).unwrap().version, "2.0");
    let other = json!({"name": "sh", "abspath": "/bin/ls"});
    let error = verify(expected, other.as_object().unwrap()).unwrap_err().to_string();
    assert_eq!(error, "abspath is /bin/ls, but overrides.env.abspath is /bin/sh");
}

#[test]
fn a_digest_in_the_record_must_be_that_of_the_file() {
    let (digest, fingerprint) =
        (digest::sha256(Path::new("/bin/sh")).unwrap(), probe::fingerprint(Path::new("/bin/sh")));
    let stated = |sha256: &str| json!({"name": "sh", "abspath": "/bin/sh", "sha256": sha256});
    assert_eq!(check("", &stated(&digest)).unwrap().sha256, digest);
    let zeros = "0".repeat(64);
    let error = format!("sha256 {zeros} in the record is not the file's {digest}");
    assert_eq!(check("", &stated(&zeros)), Err(error.clone()));
    let mut forged = stated(&zeros);
    forged["fingerprint"] = json!(fingerprint);
    assert_eq!(check("", &forged), Err(error));
    let built_in = Expected { is_measured: true, ..expected("") };
    let found = verify(built_in, forged.as_object().unwrap()).unwrap();
    assert_eq!(found.sha256, zeros, "the digest is not computed twice");
    let pin = Pin {
        platform: String::new(),
        name: "sh".to_owned(),
        binprovider: ENV.clone(),
        version: String::new(),
        package_version: String::new(),
        sha256: zeros,
        url: String::new(),
        url_sha256: String::new(),
        hook_sha256: String::new(),
        overrides_sha256: String::new(),
    };
    let pinned = Expected { pin: Some((&pin, Path::new("/lib"))), ..built_in };
    assert!(matches!(verify(pinned, forged.as_object().unwrap()), Err(VerifyError::WrongDigest(..))));
}

#[test]
fn a_new_mode_is_checked_before_the_file_is_linked() {
    let folder = tempfile::tempdir().unwrap();
    let [path, other_name] = ["sh", "other"].map(|name| folder.path().join(name));
    fs_err::copy("/bin/sh", &path).unwrap();
    fs_err::hard_link(&path, &other_name).unwrap();
    let record = json!({"name": "sh", "abspath": path, "version": "1.0"});
    let mut installed = check("", &record).unwrap();
    fs_err::remove_file(&other_name).unwrap();
    verify_unchanged(&mut installed).unwrap();
    assert_eq!(Some(&installed.fingerprint), probe::fingerprint(&path).as_ref());
    installed.fingerprint = installed.fingerprint.rsplit_once(':').unwrap().0.to_owned() + ":1.0";
    fs_err::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
    let error = verify_unchanged(&mut installed).unwrap_err().to_string();
    assert!(error.contains("has no exec bit"), "{error}");
}

#[test]
fn reports_why_a_record_is_rejected() {
    for (record, expected) in [
        (json!({"name": "bash", "abspath": "/bin/sh"}), "the record is for `bash`, not for `sh`"),
        (json!({"name": "sh"}), "the record has no abspath"),
        (json!({"name": "sh", "abspath": ["/bin/sh"]}), "the record has no abspath"),
        (json!({"name": "sh", "abspath": "bin/sh"}), "abspath bin/sh is not absolute"),
        (json!({"name": "sh", "abspath": "/no/such"}), "abspath /no/such does not exist"),
        (json!({"name": "sh", "abspath": "/usr"}), "abspath /usr is not a file"),
        (json!({"name": "sh", "abspath": "/etc/passwd"}), "abspath /etc/passwd has no exec bit"),
        (
            json!({"name": "sh", "abspath": "/lib/bin/sh"}),
            "abspath /lib/bin/sh is a link that rigup creates; name the file that it leads to",
        ),
        (json!({"name": "sh", "abspath": "/bin/sh", "version": "1.9"}), "version 1.9 is older than 1.10"),
        (json!({"name": "sh", "abspath": "/bin/sh"}), "the version is unknown, but 1.10 to 3 is required"),
        (json!({"name": "sh", "abspath": "/bin/sh", "version": "3.1"}), "version 3.1 is newer than 3"),
    ] {
        let error = check("1.10", &record).unwrap_err();
        assert!(error.starts_with(expected), "{record}: {error}");
    }
}
