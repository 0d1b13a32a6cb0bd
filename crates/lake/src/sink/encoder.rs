//! Encodes data files while their rows still arrive, on a thread of its own, in the order in which it is asked.

use crate::{DataFileWriter, Error, Kind, Store, WriterOptions, WrittenFile};
use arrow::{array::RecordBatch, compute::concat_batches, datatypes::SchemaRef};
use object_store::path::Path;
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::sync::{mpsc, oneshot};

/// Batches of so few rows on average are joined before they are encoded.
const SMALL_ROWS: usize = 1024;

/// A handle to the encoder of one sink. Its thread ends when the last handle is dropped; files that were not finished stay behind as orphans.
#[derive(Debug, Clone)]
pub(crate) struct Encoder {
    jobs: mpsc::UnboundedSender<Job>,
}

/// A file that will be finished: resolves once it is written and synced, or has failed.
pub(crate) type Finishing = oneshot::Receiver<Result<WrittenFile, Error>>;

#[derive(Debug)]
enum Job {
    Rows { path: Path, schema: SchemaRef, rows: Vec<RecordBatch>, size: Arc<AtomicU64> },
    Finish { path: Path, schema: SchemaRef, reply: oneshot::Sender<Result<WrittenFile, Error>> },
    Sync(oneshot::Sender<()>),
}

impl Encoder {
    /// Starts the thread. It is none of the pool for blocking work: that is small, and this one is busy for as long as its sink lives.
    ///
    /// # Errors
    /// Where the system has no thread left.
    pub(crate) fn start(source: &str, store: Store) -> Result<Self, Error> {
        let (jobs, waiting) = mpsc::unbounded_channel();
        let work = Work { store, open: HashMap::new() };
        // Uploads to a bucket need the runtime that they were asked from.
        let runtime =
            tokio::runtime::Handle::try_current().map_err(|e| Error::bug("finding the async runtime to encode in", e))?;
        let started = std::thread::Builder::new().name(format!("encode {source}")).spawn(move || {
            let _entered = runtime.enter();
            work.run(waiting);
        });
        started
            .map_err(|e| Error::new(Kind::Storage, format!("no thread could be had to encode data files: {e}")).with_source(e))?;
        Ok(Self { jobs })
    }

    /// Appends rows to the file at `path`, which is made where it is new. `size` is kept at the file's bytes so far.
    pub(crate) fn rows(
        &self,
        path: &Path,
        schema: &SchemaRef,
        rows: Vec<RecordBatch>,
        size: &Arc<AtomicU64>,
    ) -> Result<(), Error> {
        self.send(Job::Rows { path: path.clone(), schema: Arc::clone(schema), rows, size: Arc::clone(size) })
    }

    /// Ends the file at `path`. An error that an earlier job of it met comes out here.
    pub(crate) fn finish(&self, path: &Path, schema: &SchemaRef) -> Result<Finishing, Error> {
        let (reply, finishing) = oneshot::channel();
        self.send(Job::Finish { path: path.clone(), schema: Arc::clone(schema), reply })?;
        Ok(finishing)
    }

    /// Waits until everything asked so far is done.
    pub(crate) async fn sync(&self) -> Result<(), Error> {
        let (reply, done) = oneshot::channel();
        self.send(Job::Sync(reply))?;
        done.await.map_err(|_| gone())
    }

    fn send(&self, job: Job) -> Result<(), Error> {
        self.jobs.send(job).map_err(|_| gone())
    }
}

/// The error where the encoder's thread ended early.
pub(crate) fn gone() -> Error {
    Error::new(Kind::Bug, "the thread that encodes data files ended early; the log says why")
}

struct Work {
    store: Store,
    open: HashMap<Path, Result<DataFileWriter, Error>>,
}

impl Work {
    fn run(mut self, mut waiting: mpsc::UnboundedReceiver<Job>) {
        while let Some(job) = waiting.blocking_recv() {
            match job {
                Job::Rows { path, schema, rows, size } => {
                    let bytes = self.append(&path, &schema, &rows);
                    size.store(bytes, Ordering::Relaxed);
                }
                Job::Finish { path, schema, reply } => {
                    self.append(&path, &schema, &[]);
                    let result = self.open.remove(&path).unwrap_or_else(|| Err(gone())).and_then(DataFileWriter::finish);
                    // Nobody waits where the sink was dropped; the file is an orphan then.
                    let _ = reply.send(result);
                }
                Job::Sync(reply) => {
                    let _ = reply.send(());
                }
            }
        }
    }

    fn append(&mut self, path: &Path, schema: &SchemaRef, rows: &[RecordBatch]) -> u64 {
        let entry = self
            .open
            .entry(path.clone())
            .or_insert_with(|| DataFileWriter::create(&self.store, path.clone(), schema, WriterOptions::default()));
        if let Ok(writer) = entry {
            let written = match joined(rows) {
                Some(joined) => writer.write(&joined),
                None => rows.iter().try_for_each(|batch| writer.write(batch)),
            };
            match written {
                Ok(()) => return writer.bytes(),
                Err(error) => *entry = Err(error),
            }
        }
        0
    }
}

/// Many small batches as one, because each costs the writer as much as a thousand rows; none where they are few or large.
fn joined(rows: &[RecordBatch]) -> Option<RecordBatch> {
    let count: usize = rows.iter().map(RecordBatch::num_rows).sum();
    if rows.len() < 2 || count / rows.len() > SMALL_ROWS {
        return None;
    }
    // Batches of one file have one schema; should they not, they are written one by one.
    concat_batches(rows.first()?.schema_ref(), rows).ok()
}
