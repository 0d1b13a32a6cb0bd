use crate::{DeadLetter, Error, Kind, Transform};
use model::{ChangeBatch, TableSchema};
use std::sync::Arc;

/// The transforms of one pipeline in order. They run on a blocking thread, so that a slow plugin never holds an async worker.
#[derive(Default)]
pub struct Stage {
    transforms: Vec<Box<dyn Transform>>,
}

/// What came out of a stage.
#[derive(Debug, Default)]
pub(crate) struct Staged {
    pub batches: Vec<ChangeBatch>,
    pub dead: Vec<DeadLetter>,
}

impl Stage {
    /// A stage of `transforms`, applied first to last.
    pub fn new(transforms: Vec<Box<dyn Transform>>) -> Self {
        Self { transforms }
    }

    /// What the stage makes of a table's shape.
    pub(crate) async fn schema(&mut self, input: Arc<TableSchema>) -> Result<Arc<TableSchema>, Error> {
        if self.transforms.is_empty() {
            return Ok(input);
        }
        self.on_blocking_thread(move |transforms| transforms.iter_mut().try_fold(input, |shape, t| t.schema(&shape))).await
    }

    /// Sends a batch through every transform.
    pub(crate) async fn apply(&mut self, batch: ChangeBatch) -> Result<Staged, Error> {
        if self.transforms.is_empty() {
            return Ok(Staged { batches: vec![batch], dead: Vec::new() });
        }
        self.on_blocking_thread(move |transforms| {
            let mut staged = Staged { batches: vec![batch], dead: Vec::new() };
            for transform in transforms {
                let mut next = Vec::with_capacity(staged.batches.len());
                for batch in staged.batches {
                    let out = transform.apply(batch)?;
                    next.extend(out.batches);
                    staged.dead.extend(out.dead);
                }
                staged.batches = next;
            }
            Ok(staged)
        })
        .await
    }

    async fn on_blocking_thread<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut [Box<dyn Transform>]) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let mut transforms = std::mem::take(&mut self.transforms);
        let (result, transforms) = runtime::blocking("a transform", move || {
            let result = work(&mut transforms);
            (result, transforms)
        })
        .await
        .map_err(|e| Error::new(Kind::Bug, e.to_string()))?;
        self.transforms = transforms;
        result
    }
}
