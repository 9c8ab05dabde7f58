//! Thousands of hooks in a row: 2,000 in total, or the number in `RIGUP_SOAK`.

use std::fs;

use serde_json::{Value, json};

use crate::test_context::TestContext;
use crate::{assert_intact, assert_recorded, context, count};

/// A hook whose number is in its file name or in the requested name. Every twentieth hook counts the descriptors,
/// threads and zombies of its rigup.
const SAMPLE: &str = r#"#!/bin/sh
number=${0##*__} number=${number%%_*}
case $1 in --name=*) number=${1#--name=n} ;; esac
if [ $((number % 20)) = 0 ]; then
    echo "$(ls /proc/$PPID/fd | wc -l) $(ls /proc/$PPID/task | wc -l)" \
        "$(cat /proc/[0-9]*/stat 2>/dev/null | grep -c ") Z $PPID ")" >>"$DATA_DIR/samples"
fi
"#;

fn all_hooks() -> usize {
    std::env::var("RIGUP_SOAK").map_or(2_000, |hooks| hooks.parse().expect("RIGUP_SOAK is a number of hooks"))
}

/// Creates a plugin with many hooks for an event, which are hard links to one file.
fn add_hooks(context: &TestContext, event: &str, hooks: usize) {
    let script = context.script("sample.sh", SAMPLE);
    let folder = context.path("here/plugins/many");
    fs::create_dir_all(&folder).unwrap();
    for number in 0..hooks {
        fs::hard_link(&script, folder.join(format!("on_{event}__{number}_x.sh"))).unwrap();
    }
}

/// Asserts that the lowest count of the last quarter does not exceed the highest count of the first quarter. The counts
/// vary, because a hook counts while its rigup prepares the next one.
fn assert_nothing_grows(context: &TestContext) {
    let text = fs::read_to_string(context.path("data/samples")).unwrap();
    let samples: Vec<Vec<u32>> =
        text.lines().map(|line| line.split(' ').map(|count| count.parse().unwrap()).collect()).collect();
    let quarter = samples.len() / 4;
    assert!(quarter > 2, "{samples:?}");
    for (column, resource) in ["descriptors", "threads", "zombies"].into_iter().enumerate() {
        let range = |samples: &[Vec<u32>]| {
            let counts = || samples.iter().map(|sample| sample[column]);
            (counts().min().unwrap(), counts().max().unwrap())
        };
        let (first, last) = (range(&samples[..quarter]), range(&samples[samples.len() - quarter..]));
        println!(
            "{resource}: {} to {} in the first quarter, {} to {} in the last",
            first.0, first.1, last.0, last.1
        );
        assert!(last.0 <= first.1, "{resource}: {first:?} in the first quarter, {last:?} in the last");
    }
}

#[test]
fn a_command_that_runs_thousands_of_hooks_leaks_nothing() {
    let context = context();
    let hooks = all_hooks() / 2;
    add_hooks(&context, "Many", hooks);
    context.run(&["run", "Many"]).succeeds();
    assert_nothing_grows(&context);
    assert_recorded(&context, hooks, 1);
    assert_intact(&context);
}

#[test]
fn a_command_that_installs_thousands_of_binaries_leaks_nothing() {
    let context = context();
    let binaries = all_hooks() / 4;
    let record = "printf '{\"type\":\"Binary\",\"name\":\"%s\",\"abspath\":\"/bin/sh\",\"version\":\"1\"}\\n' \"n$number\"\n";
    context.concurrent_provider("p", &format!("{SAMPLE}{record}"));
    let request = |number| json!({"type": "Binary", "name": format!("n{number}"), "binproviders": "p"});
    context.plugin("many", &(0..binaries).map(request).collect::<Vec<Value>>());
    context.run(&["install"]).succeeds();
    assert_nothing_grows(&context);
    assert_recorded(&context, binaries, 1);
    let installed = count(&context, "SELECT count(*) FROM attempt WHERE outcome = 'installed'");
    assert_eq!(usize::try_from(installed).unwrap(), binaries);
    let links = context.bin("n0").parent().unwrap().to_owned();
    assert_eq!(fs::read_dir(links).unwrap().count(), binaries);
    assert_intact(&context);
}

#[test]
fn commands_with_background_hooks_leave_nothing_behind() {
    const FOREGROUND: usize = 20;
    const BACKGROUND: usize = 5;
    let context = context();
    add_hooks(&context, "Some", FOREGROUND);
    for number in 0..BACKGROUND {
        let hook = format!("here/plugins/many/on_Some__{number}_b.finite.bg.sh");
        context.script(&hook, "#!/bin/sh\necho ready\n");
    }
    let commands = all_hooks() / 4 / (FOREGROUND + BACKGROUND);
    for _ in 0..commands {
        context.run(&["run", "Some"]).succeeds();
    }
    assert_eq!(context.live_processes(), []);
    assert_recorded(&context, commands * (FOREGROUND + BACKGROUND), commands);
    assert_intact(&context);
}
