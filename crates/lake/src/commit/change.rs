use crate::PartitionField;
use crate::table::{TableSpec, WrittenFile, moved::Moved};
use model::{Cursor, LakeTable};
use object_store::path::Path;
use roaring::RoaringBitmap;
use std::{collections::BTreeMap, sync::Arc};

/// Key of the snapshot summary that holds the cursor as JSON.
pub const SUMMARY_CURSOR: &str = "lakebox.cursor";
/// Key of the snapshot summary that names the source.
pub const SUMMARY_SOURCE: &str = "lakebox.source";
/// Key of the snapshot summary with the position as people read it.
pub const SUMMARY_POSITION: &str = "lakebox.position";
/// Property that keeps outside engines from removing files that two tables share.
pub const GC_ENABLED: &str = "gc.enabled";

/// What a commit does to one table, all in one snapshot.
///
/// Order of effects: the shape changes, `drop_all_rows` and `remove_files` take former files away, `append` adds files, `deletes` hide rows of
/// what is there then, files appended by this same change included. A change that changes nothing makes no snapshot.
#[derive(Debug, Clone)]
pub struct TableChange {
    /// Which table.
    pub table: LakeTable,
    /// The table's shape from this commit on. Needed where the table does not exist yet; `None` leaves it as it is.
    pub spec: Option<TableSpec>,
    /// How the table is partitioned from this commit on; `None` leaves it as it is. Former files keep the partitions they have.
    pub partition_by: Option<Vec<PartitionField>>,
    /// Whether the table gets Iceberg format version 3, where it has version 2: row lineage, and deletion vectors instead of position delete files. There is
    /// no way back.
    pub upgrade: bool,
    /// Files that join the table. The same file may join several tables in one commit.
    pub append: Vec<Arc<WrittenFile>>,
    /// Positions that are deleted now, by data file. Positions that are deleted already may be named again, and files that are not in the
    /// table (because all their rows were deleted before) may be named too: both change nothing.
    pub deletes: Vec<(Path, RoaringBitmap)>,
    /// Takes every former file away (truncate, or a copy that starts anew).
    pub drop_all_rows: bool,
    /// Data files that leave the table.
    pub remove_files: Vec<Path>,
    /// Where the rows of `remove_files` are in `append`: the change moves rows and changes none. Deletes that came since they were read are carried
    /// over; where one of the files has left the table, the change fails with [`crate::Kind::Conflict`].
    pub(crate) moved: Option<Arc<Moved>>,
    /// Whether small manifests become one, however few they are.
    pub(crate) merge_manifests: bool,
    /// Snapshots that the table forgets. Those that a branch or tag names stay.
    pub(crate) expire: Vec<i64>,
    /// Table properties to set, or to remove where the value is `None`.
    pub properties: BTreeMap<String, Option<String>>,
    /// Entries of the snapshot's summary beside Iceberg's own.
    pub summary: BTreeMap<String, String>,
    /// The pipeline or model that writes the table; `None` leaves what is recorded.
    pub writer: Option<String>,
}

impl TableChange {
    /// A change that changes nothing yet.
    pub fn new(table: LakeTable) -> Self {
        Self {
            table,
            spec: None,
            partition_by: None,
            upgrade: false,
            append: Vec::new(),
            deletes: Vec::new(),
            drop_all_rows: false,
            remove_files: Vec::new(),
            moved: None,
            merge_manifests: false,
            expire: Vec::new(),
            properties: BTreeMap::new(),
            summary: BTreeMap::new(),
            writer: None,
        }
    }

    /// Notes in the snapshot up to which cursor of `source` the table is true. What only the source understands stays out: every snapshot of every
    /// table would repeat it.
    pub fn note_cursor(&mut self, source: &str, cursor: &Cursor) {
        let told = Cursor { state: serde_json::Value::Null, ..cursor.clone() };
        let json = serde_json::to_string(&told).unwrap_or_default();
        let position = if cursor.display.is_empty() { cursor.position.to_string() } else { cursor.display.clone() };
        self.summary.insert(SUMMARY_SOURCE.to_owned(), source.to_owned());
        self.summary.insert(SUMMARY_CURSOR.to_owned(), json);
        self.summary.insert(SUMMARY_POSITION.to_owned(), position);
    }

    /// Marks the table as one that shares data files, so that outside engines remove none of them.
    pub fn share_files(&mut self) {
        self.properties.insert(GC_ENABLED.to_owned(), Some("false".to_owned()));
    }
}
