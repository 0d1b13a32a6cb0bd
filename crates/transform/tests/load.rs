use crate::fixture::{dist, host, plugin};
use std::{fs, path::Path};
use transform::{Error, Host, HostSettings, Kind, Plugin};

fn told(error: &Error) -> String {
    assert_eq!(error.kind, Kind::Plugin);
    format!("{error}\n  {}", error.hint)
}

fn refused(place: &str, bytes: &[u8]) -> String {
    match Plugin::from_bytes(host(), place, bytes) {
        Ok(plugin) => panic!("{plugin:?} was taken"),
        Err(error) => told(&error),
    }
}

#[test]
fn what_is_not_a_plugin_is_refused_in_one_sentence_that_says_what_to_do() {
    let good = fs::read(dist().join("mask_pii.wasm")).expect("plugins/build.sh builds the tests' plugins");
    let mut later = good.clone();
    let name = b"lakebox:transform/plugin@0.1.0";
    let places: Vec<usize> = (0..later.len() - name.len()).filter(|i| later[*i..].starts_with(name)).collect();
    for at in places {
        later[at + name.len() - 3] = b'7';
    }
    let imports = fs::read(dist().join("evil_wants_imports.wasm")).expect("plugins/build.sh builds the tests' plugins");
    let errors = [
        match Plugin::load(host(), Path::new("no/such/plugin.wasm")) {
            Ok(_) => panic!("there is none"),
            Err(error) => told(&error),
        },
        refused("empty.wasm", b""),
        refused("source.rs", b"fn main() {}"),
        refused("core.wasm", b"\0asm\x01\0\0\0"),
        refused("component.wasm", b"\0asm\x0d\0\x01\0"),
        refused("cut.wasm", &good[..good.len() / 2]),
        refused("later.wasm", &later),
        refused("curious.wasm", &imports),
    ];
    insta::assert_snapshot!(errors.join("\n"));
}

#[test]
fn a_folder_is_not_a_plugin() {
    let error = Plugin::load(host(), &dist()).expect_err("a folder");
    assert!(error.to_string().contains("is not a plugin"), "{error}");
}

#[test]
fn a_plugin_says_what_it_is_and_its_bytes_are_named() {
    let mask = plugin("mask_pii");
    assert_eq!((mask.info().name.as_str(), mask.info().version.as_str()), ("mask_pii", "0.1.0"));
    assert_eq!(mask.info().config_schema["required"][0], "columns");
    assert_eq!(mask.sha256().len(), 64);
}

#[test]
fn flipped_bytes_are_an_error_or_a_plugin_but_never_a_panic() {
    let good = fs::read(dist().join("evil_trap.wasm")).expect("plugins/build.sh builds the tests' plugins");
    for i in 0..16 {
        let mut bytes = good.clone();
        let at = (i * 3571) % bytes.len();
        bytes[at] ^= 1 << (i % 8);
        // Either outcome is right; that there is one is the point.
        let _ = Plugin::from_bytes(host(), "flipped.wasm", &bytes);
    }
}

#[cfg(unix)]
#[test]
fn compiled_code_is_kept_in_a_folder_that_only_we_can_write() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().expect("a folder");
    let cache = dir.path().join("compiled");
    let settings = HostSettings { cache_dir: Some(cache.clone()) };
    let host = Host::new(&settings).expect("the engine starts");
    Plugin::load(&host, &dist().join("mask_pii.wasm")).expect("it loads");
    let mode = |path: &Path| fs::metadata(path).expect("it exists").permissions().mode() & 0o777;
    assert_eq!(mode(&cache), 0o700);
    assert!(fs::read_dir(&cache).expect("it is a folder").next().is_some(), "something was kept");
    fs::set_permissions(&cache, fs::Permissions::from_mode(0o777)).expect("it is ours");
    let error = Host::new(&settings).expect_err("others could plant code");
    assert_eq!(error.kind, Kind::Engine);
    assert!(error.to_string().contains("can be written by other users"), "{error}");
}
