//! Tables: rows of conditions with their truth, or of documents that must be refused.

use super::{CaseError, Report, Source, StepReport};
use crate::checker::Checker;
use crate::compile::operator_test;
use crate::condition::{Operator, Truth};
use crate::json::{Node, Value};
use crate::limits::{TEXT_CHARS_MAX, VALUES_MAX};
use crate::policy::Policy;
use crate::problem::shown;

pub(super) fn run(source: &Source<'_>) -> Result<Report, CaseError> {
    let mut checker = source.checker();
    let report = table(&mut checker, source);
    source.finish(checker, report)
}

fn table(checker: &mut Checker, source: &Source<'_>) -> Option<Report> {
    let [about, rows] = checker.members(&source.root, "a table", ["about", "rows"])?;
    let about = about.and_then(|about| checker.text(about, "`about`", TEXT_CHARS_MAX));
    let rows = checker.required(&source.root, "rows", rows)?;
    let mut steps = Vec::new();
    for row in checker.items(rows, "`rows`", VALUES_MAX)? {
        let step = match row.get("op") {
            Some(_) => condition(checker, source, row),
            None => refusal(checker, source, row),
        };
        steps.extend(step);
    }
    Some(Report {
        about: about.unwrap_or_default().to_owned(),
        steps,
    })
}

/// A condition: its operator and value, the argument or its absence, and the truth.
fn condition(checker: &mut Checker, source: &Source<'_>, row: &Node<'_>) -> Option<StepReport> {
    let names = ["op", "value", "actual", "missing", "truth"];
    let [op, value, actual, missing, truth] = checker.members(row, "a row", names)?;
    let op = checker.required(row, "op", op)?;
    let operator = checker.choice(op, "`op`", Operator::NAMED)?;
    let value = checker.required(row, "value", value)?;
    let truth = checker.required(row, "truth", truth)?;
    let expected = expected_truth(checker, truth)?;
    let actual = match missing.map(|missing| &missing.value) {
        Some(Value::Bool(true)) => None,
        _ => Some(checker.required(row, "actual", actual)?),
    };
    let test = match operator_test(operator, &value.value) {
        Ok(test) => test,
        Err(message) => {
            checker.fault(value.span.start, message);
            return None;
        }
    };
    let got = test.truth(actual.map(|node| &node.value));
    let written = |node: &Node<'_>| shown(&source.text[node.span.start..node.span.end]);
    let argument = actual.map_or_else(|| "nothing".to_owned(), written);
    let title = format!(
        "{argument} {} {} is {expected}",
        operator.name(),
        written(value)
    );
    let failures = (got != expected)
        .then(|| format!("it is {got}"))
        .into_iter()
        .collect();
    Some(StepReport { title, failures })
}

fn expected_truth(checker: &mut Checker, node: &Node<'_>) -> Option<Truth> {
    match &node.value {
        Value::Bool(truth) => Some(Truth::from(*truth)),
        Value::String(text) if text == "undecided" => Some(Truth::Undecided),
        _ => {
            checker.fault(node.span.start, "`truth` is true, false or \"undecided\"");
            None
        }
    }
}

/// A document that must be refused, and the pointer that its first problem must have.
fn refusal(checker: &mut Checker, source: &Source<'_>, row: &Node<'_>) -> Option<StepReport> {
    let [about, policy, pointer] = checker.members(row, "a row", ["about", "policy", "pointer"])?;
    let about = about.and_then(|about| checker.text(about, "`about`", TEXT_CHARS_MAX));
    let policy = checker.required(row, "policy", policy)?;
    let pointer = checker.required(row, "pointer", pointer)?;
    let expected = checker.string(pointer, "`pointer`")?;
    let title = format!(
        "{} is refused at {expected:?}",
        about.unwrap_or("a document")
    );
    let failure = match Policy::compile(source.text, policy, &source.duplicates) {
        Ok(_) => Some("it is accepted".to_owned()),
        Err(error) => error
            .problems()
            .first()
            .filter(|problem| problem.pointer != expected)
            .map(|problem| {
                format!(
                    "it is refused at {:?}: {}",
                    problem.pointer, problem.message
                )
            }),
    };
    Some(StepReport {
        title,
        failures: failure.into_iter().collect(),
    })
}
