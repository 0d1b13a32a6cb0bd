//! What one change does to a table's files and delete files. Pure: nothing is read or written here.

use super::TableChange;
use crate::{
    Error,
    error::Kind,
    table::{DeleteRecord, FileRecord, WrittenFile, deletes::Positions, moved::Moved},
};
use hashbrown::{HashMap, HashSet};
use iceberg::spec::Struct;
use object_store::path::Path;
use roaring::RoaringBitmap;
use std::sync::Arc;

/// Up to so many data files get a delete file of their own in one commit; where more are touched, those of a partition share one.
const NARROW_MOST: usize = 10;
/// Once a table has so many delete files with many scopes for each partition, the next one folds all into one of each.
const WIDE_MOST: usize = 16;

/// The files of a table after a change.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// Former data files that stay, with their deletes of now.
    pub kept: Vec<FileRecord>,
    /// Former data files that leave.
    pub removed: Vec<FileRecord>,
    /// New data files. Sequence and manifest of their records are still to be filled in.
    pub appended: Vec<(Arc<WrittenFile>, FileRecord)>,
    /// Former delete files that stay.
    pub kept_deletes: Vec<DeleteRecord>,
    /// Former delete files that leave.
    pub removed_deletes: Vec<DeleteRecord>,
    /// New delete files.
    pub new_deletes: Vec<Positions>,
    /// Whether rows of former snapshots are hidden or gone.
    pub overwrites: bool,
    /// Whether the rows of the files that leave are in the new ones.
    pub moves: bool,
}

impl Plan {
    /// Whether files change at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.removed.is_empty() && self.appended.is_empty() && self.removed_deletes.is_empty() && self.new_deletes.is_empty()
    }
}

struct Live {
    record: FileRecord,
    written: Option<Arc<WrittenFile>>,
    /// Positions that this change deletes and that were not deleted before.
    fresh: RoaringBitmap,
}

/// A spec and values; files that are new may leave the spec open, which is one for all of them then.
type Partition<'a> = Option<(Option<i32>, &'a Struct)>;

impl Live {
    fn partition(&self) -> Partition<'_> {
        match &self.written {
            Some(written) => written.home.as_ref().map(|home| (home.spec_id, &home.values)),
            None => self.record.home.as_deref().map(|home| (Some(home.spec_id), &home.values)),
        }
    }
}

/// Plans `change` on a table with these files and delete files; `vectors` says whether deletes become vectors, as they do from format version 3 on.
pub(crate) fn plan(files: &[FileRecord], deletes: &[DeleteRecord], change: &TableChange, vectors: bool) -> Result<Plan, Error> {
    let mut plan = Plan::default();
    let mut live = gather(files, change, &mut plan);
    hide(&mut live, &change.deletes, change)?;
    if let Some(moved) = &change.moved {
        let carried = carried(&plan.removed, moved, change)?;
        hide(&mut live, &carried, change)?;
        plan.moves = true;
    }
    let (gone, live): (Vec<Live>, Vec<Live>) =
        live.into_iter().partition(|l| l.record.view.deleted.as_ref().is_some_and(|d| d.len() == l.record.view.rows));
    plan.removed.extend(gone.into_iter().filter(|l| l.written.is_none()).map(|l| l.record));
    plan.overwrites = !plan.removed.is_empty() || live.iter().any(|l| l.written.is_none() && !l.fresh.is_empty());
    let live = if vectors { place_vectors(live, deletes, &mut plan) } else { place_deletes(live, deletes, &mut plan) };
    for l in live {
        match l.written {
            Some(written) => plan.appended.push((written, l.record)),
            None => plan.kept.push(l.record),
        }
    }
    Ok(plan)
}

fn gather(files: &[FileRecord], change: &TableChange, plan: &mut Plan) -> Vec<Live> {
    let (stay, leave): (Vec<&FileRecord>, Vec<&FileRecord>) =
        files.iter().partition(|f| !change.drop_all_rows && !change.remove_files.contains(&f.view.path));
    plan.removed = leave.into_iter().cloned().collect();
    let stay = stay.into_iter().map(|f| Live { record: f.clone(), written: None, fresh: RoaringBitmap::new() });
    let new = change.append.iter().filter(|w| w.rows > 0).map(|w| Live {
        record: FileRecord {
            view: w.view(),
            sequence: 0,
            manifest: Arc::from(""),
            in_wide: None,
            spelling: None,
            home: None,
            first_row_id: None,
        },
        written: Some(Arc::clone(w)),
        fresh: RoaringBitmap::new(),
    });
    stay.chain(new).collect()
}

/// Deletes of the rewritten files that came after they were read, as deletes of the new files.
fn carried(removed: &[FileRecord], moved: &Moved, change: &TableChange) -> Result<Vec<(Path, RoaringBitmap)>, Error> {
    if removed.len() != moved.old().count() {
        let message = format!("files of {} that were rewritten left the table meanwhile", change.table);
        return Err(Error::new(Kind::Conflict, message).with_table(&change.table));
    }
    let mut all = Vec::new();
    for (path, deleted) in removed.iter().filter_map(|f| Some((&f.view.path, f.view.deleted.as_deref()?))) {
        let rows = moved.carry(path, deleted);
        all.extend(rows.into_iter().filter_map(|(at, rows)| Some((moved.new_path(at)?.clone(), rows))));
    }
    Ok(all)
}

fn hide(live: &mut [Live], deletes: &[(Path, RoaringBitmap)], change: &TableChange) -> Result<(), Error> {
    if deletes.is_empty() {
        return Ok(());
    }
    let by_path: HashMap<Path, usize> = live.iter().enumerate().map(|(i, l)| (l.record.view.path.clone(), i)).collect();
    for (path, positions) in deletes {
        let Some(l) = by_path.get(path).and_then(|i| live.get_mut(*i)) else { continue };
        if positions.max().is_some_and(|max| u64::from(max) >= l.record.view.rows) {
            let message = format!(
                "row {} of {path} was to be deleted, but the file has {} rows",
                positions.max().unwrap_or(0),
                l.record.view.rows
            );
            return Err(Error::new(Kind::Bug, message).with_table(&change.table));
        }
        let before = l.record.view.deleted.as_deref();
        let fresh = before.map_or_else(|| positions.clone(), |b| positions - b);
        if !fresh.is_empty() {
            l.record.view.deleted = Some(Arc::new(before.map_or_else(|| fresh.clone(), |b| b | &fresh)));
            l.fresh |= fresh;
        }
    }
    Ok(())
}

/// Decides into which delete files the deletes go, so that neither tiny ones nor many per data file pile up.
fn place_deletes(mut live: Vec<Live>, deletes: &[DeleteRecord], plan: &mut Plan) -> Vec<Live> {
    let touched: Vec<usize> = (0..live.len()).filter(|i| !live[*i].fresh.is_empty()).collect();
    let (narrow, shared) = if touched.len() <= NARROW_MOST {
        (touched, Vec::new())
    } else {
        let groups = by_partition(&live, touched);
        let (alone, shared): (Vec<_>, Vec<_>) = groups.into_iter().partition(|group| group.len() == 1);
        (alone.concat(), shared)
    };
    let at: HashMap<Path, usize> = live.iter().enumerate().map(|(i, l)| (l.record.view.path.clone(), i)).collect();
    let any_wide = live.iter().any(|l| l.record.in_wide.is_some());
    let rewritten: HashSet<usize> = narrow.iter().copied().collect();
    for record in deletes {
        let stays = match &record.scope {
            None => any_wide,
            Some(scope) => at.get(scope).is_some_and(|i| !rewritten.contains(i)),
        };
        let list = if stays { &mut plan.kept_deletes } else { &mut plan.removed_deletes };
        list.push(record.clone());
    }
    let wide = plan.kept_deletes.iter().filter(|d| d.scope.is_none()).count();
    let partitions = live.iter().map(Live::partition).collect::<HashSet<_>>().len();
    if !shared.is_empty() && wide >= WIDE_MOST.saturating_mul(partitions) {
        return fold(live, plan);
    }
    for i in narrow {
        let record = &live[i].record;
        let all = record.view.deleted.clone().unwrap_or_default();
        let own = record.in_wide.as_ref().map_or_else(|| Arc::clone(&all), |w| Arc::new(all.as_ref() - w.as_ref()));
        plan.new_deletes.push(Positions::from([(record.view.path.clone(), own)]));
    }
    for group in shared {
        let positions = group.iter().map(|i| (live[*i].record.view.path.clone(), Arc::new(live[*i].fresh.clone())));
        plan.new_deletes.push(positions.collect());
        for i in group {
            let l = &mut live[i];
            l.record.in_wide =
                Some(Arc::new(l.record.in_wide.as_ref().map_or_else(|| l.fresh.clone(), |w| w.as_ref() | &l.fresh)));
        }
    }
    live
}

/// Gives every data file that loses rows one vector with all of its deleted rows: a file has one at most, and beside it no other delete file counts.
fn place_vectors(mut live: Vec<Live>, deletes: &[DeleteRecord], plan: &mut Plan) -> Vec<Live> {
    let mut vectors = Positions::new();
    for l in live.iter_mut().filter(|l| !l.fresh.is_empty()) {
        l.record.in_wide = None;
        vectors.insert(l.record.view.path.clone(), l.record.view.deleted.clone().unwrap_or_default());
    }
    let any_wide = live.iter().any(|l| l.record.in_wide.is_some());
    let present: HashSet<&Path> = live.iter().map(|l| &l.record.view.path).collect();
    for record in deletes {
        let stays = match &record.scope {
            None => any_wide,
            Some(scope) => present.contains(scope) && !vectors.contains_key(scope),
        };
        let list = if stays { &mut plan.kept_deletes } else { &mut plan.removed_deletes };
        list.push(record.clone());
    }
    drop(present);
    plan.new_deletes.extend((!vectors.is_empty()).then_some(vectors));
    live
}

/// Replaces all delete files by one for each partition. One that is for a single data file belongs to that file alone.
fn fold(mut live: Vec<Live>, plan: &mut Plan) -> Vec<Live> {
    plan.removed_deletes.append(&mut plan.kept_deletes);
    let hidden = (0..live.len()).filter(|i| live[*i].record.view.deleted.is_some());
    for group in by_partition(&live, hidden) {
        let is_shared = group.len() > 1;
        let mut positions = Positions::new();
        for i in group {
            let record = &mut live[i].record;
            record.in_wide = if is_shared { record.view.deleted.clone() } else { None };
            positions.insert(record.view.path.clone(), record.view.deleted.clone().unwrap_or_default());
        }
        plan.new_deletes.push(positions);
    }
    live
}

/// Data files by their partition: a delete file hides rows of its own partition alone.
fn by_partition(live: &[Live], indexes: impl IntoIterator<Item = usize>) -> Vec<Vec<usize>> {
    let mut places: HashMap<Partition<'_>, usize> = HashMap::new();
    let mut all: Vec<Vec<usize>> = Vec::new();
    for i in indexes {
        let place = *places.entry(live[i].partition()).or_insert_with(|| {
            all.push(Vec::new());
            all.len() - 1
        });
        all[place].push(i);
    }
    all
}
