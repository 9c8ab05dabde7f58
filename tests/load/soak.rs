//! Thousands of hooks in a row: 2,000 in all, or as many as `RIGUP_SOAK` says.

use std::fs;

use serde_json::{Value, json};

use crate::test_context::TestContext;
use crate::{assert_nothing_is_left, assert_recorded, context, count};

/// A hook whose number is in its name, or in the name that it is asked for. Now and then it counts what its rigup holds:
/// descriptors, threads, and children that are over and that nobody took note of.
const SAMPLE: &str = r#"#!/bin/sh
at=${0##*__} at=${at%%_*}
case $1 in --name=*) at=${1#--name=n} ;; esac
if [ $((at % 20)) = 0 ]; then
    echo "$(ls /proc/$PPID/fd | wc -l) $(ls /proc/$PPID/task | wc -l)" \
        "$(cat /proc/[0-9]*/stat 2>/dev/null | grep -c ") Z $PPID ")" >>"$DATA_DIR/samples"
fi
"#;

fn all_hooks() -> usize {
    std::env::var("RIGUP_SOAK").map_or(2_000, |it| it.parse().expect("RIGUP_SOAK is a number of hooks"))
}

/// A plugin with so many hooks for an event, which are one file under many names.
fn event(context: &TestContext, event: &str, hooks: usize) {
    let script = context.script("sample.sh", SAMPLE);
    let folder = context.path("here/plugins/many");
    fs::create_dir_all(&folder).unwrap();
    for at in 0..hooks {
        fs::hard_link(&script, folder.join(format!("on_{event}__{at}_x.sh"))).unwrap();
    }
}

/// Of what was counted, the least of the last quarter is no more than the most of the first: a hook counts while its
/// rigup gets ready for the next one, or has done so.
fn assert_nothing_grows(context: &TestContext) {
    let text = fs::read_to_string(context.path("data/samples")).unwrap();
    let samples: Vec<Vec<u32>> =
        text.lines().map(|line| line.split(' ').map(|it| it.parse().unwrap()).collect()).collect();
    let quarter = samples.len() / 4;
    assert!(quarter > 2, "{samples:?}");
    for (at, what) in ["descriptors", "threads", "zombies"].into_iter().enumerate() {
        let range = |samples: &[Vec<u32>]| {
            let all = || samples.iter().map(|it| it[at]);
            (all().min().unwrap(), all().max().unwrap())
        };
        let (first, last) = (range(&samples[..quarter]), range(&samples[samples.len() - quarter..]));
        println!(
            "{what}: {} to {} in the first quarter, {} to {} in the last",
            first.0, first.1, last.0, last.1
        );
        assert!(last.0 <= first.1, "{what}: {first:?} became {last:?}");
    }
}

#[test]
fn one_rigup_that_runs_thousands_of_hooks_holds_no_more_at_the_end_than_at_the_start() {
    let context = context();
    let hooks = all_hooks() / 2;
    event(&context, "Many", hooks);
    context.run(&["run", "Many"]).succeeds();
    assert_nothing_grows(&context);
    assert_recorded(&context, hooks, 1);
    assert_nothing_is_left(&context);
}

#[test]
fn one_rigup_that_installs_thousands_of_binaries_holds_no_more_at_the_end_than_at_the_start() {
    let context = context();
    let binaries = all_hooks() / 4;
    let record = "printf '{\"type\":\"Binary\",\"name\":\"%s\",\"abspath\":\"/bin/sh\",\"version\":\"1\"}\\n' \"n$at\"\n";
    context.provider("p", &format!("{SAMPLE}{record}"));
    let request = |at| json!({"type": "Binary", "name": format!("n{at}"), "binproviders": "p"});
    context.plugin("many", &(0..binaries).map(request).collect::<Vec<Value>>());
    context.run(&["install"]).succeeds();
    assert_nothing_grows(&context);
    assert_recorded(&context, binaries, 1);
    let installed = count(&context, "SELECT count(*) FROM attempt WHERE outcome = 'installed'");
    assert_eq!(usize::try_from(installed).unwrap(), binaries);
    let links = context.bin("n0").parent().unwrap().to_owned();
    assert_eq!(fs::read_dir(links).unwrap().count(), binaries);
    assert_nothing_is_left(&context);
}

#[test]
fn many_rigups_in_a_row_with_hooks_beside_them_leave_nothing_behind() {
    const FOREGROUND: usize = 20;
    const BESIDE: usize = 5;
    let context = context();
    event(&context, "Some", FOREGROUND);
    for at in 0..BESIDE {
        context.script(&format!("here/plugins/many/on_Some__{at}_b.finite.bg.sh"), "#!/bin/sh\necho ready\n");
    }
    let rigups = all_hooks() / 4 / (FOREGROUND + BESIDE);
    for _ in 0..rigups {
        context.run(&["run", "Some"]).succeeds();
    }
    assert_eq!(context.live_processes(), []);
    assert_recorded(&context, rigups * (FOREGROUND + BESIDE), rigups);
    assert_nothing_is_left(&context);
}
