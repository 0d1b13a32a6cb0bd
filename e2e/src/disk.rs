use anyhow::Result;
use std::path::Path;
use tokio::process::Command;

/// Ways into a mount namespace: as root, and for everybody else as the root of a user namespace.
const WAYS: [&[&str]; 2] = [&["--mount"], &["--map-root-user", "--mount"]];

const MOUNT: &str = r#"mount -t tmpfs -o size="$0" tmpfs "$1" && shift && exec "$@""#;

/// A small file system in memory that is mounted for one process and those it starts, and is gone with them: no test that dies leaves a mount behind.
#[derive(Debug)]
pub(crate) struct Disk {
    way: &'static [&'static str],
    folder: String,
    size: String,
}

impl Disk {
    /// A disk for `folder`, a path from the folder that the process is started in; none where this machine lets nobody mount.
    pub(crate) async fn new(folder: &str, megabytes: u32) -> Result<Option<Self>> {
        for way in WAYS {
            let disk = Self { way, folder: folder.to_owned(), size: format!("{megabytes}m") };
            let here = tempfile::tempdir()?;
            std::fs::create_dir_all(here.path().join(folder))?;
            let tried = disk.command(Path::new("true")).current_dir(here.path()).output().await;
            if tried.is_ok_and(|out| out.status.success()) {
                return Ok(Some(disk));
            }
        }
        Ok(None)
    }

    /// Starts `program` with the disk in its place. The process keeps its id.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("unshare");
        command.args(self.way).args(["sh", "-c", MOUNT, &self.size, &self.folder]).arg(program);
        command
    }
}
