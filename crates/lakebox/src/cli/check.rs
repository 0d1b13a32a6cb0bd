use super::{CheckArgs, CheckFormat};
use crate::config::{self, Config, Report, Severity};
use serde_json::json;
use std::process::ExitCode;

/// `lakebox check`: prints what is wrong, or what would run. Fails where lakebox would not start.
pub fn check(args: &CheckArgs) -> ExitCode {
    let (report, config) = match config::load(&args.config) {
        Ok(loaded) => (loaded.report, Some(loaded.config)),
        Err(report) => (report, None),
    };
    match args.format {
        CheckFormat::Human => println!("{}", human(&report, config.as_ref())),
        CheckFormat::Json => {
            println!("{}", json!({"file": report.file, "ok": config.is_some(), "problems": report.problems}));
        }
    }
    if config.is_some() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn human(report: &Report, config: Option<&Config>) -> String {
    let mut lines = Vec::new();
    if !report.problems.is_empty() {
        lines.push(report.to_string());
    }
    let count = |severity| report.problems.iter().filter(|p| p.severity == severity).count();
    match config {
        None => {
            let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
            let also = if warnings == 0 { String::new() } else { format!(" and {}", counted(warnings, "warning")) };
            lines.push(format!("{}: {}{also}", report.file, counted(errors, "error")));
        }
        Some(config) => lines.push(format!("{} is fine: {}", report.file, summary(config))),
    }
    lines.join("\n")
}

fn summary(config: &Config) -> String {
    let sources: Vec<_> = config.sources.iter().map(|s| format!("{} ({})", s.name, s.kind.type_name())).collect();
    let sources = if sources.is_empty() { "no sources".to_owned() } else { format!("sources {}", sources.join(", ")) };
    let models = if config.models.is_some() { "models" } else { "no models" };
    format!("{sources}; {}; {models}; lake at {}", counted(config.transforms.len(), "transform"), config.lake.warehouse)
}

fn counted(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn printed(text: &str) -> String {
        match config::parse("lakebox.yaml", text, Path::new("/project"), &|_| None) {
            Ok(loaded) => human(&loaded.report, Some(&loaded.config)),
            Err(report) => human(&report, None),
        }
    }

    #[test]
    fn what_would_run_is_summed_up() {
        insta::assert_snapshot!(
            printed("sources: { shop: { type: postgres, url: \"postgres://u@h/d\" }, play: { type: simulator } }"),
            @"lakebox.yaml is fine: sources shop (postgres), play (simulator); 0 transforms; no models; lake at /project/lake"
        );
    }

    #[test]
    fn problems_are_counted_at_the_end() {
        insta::assert_snapshot!(printed("server: { http: 1 }\nlake:\n  warehouse: []\ntransforms: { m: { wasm: m.wasm } }"), @r#"
        lakebox.yaml:1:17: error: server.http: `1` is not an address
          hint: Write address:port, for example 127.0.0.1:8480 for this machine alone or 0.0.0.0:8480 for all its networks.
        lakebox.yaml:3:14: error: lake.warehouse must be a text, but it is a list
          hint: Look at the documentation of this key.
        lakebox.yaml:4:15: warning: no source uses the transform `m`
          hint: Add it to a source: transforms: [m].
        lakebox.yaml:4:26: error: there is no plugin at `/project/m.wasm`
          hint: Check the path, which starts at the folder of this file, and build the plugin (plugins/README.md says how).
        lakebox.yaml: 3 errors and 1 warning
        "#);
    }

    #[test]
    fn programs_read_the_same_as_json() {
        let report = config::parse("f", "nonsense: 1", Path::new("/p"), &|_| None).unwrap_err();
        insta::assert_snapshot!(
            json!(report.problems).to_string(),
            @r#"[{"severity":"error","line":1,"column":1,"message":"unknown key `nonsense`","hint":"Known are: lake, server, upkeep, sources, crawlers, transforms, models."}]"#
        );
    }
}
