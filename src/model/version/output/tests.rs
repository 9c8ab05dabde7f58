//! Versions in the output of real programs.

use super::*;

#[test]
fn finds_the_version_in_the_output_of_real_programs() {
    for (name, output, version) in [
        ("wget", "GNU Wget 1.21.3 built on linux-gnu.", "1.21.3"),
        ("git", "git version 2.39.5 (Apple Git-154)", "2.39.5"),
        ("node", "v20.20.2\n", "20.20.2"),
        ("rg", "ripgrep 13.0.0\n-SIMD -AVX (compiled)", "13.0.0"),
        (
            "ffmpeg",
            "ffmpeg version 5.1.6-0+deb12u1 Copyright (c) 2000-2024\nbuilt with gcc 12 (Debian 12.2.0-14)",
            "5.1.6-0+deb12u1",
        ),
        ("chromium", "Chromium 156.0.8078.73 built on Debian 12.14", "156.0.8078.73"),
        ("yt-dlp", "2024.04.09", "2024.04.09"),
        ("jq", "jq-1.6", "1.6"),
        ("bash", "GNU bash, version 5.2.15(1)-release (x86_64-pc-linux-gnu)", "5.2.15"),
        ("less", "less 590 (GNU regular expressions)\nCopyright (C) 1984-2021  Mark Nudelman", "590"),
        (
            "mariadb",
            "mariadb  Ver 15.1 Distrib 10.11.19-MariaDB, for debian-linux-gnu (x86_64) using  EditLine wrapper",
            "10.11.19",
        ),
        ("mysql", "mysql  Ver 8.0.36 for Linux on x86_64 (MySQL Community Server - GPL)", "8.0.36"),
        ("x", "/opt/py3.11/x: warning: deprecated\nx 1.2.3", "1.2.3"),
        ("x", "lib/py3.11/x.py:7: warning\n1.2.3", "1.2.3"),
        ("x", "x (built 2024.01.02) version 3.4.5", "3.4.5"),
        ("x", "(built 2024.01.02) version 3.4.5", "3.4.5"),
        ("x", "update available 9.9.9 (current 1.0.0)", "1.0.0"),
        ("x", "update available 9.9.9 (current 1.0.0)\nx 1.0.1", "1.0.1"),
        ("x", "A newer version 9.9.9 is available\n1.0.0", "1.0.0"),
        ("x", "x 1.0.0 (latest: 9.9.9)", "1.0.0"),
        ("tmux", "tmux 3.3a", "3.3a"),
        ("ssh", "OpenSSH_9.2p1 Debian-2+deb12u3, OpenSSL 3.0.15 3 Sep 2024", "9.2p1"),
        ("ip", "ip utility, iproute2-6.1.0, libbpf 1.1.0", "6.1.0"),
        (
            "java",
            "openjdk version \"17.0.13\" 2024-10-15\nOpenJDK Runtime Environment (build 17.0.13+11-Debian-2deb12u1)",
            "17.0.13",
        ),
        (
            "java",
            "java version \"1.8.0_292\"\nJava(TM) SE Runtime Environment (build 1.8.0_292-b10)",
            "1.8.0_292",
        ),
        ("go", "go version go1.22.2 linux/amd64", "1.22.2"),
        ("openssl", "OpenSSL 3.0.15 3 Sep 2024 (Library: OpenSSL 3.0.15 3 Sep 2024)", "3.0.15"),
        (
            "perl",
            "\nThis is perl 5, version 36, subversion 0 (v5.36.0) built for x86_64-linux-gnu-thread-multi",
            "5.36.0",
        ),
        (
            "gcc",
            "gcc (Debian 12.2.0-14+deb12u1) 12.2.0\nCopyright (C) 2022 Free Software Foundation, Inc.",
            "12.2.0",
        ),
        ("ls", "ls (GNU coreutils) 9.1", "9.1"),
        ("as", "GNU assembler (GNU Binutils for Debian) 2.40", "2.40"),
        ("psql", "psql (PostgreSQL) 15.10 (Debian 15.10-0+deb12u1)", "15.10"),
        ("busybox", "BusyBox v1.35.0 (Debian 1:1.35.0-4+b3) multi-call binary.", "1.35.0"),
        ("python3", "Python 3.11.2", "3.11.2"),
        ("pip3", "pip 23.0.1 from /usr/lib/python3/dist-packages/pip (python 3.11)", "23.0.1"),
        ("curl", "curl 7.88.1 (x86_64-pc-linux-gnu) libcurl/7.88.1 OpenSSL/3.0.15 zlib/1.2.13", "7.88.1"),
        ("nginx", "nginx version: nginx/1.22.1", "1.22.1"),
        ("aws", "aws-cli/2.15.0 Python/3.11.6 Linux/6.5 exe/x86_64", "2.15.0"),
        ("rsync", "rsync  version 3.2.7  protocol version 31", "3.2.7"),
        ("kubectl", "Client Version: v1.28.2\nKustomize Version: v5.0.4", "1.28.2"),
        (
            "terraform",
            "Terraform v1.5.7\non linux_amd64\n\nYour version of Terraform is out of date! The latest version\nis 1.9.0.",
            "1.5.7",
        ),
        (
            "zip",
            "Copyright (c) 1990-2008 Info-ZIP - Type 'zip \"-L\"' for software license.\nThis is Zip 3.0 (July 5th 2008), by Info-ZIP.",
            "3.0",
        ),
        ("dpkg", "Debian 'dpkg' package management program version 1.21.22 (amd64).", "1.21.22"),
        ("systemctl", "systemd 252 (252.31-1~deb12u1)\n+PAM +AUDIT", "252.31-1~deb12u1"),
        ("udevadm", "252\n", "252"),
        (
            "convert",
            "Version: ImageMagick 6.9.11-60 Q16 x86_64 2021-01-25 https://imagemagick.org",
            "6.9.11-60",
        ),
        (
            "sqlite3",
            "3.40.1 2022-12-28 14:03:47 df5c253c0b3dd24916e4ec7cf77d3db5294cc9fd45ae7b9c5e82ad8197f38a24",
            "3.40.1",
        ),
        ("vim", "VIM - Vi IMproved 9.0 (2022 Jun 28, compiled Oct 15 2023 17:55:47)", "9.0"),
        ("tree", "tree v2.1.0 \u{a9} 1996 - 2022 by Steve Baker", "2.1.0"),
        ("hg", "Mercurial Distributed SCM (version 6.3.2)", "6.3.2"),
        ("x", "\u{1b}[1mx\u{1b}[0m \u{1b}[32m1.2.3\u{1b}[0m", "1.2.3"),
        ("x", "v7", "7"),
        ("x", "x 1.0.0-rc.1-linux", "1.0.0-rc.1"),
    ] {
        assert_eq!(find_version(output, &[name]), Some(version), "{output}");
    }
}

#[test]
fn the_version_in_an_update_notice_is_skipped() {
    for (name, output, version) in [
        ("upd3", "A new release of upd3 is available: 1.0.0 -> 9.9.9", "1.0.0"),
        ("n2", "Update available: n2 9.9.9\n1.0.0", "1.0.0"),
        ("n3", "n3 9.9.9 is available (you have 1.0.0)", "1.0.0"),
        ("n4", "Version 9.9.9 of n4 is available (installed: 1.0.0)", "1.0.0"),
        ("n5", "n5 9.9.9 has been released; you have 1.0.0", "1.0.0"),
        ("n6", "The latest version of n6 is 9.9.9\nn6 1.0.0", "1.0.0"),
        ("n7", "A new version of n7 is available: v9.9.9 (current v1.0.0)", "1.0.0"),
        (
            "n8",
            "\u{2502} Update available 1.0.0 \u{2192} 9.9.9 \u{2502}\n\u{2502} Run n8 update \u{2502}",
            "1.0.0",
        ),
        ("n9", "n9 1.0.0 is the latest version", "1.0.0"),
        (
            "npm",
            "npm notice New minor version of npm available! 10.8.2 -> 11.0.0\nnpm notice To update run: npm install -g npm@11.0.0\n10.8.2",
            "10.8.2",
        ),
        (
            "npm",
            "npm notice\nnpm notice New major version of npm available! 9.2.0 \u{2192} 11.0.0\nnpm notice Changelog: https://github.com/npm/cli/releases/tag/v11.0.0\nnpm notice Run npm install -g npm@11.0.0 to update!\n9.2.0",
            "9.2.0",
        ),
        (
            "pip",
            "[notice] A new release of pip is available: 23.0.1 -> 24.0\n[notice] To update, run: pip install --upgrade pip",
            "23.0.1",
        ),
        (
            "pip",
            "WARNING: You are using pip version 19.3.1; however, version 20.0.2 is available.\nYou should consider upgrading via the 'pip install --upgrade pip' command.",
            "19.3.1",
        ),
    ] {
        assert_eq!(find_version(output, &[name]), Some(version), "{output}");
    }
}

#[test]
fn the_versions_of_licenses_and_options_and_in_names_are_skipped() {
    for (name, output, version) in [
        ("ri3.1", "ri3.1 6.4.1.1", "6.4.1.1"),
        ("jq-1.6", "jq-1.6", "1.6"),
        (
            "gdk-pixbuf-csource",
            "gdk-pixbuf-csource-3.0 version 2.42.10\ngdk-pixbuf-csource-3.0 comes with ABSOLUTELY NO WARRANTY.",
            "2.42.10",
        ),
        ("x", "x 1.5, licensed under the Apache License, Version 2.0", "1.5"),
        ("x", "License GPLv3+: GNU GPL version 3 or later\nversion 1.5", "1.5"),
        (
            "x",
            "/usr/bin/x version 1.5 calling Getopt::Std::getopts (version 1.13),\nrunning under Perl 5.36",
            "1.5",
        ),
        (
            "java",
            "Picked up JAVA_TOOL_OPTIONS: -Dx.y=1.2.3\nopenjdk version \"17.0.13\" 2024-10-15",
            "17.0.13",
        ),
    ] {
        assert_eq!(find_version(output, &[name]), Some(version), "{output}");
    }
}

#[test]
fn the_versions_of_other_programs_and_addresses_are_skipped() {
    for (name, output, version) in [
        (
            "mvn",
            "Apache Maven 3.8.7\nMaven home: /usr/share/maven\nJava version: 17.0.2, vendor: Debian\nOS name: \"linux\", version: \"6.1.0\"",
            "3.8.7",
        ),
        ("x", "Built on 2024.01.02\nversion 3.4.5", "3.4.5"),
        ("gcloud", "Google Cloud SDK 528.0.0\nalpha 2025.06.20\ngcloud-crc32c 1.0.0", "528.0.0"),
        ("x", "server at 127.0.0.1\nserver 0.0.0.0 x 1.2", "1.2"),
        ("postgres", "postgres (PostgreSQL) 16beta2", "16beta2"),
        ("tidy", "HTML Tidy for Linux version 5.6.0", "5.6.0"),
        ("lein", "Leiningen 2.9.1 on Java 17.0.2 OpenJDK 64-Bit Server VM", "2.9.1"),
        ("pandoc", "pandoc 2.17.1.1\nCompiled with pandoc-types 1.22.2.1, texmath 0.12.4", "2.17.1.1"),
        (
            "spark-submit",
            "   /___/ .__/\\_,_/_/ /_/\\_\\   version 3.3.1\nUsing Scala version 2.12.15, OpenJDK 64-Bit Server VM, 11.0.16",
            "3.3.1",
        ),
        ("redis-server", "Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64", "7.0.15"),
        ("elixir", "Erlang/OTP 25 [erts-13.1.5]\n\nElixir 1.14.0 (compiled with Erlang/OTP 24)", "1.14.0"),
        ("apache2", "Server version: Apache/2.4.57 (Debian)\nServer built:   2023-04-13T03:26:51", "2.4.57"),
        (
            "ansible",
            "ansible [core 2.14.3]\n  config file = None\n  python version = 3.11.2 (main)\n  jinja version = 3.1.2",
            "2.14.3",
        ),
    ] {
        assert_eq!(find_version(output, &[name]), Some(version), "{output}");
    }
}

#[test]
fn a_number_that_is_not_the_version_of_the_program_is_ignored() {
    for (name, output) in [
        ("sed", "This is not GNU sed version 4.0"),
        ("x", "no number here, see foo.bar or https://x.org/2.0"),
        ("x", "/opt/py3.11/x: unknown option"),
        ("x", "usage: x [--count 5]"),
        ("x", "update available: 9.9.9"),
        (
            "ffmpeg",
            "ffmpeg version N-109468-gd39b34123d Copyright (c) 2000-2024\nbuilt with gcc 12.2.0 (Debian 12.2.0-14)\nlibavutil 57. 28.100",
        ),
        ("xmllint", "xmllint: using libxml version 20914"),
        ("x", "linked with zlib 1.2.13 and OpenSSL 3.0.15"),
        ("x", "server at 127.0.0.1"),
        (
            "hello",
            "hello (GNU Hello) \n\nCopyright (C) 2022 Free Software Foundation, Inc.\nLicense GPLv3+: GNU GPL version 3 or later <http://gnu.org/licenses/gpl.html>",
        ),
        ("time", "time (GNU Time) UNKNOWN\nLicense GPLv3+: GNU GPL version 3 or later"),
        ("x", "Licensed under the Apache License, Version 2.0"),
        ("x", "either version 2.1 of the License, or (at your option) any later version"),
        (
            "pod2html",
            "Converting input file\n<?xml version=\"1.0\" ?>\n<html xmlns=\"http://www.w3.org/1999/xhtml\">",
        ),
        (
            "encguess",
            "/usr/bin/encguess version [unknown] calling Getopt::Std::getopts (version 1.13),\nrunning under Perl version 5.36.0.",
        ),
        ("x", ""),
    ] {
        assert_eq!(find_version(output, &[name]), None, "{output}");
    }
}

#[test]
fn each_name_of_the_program_marks_its_version() {
    let output = "lib 2.0 tool 1.5";
    assert_eq!(find_version(output, &["tool"]), Some("1.5"));
    assert_eq!(find_version(output, &["x", "tool"]), Some("1.5"));
    assert_eq!(find_version(output, &["x"]), Some("2.0"));
}
