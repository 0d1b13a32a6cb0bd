//! `${NAME}` in values, after the YAML is read: a value from the environment can't change the file's structure.

use super::{
    problem::{Place, Problem, Report},
    yaml::{Node, Scalar, Value},
};

/// Puts values in. `${NAME}` must be set, `${NAME:-otherwise}` need not be, `$${` stays `${`.
pub(super) fn fill(node: &mut Node, environment: &dyn Fn(&str) -> Option<String>, report: &mut Report) {
    match &mut node.value {
        Value::Scalar(scalar) => {
            if let Err(problems) = fill_scalar(scalar, node.place, environment) {
                node.broken = true;
                problems.into_iter().for_each(|p| report.push(p));
            }
        }
        Value::List(items) => items.iter_mut().for_each(|n| fill(n, environment, report)),
        Value::Map(entries) => entries.iter_mut().for_each(|e| fill(&mut e.value, environment, report)),
    }
}

fn fill_scalar(scalar: &mut Scalar, place: Place, environment: &dyn Fn(&str) -> Option<String>) -> Result<(), Vec<Problem>> {
    if !scalar.text.contains("${") {
        return Ok(());
    }
    let mut filled = String::with_capacity(scalar.text.len());
    let mut problems = Vec::new();
    let mut secret = false;
    let mut rest = scalar.text.as_str();
    while let Some(at) = rest.find("${") {
        if rest[..at].ends_with('$') {
            filled.push_str(&rest[..at - 1]);
            filled.push_str("${");
            rest = &rest[at + 2..];
            continue;
        }
        filled.push_str(&rest[..at]);
        let Some(end) = rest[at..].find('}') else {
            let problem = Problem::error(place, "`${` has no `}`");
            problems.push(problem.hint("Write ${NAME}, or $${ for a literal ${."));
            rest = "";
            break;
        };
        let inside = &rest[at + 2..at + end];
        let (name, otherwise) = inside.split_once(":-").map_or((inside, None), |(n, d)| (n, Some(d)));
        match (is_name(name), environment(name), otherwise) {
            (false, ..) => {
                let problem = Problem::error(place, format!("`${{{inside}}}` does not name an environment variable"));
                problems
                    .push(problem.hint("Write ${NAME} or ${NAME:-default} with letters, digits and _, or $${ for a literal ${."));
            }
            // As in a shell, `:-` also stands in for an empty value.
            (true, Some(value), otherwise) if !value.is_empty() || otherwise.is_none() => {
                filled.push_str(&value);
                secret = true;
            }
            (true, _, Some(otherwise)) => filled.push_str(otherwise),
            (true, _, None) => {
                let problem = Problem::error(place, format!("the environment variable {name} is not set"));
                problems.push(problem.hint(format!("Set it before lakebox starts, or give a default: ${{{name}:-value}}.")));
            }
        }
        rest = &rest[at + end + 1..];
    }
    filled.push_str(rest);
    scalar.text = filled;
    scalar.secret = secret;
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(text: &str) -> Result<(String, bool), Vec<String>> {
        let environment = |name: &str| match name {
            "A" => Some("a b".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        let mut scalar = Scalar { text: text.into(), plain: true, secret: false };
        match fill_scalar(&mut scalar, Place { line: 1, column: 1 }, &environment) {
            Ok(()) => Ok((scalar.text, scalar.secret)),
            Err(problems) => Err(problems.into_iter().map(|p| p.message).collect()),
        }
    }

    #[test]
    fn the_environment_is_put_in() {
        for (text, expected, secret) in [
            ("plain $A $ {A} }", "plain $A $ {A} }", false),
            ("${A}", "a b", true),
            ("x${A}y${A}", "xa bya b", true),
            ("${EMPTY}", "", true),
            ("${EMPTY:-d}", "d", false),
            ("${NO:-d:-e}", "d:-e", false),
            ("${NO:-}", "", false),
            ("$${A} ${A}", "${A} a b", true),
            ("ü${A}ü", "üa bü", true),
        ] {
            assert_eq!(filled(text), Ok((expected.to_owned(), secret)), "{text}");
        }
    }

    #[test]
    fn every_missing_name_is_told() {
        assert_eq!(
            filled("${NO} ${A} ${1x} ${ALSO_NO} ${A"),
            Err(vec![
                "the environment variable NO is not set".into(),
                "`${1x}` does not name an environment variable".into(),
                "the environment variable ALSO_NO is not set".into(),
                "`${` has no `}`".into(),
            ])
        );
    }
}
