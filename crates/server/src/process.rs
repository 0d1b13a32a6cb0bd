use std::path::Path;

const CLOCK_TICKS_PER_S: f64 = 100.0;

/// Resident memory of this process in bytes; 0 where the system does not tell.
pub(crate) fn memory_bytes() -> u64 {
    let read = |line: &str| line.split_whitespace().nth(1)?.parse::<u64>().ok();
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().find(|l| l.starts_with("VmRSS:")).and_then(read).unwrap_or(0) * 1024
}

/// CPU seconds that this process has used, user and system; 0 where the system does not tell.
pub(crate) fn cpu_s() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // Fields 14 and 15, counted behind the command's closing parenthesis, because the command may hold spaces.
    let ticks = |n: usize| -> Option<f64> { stat.rsplit_once(')')?.1.split_whitespace().nth(n)?.parse().ok() };
    (ticks(11).unwrap_or(0.0) + ticks(12).unwrap_or(0.0)) / CLOCK_TICKS_PER_S
}

/// Bytes that may still be written to the disk that holds `path`.
pub(crate) fn disk_free_bytes(path: &Path) -> Option<u64> {
    let stat = rustix::fs::statvfs(path).ok()?;
    Some(stat.f_bavail * stat.f_frsize)
}

#[cfg(test)]
mod tests {
    #[test]
    fn this_process_uses_memory() {
        assert!(super::memory_bytes() > 100_000);
    }
}
