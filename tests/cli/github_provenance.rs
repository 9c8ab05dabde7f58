//! What `rigup hook download` checks besides checksums: signatures of minisign, and gh and cosign.

use serde_json::{Value, json};

use crate::bash_and_node::names_in;
use crate::release_server::{Answer, Answers, Server, sha256};
use crate::test_context::{CommandOutput, TestContext};

const KEY: &str = "RWSyrv5cWNzAkCLo6XcrkrDgrzkuYB+7JeQjSHEblXVcrqHwDgmdnuvs";
const OTHER_KEY: &str = "RWSOLZuO3lgmjcIh+hTHjfD5NaImPJzTtiCgf62vDOzMloRpjCcsywu0";

/// The signature of `abc` by minisign with [`KEY`].
const SIGNATURE: &str = "untrusted comment: signature from minisign secret key\n\
RUSyrv5cWNzAkOrN7OnzBQqwdCCX1mqG5Lq0Rqb5LXFAdx5y6/sRsDnusBi4IVQ3UyJTMCDrcwJKE0gvDzICGA4Ew9BaF6jwUgM=\n\
trusted comment: test\n\
slB/u4vjmzaUw4wFgtJpJcKrDSdyGKRPcFzMCpNlJk1ejHjRAjzWJTUf3mUYt3OUfaKrd4pWHLrVP51hBqMJCw==";

/// Starts a server with `abc`, another file, and files about them.
fn server() -> Server {
    Server::start(|_address| {
        let files = [("/x", "abc"), ("/other", "abd"), ("/x.minisig", SIGNATURE), ("/x.sigstore.json", "{}")];
        files.map(|(path, text)| (path.to_owned(), vec![Answer::file(text)])).into_iter().collect::<Answers>()
    })
}

/// Downloads `x` with these further keys of a line of `candidates`, whose addresses are paths of the server.
fn download(context: &TestContext, server: &Server, keys: &Value) -> CommandOutput {
    let address = |path: &Value| json!(format!("http://{}{}", server.address, path.as_str().unwrap()));
    let mut line = json!({"name": "x", "url": "/x", "repository": "owner/repo"});
    line.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
    for key in ["url", "signature"].into_iter().filter(|key| line[*key].is_string()).collect::<Vec<_>>() {
        line[key] = address(&line[key]);
    }
    if let Some(files) = line["cosign"].as_array() {
        line["cosign"] = files.iter().map(address).collect();
    }
    let folder = context.path("downloads");
    context.run(&["hook", "download", &line.to_string(), folder.to_str().unwrap()])
}

/// Asserts that a download was refused with a reason, and that no file is left.
#[track_caller]
fn refused(context: &TestContext, output: CommandOutput, expected: &str) {
    let output = output.exits_with(1);
    assert!(output.stdout.starts_with(expected), "{}", output.stdout);
    assert!(names_in(&context.path("downloads")).is_empty());
}

#[test]
fn a_file_must_be_signed_with_the_key_of_minisign() {
    let (context, server) = (TestContext::new(), server());
    let signed = json!({"minisign": KEY, "signature": "/x.minisig", "require_checksum": true});
    let with = |key: &str, value: &str| {
        let mut keys = signed.clone();
        keys[key] = value.into();
        download(&context, &server, &keys)
    };
    let not_signed = "reject 'x is not signed with the key in minisign: x.minisig: the signature ";
    refused(&context, with("minisign", OTHER_KEY), &format!("{not_signed}was made with another key'"));
    refused(&context, with("url", "/other"), &format!("{not_signed}does not match the file'"));
    let missing = format!(
        "fail 'cannot download http://{}/none: the server sent the status 404; check the address'",
        server.address
    );
    refused(&context, with("signature", "/none"), &missing);
    let unsigned = download(&context, &server, &json!({"minisign": KEY}));
    refused(&context, unsigned, "reject 'x has no signature: the release has no x.minisig'");
    let output = download(&context, &server, &signed).succeeds();
    assert!(output.stdout.contains(&format!("sha256={}\n", sha256(b"abc"))), "{}", output.stdout);
    assert!(!output.stdout.contains("warn"), "the signature verifies the file: {}", output.stdout);
    assert_eq!(names_in(&context.path("downloads")), ["x"]);
}

/// Puts a program on PATH that stores its arguments, and prints and exits as the files `stderr` and `code` say.
fn put_on_path(context: &mut TestContext, program: &str) {
    let folder = context.path("tools").display().to_string();
    let script = format!(
        "#!/bin/sh\necho \"$*\" >{folder}/arguments\ncat {folder}/stderr >&2\nexit \"$(cat {folder}/code)\"\n"
    );
    context.script(&format!("tools/{program}"), &script);
    context.set("PATH", format!("{folder}:/usr/bin:/bin"));
    exit_with(context, 0, "");
}

/// Makes the program exit with a code after a text on stderr.
fn exit_with(context: &TestContext, code: i32, stderr: &str) {
    context.write("tools/code", code.to_string());
    context.write("tools/stderr", stderr);
}

#[test]
fn gh_must_find_an_attestation_of_the_repository() {
    let (mut context, server) = (TestContext::new(), server());
    let attested = json!({"verify": "attestation"});
    let no_gh = download(&context, &server, &attested);
    let next = "fail 'cannot check x with gh: it is not on PATH; run `rigup install gh --min-version 2.49`";
    refused(&context, no_gh, next);
    put_on_path(&mut context, "gh");
    for (code, stderr, expected) in [
        (
            1,
            "Loading attestations from GitHub API failed\n\nError: HTTP 404: Not Found (https://api.github.com/x)\n",
            "reject 'x is not what its repository owner/repo built: gh: Error: HTTP 404: Not Found",
        ),
        (
            1,
            "Sigstore verification failed\n\nError: verifying with issuer \"sigstore.dev\"\n",
            "reject 'x is not what its repository owner/repo built: gh: Error: verifying with issuer",
        ),
        (
            4,
            "To get started with GitHub CLI, please run:  gh auth login\nAlternatively, populate the GH_TOKEN \
             environment variable with a GitHub API authentication token.\n",
            "fail 'cannot check x with gh: Alternatively, populate the GH_TOKEN",
        ),
        (
            1,
            "error connecting to api.github.com\ncheck your internet connection or https://githubstatus.com\n",
            "fail 'cannot check x with gh: check your internet connection",
        ),
        (
            1,
            "unknown command \"attestation\" for \"gh\"\n\nUsage:  gh\n",
            "fail 'cannot check x with gh: it is too old; run `rigup install gh --min-version 2.49`'",
        ),
    ] {
        exit_with(&context, code, stderr);
        refused(&context, download(&context, &server, &attested), expected);
    }
    exit_with(&context, 0, "Verification succeeded!\n");
    download(&context, &server, &attested).succeeds();
    let arguments = std::fs::read_to_string(context.path("tools/arguments")).unwrap();
    assert!(arguments.starts_with("attestation verify --repo owner/repo /"), "{arguments}");
}

#[test]
fn cosign_must_find_the_repository_in_the_certificate() {
    let (mut context, server) = (TestContext::new(), server());
    put_on_path(&mut context, "cosign");
    let signed = json!({"verify": "cosign", "cosign": ["/x.sigstore.json"]});
    for (stderr, expected) in [
        (
            "Error: none of the expected identities matched what was in the certificate, got subjects [x]\n\
             main.go:69: error during command execution: none of the expected identities matched\n",
            "reject 'x is not what its repository owner/repo built: cosign: main.go:69: error during",
        ),
        (
            "Error: invalid signature when validating ASN.1 encoded signature\n",
            "reject 'x is not what its repository owner/repo built: cosign: Error: invalid signature",
        ),
        (
            "Error: getting trusted root: Get \"https://tuf-repo-cdn.sigstore.dev/x\": dial tcp: lookup \
             tuf-repo-cdn.sigstore.dev: server misbehaving\n",
            "fail 'cannot check x with cosign: Error: getting trusted root",
        ),
        ("Error: unknown flag: --bundle\n", "fail 'cannot check x with cosign: Error: unknown flag"),
    ] {
        exit_with(&context, 1, stderr);
        refused(&context, download(&context, &server, &signed), expected);
    }
    let unsigned = download(&context, &server, &json!({"verify": "cosign"}));
    refused(&context, unsigned, "reject 'x has no signature: the release has no x.sigstore.json'");
    exit_with(&context, 0, "Verified OK\n");
    download(&context, &server, &signed).succeeds();
    let arguments = std::fs::read_to_string(context.path("tools/arguments")).unwrap();
    assert!(arguments.starts_with("verify-blob --bundle /"), "{arguments}");
    assert!(
        arguments.contains(r"--certificate-identity-regexp ^https://github\.com/owner/repo/ "),
        "{arguments}"
    );
}

#[test]
fn gh_and_cosign_ask_the_server_that_has_the_repository() {
    let (mut context, server) = (TestContext::new(), server());
    context.set("GITHUB_SERVER_URL", "https://git.example.org");
    for program in ["gh", "cosign"] {
        put_on_path(&mut context, program);
    }
    exit_with(&context, 0, "");
    let arguments = || std::fs::read_to_string(context.path("tools/arguments")).unwrap();
    let attested = json!({"verify": "attestation"});
    let signed = json!({"verify": "cosign", "cosign": ["/x.sigstore.json"]});
    download(&context, &server, &attested).succeeds();
    let found = arguments();
    assert!(
        found.starts_with("attestation verify --repo owner/repo --hostname git.example.org /"),
        "{found}"
    );
    download(&context, &server, &signed).succeeds();
    let (found, identity) =
        (arguments(), r"--certificate-identity-regexp ^https://git\.example\.org/owner/repo/ ");
    assert!(found.contains(identity), "{found}");
    assert!(found.contains("--certificate-oidc-issuer https://git.example.org/_services/token "), "{found}");
    std::fs::remove_dir_all(context.path("downloads")).unwrap();
    for (mut keys, program) in [(attested, "gh"), (signed, "cosign")] {
        keys["host"] = json!("codeberg.org");
        let expected =
            format!("fail 'cannot check x with {program}: its repository is not on a GitHub server'");
        refused(&context, download(&context, &server, &keys), &expected);
    }
}
