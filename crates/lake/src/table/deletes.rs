//! Position delete files: which rows of which data files are gone.

use crate::{
    Error,
    partition::Home,
    store::{Store, names},
    table::with_field_id,
};
use arrow::{
    array::{Array, AsArray, Int64Array, RecordBatch, StringArray},
    compute::cast,
    datatypes::{DataType, Field, Int64Type, Schema, SchemaRef},
};
use bytes::Bytes;
use iceberg::spec::{DataContentType, DataFile, DataFileBuilder, DataFileFormat, Datum};
use object_store::path::Path;
use parquet::{
    arrow::{ArrowWriter, arrow_reader::ParquetRecordBatchReaderBuilder, arrow_writer::ArrowWriterOptions},
    basic::{Compression, Encoding, ZstdLevel},
    file::properties::WriterProperties,
    schema::types::ColumnPath,
};
use roaring::RoaringBitmap;
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

/// Reserved field ids of the two columns, from the Iceberg specification.
const FILE_PATH_ID: i32 = 2_147_483_546;
const POS_ID: i32 = 2_147_483_545;
const FILE_PATH: &str = "file_path";
const POS: &str = "pos";
/// Rows that are encoded at a time.
const CHUNK_ROWS: usize = 128 << 10;

/// Deleted positions by data file, in the order that delete files are sorted in.
pub(crate) type Positions = BTreeMap<Path, Arc<RoaringBitmap>>;

/// A delete file, encoded but not written yet.
#[derive(Debug)]
pub(crate) struct EncodedDeletes {
    pub path: Path,
    pub bytes: Bytes,
    /// One for a file of positions; one for each vector of a Puffin file.
    pub entries: Vec<NewDeletes>,
}

/// A manifest entry about deleted rows.
#[derive(Debug)]
pub(crate) struct NewDeletes {
    pub file: DataFile,
    /// The data file it belongs to, where there is only one.
    pub scope: Option<Path>,
    /// The partition spec of its data files.
    pub spec_id: i32,
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        with_field_id(&Field::new(FILE_PATH, DataType::Utf8, false), FILE_PATH_ID),
        with_field_id(&Field::new(POS, DataType::Int64, false), POS_ID),
    ]))
}

/// How outside engines spell the places of data files, where they do so in another way than lakebox.
pub(crate) type Spellings = HashMap<Path, Arc<str>>;

/// Encodes one delete file at `path`, in the partition of its data files, whose name gets the digest of what is inside. It computes: call it from a thread that may.
///
/// # Errors
/// [`crate::error::Kind::Bug`] where there is nothing to delete or Parquet refuses.
pub(crate) fn encode(
    store: &Store,
    path: Path,
    positions: &Positions,
    spellings: &Spellings,
    home: Option<&Home>,
) -> Result<EncodedDeletes, Error> {
    let location = |path: &Path| spellings.get(path).map_or_else(|| store.location(path), |s| s.to_string());
    let mut located: Vec<(String, &Arc<RoaringBitmap>)> = positions.iter().map(|(path, rows)| (location(path), rows)).collect();
    // The specification wants them sorted by file, as it is spelt, and row.
    located.sort_by(|a, b| a.0.cmp(&b.0));
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1).unwrap_or_default()))
        .set_column_dictionary_enabled(ColumnPath::from(POS), false)
        .set_column_encoding(ColumnPath::from(POS), Encoding::DELTA_BINARY_PACKED)
        .set_statistics_truncate_length(None)
        .set_column_index_truncate_length(None)
        .build();
    let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
    let schema = schema();
    let mut bytes = Vec::new();
    let failed = |e| Error::bug("encoding a delete file", e);
    let mut writer = ArrowWriter::try_new_with_options(&mut bytes, Arc::clone(&schema), options).map_err(failed)?;
    for (location, deleted) in &located {
        let mut rows = deleted.iter().map(i64::from);
        loop {
            let chunk: Vec<i64> = rows.by_ref().take(CHUNK_ROWS).collect();
            if chunk.is_empty() {
                break;
            }
            let paths = StringArray::from_iter_values(std::iter::repeat_n(location.as_str(), chunk.len()));
            let batch = RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(paths), Arc::new(Int64Array::from(chunk))]);
            let batch = batch.map_err(|e| Error::bug("gathering deleted positions", e))?;
            writer.write(&batch).map_err(failed)?;
        }
    }
    writer.close().map_err(failed)?;
    let path = names::with_digest(&path, &bytes);
    let file = describe(store, &path, bytes.len() as u64, &located, home)?;
    let scope = if positions.len() == 1 { positions.keys().next().cloned() } else { None };
    let entry = NewDeletes { file, scope, spec_id: home.map_or(0, |h| h.spec_id) };
    Ok(EncodedDeletes { path, bytes: bytes.into(), entries: vec![entry] })
}

/// The manifest entry of a delete file, with bounds that let readers skip it exactly when they may.
fn describe(
    store: &Store,
    path: &Path,
    bytes: u64,
    located: &[(String, &Arc<RoaringBitmap>)],
    home: Option<&Home>,
) -> Result<DataFile, Error> {
    let (Some((first, _)), Some((last, _))) = (located.first(), located.last()) else {
        return Err(Error::new(crate::error::Kind::Bug, "a delete file was to be written without deletes"));
    };
    let lowest = located.iter().filter_map(|(_, p)| p.min()).min().unwrap_or(0);
    let highest = located.iter().filter_map(|(_, p)| p.max()).max().unwrap_or(0);
    let rows: u64 = located.iter().map(|(_, p)| p.len()).sum();
    let counts = |n: u64| HashMap::from([(FILE_PATH_ID, n), (POS_ID, n)]);
    let mut builder = DataFileBuilder::default();
    if let Some(home) = home {
        builder.partition_spec_id(home.spec_id).partition(home.values.clone());
    }
    builder
        .content(DataContentType::PositionDeletes)
        .file_path(store.location(path))
        .file_format(DataFileFormat::Parquet)
        .record_count(rows)
        .file_size_in_bytes(bytes)
        .value_counts(counts(rows))
        .null_value_counts(counts(0))
        .lower_bounds(HashMap::from([(FILE_PATH_ID, Datum::string(first)), (POS_ID, Datum::long(i64::from(lowest)))]))
        .upper_bounds(HashMap::from([(FILE_PATH_ID, Datum::string(last)), (POS_ID, Datum::long(i64::from(highest)))]))
        .referenced_data_file((first == last).then(|| first.clone()))
        .build()
        .map_err(|e| Error::bug("describing a delete file", e))
}

/// Reads a delete file. It computes: call it from a thread that may.
///
/// # Errors
/// [`crate::error::Kind::Corrupt`] where it is not a delete file of this warehouse.
pub(crate) fn decode(store: &Store, path: &Path, bytes: Bytes) -> Result<BTreeMap<Path, RoaringBitmap>, Error> {
    let name = || format!("the delete file {}", store.location(path));
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).and_then(|b| b.with_batch_size(CHUNK_ROWS).build());
    let reader = reader.map_err(|e| Error::corrupt(name(), e))?;
    let mut found: BTreeMap<Path, RoaringBitmap> = BTreeMap::new();
    for batch in reader {
        let batch = batch.map_err(|e| Error::corrupt(name(), e))?;
        let column = |name: &str, to: &DataType| batch.column_by_name(name).and_then(|c| cast(c, to).ok());
        let (Some(paths), Some(rows)) = (column(FILE_PATH, &DataType::Utf8), column(POS, &DataType::Int64)) else {
            return Err(Error::corrupt(name(), "it lacks the columns `file_path` and `pos`"));
        };
        let (paths, rows) = (paths.as_string::<i32>(), rows.as_primitive::<Int64Type>());
        let mut start = 0;
        while start < paths.len() {
            let location = paths.value(start);
            let end = (start..paths.len()).find(|i| paths.value(*i) != location).unwrap_or(paths.len());
            let bitmap = found.entry(store.path(location)?).or_default();
            for row in start..end {
                bitmap.insert(u32::try_from(rows.value(row)).map_err(|e| Error::corrupt(name(), e))?);
            }
            start = end;
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use iceberg::spec::PrimitiveLiteral;
    use proptest::prelude::*;

    fn store() -> Store {
        Store::over(Arc::new(object_store::memory::InMemory::new()))
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 60, rng_seed: proptest::test_runner::RngSeed::Fixed(11), ..ProptestConfig::default() })]

        #[test]
        fn a_delete_file_reads_back_what_was_deleted_and_its_bounds_enclose_it(
            positions in prop::collection::btree_map("[a-c]{1,3}", prop::collection::btree_set(0u32..300_000, 1..200), 1..6)
        ) {
            let positions: Positions = positions.into_iter()
                .map(|(name, rows)| (Path::from(format!("t/data/{name}.parquet")), Arc::new(rows.into_iter().collect::<RoaringBitmap>())))
                .collect();
            let store = store();
            let path = Path::from("t/data/d.parquet");
            let encoded = encode(&store, path.clone(), &positions, &Spellings::new(), None).unwrap();
            let back = decode(&store, &path, encoded.bytes).unwrap();
            let [entry] = &encoded.entries[..] else { panic!("one entry") };
            prop_assert_eq!(back.len(), positions.len());
            let bound = |b: &HashMap<i32, Datum>, id| b[&id].literal().clone();
            for (file, rows) in &positions {
                prop_assert_eq!(&back[file], rows.as_ref());
                let location = PrimitiveLiteral::String(store.location(file));
                prop_assert!(bound(entry.file.lower_bounds(), FILE_PATH_ID) <= location);
                prop_assert!(bound(entry.file.upper_bounds(), FILE_PATH_ID) >= location);
                for row in [rows.min(), rows.max()].into_iter().flatten() {
                    let row = PrimitiveLiteral::Long(i64::from(row));
                    prop_assert!(bound(entry.file.lower_bounds(), POS_ID) <= row);
                    prop_assert!(bound(entry.file.upper_bounds(), POS_ID) >= row);
                }
            }
            prop_assert_eq!(entry.file.referenced_data_file().is_some(), positions.len() == 1);
            prop_assert_eq!(entry.file.record_count(), positions.values().map(|p| p.len()).sum::<u64>());
        }
    }

    #[test]
    fn a_file_without_the_two_columns_is_called_corrupt() {
        let error = decode(&store(), &Path::from("x"), Bytes::from_static(b"not parquet")).unwrap_err();
        assert_eq!(error.kind, crate::error::Kind::Corrupt);
        assert!(error.message.contains("memory://lake/x"), "{error}");
    }
}
