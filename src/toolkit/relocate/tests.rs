use super::*;

fn roots() -> Roots {
    Roots { folders: vec![(b"/lib/pip/x".to_vec(), "bin".into()), (b"/lib".to_vec(), "pip/x/bin".into())] }
}

fn rewritten(script: &str) -> Option<String> {
    rewrite(script.as_bytes(), &roots()).map(|script| String::from_utf8(script.content).unwrap())
}

#[test]
fn a_path_is_relative_to_the_folder_of_the_file() {
    for (path, relative) in [
        ("/lib/pip/x/bin/y", Some("y")),
        ("/lib/pip/x/bin", Some(".")),
        ("/lib/pip/x/lib/y", Some("../lib/y")),
        ("/lib/pip/x", Some("..")),
        ("/lib/pip/x2//z/", Some("../../x2/z")),
        ("/lib64/y", None),
        ("/usr/lib/y", None),
        ("y", None),
    ] {
        let found = roots().relative(path.as_bytes());
        assert_eq!(found.map(|path| String::from_utf8(path).unwrap()).as_deref(), relative, "{path}");
    }
}

#[test]
fn a_python_script_finds_its_interpreter_next_to_itself() {
    let trampoline = |command: &str| {
        format!(
            "#!/bin/sh\n'''exec' \"$(dirname -- \"$(realpath -- \"$0\")\")\"/{command} \"$0\" \"$@\"\n' '''\nmain()\n"
        )
    };
    for start in [
        "#!/lib/pip/x/bin/python3\n",
        "#! /lib/pip/x/bin/python3 \n",
        "#!/bin/sh\n'''exec' /lib/pip/x/bin/python3 \"$0\" \"$@\"\n' '''\n",
        "#!/bin/sh\n'''exec' \"/lib/pip/x/bin/python3\" \"$0\" \"$@\"\n' '''\n",
    ] {
        let script = rewritten(&format!("{start}main()\n")).unwrap();
        assert_eq!(script, trampoline("python3"), "{start}");
        assert!(!roots().is_in(script.as_bytes()));
    }
    let roots = Roots { folders: vec![(b"/a b/\"x".to_vec(), PathBuf::new())] };
    for start in [
        "#!/a b/\"x/python3 -I -s\n",
        "#!/bin/sh\n'''exec' '/a b/\"x/python3' '-I -s' \"$0\" \"$@\"\n' '''\n",
    ] {
        let script = rewrite(format!("{start}main()\n").as_bytes(), &roots).unwrap();
        assert_eq!(String::from_utf8(script.content).unwrap(), trampoline("python3 '-I -s'"), "{start}");
    }
    let by_pip = b"#!/bin/sh\n'''exec' \"/a b/\"x/python3\" \"$0\" \"$@\"\n' '''\nmain()\n";
    assert_eq!(rewrite(by_pip, &roots).unwrap().content, trampoline("python3").as_bytes());
}

#[test]
fn a_script_whose_meaning_depends_on_its_start_is_kept() {
    for (body, is_kept) in [
        ("main()\n", false),
        ("# -*- coding: UTF_8 -*-\nimport x\n", false),
        ("# a comment\n# coding: latin-1\nmain()\n", false),
        ("print('x')\n", false),
        ("# vim: set fileencoding=latin-1 :\nmain()\n", true),
        ("\n# a comment\n\nr'''A docstring'''\n", true),
        ("('A docstring')\n", true),
        ("import x\nprint(__doc__)\n", true),
        ("from __future__ import annotations\n", true),
    ] {
        for start in [
            "#!/lib/pip/x/bin/python3\n",
            "#!/bin/sh\n'''exec' \"/lib/pip/x/bin/python3\" \"$0\" \"$@\"\n' '''\n",
        ] {
            let kept = rewrite([start, body].concat().as_bytes(), &roots()).unwrap().kept;
            let kept = kept.map(|script| String::from_utf8(script).unwrap());
            let kept = kept.as_deref().map(|script| script.split_once('\n').unwrap().1);
            assert_eq!(kept, is_kept.then_some(body), "{start}{body}");
        }
    }
}

#[test]
fn env_finds_an_interpreter_next_to_the_script() {
    let line = |rest: &str| {
        format!(
            "#!/usr/bin/env -S sh -c 'exec \"$(dirname -- \"$(realpath -- \"$0\")\")\"/{rest} \"$0\" \"$@\"'\nmain()\n"
        )
    };
    for (shebang, expected) in [
        ("/lib/pip/x/bin/helper", Some("helper")),
        ("'/lib/pip/x/libexec/helper' -v -x", Some("../libexec/helper -v -x")),
        ("/lib/pip/x/bin/bash -e", Some("bash -e")),
        ("/lib/pip/x/bin/helper 'a b'", None),
        ("/usr/bin/helper", None),
    ] {
        let script = rewritten(&format!("#!/usr/bin/env -S {shebang}\nmain()\n"));
        assert_eq!(script, expected.map(line), "{shebang}");
        assert_eq!(script.as_deref().and_then(rewritten), None, "a second run changes nothing");
    }
    let roots = Roots { folders: vec![(b"/a b".to_vec(), PathBuf::new())] };
    let script = rewrite(b"#!/usr/bin/env -S /a b/helper -v\nmain()\n", &roots).unwrap();
    assert_eq!(String::from_utf8(script.content).unwrap(), line("helper -v"));
    let script = rewrite(b"#!/a b/helper -v\nmain()\n", &roots).unwrap();
    assert_eq!(
        String::from_utf8(script.content).unwrap(),
        line("helper -v"),
        "without env, the blank would end the path"
    );
    let script = rewritten("#!/usr/bin/env -S /lib/pip/x/bin/python3 -I\nmain()\n").unwrap();
    assert!(script.contains("/python3 -I \"$0\""), "{script}");
}

#[test]
fn launchers_of_pip_and_uv_for_one_program_are_the_same() {
    let import = "import sys\nfrom x import main\n";
    let old_pip = format!(
        "# -*- coding: utf-8 -*-\nimport re\n{import}if __name__ == '__main__':\n    \
         sys.argv[0] = re.sub(r'(-script\\.pyw|\\.exe)?$', '', sys.argv[0])\n    sys.exit(main())\n"
    );
    let new_pip = format!(
        "{import}if __name__ == '__main__':\n    sys.argv[0] = sys.argv[0].removesuffix('.exe')\n    sys.exit(main())\n"
    );
    let uv = format!(
        "# -*- coding: utf-8 -*-\n{import}if __name__ == \"__main__\":\n    \
         if sys.argv[0].endswith(\"-script.pyw\"):\n        sys.argv[0] = sys.argv[0][:-11]\n    \
         elif sys.argv[0].endswith(\".exe\"):\n        sys.argv[0] = sys.argv[0][:-4]\n    sys.exit(main())\n"
    );
    let expected = format!("{import}if __name__ == \"__main__\":\n    sys.exit(main())\n");
    for code in [old_pip, new_pip, uv] {
        let script = rewritten(&format!("#!/lib/pip/x/bin/python3\n{code}")).unwrap();
        assert!(script.ends_with(&format!("\n' '''\n{expected}")), "{script}");
    }
}

#[test]
fn a_shell_script_finds_its_paths_in_every_kind_of_quotes() {
    for (code, expected) in [
        ("exec /lib/pip/x/a /lib/b", "exec \"$launcher_dir\"/../a \"$launcher_dir\"/../../../b"),
        (
            "A=\"/lib/b:/lib\" # don't /lib",
            "A=\"$launcher_dir/../../../b:$launcher_dir/../../..\" # don't /lib",
        ),
        ("B='/lib/b'", "B=''\"$launcher_dir\"'/../../../b'"),
        ("C=\"$(f \"/lib/b\")\"", "C=\"$(f \"$launcher_dir/../../../b\")\""),
        (
            "case `uname` in x) f \"\\\"/lib/b\";; esac",
            "case `uname` in x) f \"\\\"$launcher_dir/../../../b\";; esac",
        ),
    ] {
        let dir = "launcher_dir=$(dirname -- \"$(realpath -- \"$0\")\")";
        let script = rewritten(&format!("#!/bin/sh -e\n{code}\n"));
        assert_eq!(script, Some(format!("#!/bin/sh -e\n{dir}\n{expected}\n")));
    }
    for code in ["cat <<END\n/lib/b\nEND", "f '/lib/b", "f /lib/b\0"] {
        assert_eq!(rewritten(&format!("#!/bin/sh\n{code}\n")), None, "{code}");
    }
}

#[test]
fn scripts_in_other_languages_are_left_alone() {
    for script in
        ["#!/usr/bin/env node\nrun('/lib/b')\n", "#!/lib/pip/x/bin/node\n", "#!/lib/pip/x/bin/sh\n:\n"]
    {
        assert_eq!(rewritten(script), None);
    }
}
