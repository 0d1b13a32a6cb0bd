use crate::{Answer, Batch, Plan, Plugin, Table};
use std::collections::BTreeMap;

/// A configured plugin and the shapes it knows.
#[derive(Debug)]
pub struct Runner<P: Plugin> {
    plugin: P,
    shapes: BTreeMap<u32, (usize, P::Shape)>,
}

impl<P: Plugin> Runner<P> {
    /// Makes the plugin.
    pub fn configure(config: &str) -> Result<Self, String> {
        Ok(Self { plugin: P::configure(config)?, shapes: BTreeMap::new() })
    }

    /// Asks for a plan and remembers the shape.
    pub fn schema(&mut self, shape: u32, table: &Table) -> Result<Plan, String> {
        let (plan, known) = self.plugin.schema(table)?;
        self.shapes.insert(shape, (plan.columns.len(), known));
        Ok(plan)
    }

    /// Takes a packed batch through the plugin.
    pub fn transform(&mut self, bytes: &[u8]) -> Result<Vec<u8>, String> {
        let batch = Batch::read(bytes)?;
        let (columns, shape) = self.shapes.get(&batch.shape()).ok_or("a batch of an unknown shape")?;
        let mut answer = Answer::new(&batch, *columns);
        self.plugin.transform(shape, &batch, &mut answer)?;
        answer.pack()
    }
}
