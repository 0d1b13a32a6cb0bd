//! Results as bytes: JSON as the API promises it, NDJSON, CSV and Arrow, a batch at a time and never the whole result in memory.

mod arrow_stream;
mod csv;
mod json;
mod temporal;
mod text;

pub(crate) use text::{Cell, Style, text_cell};

use crate::{Error, engine::QueryRunning};
use ::arrow::{array::RecordBatch, datatypes::SchemaRef};
use bytes::Bytes;
use futures::{Stream, StreamExt, stream::BoxStream};
use std::{collections::HashMap, time::Duration};

/// Bytes that are gathered before they are handed on.
const CHUNK: usize = 64 << 10;
/// Bytes that are encoded before the first are handed on, so that a query that fails early fails as a whole.
const HEAD: usize = 256 << 10;

/// How a result is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// One JSON document, as [`api::SqlResponse`] describes it.
    Json,
    /// One JSON object per row and line.
    Ndjson,
    /// RFC 4180 with a header. NULL is an empty field, an empty text is `""`.
    Csv,
    /// The Arrow IPC stream format, uncompressed.
    Arrow,
}

impl Form {
    /// The media type of this form.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Ndjson => "application/x-ndjson",
            Self::Csv => "text/csv; charset=utf-8; header=present",
            Self::Arrow => "application/vnd.apache.arrow.stream",
        }
    }

    /// The form that an `Accept` header asks for: the first in it that is known, JSON where none is.
    pub fn from_accept(accept: &str) -> Self {
        let known = accept.split(',').filter_map(|part| match part.split(';').next().unwrap_or_default().trim() {
            "application/json" | "*/*" | "application/*" => Some(Self::Json),
            "application/x-ndjson" | "application/ndjson" | "application/jsonl" => Some(Self::Ndjson),
            "text/csv" => Some(Self::Csv),
            "application/vnd.apache.arrow.stream" => Some(Self::Arrow),
            _ => None,
        });
        known.into_iter().next().unwrap_or(Self::Json)
    }
}

/// A result on its way out.
pub struct Body {
    /// How it is written.
    pub form: Form,
    /// Its bytes. An error in between means that what came so far is not the whole result; the connection should be broken off.
    pub chunks: BoxStream<'static, Result<Bytes, Error>>,
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Body").field("form", &self.form).finish_non_exhaustive()
    }
}

/// What an encoder may tell at the end.
struct End<'a> {
    running: &'a QueryRunning,
    rows: u64,
    elapsed: Duration,
}

trait Encoder: Send {
    fn start(&mut self, schema: &SchemaRef, out: &mut Vec<u8>) -> Result<(), Error>;
    fn batch(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<(), Error>;
    fn finish(&mut self, end: &End<'_>, out: &mut Vec<u8>) -> Result<(), Error>;
}

/// Encodes the rows of a query. Returns once the first part is encoded (or all, where that is little), so that a query that fails before is an
/// error here, while its answer can still say so.
///
/// # Errors
/// Those of the query.
pub async fn encode(running: QueryRunning, form: Form) -> Result<Body, Error> {
    let encoder: Box<dyn Encoder> = match form {
        Form::Json => Box::new(json::Json::document()),
        Form::Ndjson => Box::new(json::Json::lines()),
        Form::Csv => Box::new(csv::Csv),
        Form::Arrow => Box::new(arrow_stream::ArrowStream::default()),
    };
    let mut work = Encoding { running, encoder, out: Vec::new(), rows: 0, done: false };
    work.encoder.start(&work.running.schema, &mut work.out)?;
    work.fill(HEAD).await?;
    Ok(Body { form, chunks: work.into_chunks().boxed() })
}

struct Encoding {
    running: QueryRunning,
    encoder: Box<dyn Encoder>,
    out: Vec<u8>,
    rows: u64,
    done: bool,
}

impl Encoding {
    /// Encodes until `bytes` are there or the result ends.
    async fn fill(&mut self, bytes: usize) -> Result<(), Error> {
        while !self.done && self.out.len() < bytes {
            match self.running.stream.next().await {
                Some(batch) => {
                    let batch = batch?;
                    self.rows += batch.num_rows() as u64;
                    self.encoder.batch(&batch, &mut self.out)?;
                }
                None => {
                    let end = End { running: &self.running, rows: self.rows, elapsed: self.running.elapsed() };
                    self.encoder.finish(&end, &mut self.out)?;
                    self.done = true;
                }
            }
        }
        Ok(())
    }

    fn into_chunks(self) -> impl Stream<Item = Result<Bytes, Error>> + Send {
        futures::stream::try_unfold(self, |mut work| async move {
            work.fill(CHUNK).await?;
            let chunk = Bytes::from(std::mem::take(&mut work.out));
            Ok((!chunk.is_empty()).then_some((chunk, work)))
        })
    }
}

/// Column names, each once: an object or a header can't have `id` twice.
fn unique_names(schema: &SchemaRef) -> Vec<String> {
    let mut seen: HashMap<String, usize> = HashMap::new();
    let names = schema.fields().iter().map(|field| {
        let mut name = field.name().clone();
        while seen.contains_key(&name) {
            let count = seen.entry(field.name().clone()).or_insert(1);
            *count += 1;
            name = format!("{}_{count}", field.name());
        }
        seen.insert(name.clone(), 1);
        name
    });
    names.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::arrow::datatypes::{DataType, Field, Schema};
    use std::sync::Arc;

    #[test]
    fn accept_headers_choose_the_form() {
        for (accept, form) in [
            ("", Form::Json),
            ("*/*", Form::Json),
            ("text/csv", Form::Csv),
            ("text/html, application/x-ndjson;q=0.9, */*", Form::Ndjson),
            ("application/vnd.apache.arrow.stream", Form::Arrow),
        ] {
            assert_eq!(Form::from_accept(accept), form, "{accept}");
        }
    }

    #[test]
    fn a_name_that_comes_again_is_numbered() {
        let field = |name: &str| Field::new(name, DataType::Int32, true);
        let schema = Arc::new(Schema::new(vec![field("id"), field("id_2"), field("id"), field("id")]));
        assert_eq!(unique_names(&schema), ["id", "id_2", "id_3", "id_4"]);
    }
}
