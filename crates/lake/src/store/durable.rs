use crate::{Error, error::Kind};
use bytes::Bytes;
use object_store::path::Path;
use std::{
    collections::BTreeSet,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path as FsPath, PathBuf},
};

/// Most files that are written and synced at once. A journaling file system merges syncs that wait together.
const PARALLEL: usize = 8;

/// Makes the warehouse's directory and gives its absolute, link-free path.
pub(super) fn make_root(directory: &FsPath) -> Result<PathBuf, Error> {
    fs::create_dir_all(directory)
        .and_then(|()| directory.canonicalize())
        .map_err(|e| failed("making the warehouse directory", directory, e))
}

/// Where a file of the warehouse is.
pub(super) fn on_disk(root: &FsPath, path: &Path) -> PathBuf {
    root.join(path.as_ref())
}

/// Makes the directory of a file and every missing one above it last.
pub(super) fn make_directory_of(root: &FsPath, file: &FsPath) -> Result<(), Error> {
    let Some(directory) = file.parent() else { return Ok(()) };
    if directory.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(directory).map_err(|e| failed("making the directory", directory, e))?;
    let above = directory.ancestors().skip(1).take_while(|d| d.starts_with(root));
    for made in above {
        sync_directory(made)?;
    }
    Ok(())
}

/// Writes all files, syncs each, then syncs every directory once.
pub(super) async fn put_all(root: &FsPath, files: Vec<(Path, Bytes)>) -> Result<(), Error> {
    let directories: Vec<Path> = files.iter().map(|(path, _)| path.clone()).collect();
    let lanes = files.len().min(PARALLEL);
    let mut shares: Vec<Vec<(Path, Bytes)>> = (0..lanes).map(|_| Vec::new()).collect();
    for (i, file) in files.into_iter().enumerate() {
        shares[i % lanes].push(file);
    }
    let writes = shares.into_iter().map(|share| {
        let root = root.to_owned();
        async move {
            runtime::blocking("writing files", move || share.into_iter().try_for_each(|(path, bytes)| put(&root, &path, &bytes)))
                .await?
        }
    });
    futures::future::try_join_all(writes).await?;
    sync_directories(root, directories).await
}

fn put(root: &FsPath, path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let file = on_disk(root, path);
    make_directory_of(root, &file)?;
    let write = || -> io::Result<()> {
        let mut open = OpenOptions::new().write(true).create_new(true).open(&file)?;
        open.write_all(bytes)?;
        open.sync_all()
    };
    write().map_err(|e| failed("writing", &file, e))
}

/// Syncs the directories of `paths`, each once.
pub(super) async fn sync_directories(root: &FsPath, paths: Vec<Path>) -> Result<(), Error> {
    let directories: BTreeSet<PathBuf> = paths.iter().filter_map(|p| on_disk(root, p).parent().map(FsPath::to_owned)).collect();
    let syncs = directories
        .into_iter()
        .map(|d| async move { runtime::blocking("syncing a directory", move || sync_directory(&d)).await? });
    futures::future::try_join_all(syncs).await.map(|_| ())
}

fn sync_directory(directory: &FsPath) -> Result<(), Error> {
    File::open(directory).and_then(|d| d.sync_all()).map_err(|e| failed("syncing the directory", directory, e))
}

/// One sentence and a hint for an error of the local disk.
pub(super) fn failed(doing: &str, path: &FsPath, error: io::Error) -> Error {
    let (message, hint) = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => (
            format!("{doing} {} failed: the disk is full", path.display()),
            "Free space on the warehouse's disk, or move other data off it. Nothing that was committed is lost; the pipeline goes on by itself.",
        ),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => (
            format!("{doing} {} was refused: {error}", path.display()),
            "Give the user that runs lakebox the right to write in the warehouse directory.",
        ),
        _ => (format!("{doing} {} failed: {error}", path.display()), "Check the warehouse's disk."),
    };
    Error::new(Kind::Storage, message).with_hint(hint).with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_and_a_refusal_are_told_apart_and_name_the_path() {
        let path = FsPath::new("/lake/x");
        let full = failed("writing", path, io::Error::from(io::ErrorKind::StorageFull));
        assert_eq!((full.kind, full.message.as_str()), (Kind::Storage, "writing /lake/x failed: the disk is full"));
        let refused = failed("writing", path, io::Error::from(io::ErrorKind::PermissionDenied));
        assert!(refused.message.starts_with("writing /lake/x was refused"), "{refused}");
    }

    #[tokio::test]
    async fn a_file_is_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let file = || vec![(Path::from("a/b"), Bytes::from_static(b"1"))];
        put_all(dir.path(), file()).await.unwrap();
        assert_eq!(put_all(dir.path(), file()).await.unwrap_err().kind, Kind::Storage);
    }
}
