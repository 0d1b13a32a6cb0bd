//! Which files of a table are worth to be rewritten. Pure.

use crate::{store::names, view::ViewFile};
use std::time::Duration;

/// When files are worth the work, and how much is done at once.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Thresholds {
    /// Bytes that a rewritten file has, about.
    pub file_bytes: u64,
    /// Files of about one size that are merged into one of the next size; each row is rewritten once for each size.
    pub files_min: usize,
    /// Share of deleted rows at which a file is rewritten without them.
    pub deleted_share: f64,
    /// Bytes that one rewrite reads at most.
    pub job_bytes_max: u64,
    /// Rows that one rewrite moves at most; it remembers 4 bytes for each.
    pub job_rows_max: u64,
    /// How long after its last rewrite a table is left alone.
    pub rest: Duration,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            file_bytes: 128 << 20,
            files_min: 8,
            deleted_share: 0.1,
            job_bytes_max: 512 << 20,
            job_rows_max: 8 << 20,
            rest: Duration::from_secs(10),
        }
    }
}

/// The smallest size class ends here.
const CLASS_BYTES: u64 = 256 << 10;
/// A file of so many rows is large, however well they are compressed.
const ROWS_LARGE: u64 = 1 << 20;

impl Thresholds {
    /// The size class of a small file: each holds files up to eight times as large as the one before. None for a file that is large enough.
    fn class(&self, file: &ViewFile) -> Option<u32> {
        if file.bytes >= self.file_bytes / 4 || file.rows >= ROWS_LARGE {
            return None;
        }
        let times = file.bytes / CLASS_BYTES.min(self.file_bytes / 64).max(1);
        Some(times.checked_ilog2().map_or(0, |log| log / 3 + 1))
    }

    fn is_holey(&self, file: &ViewFile) -> bool {
        let deleted = file.deleted.as_ref().map_or(0, |d| d.len());
        #[expect(clippy::cast_precision_loss, reason = "a share")]
        let share = deleted as f64 / file.rows.max(1) as f64;
        deleted > 0 && share >= self.deleted_share
    }

    /// The files of the next rewrite, as positions in `files`, ascending. Empty where all is well. `mark` is what names of files end with that are in the
    /// declared order, where one is declared.
    pub(crate) fn choose(&self, files: &[ViewFile], mark: Option<&str>) -> Vec<usize> {
        let unordered = files.iter().filter(|f| !is_marked(f, mark));
        let unordered_bytes: u64 = unordered.map(|f| f.bytes).sum();
        let all_bytes: u64 = files.iter().map(|f| f.bytes).sum();
        // Ordering is worth it once there is a file's worth, or a tenth of the table.
        let orders = unordered_bytes >= self.file_bytes || unordered_bytes * 10 > all_bytes.max(self.file_bytes / 16);
        let mut in_class = [0usize; 32];
        for class in files.iter().filter_map(|f| self.class(f)) {
            in_class[class as usize] += 1;
        }
        let is_due = |f: &ViewFile| {
            self.is_holey(f)
                || (orders && !is_marked(f, mark))
                || self.class(f).is_some_and(|c| in_class[c as usize] >= self.files_min.max(2))
        };
        self.limit(files, (0..files.len()).filter(|&i| is_due(&files[i])))
    }

    /// Every file that is not as it should be, however little there is to win; what a person asks for.
    pub(crate) fn choose_all(&self, files: &[ViewFile], mark: Option<&str>) -> Vec<usize> {
        let small = files.iter().filter(|f| self.class(f).is_some()).count();
        let is_due = |f: &ViewFile| {
            f.deleted.as_ref().is_some_and(|d| !d.is_empty()) || !is_marked(f, mark) || (small > 1 && self.class(f).is_some())
        };
        self.limit(files, (0..files.len()).filter(|&i| is_due(&files[i])))
    }

    fn limit(&self, files: &[ViewFile], due: impl Iterator<Item = usize>) -> Vec<usize> {
        let (mut bytes, mut rows) = (0, 0);
        let mut chosen = Vec::new();
        for i in due {
            bytes += files[i].bytes;
            rows += files[i].rows;
            if !chosen.is_empty() && (bytes > self.job_bytes_max || rows > self.job_rows_max) {
                break;
            }
            chosen.push(i);
        }
        chosen
    }
}

/// Whether a file is in the declared order; without one every file is.
fn is_marked(file: &ViewFile, mark: Option<&str>) -> bool {
    mark.is_none_or(|mark| names::stem(&file.path).is_some_and(|stem| stem.ends_with(mark)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use object_store::path::Path;
    use roaring::RoaringBitmap;
    use std::sync::Arc;

    fn file(bytes: u64, rows: u64, deleted: u32) -> ViewFile {
        let deleted = (deleted > 0).then(|| Arc::new((0..deleted).collect::<RoaringBitmap>()));
        ViewFile { path: Path::from("f"), bytes, rows, deleted, stats: Arc::default(), sorted: false }
    }

    fn check(files: &[ViewFile], expected: &[usize]) {
        assert_eq!(Thresholds::default().choose(files, None), expected);
    }

    #[test]
    fn small_files_are_merged_once_there_are_enough_of_a_size() {
        let small = || file(100 << 10, 500, 0);
        check(&vec![small(); 7], &[]);
        check(&vec![small(); 8], &[0, 1, 2, 3, 4, 5, 6, 7]);
        // What was merged is of another size, and is not merged again with each new handful.
        let mut files = vec![file(800 << 10, 4000, 0); 3];
        files.extend(vec![small(); 8]);
        check(&files, &[3, 4, 5, 6, 7, 8, 9, 10]);
    }

    #[test]
    fn large_files_are_left_alone_until_a_tenth_of_their_rows_is_gone() {
        check(&vec![file(100 << 20, 1 << 20, 1 << 16); 20], &[]);
        check(&[file(100 << 20, 1 << 20, 0), file(100 << 20, 1 << 20, 105_000)], &[1]);
        // Few bytes, but a million rows.
        check(&vec![file(5 << 20, 1 << 20, 0); 20], &[]);
    }

    #[test]
    fn a_rewrite_is_bounded() {
        let files = vec![file(60 << 20, 1 << 20, 200_000); 30];
        assert_eq!(Thresholds::default().choose(&files, None).len(), 8);
        assert_eq!(Thresholds { job_bytes_max: 1, ..Thresholds::default() }.choose(&files, None), [0], "one file at least");
    }

    #[test]
    fn files_that_are_not_in_the_declared_order_are_due_once_there_is_enough() {
        let ordered = |bytes| ViewFile { path: Path::from("f-by-1234.parquet"), ..file(bytes, 1000, 0) };
        let mark = Some("-by-1234");
        let choose = |files: &[ViewFile]| Thresholds::default().choose(files, mark);
        assert_eq!(choose(&[file(20 << 20, 1000, 0)]), [0]);
        assert!(choose(&[ordered(100 << 20), file(1 << 20, 1000, 0)]).is_empty(), "little is not in order");
        assert_eq!(choose(&[ordered(100 << 20), file(20 << 20, 1000, 0)]), [1]);
        assert_eq!(Thresholds::default().choose_all(&[ordered(100 << 20), file(1 << 20, 1000, 0)], mark), [1]);
    }

    #[test]
    fn on_demand_everything_that_is_not_right_is_due() {
        let files = [file(100 << 20, 1000, 1), file(1 << 10, 10, 0), file(1 << 10, 10, 0), file(100 << 20, 1000, 0)];
        assert_eq!(Thresholds::default().choose_all(&files, None), [0, 1, 2]);
        assert!(Thresholds::default().choose_all(&files[2..], None).is_empty(), "one small file is as good as it can be");
    }
}
