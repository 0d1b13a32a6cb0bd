use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::{
    common::tree_node::{Transformed, TreeNode},
    error::Result,
    physical_expr::expressions::Column,
    physical_expr_adapter::{DefaultPhysicalExprAdapterFactory, PhysicalExprAdapter, PhysicalExprAdapterFactory},
    physical_plan::PhysicalExpr,
};
use parquet::arrow::PARQUET_FIELD_ID_META_KEY;
use std::{collections::HashMap, sync::Arc};

/// The Iceberg field id of a column.
pub(super) fn field_id(field: &Field) -> Option<i32> {
    field.metadata().get(PARQUET_FIELD_ID_META_KEY)?.parse().ok()
}

/// The schema queries run on: strings and binaries as views, which DataFusion reads and compares faster.
pub(crate) fn reading_schema(schema: &Schema) -> SchemaRef {
    let fields = schema.fields().iter().map(|field| match field.data_type() {
        DataType::Utf8 | DataType::LargeUtf8 => Arc::new(field.as_ref().clone().with_data_type(DataType::Utf8View)),
        DataType::Binary | DataType::LargeBinary => Arc::new(field.as_ref().clone().with_data_type(DataType::BinaryView)),
        _ => Arc::clone(field),
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// The schema the Parquet source is given: names that an older file may use for another column are replaced by names no file has.
///
/// DataFusion turns a file's binary column into text where a text column of the same NAME is asked for, before field ids are looked
/// at. After a retype (`note bytea` became `note__was_bytea`, and `note` is a new text column) that would read bytes as text.
pub(super) fn source_schema(schema: &Schema) -> SchemaRef {
    let taken_over = |name: &str| {
        let old = format!("{name}__was_");
        schema.fields().iter().any(|f| f.name().starts_with(&old))
    };
    let fields = schema.fields().iter().map(|field| match field_id(field) {
        Some(id) if taken_over(field.name()) => Arc::new(field.as_ref().clone().with_name(format!("{}\u{0}{id}", field.name()))),
        _ => Arc::clone(field),
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// Makes adapters that find a table's columns in a file by field id, whatever their names were when the file was written.
#[derive(Debug)]
pub(super) struct FieldIdAdapterFactory;

impl PhysicalExprAdapterFactory for FieldIdAdapterFactory {
    fn create(&self, logical: SchemaRef, physical: SchemaRef) -> Result<Arc<dyn PhysicalExprAdapter>> {
        // Files that were not written for Iceberg and were added to a table have no ids at all; their columns go by name.
        let by_name = physical.fields().iter().all(|f| field_id(f).is_none());
        let by_id: HashMap<i32, &Arc<Field>> = logical.fields().iter().filter_map(|f| Some((field_id(f)?, f))).collect();
        let fields = physical.fields().iter().enumerate().map(|(index, field)| {
            let wanted = match field_id(field) {
                Some(id) => by_id.get(&id).copied(),
                None => logical.fields().iter().find(|f| f.name() == field.name() && (by_name || field_id(f).is_none())),
            };
            match wanted {
                // Where the types agree the column is taken as it is: a cast would only hide it from pruning.
                Some(wanted) if wanted.data_type() == field.data_type() => Arc::clone(wanted),
                Some(wanted) => Arc::new(field.as_ref().clone().with_name(wanted.name())),
                None => Arc::new(field.as_ref().clone().with_name(format!("\u{0}{index}"))),
            }
        });
        let renamed = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let inner = DefaultPhysicalExprAdapterFactory.create(logical, renamed)?;
        Ok(Arc::new(FieldIdAdapter { inner, physical }))
    }
}

/// Rewrites expressions in two steps: DataFusion's own adapter adds casts and NULLs on a copy of the file's schema that bears the
/// table's names, then columns get back the names the file has.
#[derive(Debug)]
struct FieldIdAdapter {
    inner: Arc<dyn PhysicalExprAdapter>,
    physical: SchemaRef,
}

impl PhysicalExprAdapter for FieldIdAdapter {
    fn rewrite(&self, expr: Arc<dyn PhysicalExpr>) -> Result<Arc<dyn PhysicalExpr>> {
        let adapted = self.inner.rewrite(expr)?;
        let named = adapted.transform(|expr| {
            let Some(column) = expr.downcast_ref::<Column>() else { return Ok(Transformed::no(expr)) };
            let name = self.physical.field(column.index()).name();
            if name == column.name() {
                return Ok(Transformed::no(expr));
            }
            Ok(Transformed::yes(Arc::new(Column::new(name, column.index())) as Arc<dyn PhysicalExpr>))
        })?;
        Ok(named.data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(name: &str, data_type: DataType, id: i32) -> Field {
        Field::new(name, data_type, true).with_metadata(HashMap::from([(PARQUET_FIELD_ID_META_KEY.to_owned(), id.to_string())]))
    }

    #[test]
    fn a_renamed_column_is_found_by_its_id_and_a_missing_one_is_null() {
        let logical = Arc::new(Schema::new(vec![
            field("total", DataType::Int64, 101),
            field("note", DataType::Utf8, 103),
            field("amount", DataType::Int32, 104),
        ]));
        let physical = Arc::new(Schema::new(vec![field("note", DataType::Utf8, 102), field("amount", DataType::Int32, 101)]));
        let adapter = FieldIdAdapterFactory.create(logical, physical).unwrap();
        let rewrite = |name: &str, index| adapter.rewrite(Arc::new(Column::new(name, index))).unwrap().to_string();
        assert_eq!(rewrite("total", 0), "CAST(amount@1 AS Int64)");
        assert_eq!(rewrite("note", 1), "NULL");
        assert_eq!(rewrite("amount", 2), "NULL");
    }

    #[test]
    fn columns_of_a_file_without_any_ids_go_by_name() {
        let logical = Arc::new(Schema::new(vec![field("a", DataType::Int64, 1), field("b", DataType::Utf8, 2)]));
        let plain = |name: &str, data_type| Field::new(name, data_type, true);
        let physical = Arc::new(Schema::new(vec![plain("b", DataType::Utf8), plain("a", DataType::Int64)]));
        let adapter = FieldIdAdapterFactory.create(Arc::clone(&logical), physical).unwrap();
        let rewrite = |name: &str, index| adapter.rewrite(Arc::new(Column::new(name, index))).unwrap().to_string();
        assert_eq!((rewrite("a", 0), rewrite("b", 1)), ("a@1".to_owned(), "b@0".to_owned()));
        // One id is enough: then a column without one is no column of the table.
        let physical = Arc::new(Schema::new(vec![field("b", DataType::Utf8, 2), plain("a", DataType::Int64)]));
        let adapter = FieldIdAdapterFactory.create(logical, physical).unwrap();
        assert_eq!(adapter.rewrite(Arc::new(Column::new("a", 0))).unwrap().to_string(), "NULL");
    }

    #[test]
    fn only_names_that_were_taken_over_are_hidden_from_files() {
        let schema = Schema::new(vec![
            field("note", DataType::Utf8, 103),
            field("note__was_bytea", DataType::Binary, 101),
            field("id", DataType::Int32, 102),
        ]);
        let names: Vec<String> = source_schema(&schema).fields().iter().map(|f| f.name().clone()).collect();
        assert_eq!(names, ["note\u{0}103", "note__was_bytea", "id"]);
    }
}
