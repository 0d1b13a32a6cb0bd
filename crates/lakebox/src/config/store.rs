//! `lake.store` and `lake.cache`.

use super::{
    problem::{Problem, Report},
    units::{Size, Time},
    written,
    yaml::Node,
};
use lake::{CacheSettings, RemoteSettings};
use std::{path::Path, time::Duration};

/// How much a cache may use where nothing is said.
const CACHE_BYTES: u64 = 10 << 30;
/// Less than this holds hardly a footer.
const CACHE_BYTES_MIN: u64 = 16 << 20;
const TIMES: std::ops::RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(600);

/// The settings of the object store.
pub(super) fn check(
    root: &Node,
    folder: &Path,
    is_remote: bool,
    store: written::ObjectStore,
    cache: Option<written::Cache>,
    report: &mut Report,
) -> RemoteSettings {
    let defaults = RemoteSettings::default();
    let place = |path: &[&str]| root.find(path).unwrap_or(root).place;
    let mut time = |written: Option<Time>, or: Duration, key: &str| {
        let Some(Time(time)) = written else { return or };
        if !TIMES.contains(&time) {
            let problem = Problem::error(place(&["lake", "store", key]), format!("lake.store.{key} is out of bounds"));
            report.push(problem.hint("It may be 100ms to 10m."));
        }
        time
    };
    let mut settings = RemoteSettings {
        request_timeout: time(store.request_timeout, defaults.request_timeout, "request_timeout"),
        connect_timeout: time(store.connect_timeout, defaults.connect_timeout, "connect_timeout"),
        retry_for: time(store.retry_for, defaults.retry_for, "retry_for"),
        ..defaults
    };
    let Some(written::Cache { dir: Some(dir), max_bytes }) = cache else { return settings };
    let bytes_max = max_bytes.map_or(CACHE_BYTES, |Size(bytes)| bytes);
    if bytes_max < CACHE_BYTES_MIN {
        let problem = Problem::error(place(&["lake", "cache", "max_bytes"]), "lake.cache.max_bytes is too small to be of use");
        report.push(problem.hint("Give it at least 16MiB."));
    }
    if dir.is_empty() {
        report.push(
            Problem::error(place(&["lake", "cache", "dir"]), "lake.cache.dir is empty")
                .hint("Name a folder, for example ./cache."),
        );
    }
    if !is_remote {
        let problem = Problem::warning(place(&["lake", "cache"]), "lake.cache is of no use: the warehouse is on a local disk");
        report.push(problem.hint("Remove it."));
        return settings;
    }
    let dir = folder.join(dir.strip_prefix("./").unwrap_or(&dir));
    settings.cache = Some(CacheSettings { dir, bytes_max });
    settings
}
