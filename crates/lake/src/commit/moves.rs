//! Rewritten files that writers may still name: until every one of them has learned where the rows went, deletes are led there.

use crate::table::moved::Moved;
use hashbrown::HashMap;
use model::LakeTable;
use object_store::path::Path;
use parking_lot::Mutex;
use roaring::RoaringBitmap;
use std::{collections::BTreeMap, sync::Arc};

/// What sinks have not learned yet, by table.
#[derive(Debug, Default)]
pub(crate) struct Moves {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Sinks at work, by source.
    present: HashMap<String, usize>,
    /// By table, oldest first, with the source whose sink writes it.
    moves: BTreeMap<LakeTable, Vec<(String, Arc<Moved>)>>,
}

/// A sink is at work. It exists before the sink looks at its tables, and as long as any commit of it may still come.
#[derive(Debug)]
pub(crate) struct Presence {
    moves: Arc<Moves>,
    source: String,
}

impl Drop for Presence {
    fn drop(&mut self) {
        let mut inner = self.moves.inner.lock();
        let left = inner.present.get(&self.source).copied().unwrap_or(0).saturating_sub(1);
        if left > 0 {
            inner.present.insert(self.source.clone(), left);
            return;
        }
        inner.present.remove(&self.source);
        for moves in inner.moves.values_mut() {
            moves.retain(|(source, _)| *source != self.source);
        }
        inner.moves.retain(|_, moves| !moves.is_empty());
    }
}

impl Moves {
    /// A sink of `source` begins to work.
    pub(crate) fn enter(self: &Arc<Self>, source: &str) -> Presence {
        *self.inner.lock().present.entry(source.to_owned()).or_default() += 1;
        Presence { moves: Arc::clone(self), source: source.to_owned() }
    }

    /// Whether a sink of `source` is at work.
    pub(crate) fn is_present(&self, source: &str) -> bool {
        self.inner.lock().present.contains_key(source)
    }

    /// Files of `table` were rewritten, and the catalog says so. The caller holds the table's lock.
    pub(crate) fn moved(&self, table: &LakeTable, writer: Option<&str>, moved: Arc<Moved>) {
        let mut inner = self.inner.lock();
        let Some(writer) = writer.filter(|w| inner.present.contains_key(*w)) else { return };
        let writer = writer.to_owned();
        inner.moves.entry(table.clone()).or_default().push((writer, moved));
    }

    /// What a sink has not learned, oldest first.
    pub(crate) fn of(&self, source: &str) -> Vec<(LakeTable, Arc<Moved>)> {
        let inner = self.inner.lock();
        let ours = inner.moves.iter().flat_map(|(table, moves)| moves.iter().map(move |(s, m)| (table, s, m)));
        ours.filter(|(_, s, _)| s.as_str() == source).map(|(table, _, moved)| (table.clone(), Arc::clone(moved))).collect()
    }

    /// Whether there is anything that a sink has not learned.
    pub(crate) fn any(&self) -> bool {
        !self.inner.lock().moves.is_empty()
    }

    /// Rewrites of a table that its sink has not learned.
    pub(crate) fn waiting(&self, table: &LakeTable) -> usize {
        self.inner.lock().moves.get(table).map_or(0, Vec::len)
    }

    /// Whether this file of the table was rewritten and its writer may not know.
    pub(crate) fn has(&self, table: &LakeTable, path: &Path) -> bool {
        self.inner.lock().moves.get(table).is_some_and(|moves| moves.iter().any(|(_, m)| m.has(path)))
    }

    /// The sink has learned it, and no commit of it that began before is under way.
    pub(crate) fn learned(&self, table: &LakeTable, moved: &Arc<Moved>) {
        let mut inner = self.inner.lock();
        if let Some(moves) = inner.moves.get_mut(table) {
            moves.retain(|(_, m)| !Arc::ptr_eq(m, moved));
        }
        inner.moves.retain(|_, moves| !moves.is_empty());
    }

    /// Deletes as the files are now, where some name files that were rewritten. The caller holds the table's lock.
    pub(crate) fn lead(&self, table: &LakeTable, deletes: Vec<(Path, RoaringBitmap)>) -> Vec<(Path, RoaringBitmap)> {
        let moves: Vec<Arc<Moved>> = match self.inner.lock().moves.get(table) {
            Some(moves) => moves.iter().map(|(_, m)| Arc::clone(m)).collect(),
            None => return deletes,
        };
        // Oldest first, so that rows of a file that was rewritten twice are followed all the way.
        moves.iter().fold(deletes, |deletes, moved| {
            let mut led = Vec::with_capacity(deletes.len());
            for (path, rows) in deletes {
                if !moved.has(&path) {
                    led.push((path, rows));
                    continue;
                }
                for (at, rows) in moved.carry(&path, &rows) {
                    led.extend(moved.new_path(at).map(|path| (path.clone(), rows)));
                }
            }
            led
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::moved::OldFile;
    use model::Layer;

    fn moved(from: &str, to: &str) -> Arc<Moved> {
        let old = OldFile { deleted: None, to: vec![1, 0] };
        Arc::new(Moved::new(
            Arc::new(arrow::datatypes::Schema::empty()),
            std::collections::HashMap::from([(Path::from(from), old)]),
            [crate::view::ViewFile {
                path: Path::from(to),
                bytes: 1,
                rows: 2,
                deleted: None,
                stats: Arc::default(),
                sorted: false,
            }],
        ))
    }

    #[test]
    fn deletes_are_led_through_all_rewrites_while_a_sink_is_there() {
        let moves = Arc::new(Moves::default());
        let table = LakeTable::new(Layer::Silver, "t");
        moves.moved(&table, Some("shop"), moved("a", "b"));
        assert!(!moves.any(), "nobody has to learn of it");
        let presence = moves.enter("shop");
        let second = moves.enter("shop");
        let (first, next) = (moved("a", "b"), moved("b", "c"));
        moves.moved(&table, Some("shop"), Arc::clone(&first));
        moves.moved(&table, Some("shop"), next);
        moves.moved(&table, Some("bank"), moved("q", "r"));
        let led =
            moves.lead(&table, vec![(Path::from("a"), RoaringBitmap::from([0])), (Path::from("z"), RoaringBitmap::from([7]))]);
        assert_eq!(led, vec![(Path::from("c"), RoaringBitmap::from([0])), (Path::from("z"), RoaringBitmap::from([7]))]);
        moves.learned(&table, &first);
        assert_eq!(moves.of("shop").len(), 1);
        assert!(moves.has(&table, &Path::from("b")) && !moves.has(&table, &Path::from("a")));
        drop(presence);
        assert!(moves.any(), "another one of the same source is still there");
        drop(second);
        assert!(!moves.any());
    }
}
