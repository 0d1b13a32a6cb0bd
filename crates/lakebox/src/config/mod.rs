//! `lakebox.yaml`: from text to checked settings, once, with every problem told at once.
//!
//! The way: [`yaml`] reads text into nodes that know their line and column, [`interpolate`] puts the environment's values in,
//! [`shape`] holds the nodes against the JSON Schema that [`written`] describes (the same schema that editors complete from), and
//! [`check`] turns what passed into a [`Config`] and looks at what a schema can't say. Only this module reads the environment.

mod check;
mod checked;
mod interpolate;
mod problem;
mod secret;
mod shape;
mod sources;
mod store;
mod units;
mod upkeep;
mod written;
mod yaml;

pub use checked::{Config, Source, SourceKind, Transform};
pub use problem::{Problem, Report, Severity};
pub use secret::Secret;
pub use written::schema_json;

use std::path::Path;

/// Settings, and what is doubtful about them.
#[derive(Debug)]
pub struct Loaded {
    /// The settings.
    pub config: Config,
    /// Warnings alone; with any error there are no settings.
    pub report: Report,
}

/// Reads and checks a configuration file, with the process's environment.
///
/// # Errors
/// The report of every problem, at least one of them an error.
pub fn load(path: &Path) -> Result<Loaded, Report> {
    let shown = path.display().to_string();
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(e) => {
            let hint = match e.kind() {
                std::io::ErrorKind::NotFound => {
                    "Name the file with --config, make a project with `lakebox init DIR`, or look around with `lakebox demo`."
                }
                std::io::ErrorKind::InvalidData => "Save the file as UTF-8.",
                _ => "Check the path and the file's rights.",
            };
            let mut report = Report::new(shown);
            report.push(Problem::error(None, format!("the configuration can't be read: {e}")).hint(hint));
            return Err(report);
        }
    };
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    parse(&shown, &text, &folder, &environment)
}

/// Checks a configuration's text. `file` is its name in reports, relative paths in it start at `folder`, and `environment` answers `${NAME}`.
///
/// # Errors
/// As [`load`].
pub fn parse(file: &str, text: &str, folder: &Path, environment: &dyn Fn(&str) -> Option<String>) -> Result<Loaded, Report> {
    let mut report = Report::new(file);
    let config = yaml::read(text, &mut report).and_then(|mut root| {
        interpolate::fill(&mut root, environment, &mut report);
        shape::check(&mut root, &written::schema(), &mut report);
        check::check(&root, folder, &mut report)
    });
    report.sort();
    match config {
        Some(config) if !report.has_errors() => Ok(Loaded { config, report }),
        _ => Err(report),
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the environment")]
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// The variables of the environment that say where the credentials of an object store are, with names in lower case.
pub fn object_store_environment() -> std::collections::BTreeMap<String, String> {
    const PREFIXES: [&str; 3] = ["AWS_", "GOOGLE_", "AZURE_"];
    const NAMES: [&str; 4] = ["HOME", "USERPROFILE", "IDENTITY_ENDPOINT", "MSI_ENDPOINT"];
    let wanted = |name: &str| PREFIXES.iter().any(|p| name.starts_with(p)) || NAMES.contains(&name);
    let all = std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    all.filter(|(name, value)| wanted(name) && !value.is_empty())
        .map(|(name, value)| (name.to_ascii_lowercase(), value))
        .collect()
}

/// Where programs keep what a user would miss, such as a history of commands; `None` where there is no home.
pub fn user_data_folder() -> Option<std::path::PathBuf> {
    let folder = |name| environment(name).filter(|v| !v.is_empty()).map(std::path::PathBuf::from);
    folder("XDG_DATA_HOME").or_else(|| folder("HOME").map(|home| home.join(".local/share")))
}

#[cfg(test)]
mod tests;
