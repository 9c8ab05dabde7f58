//! The reasons of failures of the pip and uv providers, from what the installers print and log.

use std::fs;

use crate::pip_and_uv::context;

#[test]
fn the_reason_of_a_failure_is_the_last_error_with_a_hint_for_its_cause() {
    let check = "check the network, and the index, its credentials and the proxy in";
    let hint = "; a package that must be built needs --postinstall-scripts";
    for (provider, errors, reason) in [
        (
            "pip",
            "ERROR: Could not install packages due to an OSError: a package has no wheel, and building is disabled\n",
            format!("a package has no wheel, and building is disabled{hint}").as_str(),
        ),
        (
            "uv",
            "error: x\n  cause: x was not found.\n\nhint: An index URL (http://i) could not be queried due to a lack \
             of credentials (401 Unauthorized)\n",
            &format!("cannot reach the index: http://i: 401 Unauthorized; {check} uv's configuration"),
        ),
        (
            "pip",
            "ERROR: an OSError: no certificates, invalid path: /c\n\n",
            "an OSError: no certificates, invalid path: /c",
        ),
        (
            "pip",
            "ERROR: Cannot install a and b.\n  a needs c\nERROR: ResolutionImpossible: for help visit https://p\n",
            "Cannot install a and b.",
        ),
        (
            "uv",
            "  × No solution found:\n  ╰─▶ Because there is no version of\n      x==9 and you require x==9, it is\n      unsatisfiable.\n",
            "Because there is no version of x==9 and you require x==9, it is unsatisfiable.",
        ),
        (
            "uv",
            "error: No solution found\n  cause: Because x==1 has no usable wheels.\n\nhint: Wheels are required\n",
            &format!("Because x==1 has no usable wheels.{hint}"),
        ),
    ] {
        let context = context();
        if provider == "pip" {
            fs::remove_file(context.path("tools/bin/uv")).unwrap();
        }
        context.write("log", "");
        context.write("errors", errors);
        let record = context.run(&["install", "x", "--binproviders", provider]).exits_with(1).record();
        assert_eq!(record["attempts"][0]["reason"], format!("exit code 1: {reason}"), "{errors}");
    }
}

#[test]
fn pip_suggests_a_build_only_if_it_finds_a_source_of_the_version() {
    let context = context();
    fs::remove_file(context.path("tools/bin/uv")).unwrap();
    let no_build = "ERROR: an OSError: a package has no wheel, and building is disabled\n";
    let link = |name: &str| format!("https://host/{name} (from https://host/x/) (requires-python:>=3.12)\n");
    context.write(
        "log",
        format!("No sources permitted for x-y: {}", link("x-y-1.0.tar.gz"))
            + "Link requires a different Python (3.11.7 not in: '>=3.12'): "
            + &link("X_y-1.1-py3-none-any.whl"),
    );
    let hint = "; a package that must be built needs --postinstall-scripts";
    let python = "; 1.1 requires Python >=3.12, and this is Python 3.11.7";
    for (package, versions, can_build, expected) in [
        ("x-y==1.0", "2.0", true, hint),
        ("x-y", "none", true, hint),
        ("x-y", "none", false, python),
        ("x.y[a]==1.1", "2.0", false, python),
        ("x-y==1.1.0", "2.0", false, ""),
        ("x-y<=1.1,==2.0", "2.0", false, ""),
        ("z", "none", false, ""),
    ] {
        let error = format!("No matching distribution found for {package}");
        let errors = format!(
            "ERROR: Could not find a version that satisfies the requirement {package} (from versions: {versions})\n\
             ERROR: {error}\n"
        );
        context.write("errors--dry-run", if can_build { no_build } else { &errors });
        context.write("errors", errors);
        let record = context.run(&["install", "x", "--binproviders", "pip"]).exits_with(1).record();
        assert!(record["last_error"].as_str().unwrap().ends_with(&(error + expected)), "{package}: {record}");
    }
}

#[test]
fn pip_names_the_cause_in_its_log() {
    let context = context();
    fs::remove_file(context.path("tools/bin/uv")).unwrap();
    context.write("errors", "ERROR: No matching distribution found for x\n");
    for (log, expected) in [
        (
            "There was a problem confirming the ssl certificate: HTTPSConnectionPool(host='h', port=1): Max retries exceeded \
             with url: /x/ (Caused by SSLError(SSLCertVerificationError(1, '[SSL: X] verify failed: self-signed (_ssl.c:1)')))",
            "[SSL: X] verify failed: self-signed (_ssl.c:1)",
        ),
        (
            "HTTPConnectionPool(host='h', port=1): Max retries exceeded with url: /x/ (Caused by ResponseError('too many \
             503 error responses'))",
            "too many 503 error responses",
        ),
        ("401 Client Error: Unauthorized for url: http://h/x/", "401 Client Error: Unauthorized"),
        (
            "connection error: HTTPConnectionPool(host='h', port=1): Max retries exceeded with url: /x/ (Caused by \
             NewConnectionError('<pip.HTTPConnection object at 0x1>: Failed to establish a new connection: [Errno 111] \
             Connection refused'))",
            "[Errno 111] Connection refused",
        ),
        (
            "404 Client Error: Not Found for url: http://h/x/ - skipping\nTIME Could not fetch URL http://h/x/: a proxy\n\
             TIME   refuses",
            "a proxy",
        ),
        (
            "404 Client Error: Not Found for url: http://h/x/ - skipping\nTIME Could not fetch URL http://h/x/ (from \
             http://h/): 401 Client Error: Unauthorized for url: http://h/x/",
            "401 Client Error: Unauthorized",
        ),
    ] {
        let log = format!("TIME Could not fetch URL http://h/x/: {log} - skipping\n");
        context.write("log", log.replace("TIME", "2026-11-29T08:50:12,074"));
        let record = context.run(&["install", "x", "--binproviders", "pip"]).exits_with(1).record();
        let reason = record["attempts"][0]["reason"].as_str().unwrap().to_owned();
        let expected = format!("cannot reach the index: http://h/x/: {expected}; check");
        assert!(reason.contains(&expected), "{reason}");
    }
}
