//! Deletion vectors of format version 3: which rows of one data file are gone, as a roaring bitmap in a Puffin file.
//!
//! One Puffin file holds all vectors of a commit; manifest entries say where in it each one is. After the blob type `deletion-vector-v1` of the Puffin
//! specification: the length of what follows but for the checksum (big-endian), four magic bytes, a roaring bitmap in the portable form for 64 bits, and a
//! CRC-32 (big-endian) of magic bytes and bitmap.

use super::deletes::{EncodedDeletes, NewDeletes, Positions, Spellings};
use crate::{
    Error,
    partition::Home,
    store::{Store, names},
};
use bytes::{Buf, Bytes};
use iceberg::{
    io::FileIO,
    puffin::{Blob, CompressionCodec, DELETION_VECTOR_V1, PuffinWriter},
    spec::{DataContentType, DataFile, DataFileBuilder, DataFileFormat},
};
use object_store::path::Path;
use roaring::{RoaringBitmap, RoaringTreemap};
use std::{collections::HashMap, io::Cursor};

const MAGIC: [u8; 4] = [0xD1, 0xD3, 0x39, 0x64];
/// Bytes of the length, the magic bytes and the checksum.
const FRAME_BYTES: usize = 12;
/// The first blob of a Puffin file lies behind its magic bytes.
const FIRST_BLOB: usize = 4;
/// The reserved field id of a row's position in its file, which vectors are about.
const ROW_POSITION_ID: i32 = 2_147_483_645;
/// Vectors take snapshot and sequence number from the manifest.
const INHERITED: i64 = -1;

/// One vector as a blob.
///
/// # Errors
/// [`crate::error::Kind::Bug`] where the bitmap can't be encoded.
pub(crate) fn to_blob(rows: &RoaringBitmap) -> Result<Vec<u8>, Error> {
    let mut rows = rows.clone();
    rows.optimize();
    let all = RoaringTreemap::from_bitmaps([(0, rows)]);
    let mut blob = Vec::with_capacity(FRAME_BYTES + all.serialized_size());
    let length = u32::try_from(MAGIC.len() + all.serialized_size()).map_err(|e| Error::bug("encoding a deletion vector", e))?;
    blob.extend(length.to_be_bytes());
    blob.extend(MAGIC);
    all.serialize_into(&mut blob).map_err(|e| Error::bug("encoding a deletion vector", e))?;
    let checksum = crc32fast::hash(&blob[4..]);
    blob.extend(checksum.to_be_bytes());
    Ok(blob)
}

/// The rows of a vector, or what is wrong with it.
pub(crate) fn from_blob(blob: &[u8]) -> Result<RoaringBitmap, String> {
    let inner = blob.len().checked_sub(FRAME_BYTES).ok_or("it is too short")?;
    let (mut length, rest) = blob.split_at(4);
    let (framed, mut checksum) = rest.split_at(MAGIC.len() + inner);
    let said = length.get_u32();
    if said as usize != framed.len() {
        return Err(format!("it says that it has {said} bytes, and has {}", framed.len()));
    }
    let Some(bitmap) = framed.strip_prefix(&MAGIC) else { return Err("its magic bytes are wrong".to_owned()) };
    if crc32fast::hash(framed) != checksum.get_u32() {
        return Err("its checksum is wrong".to_owned());
    }
    // Bitmap by bitmap, so that a count that lies makes nobody reserve memory for it.
    let mut bytes = Cursor::new(bitmap);
    let count = bytes.try_get_u64_le().map_err(|e| e.to_string())?;
    let mut rows = RoaringBitmap::new();
    let mut before = None;
    for _ in 0..count {
        let high = bytes.try_get_u32_le().map_err(|e| e.to_string())?;
        if before.is_some_and(|before| before >= high) {
            return Err("its parts are out of order".to_owned());
        }
        before = Some(high);
        let part = RoaringBitmap::deserialize_from(&mut bytes).map_err(|e| e.to_string())?;
        match high {
            0 => rows = part,
            _ if part.is_empty() => {}
            _ => return Err("it names rows beyond the first 4,294,967,296 of a file".to_owned()),
        }
    }
    if bytes.has_remaining() {
        return Err(format!("{} bytes follow its bitmap", bytes.remaining()));
    }
    Ok(rows)
}

/// Encodes one Puffin file at `path` with a vector for each data file, whose name gets the digest of what is inside.
///
/// # Errors
/// [`crate::error::Kind::Bug`] where there is nothing to delete or it can't be encoded.
pub(crate) async fn encode(
    store: &Store,
    path: Path,
    positions: &Positions,
    spellings: &Spellings,
    homes: &HashMap<Path, Home>,
) -> Result<EncodedDeletes, Error> {
    let failed = |e: iceberg::Error| Error::bug("encoding deletion vectors", e);
    let memory = FileIO::new_with_memory();
    let output = memory.new_output(store.location(&path)).map_err(failed)?;
    let about = HashMap::from([("created-by".to_owned(), concat!("lakebox ", env!("CARGO_PKG_VERSION")).to_owned())]);
    let mut writer = PuffinWriter::new(&output, about, false).await.map_err(failed)?;
    let mut offset = FIRST_BLOB;
    let mut vectors = Vec::with_capacity(positions.len());
    for (file, rows) in positions {
        let location = spellings.get(file).map_or_else(|| store.location(file), |s| s.to_string());
        let data = to_blob(rows)?;
        let length = data.len();
        let about = [("referenced-data-file", location.clone()), ("cardinality", rows.len().to_string())];
        let blob = Blob::builder()
            .r#type(DELETION_VECTOR_V1.to_owned())
            .fields(vec![ROW_POSITION_ID])
            .snapshot_id(INHERITED)
            .sequence_number(INHERITED)
            .data(data)
            .properties(about.map(|(key, value)| (key.to_owned(), value)).into())
            .build();
        writer.add(blob, CompressionCodec::None).await.map_err(failed)?;
        vectors.push((file, location, rows.len(), offset, length));
        offset += length;
    }
    writer.close().await.map_err(failed)?;
    let bytes = memory.new_input(store.location(&path)).map_err(failed)?.read().await.map_err(failed)?;
    let path = names::with_digest(&path, &bytes);
    let entries = vectors.into_iter().map(|(file, location, rows, offset, length)| {
        let home = homes.get(file);
        let mut builder = DataFileBuilder::default();
        if let Some(home) = home {
            builder.partition_spec_id(home.spec_id).partition(home.values.clone());
        }
        let described = builder
            .content(DataContentType::PositionDeletes)
            .file_path(store.location(&path))
            .file_format(DataFileFormat::Puffin)
            .record_count(rows)
            .file_size_in_bytes(bytes.len() as u64)
            .referenced_data_file(Some(location))
            .content_offset(i64::try_from(offset).ok())
            .content_size_in_bytes(i64::try_from(length).ok())
            .build();
        let file_entry = described.map_err(|e| Error::bug("describing a deletion vector", e))?;
        Ok(NewDeletes { file: file_entry, scope: Some(file.clone()), spec_id: home.map_or(0, |h| h.spec_id) })
    });
    let entries = entries.collect::<Result<_, Error>>()?;
    Ok(EncodedDeletes { path, bytes, entries })
}

/// The vector that a manifest entry names, out of the bytes of its Puffin file.
///
/// # Errors
/// [`crate::error::Kind::Corrupt`] where it is not there or is not whole.
pub(crate) fn decode(store: &Store, entry: &DataFile, puffin: &Bytes) -> Result<(Path, RoaringBitmap), Error> {
    let wrong = |what: &str| Error::corrupt(format!("a deletion vector in {}", entry.file_path()), what.to_owned());
    let data_file = entry.referenced_data_file().ok_or_else(|| wrong("its manifest entry names no data file"))?;
    let place = |value: Option<i64>| value.and_then(|v| usize::try_from(v).ok());
    let range = place(entry.content_offset()).zip(place(entry.content_size_in_bytes()));
    let range = range.and_then(|(start, length)| Some(start..start.checked_add(length)?));
    let range = range.ok_or_else(|| wrong("its manifest entry does not say where it is"))?;
    let blob = puffin.get(range).ok_or_else(|| wrong("the file ends before it"))?;
    let rows = from_blob(blob).map_err(|what| wrong(&what))?;
    if rows.len() != entry.record_count() {
        return Err(wrong(&format!("it has {} rows, and its manifest entry says {}", rows.len(), entry.record_count())));
    }
    Ok((store.path(&data_file)?, rows))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::sync::Arc;

    fn store() -> Store {
        Store::over(Arc::new(object_store::memory::InMemory::new()))
    }

    /// Rows that lie alone, in runs, and densely: each of them is another kind of container.
    fn rows() -> impl Strategy<Value = RoaringBitmap> {
        let alone = prop::collection::vec(any::<u32>(), 0..50).prop_map(RoaringBitmap::from_iter);
        let runs = prop::collection::vec((any::<u32>(), 0u32..100_000), 0..4).prop_map(|runs| {
            runs.into_iter().flat_map(|(first, length)| first..=first.saturating_add(length)).collect::<RoaringBitmap>()
        });
        let dense = (any::<u16>(), 2u32..5)
            .prop_map(|(first, step)| (0..20_000u32).map(|i| u32::from(first) + i * step).collect::<RoaringBitmap>());
        (alone, runs, prop::option::of(dense)).prop_map(|(a, b, c)| a | b | c.unwrap_or_default())
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 40, rng_seed: proptest::test_runner::RngSeed::Fixed(31), ..ProptestConfig::default() })]

        #[test]
        fn a_vector_reads_back_what_was_deleted(rows in rows()) {
            prop_assert_eq!(from_blob(&to_blob(&rows).unwrap()).unwrap(), rows);
        }

        #[test]
        fn a_vector_with_any_byte_changed_is_refused(rows in rows(), at in any::<prop::sample::Index>(), flip in 1u8..) {
            let mut blob = to_blob(&rows).unwrap();
            let at = at.index(blob.len());
            blob[at] ^= flip;
            prop_assert!(from_blob(&blob).is_err());
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = from_blob(&bytes);
            // The same with a frame that is right, so that the bitmap's own bytes are looked at.
            let framed = [&MAGIC[..], &bytes].concat();
            let blob = [&(framed.len() as u32).to_be_bytes()[..], &framed, &crc32fast::hash(&framed).to_be_bytes()].concat();
            let _ = from_blob(&blob);
        }

        #[test]
        fn a_puffin_file_gives_each_data_file_its_own_vector(
            all in prop::collection::btree_map("[a-c]{1,3}", rows(), 1..5)
        ) {
            let store = store();
            let positions: Positions =
                all.into_iter().map(|(name, rows)| (Path::from(format!("t/data/{name}.parquet")), Arc::new(rows))).collect();
            let (spellings, homes) = (Spellings::new(), HashMap::new());
            let encoded = encode(&store, Path::from("t/data/v.puffin"), &positions, &spellings, &homes);
            let encoded = futures::executor::block_on(encoded).unwrap();
            prop_assert_eq!(encoded.entries.len(), positions.len());
            prop_assert!(encoded.bytes.starts_with(b"PFA1") && encoded.bytes.ends_with(b"PFA1"));
            for entry in &encoded.entries {
                let (path, rows) = decode(&store, &entry.file, &encoded.bytes).unwrap();
                prop_assert_eq!(Some(&path), entry.scope.as_ref());
                prop_assert_eq!(&rows, positions[&path].as_ref());
            }
        }
    }

    /// Byte for byte, since other engines read it.
    #[test]
    fn the_form_is_that_of_the_specification() {
        let blob = to_blob(&RoaringBitmap::from([1, 3, 5, 7, 9])).unwrap();
        let bitmap = [
            &1u64.to_le_bytes()[..],
            &0u32.to_le_bytes(),
            // The portable form of 32 bits: no runs, one container of key 0 with five values at byte 16.
            &12346u32.to_le_bytes(),
            &1u32.to_le_bytes(),
            &[0, 0, 4, 0],
            &16u32.to_le_bytes(),
            &[1, 0, 3, 0, 5, 0, 7, 0, 9, 0],
        ]
        .concat();
        assert_eq!(blob[..4], (4 + bitmap.len() as u32).to_be_bytes());
        assert_eq!(blob[4..8], MAGIC);
        assert_eq!(blob[8..blob.len() - 4], bitmap);
    }

    #[test]
    fn what_is_wrong_with_a_vector_is_told() {
        let whole = to_blob(&RoaringBitmap::from([1, 2])).unwrap();
        let mut magic = whole.clone();
        magic[4] = 0;
        let mut long = whole.clone();
        long.push(0);
        for (blob, what) in [(&whole[..5], "too short"), (&magic, "magic"), (&long, "says that it has")] {
            assert!(from_blob(blob).unwrap_err().contains(what), "{what}");
        }
        let beyond = RoaringTreemap::from_iter([1u64 << 32]);
        let mut bitmap = MAGIC.to_vec();
        beyond.serialize_into(&mut bitmap).unwrap();
        let blob = [&(bitmap.len() as u32).to_be_bytes()[..], &bitmap, &crc32fast::hash(&bitmap).to_be_bytes()].concat();
        assert!(from_blob(&blob).unwrap_err().contains("beyond"));
    }
}
