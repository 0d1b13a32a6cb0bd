use super::InitArgs;
use crate::config;
use std::{fs, io, io::Write, path::Path, process::ExitCode};

/// The files of a new project.
fn files() -> [(&'static str, String); 6] {
    [
        ("lakebox.yaml", include_str!("scaffold/lakebox.yaml").to_owned()),
        ("lakebox.schema.json", config::schema_json()),
        ("models/payments_daily.sql", include_str!("scaffold/models/payments_daily.sql").to_owned()),
        ("plugins/README.md", include_str!("scaffold/plugins/README.md").to_owned()),
        ("README.md", include_str!("scaffold/README.md").to_owned()),
        (".gitignore", include_str!("scaffold/gitignore").to_owned()),
    ]
}

/// `lakebox init`: makes what is missing of a project and touches nothing that is there.
pub fn init(args: &InitArgs) -> ExitCode {
    let dir = &args.dir;
    match scaffold(dir) {
        Ok(made) => {
            for (file, is_new) in made {
                println!("{} {}", if is_new { "made" } else { "kept" }, dir.join(file).display());
            }
            println!("\nNext: cd {} && lakebox serve\nThen open http://127.0.0.1:8480", dir.display());
            ExitCode::SUCCESS
        }
        Err(e) => {
            eprintln!("error: the project can't be made in {}: {e}", dir.display());
            eprintln!("  hint: Name a folder that you may write to.");
            ExitCode::FAILURE
        }
    }
}

/// Each file, and whether it was made now.
fn scaffold(dir: &Path) -> io::Result<Vec<(&'static str, bool)>> {
    let make = |(file, text): (&'static str, String)| {
        let path = dir.join(file);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        // `create_new` decides and makes in one step: what appears in between is not overwritten either.
        match fs::File::options().write(true).create_new(true).open(&path) {
            Ok(mut new) => new.write_all(text.as_bytes()).map(|()| (file, true)),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok((file, false)),
            Err(e) => Err(e),
        }
    };
    files().into_iter().map(make).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    #[test]
    fn a_new_project_passes_its_own_check() {
        let folder = TempDir::new().unwrap();
        let dir = folder.path().join("deep/shop");
        assert!(scaffold(&dir).unwrap().iter().all(|(_, is_new)| *is_new));
        let loaded = config::load(&dir.join("lakebox.yaml")).unwrap();
        assert!(loaded.report.problems.is_empty(), "{}", loaded.report);
        assert_eq!(loaded.config.sources[0].kind.type_name(), "simulator");
        assert_eq!(loaded.config.models, Some(dir.join("models")));
        let first = fs::read_to_string(dir.join("lakebox.yaml")).unwrap().lines().next().map(str::to_owned);
        assert_eq!(first.as_deref(), Some("# yaml-language-server: $schema=./lakebox.schema.json"));
    }

    #[test]
    fn the_commented_examples_are_right_too() {
        // Every line that begins with `#:` in the scaffold is a setting that a person may uncomment.
        let text: String = include_str!("scaffold/lakebox.yaml")
            .lines()
            .map(|line| line.strip_prefix("#:").unwrap_or(line).to_owned() + "\n")
            .collect();
        let folder = TempDir::new().unwrap();
        for file in ["plugins/mask_pii.wasm", "models/x.sql"] {
            fs::create_dir_all(folder.path().join(file).parent().unwrap()).unwrap();
            fs::write(folder.path().join(file), "x").unwrap();
        }
        let environment = |_: &str| Some("postgres://u:p@h/d".to_owned());
        let loaded = config::parse("f", &text, folder.path(), &environment).unwrap();
        assert!(loaded.report.problems.is_empty(), "{}", loaded.report);
        assert_eq!(loaded.config.sources.len(), 2);
    }

    #[test]
    fn nothing_is_overwritten() {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("README.md"), "mine").unwrap();
        let made = scaffold(folder.path()).unwrap();
        assert_eq!(made.iter().filter(|(_, is_new)| !is_new).map(|(f, _)| *f).collect::<Vec<_>>(), ["README.md"]);
        assert_eq!(fs::read_to_string(folder.path().join("README.md")).unwrap(), "mine");
        assert!(scaffold(folder.path()).unwrap().iter().all(|(_, is_new)| !is_new));
    }
}
