//! `server.files` and `crawlers:`.

use super::{
    check::{Check, read},
    units::Time,
    written::{self, CrawlFormat},
    yaml::Node,
};
use medallion::CrawlerSettings;
use query::FileFormat;
use std::time::Duration;

/// What is always there to read, whatever `server.files` says.
const UPLOADS: &str = "uploads";
/// Schemas that SQL has already.
const SCHEMAS: [&str; 7] = ["bronze", "silver", "gold", "system", "information_schema", "public", "lakebox"];

impl Check<'_> {
    /// Where SQL may read files.
    pub(super) fn files(&mut self, written: &[String]) -> Vec<String> {
        let place = self.place(&["server", "files"]);
        let mut files = Vec::with_capacity(written.len());
        for one in written {
            match one.split_once("://") {
                Some(("s3" | "s3a" | "gs" | "az" | "abfs" | "abfss", bucket)) if !bucket.trim_matches('/').is_empty() => {
                    files.push(one.trim_end_matches('/').to_owned());
                }
                Some(("file", path)) if !path.is_empty() => files.push(self.absolute(path).display().to_string()),
                None if !one.is_empty() => files.push(self.absolute(one).display().to_string()),
                _ => {
                    let hint = "Write a folder, s3://bucket/prefix, gs://bucket/prefix or az://container/prefix.";
                    self.wrong(place, "server.files holds what is neither a folder nor a bucket", hint);
                }
            }
        }
        for folder in files.iter().filter(|f| !f.contains("://")) {
            if !std::path::Path::new(folder).is_dir() {
                self.wrong(place, format!("server.files: there is no folder {folder}"), "Make it, or take it out.");
            }
            if folder == "/" {
                let hint = "Name the folders that hold data: whoever may query may read all of them.";
                self.wrong(place, "server.files opens the whole disk", hint);
            }
        }
        files
    }

    /// What looks for tables among files.
    pub(super) fn crawlers(&mut self, files: &[String]) -> Vec<CrawlerSettings> {
        let mut found = Vec::new();
        let root = self.root;
        for entry in root.get("crawlers").map(Node::entries).unwrap_or_default() {
            self.name("crawler", &entry.key, entry.place);
            if SCHEMAS.contains(&entry.key.as_str()) || entry.key.starts_with("pg_") {
                let message = format!("a crawler can't be named `{}`: SQL has a schema of that name already", entry.key);
                self.wrong(entry.place, message, "Choose another name, for example `landing`.");
            }
            let Some(written) = read::<written::Crawler>(Some(&entry.value)) else { continue };
            let Some(url) = written.url else { continue };
            let remote = url.contains("://") && !url.starts_with("file://");
            let path = url.strip_prefix("file://").unwrap_or(&url);
            let is_upload = path == UPLOADS || path.starts_with("uploads/");
            let url = if remote || is_upload {
                url.trim_end_matches('/').to_owned()
            } else {
                self.absolute(path).display().to_string()
            };
            let inside =
                |place: &String| url.strip_prefix(place.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
            if !is_upload && !files.iter().any(inside) {
                let message = format!("crawlers.{}.url is not inside of `server.files`", entry.key);
                let place = self.place(&["crawlers", &entry.key, "url"]);
                self.wrong(place, message, "Add the folder or the bucket's prefix under `server:`, as files: [/data].");
            }
            let every = written.every.map_or(Duration::from_secs(600), |Time(every)| every);
            if every < Duration::from_secs(1) {
                let place = self.place(&["crawlers", &entry.key, "every"]);
                self.wrong(place, format!("crawlers.{}.every is too short", entry.key), "Give it at least 1s.");
            }
            let format = written.format.map(|format| match format {
                CrawlFormat::Csv => FileFormat::Csv,
                CrawlFormat::Json => FileFormat::Json,
                CrawlFormat::Parquet => FileFormat::Parquet,
                CrawlFormat::Avro => FileFormat::Avro,
            });
            found.push(CrawlerSettings { name: entry.key.clone(), url, format, every });
        }
        found
    }
}
