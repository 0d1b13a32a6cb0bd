use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};

/// The Python of one of the environments that `make setup` makes: `readers` or `s3`.
///
/// # Errors
/// When the tests were not started by make, or the environment is not there.
pub fn python(environment: &str) -> Result<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "tests take their places from make")]
    let readers =
        std::env::var("LAKEBOX_READERS_PYTHON").context("LAKEBOX_READERS_PYTHON is not set; run the tests through make")?;
    // All environments are beside each other.
    let cache = Path::new(&readers).ancestors().nth(3).context("LAKEBOX_READERS_PYTHON is no Python of an environment")?;
    let python = cache.join(format!("venv-{environment}/bin/python"));
    ensure!(python.exists(), "there is no Python at {}; run `make setup`", python.display());
    Ok(python)
}

/// A plugin that `make plugins` has built.
///
/// # Errors
/// When it is not there.
pub fn plugin(name: &str) -> Result<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins/dist");
    #[expect(clippy::disallowed_methods, reason = "tests take their places from make")]
    let built = std::env::var("LAKEBOX_PLUGINS_DIST").map_or_else(|_| beside(), PathBuf::from);
    let path = built.join(format!("{name}.wasm")).canonicalize();
    path.with_context(|| format!("there is no plugin {name} in {}; run `make plugins`", built.display()))
}
