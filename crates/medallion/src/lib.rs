//! Tables made from tables: gold models, which are SQL files, kept up to date when what they read moves; the upkeep of all tables; and crawlers, which find
//! tables among files of others.
//!
//! A model is one `select` in `models/<name>.sql`; its rows become `gold.<name>`, swapped in as a whole, so that readers see the former
//! content or the new one. This crate runs SQL only through `query` and writes only through `lake`; it knows neither the engine nor a
//! file format.

mod crawl;
mod error;
mod gold;
mod layout;
mod upkeep;

pub use crawl::{Change, CrawlFormat, CrawlStatus, CrawlerSettings, Crawlers};
pub use error::{Error, Kind};
pub use gold::{
    AsOf, Loaded, Model, ModelStatus, Models, ModelsSettings, Problem, Progress, RunningState, Schedule, Trigger, load,
    load_texts,
};
pub use layout::{Advice, Advisor, AppliedLayout, LayoutRule, Proposal};
pub use upkeep::{Asked, Doing, TablePolicy, TableRule, Upkeep, UpkeepSettings};
