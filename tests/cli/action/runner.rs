//! A runner for composite actions of GitHub: it runs the steps of `action.yml` as the real one does, as far as that file needs
//! it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use saphyr_parser::{Event, Parser};
use serde_json::{Map, Value, json};

use crate::test_context::TestContext;

/// Reads YAML: scalars are strings.
pub(crate) fn yaml(text: &str) -> Value {
    let events = Parser::new_from_str(text).map(|event| event.unwrap().0);
    let mut events = events.filter(|event| !matches!(event, Event::StreamStart | Event::DocumentStart(_)));
    let first = events.next().unwrap();
    value(first, &mut events)
}

fn value<'e>(event: Event<'e>, events: &mut impl Iterator<Item = Event<'e>>) -> Value {
    match event {
        Event::Scalar(text, ..) => text.into_owned().into(),
        Event::SequenceStart(..) => {
            let mut items = Vec::new();
            while let Some(event) = events.next().filter(|event| !matches!(event, Event::SequenceEnd)) {
                items.push(value(event, events));
            }
            items.into()
        }
        Event::MappingStart(..) => {
            let mut members = Map::new();
            while let Some(Event::Scalar(key, ..)) = events.next() {
                let event = events.next().unwrap();
                members.insert(key.into_owned(), value(event, events));
            }
            members.into()
        }
        other => panic!("{other:?} is not used in these files"),
    }
}

/// A job: the state of a runner that lasts from one step to the next.
pub(crate) struct Job<'c> {
    context: &'c TestContext,
    action: PathBuf,
    /// The folder of the cache, whose folders are named for their keys.
    cache: PathBuf,
    /// The variables of the job, with those that steps wrote into `GITHUB_ENV`.
    pub(crate) env: BTreeMap<String, String>,
    path: Vec<String>,
    steps: Map<String, Value>,
    pub(crate) summary: String,
    /// What the steps printed.
    pub(crate) log: String,
}

/// The result of an action.
pub(crate) struct Finished {
    pub(crate) succeeds: bool,
    pub(crate) outputs: BTreeMap<String, String>,
}

impl<'c> Job<'c> {
    /// Starts a job in `here`, with an empty folder for temporary files.
    pub(crate) fn new(context: &'c TestContext, action: &Path) -> Self {
        let temp = context.path("runner/temp");
        let _ = fs::remove_dir_all(&temp);
        fs::create_dir_all(&temp).unwrap();
        let here = context.path("here").display().to_string();
        let temp = temp.display().to_string();
        let env = [
            ("GITHUB_ACTIONS", "true"),
            ("CI", "true"),
            ("GITHUB_WORKSPACE", &here),
            ("GITHUB_SERVER_URL", "https://example.org"),
            ("GITHUB_EVENT_NAME", "push"),
            ("GITHUB_REF_TYPE", "branch"),
            ("RUNNER_TEMP", &temp),
            ("RUNNER_OS", "Linux"),
            ("RUNNER_ARCH", "X64"),
        ];
        Self {
            context,
            action: action.to_owned(),
            cache: context.path("runner/cache"),
            env: env.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            path: vec!["/usr/local/bin:/usr/bin:/bin".to_owned()],
            steps: Map::new(),
            summary: String::new(),
            log: String::new(),
        }
    }

    /// Runs the action with these inputs, as a step of the job.
    pub(crate) fn run_action(&mut self, inputs: &[(&str, &str)]) -> Finished {
        let action = yaml(&fs::read_to_string(self.action.join("action.yml")).unwrap());
        let declared = action["inputs"].as_object().unwrap();
        assert!(inputs.iter().all(|(name, _)| declared.contains_key(*name)), "{inputs:?}");
        let values = declared.iter().map(|(name, input)| {
            let given = inputs.iter().find(|(given, _)| given == name).map(|(_, value)| (*value).into());
            (name.clone(), given.unwrap_or_else(|| input["default"].clone()))
        });
        let values: Map<String, Value> = values.collect();
        self.steps.clear();
        assert_eq!(action["runs"]["using"], "composite");
        let mut succeeds = true;
        for step in action["runs"]["steps"].as_array().unwrap() {
            let condition = step["if"].as_str().is_none_or(|condition| self.is_true(condition, &values));
            // Without `always()`, a step runs only after success.
            if succeeds && condition {
                succeeds = self.run_step(step, &values);
            }
        }
        let outputs = action["outputs"].as_object().unwrap().iter();
        let outputs = outputs.map(|(name, output)| (name.clone(), self.fill(&output["value"], &values)));
        Finished { succeeds, outputs: outputs.collect() }
    }

    /// Runs a step of the job itself.
    pub(crate) fn run(&mut self, script: &str) -> bool {
        self.run_step(&json!({"run": script, "shell": "sh"}), &Map::new())
    }

    fn run_step(&mut self, step: &Value, inputs: &Map<String, Value>) -> bool {
        let (succeeds, outputs) = match step["uses"].as_str() {
            Some(action) => (true, self.use_cache(action, &step["with"], inputs)),
            None => self.run_script(step, inputs),
        };
        if let Some(id) = step["id"].as_str() {
            self.steps.insert(id.to_owned(), json!({"outputs": outputs}));
        }
        succeeds
    }

    fn run_script(&mut self, step: &Value, inputs: &Map<String, Value>) -> (bool, BTreeMap<String, String>) {
        assert_eq!(step["shell"], "sh", "composite actions need a shell");
        let files = ["GITHUB_ENV", "GITHUB_PATH", "GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY"];
        let files = files.map(|name| (name, self.context.write(&format!("runner/files/{name}"), "")));
        let script = self.context.write("runner/files/script.sh", step["run"].as_str().unwrap());
        let mut command = self.context.command_for(Path::new("/bin/sh"), &["-e", script.to_str().unwrap()]);
        command.env_remove("RIGUP_DATA_DIR").envs(&self.env);
        if let Some(folder) = step["working-directory"].as_str() {
            command.current_dir(self.context.path("here").join(self.fill(&folder.into(), inputs)));
        }
        for (name, value) in step["env"].as_object().into_iter().flatten() {
            assert!(!name.starts_with("GITHUB_") && !name.starts_with("RUNNER_"), "{name} cannot be set");
            command.env(name, self.fill(value, inputs));
        }
        command.env("GITHUB_ACTION_PATH", &self.action).env("PATH", self.path.join(":"));
        command.envs(files.iter().map(|(name, path)| (name, path)));
        let output = command.output().unwrap();
        self.log += &String::from_utf8_lossy(&output.stdout);
        self.log += &String::from_utf8_lossy(&output.stderr);
        let [env, path, outputs, summary] = files.map(|(_, path)| fs::read_to_string(path).unwrap());
        self.env.extend(assignments(&env));
        self.path.splice(0..0, path.lines().rev().map(str::to_owned));
        self.summary += &summary;
        (output.status.success(), assignments(&outputs))
    }

    /// Does what `actions/cache/restore` and `actions/cache/save` do.
    fn use_cache(&self, action: &str, with: &Value, inputs: &Map<String, Value>) -> BTreeMap<String, String> {
        let [path, key] = ["path", "key"].map(|name| self.fill(&with[name], inputs));
        let entry = self.cache.join(&key);
        let (name, commit) = action.split_once('@').unwrap();
        assert!(commit.len() == 40 && !key.is_empty(), "{action} {key}");
        let copy = |from: &Path, to: &Path| {
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            let args = ["-a", from.to_str().unwrap(), to.to_str().unwrap()];
            assert!(self.context.command_for(Path::new("/bin/cp"), &args).status().unwrap().success());
        };
        let mut outputs = BTreeMap::new();
        match name {
            "actions/cache/restore" if entry.exists() => {
                copy(&entry, Path::new(&path));
                outputs.insert("cache-hit".to_owned(), "true".to_owned());
            }
            "actions/cache/restore" => {}
            "actions/cache/save" => copy(Path::new(&path), &entry),
            _ => panic!("{name} is not used"),
        }
        outputs
    }

    /// Replaces the expressions in a text.
    fn fill(&self, text: &Value, inputs: &Map<String, Value>) -> String {
        let mut parts = text.as_str().unwrap().split("${{");
        let first = parts.next().unwrap().to_owned();
        parts.fold(first, |filled, part| {
            let (expression, rest) = part.split_once("}}").unwrap();
            filled + &self.evaluate(expression.trim(), inputs) + rest
        })
    }

    /// Evaluates comparisons that are joined by `&&`.
    fn is_true(&self, condition: &str, inputs: &Map<String, Value>) -> bool {
        condition.split(" && ").all(|comparison| {
            let (is_equality, (left, right)) = match comparison.split_once(" == ") {
                Some(sides) => (true, sides),
                None => (false, comparison.split_once(" != ").unwrap()),
            };
            (self.evaluate(left, inputs) == self.evaluate(right, inputs)) == is_equality
        })
    }

    /// Evaluates a quoted text or a value of a context, which is empty if it does not exist.
    fn evaluate(&self, expression: &str, inputs: &Map<String, Value>) -> String {
        if let Some(text) = expression.strip_prefix('\'') {
            return text.strip_suffix('\'').unwrap().to_owned();
        }
        let github = json!({"action_repository": "example/rigup"});
        let contexts = json!({"inputs": inputs, "steps": self.steps, "github": github});
        let found = expression.split('.').fold(&contexts, |value, name| &value[name]);
        found.as_str().unwrap_or_default().to_owned()
    }
}

/// Parses a file of `NAME=VALUE` lines and of values between delimiters.
fn assignments(text: &str) -> BTreeMap<String, String> {
    let (mut lines, mut values) = (text.lines(), BTreeMap::new());
    while let Some(line) = lines.next() {
        let (name, value) = match (line.split_once("<<"), line.split_once('=')) {
            (Some((name, delimiter)), _) => {
                let value: Vec<&str> = lines.by_ref().take_while(|line| *line != delimiter).collect();
                (name, value.join("\n"))
            }
            (None, Some((name, value))) => (name, value.to_owned()),
            (None, None) => panic!("invalid line: {line}"),
        };
        values.insert(name.to_owned(), value);
    }
    values
}
