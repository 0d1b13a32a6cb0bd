//! `lakebox advise`: asks a running lakebox which layouts would let queries read less, and applies them.

use super::{
    AdviseArgs,
    sql::{ask, fetch},
};
use api::{Advices, AppliedLayout};
use std::{
    io::{self, Write},
    process::ExitCode,
};

/// `lakebox advise`: 0 told or applied, 1 refused, 3 no lakebox there.
pub fn advise(args: &AdviseArgs) -> ExitCode {
    let known: Advices = match fetch(args.url.as_str(), "/api/v1/advice") {
        Ok(known) => known,
        Err(code) => return code,
    };
    // Nobody reads it where standard output is closed.
    let say = |line: &str| drop(writeln!(io::stdout(), "{line}"));
    let Some(wanted) = &args.apply else {
        say(&render(&known));
        return ExitCode::SUCCESS;
    };
    let ids: Vec<String> = match wanted.as_str() {
        ALL => known.advice.iter().map(|a| a.id.clone()).collect(),
        id => vec![id.to_owned()],
    };
    if ids.is_empty() {
        say("There is nothing to apply.");
    }
    for id in ids {
        let encoded: String = url::form_urlencoded::byte_serialize(id.as_bytes()).collect::<String>().replace('+', "%20");
        let done: AppliedLayout = match ask(args.url.as_str(), &format!("/api/v1/advice/{encoded}/apply"), &()) {
            Ok(done) => done,
            Err(code) => return code,
        };
        say(&format!("{} is now {}; its files are being rewritten.", done.table, done.layout));
    }
    ExitCode::SUCCESS
}

/// What `--apply` without a value means.
pub(super) const ALL: &str = "all";

fn render(known: &Advices) -> String {
    let mut lines = Vec::new();
    if known.advice.is_empty() {
        lines.push("No other layout would let the queries of the last seven days read much less.".to_owned());
    }
    for advice in &known.advice {
        lines.push(advice.text.clone());
        lines.push(format!("  lakebox advise --apply '{}'", advice.id));
    }
    for applied in &known.applied {
        lines.push(format!("In force: {} {}.", applied.table, applied.layout));
    }
    lines.join("\n")
}
