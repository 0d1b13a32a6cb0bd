use super::{
    bloom::key_hash,
    error::{IndexError, IndexErrorKind},
    hot::Hot,
    key::occurrence,
    location::Location,
    manifest::{Manifest, remove_file, sync_dir},
    merge,
    run::{Run, RunWriter},
};
use hashbrown::HashMap;
use std::{
    collections::{BTreeMap, HashSet},
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

/// How an index uses memory and disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexSettings {
    /// Entries held in memory before they become a sorted run (about 40 bytes each; twice as many while a run is being written).
    pub hot_entries_max: usize,
    /// Runs of one size that are merged into one of the next size.
    pub fan_in: usize,
}

impl Default for IndexSettings {
    fn default() -> Self {
        Self { hot_entries_max: 1 << 19, fan_in: 4 }
    }
}

/// A data file of the dictionary.
#[derive(Debug, Clone)]
struct FileEntry {
    path: String,
    /// The last commit group that put rows of it.
    group: u64,
    /// The hot table that holds the last row put.
    epoch: u64,
    /// Whether rows are still to be put that are committed already, so that the file is not known as a whole.
    partial: bool,
}

/// Entries that wait to be written as a run; still searched, no longer changed.
#[derive(Debug)]
struct Frozen {
    entries: Hot,
    group: u64,
    epoch: u64,
}

#[derive(Debug, Clone)]
struct KnownRun {
    run: Arc<Run>,
    /// The youngest commit group with entries in it.
    group: u64,
    /// The last hot table written into it.
    epoch: u64,
}

/// The primary-key index of one table.
///
/// Order of use: [`Self::open`]; [`Self::apply`] for the rows of [`Self::missing`] files, then [`Self::caught_up`]; [`Self::file`] and [`Self::apply`] as rows arrive; [`Self::seal_group`] when a commit begins and
/// [`Self::committed`] when it is durable. Work on disk is handed out by [`Self::job`] and [`Self::draft`] to be run on a thread that
/// may block, and its result is handed back. Nothing here waits for the disk but a search that misses the page cache.
#[derive(Debug)]
pub struct KeyIndex {
    dir: PathBuf,
    settings: IndexSettings,
    hot: Hot,
    frozen: Option<Arc<Frozen>>,
    /// Oldest first.
    runs: Vec<KnownRun>,
    files: BTreeMap<u32, FileEntry>,
    ordinals: HashMap<String, u32>,
    next_file: u32,
    group: u64,
    committed: u64,
    epoch: u64,
    stored: Manifest,
    snapshot_id: Option<i64>,
    retired: Vec<PathBuf>,
    job_out: bool,
    draft_out: bool,
}

impl KeyIndex {
    /// Opens the index in `dir`, or starts an empty one where there is none, where its keys are of another kind (`signature`), or where it is
    /// damaged. `live` are the data files of the table now; [`Self::missing`] then says which of them are to be read.
    ///
    /// # Errors
    /// When the disk refuses. Damage is not an error: the index comes up empty.
    pub fn open(dir: &Path, signature: &str, live: &HashSet<String>, settings: IndexSettings) -> Result<Self, IndexError> {
        fs::create_dir_all(dir).map_err(|e| IndexError::io(dir, "create", e))?;
        let loaded = Manifest::load(dir).and_then(|manifest| {
            let manifest = manifest.filter(|m| m.signature == signature).unwrap_or_default();
            let runs = manifest.runs.iter().map(|name| Run::open(&dir.join(name))).collect::<Result<Vec<_>, _>>()?;
            Ok((manifest, runs))
        });
        let (mut stored, runs) = match loaded {
            Err(error) if error.kind == IndexErrorKind::Corrupt => {
                tracing::warn!(dir = %dir.display(), "a key index is rebuilt from its table: {error}");
                (Manifest::default(), Vec::new())
            }
            other => other?,
        };
        if stored.signature != signature {
            Self::discard(dir)?;
            stored.signature = signature.to_owned();
        }
        stored.sweep(dir)?;
        let mut index = Self {
            dir: dir.to_owned(),
            settings,
            hot: Hot::default(),
            frozen: None,
            runs: runs.into_iter().map(|run| KnownRun { run: Arc::new(run), group: 0, epoch: 0 }).collect(),
            files: BTreeMap::new(),
            ordinals: HashMap::new(),
            next_file: stored.next_file,
            group: 1,
            committed: 1,
            epoch: 1,
            snapshot_id: stored.snapshot_id,
            retired: Vec::new(),
            job_out: false,
            draft_out: false,
            stored,
        };
        for (&ordinal, path) in index.stored.files.iter().filter(|(_, path)| live.contains(*path)) {
            index.files.insert(ordinal, FileEntry { path: path.clone(), group: 0, epoch: 0, partial: false });
            index.ordinals.insert(path.clone(), ordinal);
        }
        Ok(index)
    }

    /// Makes the index in `dir` worthless, so that the next [`Self::open`] starts an empty one.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn discard(dir: &Path) -> Result<(), IndexError> {
        remove_file(&dir.join("manifest"))?;
        if dir.exists() { sync_dir(dir) } else { Ok(()) }
    }

    /// The table's snapshot of the last commit that is wholly on disk here.
    pub fn snapshot_id(&self) -> Option<i64> {
        self.stored.snapshot_id
    }

    /// Those of `live` whose rows this index does not know: the files committed after it was last stored.
    pub fn missing<'a>(&self, live: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
        live.into_iter().filter(|path| !self.ordinals.contains_key(*path)).collect()
    }

    /// The ordinal of a data file; a new one for a new file.
    pub fn file(&mut self, path: &str) -> u32 {
        if let Some(&ordinal) = self.ordinals.get(path) {
            return ordinal;
        }
        let ordinal = self.next_file;
        self.next_file += 1;
        self.ordinals.insert(path.to_owned(), ordinal);
        self.files.insert(ordinal, FileEntry { path: path.to_owned(), group: self.group, epoch: self.epoch, partial: false });
        ordinal
    }

    /// The ordinal of a new file whose rows are those of others: they are committed, and are put one after the other by [`Self::relocate`]. Until
    /// [`Self::completed`] a restart reads the file anew.
    pub fn file_of_moved(&mut self, path: &str) -> u32 {
        let ordinal = self.file(path);
        if let Some(entry) = self.files.get_mut(&ordinal) {
            entry.partial = true;
        }
        ordinal
    }

    /// For every key whose place leads to `puts[i]`, says that it stands there itself. All puts are rows of one file.
    ///
    /// # Errors
    /// As [`Self::apply`].
    pub fn relocate(&mut self, keys: &[u128], puts: &[Location], lead: impl Fn(Location) -> Location) -> Result<(), IndexError> {
        let known = self.apply(keys, &vec![Location::NONE; keys.len()])?;
        let moved = keys.iter().zip(puts).zip(known).filter(|((_, put), known)| known != *put && lead(*known) == **put);
        let (keys, puts): (Vec<u128>, Vec<Location>) = moved.map(|((key, put), _)| (*key, *put)).unzip();
        self.apply(&keys, &puts).map(|_| ())
    }

    /// All rows of a [`Self::file_of_moved`] are put.
    pub fn completed(&mut self, ordinal: u32) {
        let (group, epoch) = (self.group, self.epoch);
        if let Some(entry) = self.files.get_mut(&ordinal) {
            *entry = FileEntry { path: std::mem::take(&mut entry.path), group, epoch, partial: false };
        }
    }

    /// Takes up a data file under an ordinal that it has already, where an index of other keys takes over from this table's last one.
    pub fn adopt(&mut self, path: &str, ordinal: u32) {
        self.next_file = self.next_file.max(ordinal + 1);
        self.ordinals.insert(path.to_owned(), ordinal);
        self.files.insert(ordinal, FileEntry { path: path.to_owned(), group: self.group, epoch: self.epoch, partial: false });
    }

    /// Leaves ordinals below `ordinal` to files that are adopted.
    pub fn reserve_files(&mut self, ordinal: u32) {
        self.next_file = self.next_file.max(ordinal);
    }

    /// The ordinal that the next new file gets; all files known so far have smaller ones.
    pub fn next_file(&self) -> u32 {
        self.next_file
    }

    /// The path of a data file, unless the table no longer has it.
    pub fn path(&self, file: u32) -> Option<&str> {
        self.files.get(&file).map(|f| f.path.as_str())
    }

    /// Forgets all data files with an ordinal below `ordinal`, as [`Self::forget`].
    pub fn forget_below(&mut self, ordinal: u32) {
        let stay = self.files.split_off(&ordinal);
        for entry in std::mem::replace(&mut self.files, stay).into_values() {
            self.ordinals.remove(&entry.path);
        }
    }

    /// Forgets a data file that the table no longer has. Its entries stay behind as entries of an unknown file.
    pub fn forget(&mut self, file: u32) {
        if let Some(entry) = self.files.remove(&file) {
            self.ordinals.remove(&entry.path);
        }
    }

    /// Entries held in memory.
    pub fn hot_entries(&self) -> usize {
        self.hot.len() + self.frozen.as_ref().map_or(0, |f| f.entries.len())
    }

    /// Sorted runs on disk.
    pub fn runs(&self) -> usize {
        self.runs.len()
    }

    /// For every row in order: finds where `keys[i]` stood before, then, unless `puts[i]` is [`Location::NONE`], says that it now stands at
    /// `puts[i]`. Answers with the former places; such a place may be a deleted row or an unknown file, and then counts as none. All puts
    /// are rows of one file.
    ///
    /// # Errors
    /// When a run turns out to be damaged ([`Self::discard`] and open anew) or can't be read.
    pub fn apply(&mut self, keys: &[u128], puts: &[Location]) -> Result<Vec<Location>, IndexError> {
        let mut former = vec![Location::NONE; keys.len()];
        let mut open = Vec::new();
        let puts_any = puts.iter().find(|p| !p.is_none()).map(|p| p.file());
        if puts_any.is_some() {
            self.hot.reserve(keys.len(), self.settings.hot_entries_max);
        }
        for (row, (&key, &put)) in keys.iter().zip(puts).enumerate() {
            let hash = key_hash(key);
            let known = if put.is_none() { self.hot.get(key, hash) } else { self.hot.put(key, hash, put.to_bits()) };
            match known {
                Some(place) => former[row] = Location::from_bits(place),
                None => open.push((row, hash)),
            }
        }
        if let Some(entry) = puts_any.and_then(|file| self.files.get_mut(&file)) {
            (entry.group, entry.epoch) = (self.group, self.epoch);
        }
        self.search_cold(keys, open, &mut former)?;
        self.freeze_if_full();
        Ok(former)
    }

    /// Where a key stands now, deleted or not.
    ///
    /// # Errors
    /// As [`Self::apply`].
    pub fn get(&self, key: u128) -> Result<Location, IndexError> {
        let hash = key_hash(key);
        if let Some(place) = self.hot.get(key, hash) {
            return Ok(Location::from_bits(place));
        }
        let mut former = [Location::NONE];
        self.search_cold(&[key], vec![(0, hash)], &mut former)?;
        Ok(former[0])
    }

    /// How many of several equal rows live, and the place of the last of them. `row` is the key of the whole row; the `n`th of equal rows is
    /// kept under [`super::occurrence`]`(row, n)`, and the last is always the first to go, so the living ones are those below the count.
    ///
    /// # Errors
    /// As [`Self::apply`].
    pub fn occurrences(&self, row: u128, lives: impl Fn(Location) -> bool) -> Result<(u32, Location), IndexError> {
        let living = |n: u32| -> Result<Location, IndexError> {
            let place = self.get(occurrence(row, n))?;
            Ok(if place.is_none() || !lives(place) { Location::NONE } else { place })
        };
        let (mut count, mut last) = (0, living(0)?);
        if last.is_none() {
            return Ok((0, last));
        }
        // `count` is the greatest number known to live, then the range to the first dead one is halved.
        let mut step = 1;
        let mut dead = loop {
            let place = living(count + step)?;
            if place.is_none() {
                break count + step;
            }
            (count, last) = (count + step, place);
            step *= 2;
        };
        while dead - count > 1 {
            let middle = count.midpoint(dead);
            let place = living(middle)?;
            if place.is_none() { dead = middle } else { (count, last) = (middle, place) }
        }
        Ok((count + 1, last))
    }

    /// Searches what is behind the hot table, youngest first, run by run so that many filter misses overlap.
    fn search_cold(&self, keys: &[u128], mut open: Vec<(usize, u64)>, former: &mut [Location]) -> Result<(), IndexError> {
        if let Some(frozen) = &self.frozen {
            open.retain(|&(row, hash)| match frozen.entries.get(keys[row], hash) {
                Some(place) => {
                    former[row] = Location::from_bits(place);
                    false
                }
                None => true,
            });
        }
        for known in self.runs.iter().rev() {
            let mut still = 0;
            for at in 0..open.len() {
                let (row, hash) = open[at];
                match known.run.get(keys[row], hash)? {
                    Some(place) => former[row] = Location::from_bits(place),
                    None => {
                        open[still] = (row, hash);
                        still += 1;
                    }
                }
            }
            open.truncate(still);
        }
        Ok(())
    }

    fn freeze_if_full(&mut self) {
        if self.hot.len() >= self.settings.hot_entries_max && self.frozen.is_none() {
            let entries = std::mem::take(&mut self.hot);
            self.frozen = Some(Arc::new(Frozen { entries, group: self.group, epoch: self.epoch }));
            self.epoch += 1;
        }
    }

    /// Whether the caller should wait for the job that is out before it applies more.
    pub fn is_crowded(&self) -> bool {
        self.frozen.is_some() && self.hot.len() >= self.settings.hot_entries_max
    }

    /// Ends the commit group that entries were put for, and names it for [`Self::committed`].
    pub fn seal_group(&mut self) -> u64 {
        self.group += 1;
        self.group - 1
    }

    /// The group and all before it are durable in the table, whose snapshot is now `snapshot_id`.
    pub fn committed(&mut self, group: u64, snapshot_id: Option<i64>) {
        self.committed = group + 1;
        self.snapshot_id = snapshot_id;
    }

    /// Everything put so far stands in the table's snapshot `snapshot_id`.
    pub fn caught_up(&mut self, snapshot_id: Option<i64>) {
        let group = self.seal_group();
        self.committed(group, snapshot_id);
    }

    /// Whether entries of this group may be relied on after a crash.
    fn is_durable(&self, group: u64) -> bool {
        group < self.committed
    }

    /// The next work on disk, if there is any and none is out.
    pub fn job(&mut self) -> Option<IndexJob> {
        if self.job_out {
            return None;
        }
        let path = self.dir.join(format!("run-{}", uuid::Uuid::new_v4().simple()));
        let work = if let Some(frozen) = &self.frozen {
            Work::Flush(Arc::clone(frozen))
        } else {
            let durable = self.runs.iter().take_while(|r| self.is_durable(r.group)).count();
            let lengths: Vec<_> = self.runs[..durable].iter().map(|r| r.run.len()).collect();
            let range = merge::choose(&lengths, self.settings.hot_entries_max, self.settings.fan_in)?;
            Work::Merge { first: range.start, runs: self.runs[range].iter().map(|r| Arc::clone(&r.run)).collect() }
        };
        self.job_out = true;
        Some(IndexJob { path, work })
    }

    /// Takes what a job made.
    pub fn finish(&mut self, done: JobDone) {
        self.job_out = false;
        let run = Arc::new(done.run);
        match done.work {
            Work::Flush(frozen) => {
                self.runs.push(KnownRun { run, group: frozen.group, epoch: frozen.epoch });
                self.frozen = None;
                self.freeze_if_full();
            }
            Work::Merge { first, runs } => {
                let range = first..first + runs.len();
                self.retired.extend(self.runs[range.clone()].iter().map(|r| r.run.path().to_owned()));
                let group = self.runs[range.clone()].iter().map(|r| r.group).max().unwrap_or_default();
                let epoch = self.runs[range.clone()].iter().map(|r| r.epoch).max().unwrap_or_default();
                self.runs.splice(range, [KnownRun { run, group, epoch }]);
            }
        }
    }

    /// A manifest that would make more of the index outlive a restart, if there is one and none is out.
    pub fn draft(&mut self) -> Option<ManifestDraft> {
        let durable: Vec<_> = self.runs.iter().take_while(|r| self.is_durable(r.group)).collect();
        let runs: Vec<_> = durable.iter().filter_map(|r| Some(r.run.path().file_name()?.to_str()?.to_owned())).collect();
        if self.draft_out || runs == self.stored.runs {
            return None;
        }
        let epoch = durable.last().map_or(0, |r| r.epoch);
        let whole = self.files.iter().filter(|(_, f)| !f.partial && f.epoch <= epoch && self.is_durable(f.group));
        let manifest = Manifest {
            signature: self.stored.signature.clone(),
            snapshot_id: self.snapshot_id,
            runs,
            files: whole.map(|(&ordinal, f)| (ordinal, f.path.clone())).collect(),
            next_file: self.next_file,
        };
        self.draft_out = true;
        Some(ManifestDraft { dir: self.dir.clone(), manifest, remove: std::mem::take(&mut self.retired) })
    }

    /// Takes a manifest that [`ManifestDraft::write`] made durable.
    pub fn stored(&mut self, draft: ManifestDraft) {
        self.stored = draft.manifest;
        self.draft_out = false;
    }
}

/// Work on files that takes a while; run it where blocking is allowed.
#[derive(Debug)]
pub struct IndexJob {
    path: PathBuf,
    work: Work,
}

#[derive(Debug)]
enum Work {
    Flush(Arc<Frozen>),
    Merge { first: usize, runs: Vec<Arc<Run>> },
}

/// What a job made, for [`KeyIndex::finish`].
#[derive(Debug)]
pub struct JobDone {
    run: Run,
    work: Work,
}

impl IndexJob {
    /// Writes and syncs a run.
    ///
    /// # Errors
    /// When the disk refuses or an old run is damaged.
    pub fn run(self) -> Result<JobDone, IndexError> {
        let run = match &self.work {
            Work::Flush(frozen) => {
                let mut writer = RunWriter::create(&self.path, frozen.entries.len(), frozen.entries.is_wide())?;
                frozen.entries.sorted().try_for_each(|entry| writer.push(entry))?;
                writer.finish()?
            }
            Work::Merge { runs, .. } => merge::merge(runs, &self.path, runs.iter().any(|r| r.is_wide()))?,
        };
        if let Some(dir) = self.path.parent() {
            sync_dir(dir)?;
        }
        Ok(JobDone { run, work: self.work })
    }
}

/// A manifest to be written; do it where blocking is allowed, then hand it to [`KeyIndex::stored`].
#[derive(Debug)]
pub struct ManifestDraft {
    dir: PathBuf,
    manifest: Manifest,
    remove: Vec<PathBuf>,
}

impl ManifestDraft {
    /// Makes it the index's manifest and removes the runs that were merged into others.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn write(mut self) -> Result<Self, IndexError> {
        self.manifest.store(&self.dir)?;
        for path in self.remove.drain(..) {
            remove_file(&path)?;
        }
        Ok(self)
    }
}
