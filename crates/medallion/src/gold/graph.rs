use super::{Model, render::render};
use crate::{Error, Kind};
use model::{Layer, is_plain_name};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs, io,
    path::{Path, PathBuf},
};

/// A model that can't be used, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The model's file.
    pub file: PathBuf,
    /// The line, from 1, where it is known.
    pub line: Option<usize>,
    /// What is wrong, in a sentence.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Problem {
    pub(crate) fn new(file: &Path, line: Option<usize>, message: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line, message: message.into(), hint: None }
    }

    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The name of the model that the file would be.
    pub fn model(&self) -> String {
        stem(&self.file)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.file.display(), self.message),
            None => write!(f, "{}: {}", self.file.display(), self.message),
        }
    }
}

/// What a folder of models holds.
#[derive(Debug, Clone, Default)]
pub struct Loaded {
    /// The models that can run, each after those it reads.
    pub models: Vec<Model>,
    /// The others.
    pub problems: Vec<Problem>,
}

/// Reads all models of a folder and of the folders inside it. A model that is wrong becomes a problem and harms no other. Blocks.
///
/// # Errors
/// [`Kind::Folder`] where the folder exists and can't be read.
pub fn load(folder: &Path) -> Result<Loaded, Error> {
    let unreadable = |e: io::Error| {
        Error::new(Kind::Folder, format!("the folder of models {} can't be read: {e}", folder.display())).with_source(e)
    };
    let files = files(folder).map_err(unreadable)?;
    let texts = files.into_keys().map(|file| fs::read_to_string(&file).map(|text| (file, text)));
    Ok(load_texts(texts.collect::<io::Result<Vec<_>>>().map_err(unreadable)?))
}

/// What tells whether a file has changed: its time and size.
pub(crate) type Stamp = (Option<std::time::SystemTime>, u64);

/// The model files below a folder; none where it does not exist.
pub(crate) fn files(folder: &Path) -> io::Result<BTreeMap<PathBuf, Stamp>> {
    let mut found = BTreeMap::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        let entries = match fs::read_dir(&folder) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            let (path, about) = (entry.path(), entry.metadata()?);
            if about.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|e| e == "sql") {
                found.insert(path, (about.modified().ok(), about.len()));
            }
        }
    }
    Ok(found)
}

/// As [`load`], from texts that are in memory.
pub fn load_texts(texts: Vec<(PathBuf, String)>) -> Loaded {
    let mut problems = Vec::new();
    let mut named: BTreeMap<String, (PathBuf, String)> = BTreeMap::new();
    for (file, text) in texts {
        let name = stem(&file);
        if !is_plain_name(&name) {
            let message = format!("`{name}` can't name a table");
            let hint = "Name the file with lower-case letters, digits and _, beginning with a letter.";
            problems.push(Problem::new(&file, None, message).with_hint(hint));
        } else if let Some((other, _)) = named.get(&name) {
            let message = format!("{} makes the table gold.{name} as well", other.display());
            problems.push(Problem::new(&file, None, message).with_hint("Rename one of the two files."));
        } else {
            named.insert(name, (file, text));
        }
    }
    let names: BTreeSet<_> = named.keys().cloned().collect();
    let mut models = BTreeMap::new();
    for (name, (file, text)) in &named {
        match render(name, file, text, &names) {
            Ok(model) => _ = models.insert(name.clone(), model),
            Err(problem) => problems.push(problem),
        }
    }
    let (models, cycles) = order(models);
    problems.extend(cycles);
    problems.sort_by(|a, b| a.file.cmp(&b.file));
    Loaded { models, problems }
}

fn stem(file: &Path) -> String {
    file.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default()
}

/// The models that `model` reads, as far as they are among `all`.
fn parents<'a>(model: &'a Model, all: &'a BTreeMap<String, Model>) -> impl Iterator<Item = &'a str> {
    let gold = model.upstream.iter().filter(|t| t.layer == Layer::Gold);
    gold.map(|t| t.name.as_str()).filter(|name| all.contains_key(*name))
}

/// Puts each model after those it reads; models on a circle become problems, those that only read from one stay.
fn order(all: BTreeMap<String, Model>) -> (Vec<Model>, Vec<Problem>) {
    let circles: BTreeSet<_> = all.keys().filter(|name| circle(name, &all).is_some()).cloned().collect();
    let problems = circles.iter().filter_map(|name| {
        let way = circle(name, &all)?;
        let model = all.get(name)?;
        let line = way.get(1).and_then(|next| line_of(&model.text, next));
        let message = format!("the models go round in a circle: {}", way.join(" reads "));
        Some(Problem::new(&model.file, line, message).with_hint("Take one of these references out."))
    });
    let problems = problems.collect();
    let mut done: BTreeSet<String> = circles.clone();
    let mut names = Vec::new();
    loop {
        let ready = all.iter().find(|(name, model)| !done.contains(*name) && parents(model, &all).all(|p| done.contains(p)));
        let Some((name, _)) = ready else { break };
        done.insert(name.clone());
        names.push(name.clone());
    }
    let mut all = all;
    (names.iter().filter_map(|name| all.remove(name)).collect(), problems)
}

/// The shortest way from a model back to itself.
fn circle(name: &str, all: &BTreeMap<String, Model>) -> Option<Vec<String>> {
    let mut seen = BTreeSet::new();
    let mut ways = std::collections::VecDeque::from([vec![name.to_owned()]]);
    while let Some(way) = ways.pop_front() {
        let model = way.last().and_then(|last| all.get(last))?;
        for parent in parents(model, all) {
            let longer: Vec<_> = way.iter().cloned().chain([parent.to_owned()]).collect();
            if parent == name {
                return Some(longer);
            }
            if seen.insert(parent.to_owned()) {
                ways.push_back(longer);
            }
        }
    }
    None
}

/// The first line that names a model.
fn line_of(text: &str, name: &str) -> Option<usize> {
    let quoted = [format!("'{name}'"), format!("\"{name}\""), format!("gold.{name}")];
    text.lines().position(|line| quoted.iter().any(|q| line.contains(q.as_str()))).map(|at| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loaded(texts: &[(&str, &str)]) -> Loaded {
        load_texts(texts.iter().map(|(file, text)| (PathBuf::from(file), (*text).to_owned())).collect())
    }

    fn names(loaded: &Loaded) -> Vec<&str> {
        loaded.models.iter().map(|m| m.name.as_str()).collect()
    }

    #[test]
    fn each_model_comes_after_those_it_reads() {
        let all = loaded(&[
            ("a.sql", "select * from {{ ref('b') }}, {{ ref('c') }}"),
            ("b.sql", "select * from {{ ref('c') }}"),
            ("deep/c.sql", "select * from silver.x"),
        ]);
        assert_eq!(names(&all), ["c", "b", "a"]);
        assert!(all.problems.is_empty());
    }

    #[test]
    fn a_circle_is_told_at_its_line_and_the_rest_goes_on() {
        let all = loaded(&[
            ("a.sql", "select *\nfrom {{ ref('b') }}"),
            ("b.sql", "select * from {{ ref('a') }}"),
            ("c.sql", "select 1 as x"),
            ("d.sql", "select * from {{ ref('a') }}"),
            ("e.sql", "select * from gold.e"),
        ]);
        assert_eq!(names(&all), ["c", "d"]);
        let told: Vec<_> = all.problems.iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "a.sql:2: the models go round in a circle: a reads b reads a",
                "b.sql:1: the models go round in a circle: b reads a reads b",
                "e.sql:1: the models go round in a circle: e reads e",
            ]
        );
    }

    #[test]
    fn files_that_cannot_be_models_are_told() {
        let all = loaded(&[("Bad Name.sql", "select 1"), ("a.sql", "select 1 as x"), ("x/a.sql", "select 2 as x")]);
        assert_eq!(names(&all), ["a"]);
        let told: Vec<_> = all.problems.iter().map(ToString::to_string).collect();
        assert_eq!(told, ["Bad Name.sql: `Bad Name` can't name a table", "x/a.sql: a.sql makes the table gold.a as well"]);
    }

    #[test]
    fn a_folder_that_is_not_there_has_no_models() {
        assert!(load(Path::new("no/such/folder")).expect("no error").models.is_empty());
    }
}
