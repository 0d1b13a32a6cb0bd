//! Rows split by the partition that they belong to.

use super::{PartitionField, PartitionTransform};
use crate::{Error, Kind};
use arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch, UInt32Array},
    compute::take_record_batch,
    datatypes::{
        DataType, Date32Type, Decimal128Type, Int32Type, Int64Type, Schema, Time64MicrosecondType, TimeUnit,
        TimestampMicrosecondType,
    },
    row::{OwnedRow, RowConverter, SortField},
};
use hashbrown::HashMap;
use iceberg::spec::{Literal, PrimitiveLiteral, Struct};
use model::LakeTable;

/// Rows of one partition, in the order they had.
pub(crate) struct Part {
    /// The partition, as bytes that tell it from others.
    pub key: OwnedRow,
    /// Its values, in the order of the fields.
    pub values: Struct,
    pub rows: RecordBatch,
}

/// Splits batches of one schema.
pub(crate) struct Splitter {
    fields: Vec<(usize, PartitionTransform)>,
    converter: RowConverter,
}

impl Splitter {
    /// For batches of this schema; none where nothing is partitioned.
    ///
    /// # Errors
    /// [`Kind::Schema`] where a column is not there or can't be partitioned by that.
    pub(crate) fn new(table: &LakeTable, schema: &Schema, by: &[PartitionField]) -> Result<Option<Self>, Error> {
        if by.is_empty() {
            return Ok(None);
        }
        let mut fields = Vec::with_capacity(by.len());
        let mut types = Vec::with_capacity(by.len());
        for field in by {
            let missing = |_| {
                Error::new(
                    Kind::Schema,
                    format!("{table} can't be partitioned by `{field}`: it has no column `{}`", field.column),
                )
            };
            let index = schema.index_of(&field.column).map_err(missing)?;
            let data_type = schema.field(index).data_type();
            field.check(data_type).map_err(|e| Error::new(Kind::Schema, format!("{table} can't be partitioned by {e}")))?;
            types.push(SortField::new(field.transform.result_type(data_type)));
            fields.push((index, field.transform));
        }
        let converter = RowConverter::new(types).map_err(|e| Error::bug("telling partitions apart", e))?;
        Ok(Some(Self { fields, converter }))
    }

    /// The rows of each partition, in the order in which partitions first appear.
    pub(crate) fn split(&self, rows: &RecordBatch) -> Result<Vec<Part>, Error> {
        let failed = |e| Error::bug("splitting rows into partitions", e);
        let values = self.fields.iter().map(|(i, t)| t.apply(rows.column(*i))).collect::<Result<Vec<ArrayRef>, _>>()?;
        let keys = self.converter.convert_columns(&values).map_err(failed)?;
        let mut places: HashMap<&[u8], usize> = HashMap::new();
        let mut groups: Vec<Vec<u32>> = Vec::new();
        let owned: Vec<_> = (0..rows.num_rows()).map(|i| keys.row(i)).collect();
        for (row, key) in (0u32..).zip(&owned) {
            let place = *places.entry(key.data()).or_insert_with(|| {
                groups.push(Vec::new());
                groups.len() - 1
            });
            groups[place].push(row);
        }
        let part = |group: Vec<u32>| {
            let first = group.first().copied().unwrap_or(0) as usize;
            let literals = values.iter().map(|column| literal(column, first)).collect::<Result<Vec<_>, _>>()?;
            let rows = take_record_batch(rows, &UInt32Array::from(group)).map_err(failed)?;
            Ok(Part { key: owned[first].owned(), values: Struct::from_iter(literals), rows })
        };
        groups.into_iter().map(part).collect()
    }
}

/// A partition value as metadata holds it.
fn literal(column: &ArrayRef, row: usize) -> Result<Option<Literal>, Error> {
    if column.is_null(row) {
        return Ok(None);
    }
    Ok(Some(match column.data_type() {
        DataType::Boolean => Literal::bool(column.as_boolean().value(row)),
        DataType::Int32 => Literal::int(column.as_primitive::<Int32Type>().value(row)),
        DataType::Int64 => Literal::long(column.as_primitive::<Int64Type>().value(row)),
        DataType::Date32 => Literal::date(column.as_primitive::<Date32Type>().value(row)),
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            Literal::Primitive(PrimitiveLiteral::Long(column.as_primitive::<TimestampMicrosecondType>().value(row)))
        }
        DataType::Time64(TimeUnit::Microsecond) => Literal::time(column.as_primitive::<Time64MicrosecondType>().value(row)),
        DataType::Decimal128(_, _) => Literal::decimal(column.as_primitive::<Decimal128Type>().value(row)),
        DataType::Utf8 => Literal::string(column.as_string::<i32>().value(row)),
        DataType::Binary => Literal::binary(column.as_binary::<i32>().value(row).iter().copied()),
        other => return Err(Error::new(Kind::Schema, format!("a partition can't be told by a value of type {other}"))),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::{
        array::{Int64Array, StringArray},
        datatypes::Field,
    };
    use std::sync::Arc;

    #[test]
    fn rows_go_to_their_partitions_in_their_order() {
        let schema = Schema::new(vec![Field::new("id", DataType::Int64, true), Field::new("city", DataType::Utf8, true)]);
        let rows = RecordBatch::try_new(
            Arc::new(schema.clone()),
            vec![
                Arc::new(Int64Array::from(vec![1, 12, 3, 14, 5])),
                Arc::new(StringArray::from(vec![Some("a"), Some("b"), None, Some("a"), Some("a")])),
            ],
        )
        .unwrap();
        let by = ["truncate(10, id)", "city"].map(|f| f.parse().unwrap());
        let table = LakeTable::new(model::Layer::Gold, "t");
        let parts = Splitter::new(&table, &schema, &by).unwrap().unwrap().split(&rows).unwrap();
        let found: Vec<_> = parts
            .iter()
            .map(|p| (p.values.fields().to_vec(), p.rows.column(0).as_primitive::<Int64Type>().values().to_vec()))
            .collect();
        let value = |number: i64, city: Option<&str>| vec![Some(Literal::long(number)), city.map(Literal::string)];
        assert_eq!(
            found,
            [
                (value(0, Some("a")), vec![1, 5]),
                (value(10, Some("b")), vec![12]),
                (value(0, None), vec![3]),
                (value(10, Some("a")), vec![14]),
            ]
        );
        for (field, said) in [
            ("nope", "gold.t can't be partitioned by `nope`: it has no column `nope`"),
            (
                "day(city)",
                "gold.t can't be partitioned by `day(city)`: the column is Utf8, which takes the column itself, bucket(16, …), truncate(10, …)",
            ),
        ] {
            let error = Splitter::new(&table, &schema, &[field.parse().unwrap()]).err().unwrap();
            assert_eq!(error.message, said);
        }
    }
}
