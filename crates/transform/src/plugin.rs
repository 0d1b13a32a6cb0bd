use crate::{
    Error, Host, Kind,
    config::Limits,
    contract::{BindingsPre, INTERFACE, VERSION},
    failure::tame,
    instance::Instance,
};
use sha2::{Digest, Sha256};
use std::{fmt, fs, path::Path, sync::Arc};
use wasmtime::component::{Component, Linker};

/// What a plugin says of itself.
#[derive(Debug, Clone, PartialEq)]
pub struct PluginInfo {
    /// Its name.
    pub name: String,
    /// Its own version.
    pub version: String,
    /// What it does.
    pub description: String,
    /// JSON schema of its configuration; NULL where it gave none that is JSON.
    pub config_schema: serde_json::Value,
}

/// A plugin that was compiled and has introduced itself. Cheap to clone; instances are made from it.
#[derive(Clone)]
pub struct Plugin {
    inner: Arc<Inner>,
}

struct Inner {
    host: Host,
    code: BindingsPre<StoreState>,
    info: PluginInfo,
    sha256: String,
}

type StoreState = crate::instance::State;

/// Larger files are not plugins (the largest known, Python in a box, is 18 MB).
const FILE_BYTES_MAX: u64 = 256 << 20;
const COMPONENT_PREAMBLE: [u8; 8] = [0, b'a', b's', b'm', 0x0d, 0, 1, 0];
const MODULE_PREAMBLE: [u8; 8] = [0, b'a', b's', b'm', 1, 0, 0, 0];

impl Plugin {
    /// Reads, compiles and introduces the plugin of a file. Blocks: compiling a large plugin takes seconds, a small one milliseconds, and one that
    /// is in the host's cache next to nothing.
    ///
    /// # Errors
    /// [`Kind::Plugin`] where the file is missing, damaged, not a component, of another contract, or wants imports.
    pub fn load(host: &Host, path: &Path) -> Result<Self, Error> {
        let shown = path.display();
        let unreadable = |e: std::io::Error| {
            let message = match e.kind() {
                std::io::ErrorKind::NotFound => format!("there is no plugin at {shown}"),
                _ => format!("the plugin at {shown} can't be read"),
            };
            let hint =
                "Check the path after `wasm:`; it is relative to the configuration file. `make plugins` builds the bundled ones.";
            Error::new(Kind::Plugin, message, hint).with_source(e)
        };
        let found = fs::metadata(path).map_err(unreadable)?;
        if !found.is_file() || found.len() > FILE_BYTES_MAX {
            let message = format!("{shown} is not a plugin: it is a folder or larger than {} MiB", FILE_BYTES_MAX >> 20);
            return Err(Error::new(Kind::Plugin, message, "Point `wasm:` at the plugin's .wasm file."));
        }
        Self::from_bytes(host, &shown.to_string(), &fs::read(path).map_err(unreadable)?)
    }

    /// As [`Self::load`], with the plugin's bytes at hand; `place` names them in messages.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn from_bytes(host: &Host, place: &str, bytes: &[u8]) -> Result<Self, Error> {
        check_preamble(place, bytes)?;
        let component = Component::from_binary(host.engine(), bytes).map_err(|e| {
            let message = format!("the plugin at {place} is damaged: {}", tame(&e.root_cause().to_string()));
            Error::new(Kind::Plugin, message, "Build or copy it again; its bytes are not a valid WebAssembly component.")
        })?;
        check_world(host, place, &component)?;
        let code = Linker::new(host.engine()).instantiate_pre(&component).and_then(BindingsPre::new).map_err(|e| {
            let message = format!("the plugin at {place} does not fit contract {VERSION}: {}", tame(&e.root_cause().to_string()));
            Error::new(Kind::Plugin, message, REBUILD_HINT)
        })?;
        let sha256 = Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect();
        let nameless = PluginInfo {
            name: String::new(),
            version: String::new(),
            description: String::new(),
            config_schema: serde_json::Value::Null,
        };
        let mute = Self { inner: Arc::new(Inner { host: host.clone(), code: code.clone(), info: nameless, sha256 }) };
        let info = mute.introduce(place)?;
        let sha256 = mute.inner.sha256.clone();
        Ok(Self { inner: Arc::new(Inner { host: host.clone(), code, info, sha256 }) })
    }

    /// What the plugin says of itself.
    pub fn info(&self) -> &PluginInfo {
        &self.inner.info
    }

    /// SHA-256 of its bytes, in hex.
    pub fn sha256(&self) -> &str {
        &self.inner.sha256
    }

    /// Version and hash, as dead letters name a plugin.
    pub fn fingerprint(&self) -> String {
        format!("{} sha256:{}", self.inner.info.version, self.inner.sha256)
    }

    pub(crate) fn host(&self) -> &Host {
        &self.inner.host
    }

    pub(crate) fn code(&self) -> &BindingsPre<StoreState> {
        &self.inner.code
    }

    fn introduce(&self, place: &str) -> Result<PluginInfo, Error> {
        let info = Instance::new(self, Limits::default()).and_then(|mut instance| instance.describe()).map_err(|failure| {
            let hint = "A plugin must be able to say what it is with 64 MiB of memory and within a second.";
            Error::new(Kind::Plugin, format!("the plugin at {place} can't introduce itself: {failure}"), hint)
        })?;
        Ok(PluginInfo {
            name: tame(&info.name),
            version: tame(&info.version),
            description: tame(&info.description),
            config_schema: serde_json::from_str(&info.config_schema).unwrap_or_default(),
        })
    }
}

impl fmt::Debug for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plugin").field("info", self.info()).field("sha256", &self.sha256()).finish_non_exhaustive()
    }
}

const REBUILD_HINT: &str = "Build it against plugins/contract of this version of lakebox.";

fn check_preamble(place: &str, bytes: &[u8]) -> Result<(), Error> {
    if bytes.starts_with(&COMPONENT_PREAMBLE) {
        return Ok(());
    }
    let (message, hint) = if bytes.starts_with(&MODULE_PREAMBLE) {
        (
            format!("{place} is a core WebAssembly module, not a component"),
            "Turn it into a component, as plugins/build.sh does (or `wasm-tools component new`).",
        )
    } else {
        (format!("{place} is not WebAssembly"), "Point `wasm:` at a compiled plugin (.wasm), not at its source or its text form.")
    };
    Err(Error::new(Kind::Plugin, message, hint))
}

fn check_world(host: &Host, place: &str, component: &Component) -> Result<(), Error> {
    let world = component.component_type();
    let imports: Vec<String> = world.imports(host.engine()).map(|(name, _)| format!("`{}`", tame(name))).collect();
    if !imports.is_empty() {
        let message = format!("the plugin at {place} wants to import {}, and plugins may import nothing", imports.join(", "));
        let hint = "Build it for a target without a system interface (wasm32-unknown-unknown), without clock, randomness, files and network.";
        return Err(Error::new(Kind::Plugin, message, hint));
    }
    let spoken =
        world.exports(host.engine()).find_map(|(name, _)| Some(tame(name.strip_prefix(INTERFACE)?.trim_start_matches('@'))));
    let message = match spoken {
        Some(version) if same_minor(&version) => return Ok(()),
        Some(version) => format!("the plugin at {place} speaks contract {version}, this lakebox speaks {VERSION}"),
        None => format!("the component at {place} is not a lakebox plugin: it does not export `{INTERFACE}@{VERSION}`"),
    };
    Err(Error::new(Kind::Plugin, message, REBUILD_HINT))
}

/// Before 1.0 a minor version may break plugins, a patch may not.
fn same_minor(version: &str) -> bool {
    let minor = |v: &str| v.rsplit_once('.').map(|(minor, _)| minor.to_owned());
    minor(version) == minor(VERSION)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_of_the_contract_is_understood_and_a_minor_is_not() {
        assert!(same_minor("0.1.7"));
        assert!(!same_minor("0.2.0"));
        assert!(!same_minor("1.1.0"));
        assert!(!same_minor(""));
    }

    #[test]
    fn the_version_here_is_the_one_in_the_contract() {
        let wit = include_str!("../../../plugins/contract/transform.wit");
        assert!(wit.contains(&format!("package lakebox:transform@{VERSION};")));
        let changes = include_str!("../../../plugins/contract/CHANGELOG.md");
        assert_eq!(changes.lines().find_map(|l| l.strip_prefix("## ")).unwrap(), VERSION);
    }
}
