use super::steps::Step;
use std::time::Duration;

/// How a query went.
#[derive(Debug)]
pub(super) struct Ran {
    pub took: Duration,
    pub planned_in: Duration,
    pub rows: u64,
}

/// The tree after the query ran: what each step cost, then what it is.
pub(super) fn analyzed(tree: &Step, ran: &Ran) -> Vec<String> {
    let nanos = tree.total(&|s: &Step| s.nanos);
    let bytes = tree.total(&|s: &Step| s.bytes.unwrap_or(0));
    let spilled = tree.total(&|s: &Step| s.spilled);
    let mut head = format!("{} rows in {}, planned in {}", count(ran.rows), duration(ran.took), duration(ran.planned_in));
    head.push_str(&format!(
        "; {} read, {} of computing over all threads",
        self::bytes(bytes),
        duration(Duration::from_nanos(nanos))
    ));
    if spilled > 0 {
        head.push_str(&format!(", {} spilled to disk", self::bytes(spilled)));
    }
    let mut lines = vec![head, String::new(), format!("{:>9} {:>6} {:>12} {:>9}  step", "time", "share", "rows", "read")];
    walk(tree, "", "", &mut |step, at, prefix| {
        let figures = match at {
            0 => {
                let share = if nanos == 0 { 0.0 } else { step.nanos as f64 * 100.0 / nanos as f64 };
                let rows = step.rows.map_or_else(String::new, count);
                let read = step.bytes.map_or_else(String::new, self::bytes);
                format!("{:>9} {:>6} {rows:>12} {read:>9}", duration(Duration::from_nanos(step.nanos)), format!("{share:.0} %"))
            }
            _ => " ".repeat(39),
        };
        lines.push(format!("{figures}  {prefix}"));
    });
    lines
}

/// The tree before the query ran: how many rows are expected, and how many bytes of columns will be read.
pub(super) fn planned(tree: &Step) -> Vec<String> {
    let total = tree.total(&|s: &Step| s.bytes.unwrap_or(0));
    let mut lines = vec![
        format!("reads about {}; EXPLAIN ANALYZE runs it and tells where time goes", bytes(total)),
        String::new(),
        format!("{:>13} {:>9}  step", "expected rows", "reads"),
    ];
    walk(tree, "", "", &mut |step, at, prefix| {
        let figures = match at {
            0 => format!(
                "{:>13} {:>9}",
                step.rows.map_or_else(|| "?".to_owned(), count),
                step.bytes.map_or_else(String::new, bytes)
            ),
            _ => " ".repeat(23),
        };
        lines.push(format!("{figures}  {prefix}"));
    });
    lines
}

/// Calls `line` for each line of the tree: the step, which of its lines it is, and the line with its branches.
fn walk(step: &Step, first: &str, rest: &str, line: &mut dyn FnMut(&Step, usize, String)) {
    line(step, 0, format!("{first}{}", step.title));
    let bar = if step.inputs.is_empty() { "  " } else { "│ " };
    let mut details = step.details.clone();
    if step.spilled > 0 {
        details.push(format!("{} spilled to disk", bytes(step.spilled)));
    }
    if !details.is_empty() {
        line(step, 1, format!("{rest}{bar}{}", details.join("; ")));
    }
    let last = step.inputs.len().saturating_sub(1);
    for (i, input) in step.inputs.iter().enumerate() {
        let (branch, below) = if i == last { ("└ ", "  ") } else { ("├ ", "│ ") };
        walk(input, &format!("{rest}{branch}"), &format!("{rest}{below}"), line);
    }
}

/// A count with its thousands apart.
pub(super) fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(' ');
        }
        out.push(digit);
    }
    out
}

fn bytes(n: u64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    let mut value = n as f64;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    if unit == 0 || value >= 99.5 { format!("{value:.0} {}", UNITS[unit]) } else { format!("{value:.1} {}", UNITS[unit]) }
}

fn duration(d: Duration) -> String {
    match d.as_secs_f64() {
        s if s >= 10.0 => format!("{s:.1} s"),
        s if s >= 1.0 => format!("{s:.2} s"),
        s if s >= 0.01 => format!("{:.0} ms", s * 1e3),
        s => format!("{:.1} ms", s * 1e3),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_read_well() {
        let check = |n, expected| assert_eq!(bytes(n), expected);
        check(0, "0 B");
        check(999, "999 B");
        check(1_500, "1.5 kB");
        check(999_600, "1.0 MB");
        check(123_456_789, "123 MB");
        assert_eq!(count(1_234_567), "1 234 567");
        assert_eq!(duration(Duration::from_micros(1_240)), "1.2 ms");
        assert_eq!(duration(Duration::from_millis(812)), "812 ms");
    }

    #[test]
    fn a_tree_shows_costs_first_and_branches_after() {
        let scan = |table: &str, nanos| Step {
            title: format!("Scan {table}"),
            details: vec!["2 columns".into(), "1 of 3 files".into()],
            rows: Some(12_000),
            bytes: Some(5_000_000),
            nanos,
            ..Step::default()
        };
        let tree = Step {
            title: "Hash join (inner) on a = b".into(),
            rows: Some(10),
            nanos: 1_000_000,
            inputs: vec![scan("gold.a", 2_000_000), scan("gold.b", 1_000_000)],
            ..Step::default()
        };
        let ran = Ran { took: Duration::from_millis(3), planned_in: Duration::from_millis(1), rows: 10 };
        let expected = "\
10 rows in 3.0 ms, planned in 1.0 ms; 10.0 MB read, 4.0 ms of computing over all threads

     time  share         rows      read  step
   1.0 ms   25 %           10            Hash join (inner) on a = b
   2.0 ms   50 %       12 000    5.0 MB  ├ Scan gold.a
                                         │   2 columns; 1 of 3 files
   1.0 ms   25 %       12 000    5.0 MB  └ Scan gold.b
                                             2 columns; 1 of 3 files";
        assert_eq!(analyzed(&tree, &ran).join("\n"), expected);
    }
}
