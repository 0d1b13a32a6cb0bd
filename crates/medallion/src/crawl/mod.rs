//! Crawlers: what lies below a prefix, found again and again and registered as tables.

mod crawlers;
mod drift;

pub use crawlers::{CrawlFormat, CrawlStatus, CrawlerSettings, Crawlers};
pub use drift::Change;
