use super::{
    encoder::{Encoder, Finishing},
    hot::{HotRows, find},
    ledger::FreshRows,
    settings::SinkSettings,
};
use crate::Error;
use arrow::{array::RecordBatch, datatypes::SchemaRef};
use object_store::path::Path;
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// A data file of the commit group that is filling: its path and the places of its rows are final from the start.
#[derive(Debug)]
pub(crate) struct Segment {
    pub ordinal: u32,
    pub path: Path,
    pub schema: SchemaRef,
    /// Rows so far; the position of the next row.
    pub rows: u32,
    /// Rows since the last boundary that are in memory.
    pub fresh: Vec<HotRows>,
    /// Whether rows since the last boundary were dropped from memory.
    pub spilled: bool,
    waiting: Vec<RecordBatch>,
    waiting_rows: usize,
    waiting_bytes: usize,
    size: Arc<AtomicU64>,
    finishing: Option<Finishing>,
}

impl Segment {
    pub(crate) fn new(ordinal: u32, path: Path, schema: SchemaRef) -> Self {
        Self {
            ordinal,
            path,
            schema,
            rows: 0,
            fresh: Vec::new(),
            spilled: false,
            waiting: Vec::new(),
            waiting_rows: 0,
            waiting_bytes: 0,
            size: Arc::default(),
            finishing: None,
        }
    }

    /// Whether `rows` more may go into the file.
    pub(crate) fn takes(&self, rows: usize, settings: &SinkSettings) -> bool {
        let fits = self.rows as usize + rows <= settings.file_rows_max as usize
            && self.size.load(Ordering::Relaxed) < settings.file_bytes_max;
        self.finishing.is_none() && (fits || self.rows == 0)
    }

    /// Appends rows; hands them to the encoder once enough wait.
    pub(crate) fn push(&mut self, rows: HotRows, encoder: &Encoder, settings: &SinkSettings) -> Result<(), Error> {
        self.rows = rows.end();
        self.waiting_rows += rows.rows.num_rows();
        self.waiting_bytes += rows.shares.iter().map(|s| s.bytes()).sum::<usize>();
        self.waiting.push(rows.rows.clone());
        self.fresh.push(rows);
        if self.waiting_rows >= settings.encode_rows || self.waiting_bytes >= settings.encode_bytes {
            self.flush(encoder)?;
        }
        Ok(())
    }

    /// Hands everything that waits to the encoder.
    pub(crate) fn flush(&mut self, encoder: &Encoder) -> Result<(), Error> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        (self.waiting_rows, self.waiting_bytes) = (0, 0);
        encoder.rows(&self.path, &self.schema, std::mem::take(&mut self.waiting), &self.size)
    }

    /// Ends the file; it takes no more rows.
    pub(crate) fn finish(&mut self, encoder: &Encoder) -> Result<(), Error> {
        if self.finishing.is_none() {
            self.flush(encoder)?;
            self.finishing = Some(encoder.finish(&self.path, &self.schema)?);
        }
        Ok(())
    }

    /// Ends the file and says when it is written.
    pub(crate) fn into_finishing(mut self, encoder: &Encoder) -> Result<Option<Finishing>, Error> {
        self.finish(encoder)?;
        Ok(self.finishing)
    }

    /// The row at a position, where it came after the last boundary and is in memory.
    pub(crate) fn row(&self, row: u32) -> Option<(&HotRows, usize)> {
        find(&self.fresh, row)
    }

    /// Forgets the rows since the last boundary, which are encoded.
    pub(crate) fn spill(&mut self) -> bool {
        let any = !self.fresh.is_empty();
        self.spilled |= any;
        self.fresh = Vec::new();
        any
    }

    /// What came since the last boundary; empty where nothing did.
    pub(crate) fn take_fresh(&mut self) -> Option<FreshRows> {
        if self.fresh.is_empty() && !self.spilled {
            return None;
        }
        let batches = std::mem::take(&mut self.fresh);
        let (path, schema) = (self.path.clone(), Arc::clone(&self.schema));
        Some(FreshRows { ordinal: self.ordinal, path, schema, batches, spilled: std::mem::take(&mut self.spilled) })
    }
}
