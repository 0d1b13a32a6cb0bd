use super::{SystemTable, batch, int, optional, required, schema_of, time, times};
use crate::{Error, engine::Queries};
use arrow::{
    array::{Float64Array, Int64Array, RecordBatch, StringArray},
    datatypes::{DataType, SchemaRef},
};
use async_trait::async_trait;
use lake::LakeView;
use std::sync::Arc;

/// `system.queries`: what runs now and the last queries that ended, newest first.
#[derive(Debug)]
pub(super) struct QueryHistory(pub(super) Arc<Queries>);

#[async_trait]
impl SystemTable for QueryHistory {
    fn name(&self) -> &str {
        "queries"
    }

    fn schema(&self) -> SchemaRef {
        schema_of(vec![
            required("id", DataType::Utf8),
            required("query", DataType::Utf8),
            required("state", DataType::Utf8),
            required("client", DataType::Utf8),
            required("started_at", time()),
            required("elapsed_ms", DataType::Float64),
            required("rows", DataType::Int64),
            required("bytes_scanned", DataType::Int64),
            optional("queue_position", DataType::Int64),
            optional("error", DataType::Utf8),
        ])
    }

    async fn rows(&self, _: &LakeView) -> Result<RecordBatch, Error> {
        let all: Vec<_> = self.0.running().into_iter().chain(self.0.history()).collect();
        batch(
            self.schema(),
            vec![
                Arc::new(all.iter().map(|q| Some(q.id.as_str())).collect::<StringArray>()),
                Arc::new(all.iter().map(|q| Some(q.sql.as_str())).collect::<StringArray>()),
                Arc::new(all.iter().map(|q| Some(q.state.as_str())).collect::<StringArray>()),
                Arc::new(all.iter().map(|q| Some(q.client.as_str())).collect::<StringArray>()),
                times(all.iter().map(|q| Some(q.started_us))),
                Arc::new(all.iter().map(|q| Some(q.elapsed.as_secs_f64() * 1000.0)).collect::<Float64Array>()),
                Arc::new(all.iter().map(|q| Some(int(q.rows))).collect::<Int64Array>()),
                Arc::new(all.iter().map(|q| Some(int(q.bytes_scanned))).collect::<Int64Array>()),
                Arc::new(all.iter().map(|q| q.queue_position.map(|n| int(n as u64))).collect::<Int64Array>()),
                Arc::new(all.iter().map(|q| q.error.as_deref()).collect::<StringArray>()),
            ],
        )
    }
}
