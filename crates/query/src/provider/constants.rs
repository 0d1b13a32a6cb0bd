//! Columns that some files lack and that the partitions of these files say the value of, as tables have them that were taken over from Hive.

use super::{
    fields::field_id,
    files::ChosenFile,
    stats::{bound, live_rows},
};
use arrow::datatypes::{Field, FieldRef, Schema, SchemaRef};
use datafusion::{
    common::{Statistics, stats::Precision},
    datasource::{listing::PartitionedFile, physical_plan::FileGroup},
    error::Result,
    physical_expr::expressions::{CaseExpr, CastExpr, Column, IsNotNullExpr},
    physical_plan::PhysicalExpr,
    scalar::ScalarValue,
};
use object_store::path::Path;
use std::{collections::HashMap, sync::Arc};

/// The columns of one scan that are read from files and, where a file has none, from its partition.
pub(super) struct Constants {
    /// Indexes among the columns of the table.
    columns: Vec<usize>,
    fields: Vec<FieldRef>,
    /// The columns as the table has them.
    targets: Vec<FieldRef>,
    /// The values of each file.
    values: HashMap<Path, Vec<ScalarValue>>,
}

impl Constants {
    /// Those of a scan of `files` that reads the columns `projection`; none where every file has all columns, as files usually do.
    pub(super) fn of(files: &[ChosenFile], schema: &Schema, projection: &[usize]) -> Result<Option<Self>> {
        let constant = |file: &ChosenFile, column: usize| file.file.stats.get(&field_id(schema.field(column))?)?.constant.clone();
        let lacking = |&column: &usize| column < schema.fields().len() && files.iter().any(|f| constant(f, column).is_some());
        let columns: Vec<usize> = projection.iter().copied().filter(lacking).collect();
        if columns.is_empty() {
            return Ok(None);
        }
        let field = |&i: &usize| Arc::new(Field::new(format!("\u{0}partition{i}"), schema.field(i).data_type().clone(), true));
        let value = |file: &ChosenFile, column: usize| {
            let data_type = schema.field(column).data_type();
            bound(constant(file, column).as_ref(), data_type).map_or_else(|| ScalarValue::try_from(data_type), Ok)
        };
        let of_file = |file: &ChosenFile| {
            let values = columns.iter().map(|&c| value(file, c)).collect::<Result<Vec<_>>>()?;
            Ok((file.file.path.clone(), values))
        };
        let values = files.iter().map(of_file).collect::<Result<_>>()?;
        let targets = columns.iter().map(|&i| Arc::new(schema.field(i).clone())).collect();
        Ok(Some(Self { fields: columns.iter().map(field).collect(), targets, columns, values }))
    }

    /// What files are asked for, beside their own columns.
    pub(super) fn fields(&self) -> &[FieldRef] {
        &self.fields
    }

    /// The columns of the table as files have them: one that a file may lack is optional.
    pub(super) fn relaxed(&self, schema: &Schema) -> SchemaRef {
        let fields = schema.fields().iter().enumerate().map(|(i, field)| {
            if self.columns.contains(&i) { Arc::new(field.as_ref().clone().with_nullable(true)) } else { Arc::clone(field) }
        });
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }

    /// The column at `index`, and where a file has none, what its partition says; `first` is where [`Self::fields`] are.
    pub(super) fn read(&self, column: Arc<dyn PhysicalExpr>, index: usize, first: usize) -> Result<Arc<dyn PhysicalExpr>> {
        let Some(nth) = self.columns.iter().position(|&c| c == index) else { return Ok(column) };
        let constant: Arc<dyn PhysicalExpr> = Arc::new(Column::new(self.fields[nth].name(), first + nth));
        let there: Arc<dyn PhysicalExpr> = Arc::new(IsNotNullExpr::new(Arc::clone(&column)));
        let read: Arc<dyn PhysicalExpr> = Arc::new(CaseExpr::try_new(None, vec![(there, column)], Some(constant))?);
        // A CASE has no field metadata, and plans want that of the table.
        Ok(Arc::new(CastExpr::new_with_target_field(read, Arc::clone(&self.targets[nth]), None)))
    }

    /// `groups` with the values of each file behind those that it has already.
    pub(super) fn valued(&self, groups: Vec<FileGroup>) -> Vec<FileGroup> {
        let valued = |mut file: PartitionedFile| {
            let mut values = std::mem::take(&mut file.partition_values);
            values.extend(self.values.get(&file.object_meta.location).into_iter().flatten().cloned());
            let mut file = file.with_partition_values(values);
            // They cover other columns than the scan has now, and its bounds have left files out already.
            file.statistics = None;
            file
        };
        groups.into_iter().map(|group| FileGroup::new(group.into_inner().into_iter().map(valued).collect())).collect()
    }

    /// What is known of a scan of `files` into `schema`.
    pub(super) fn statistics(files: &[ChosenFile], schema: &Schema) -> Statistics {
        let rows: u64 = files.iter().map(|f| f.rows.as_ref().map_or_else(|| live_rows(&f.file), |rows| rows.len())).sum();
        let mut statistics = Statistics::new_unknown(schema);
        statistics.num_rows = Precision::Inexact(usize::try_from(rows).unwrap_or(usize::MAX));
        statistics
    }
}
