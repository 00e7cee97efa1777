//! `quotum policy`: checks, explanations and cases, on files alone.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use quotum_policy::cases::{self, Report};
use quotum_policy::{Effect, Explanation, Policy, PolicyError, Verdict};
use serde_json::{Value, json};

use crate::arguments::{CheckPolicy, ExplainPolicy, Policy as Command, TestPolicy};
use crate::failure::Failure;
use crate::files;
use crate::limits::POLICY_BYTES_MAX;
use crate::output::{self, Format};

#[cfg(test)]
mod tests;

pub(crate) fn run(command: &Command, format: Format) -> Result<(), Failure> {
    match command {
        Command::Check(options) => check(options, format),
        Command::Explain(options) => explain(options, format),
        Command::Test(options) => test(options, format),
    }
}

/// Reads and checks a policy for a command that needs it.
pub(crate) fn load(path: &Path) -> Result<(String, Policy), Failure> {
    let bytes = read(path)?;
    let policy = Policy::parse(&bytes).map_err(|error| refused(path, &error))?;
    let text = String::from_utf8(bytes).expect("a policy that was parsed is UTF-8");
    Ok((text, policy))
}

fn check(options: &CheckPolicy, format: Format) -> Result<(), Failure> {
    let mut text = String::new();
    let mut values = Vec::new();
    let mut refused_files = 0;
    for path in &options.files {
        let place = path.display().to_string();
        match Policy::parse(&read(path)?) {
            Ok(_) => {
                writeln!(text, "{place}: ok").expect("a string grows");
                values.push(json!({ "file": place, "problems": [] }));
            }
            Err(error) => {
                refused_files += 1;
                error
                    .to_string()
                    .lines()
                    .for_each(|line| writeln!(text, "{place}: {line}").expect("a string grows"));
                values.push(json!({ "file": place, "problems": problems(&error) }));
            }
        }
    }
    output::show(format, || text, &values)?;
    match refused_files {
        0 => Ok(()),
        1 => Err(Failure::failed("one policy is refused")),
        more => Err(Failure::failed(format!("{more} policies are refused"))),
    }
}

fn explain(options: &ExplainPolicy, format: Format) -> Result<(), Failure> {
    let (_, policy) = load(&options.file)?;
    let arguments = match options.arguments.as_deref() {
        None => None,
        Some(text) => Some(match text.strip_prefix('@') {
            None => text.to_owned(),
            Some(path) => files::read_text(Path::new(path), POLICY_BYTES_MAX)
                .map_err(|error| Failure::usage(path).because(&error))?,
        }),
    };
    if let Some(text) = &arguments {
        serde_json::from_str::<serde::de::IgnoredAny>(text)
            .map_err(|error| Failure::usage("--args: this is no JSON").because(&error))?;
    }
    let explanation = policy.explain(&options.tool, arguments.as_deref());
    output::show(format, || explanation.to_string(), &explained(&explanation))
}

fn test(options: &TestPolicy, format: Format) -> Result<(), Failure> {
    let mut paths: Vec<PathBuf> = Vec::new();
    for path in &options.files {
        paths.extend(files::find(path, &["json"])?);
    }
    let mut text = String::new();
    let mut values = Vec::new();
    let mut failed = 0;
    for path in &paths {
        let place = path.display().to_string();
        let (passed, shown, value) = match cases::run(&read(path)?) {
            Ok(report) => (report.passed(), report.to_string(), tested(&place, &report)),
            Err(error) => {
                let value = json!({ "file": place, "passed": false, "error": error.to_string() });
                (false, format!("FAILED {error}"), value)
            }
        };
        failed += usize::from(!passed);
        writeln!(text, "{place}: {shown}").expect("a string grows");
        values.push(value);
    }
    let summary = format!("{} of {} files passed", paths.len() - failed, paths.len());
    writeln!(text, "{summary}").expect("a string grows");
    output::show(format, || text, &values)?;
    match failed {
        0 => Ok(()),
        _ => Err(Failure::failed(summary)),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    files::read(path, POLICY_BYTES_MAX)
        .map_err(|error| Failure::usage(path.display().to_string()).because(&error))
}

/// All problems of a policy that a command cannot do without.
fn refused(path: &Path, error: &PolicyError) -> Failure {
    let place = path.display();
    let lines: Vec<String> = error
        .to_string()
        .lines()
        .map(|line| format!("{place}: {line}"))
        .collect();
    Failure::failed(format!("the policy is refused\n{}", lines.join("\n")))
}

fn problems(error: &PolicyError) -> Vec<Value> {
    let problem = |problem: &quotum_policy::Problem| {
        json!({
            "line": problem.line,
            "column": problem.column,
            "pointer": problem.pointer,
            "message": problem.message,
        })
    };
    error.problems().iter().map(problem).collect()
}

fn explained(explanation: &Explanation) -> Value {
    let step = |step: &quotum_policy::Step| {
        let (effect, units) = match step.effect {
            Effect::Asked => ("asks", None),
            Effect::Passes => ("passes", None),
            Effect::Takes { units } => ("takes", Some(units)),
            Effect::WouldDeny => ("would_deny", None),
            Effect::Denies => ("denies", None),
        };
        json!({
            "rule": step.rule,
            "subject": step.subject,
            "truth": step.truth.map(|truth| truth.to_string()),
            "effect": effect,
            "units": units,
        })
    };
    let steps: Vec<Value> = explanation.steps.iter().map(step).collect();
    match &explanation.verdict {
        Verdict::Allow { uses, .. } => json!({
            "verdict": "allow",
            "limits": uses
                .iter()
                .map(|used| json!({ "rule": used.limit.pointer(), "units": used.units }))
                .collect::<Vec<_>>(),
            "steps": steps,
        }),
        Verdict::Deny(denial) => json!({
            "verdict": "deny",
            "rule": denial.rule,
            "message": denial.message,
            "steps": steps,
        }),
    }
}

fn tested(place: &str, report: &Report) -> Value {
    let step = |step: &cases::StepReport| {
        json!({
            "title": step.title,
            "passed": step.passed(),
            "failures": step.failures,
        })
    };
    json!({
        "file": place,
        "about": report.about,
        "passed": report.passed(),
        "steps": report.steps.iter().map(step).collect::<Vec<_>>(),
    })
}
