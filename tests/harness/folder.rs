//! Directories that stacks run in: `<target>/e2e/<process>-<number>`.

use super::process::target;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Makes a directory as the reference configuration wants it: the filter and a place for replayd's data.
pub(super) fn make(wasm: &Path) -> PathBuf {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    if number == 0 {
        sweep();
    }
    let folder = target().join("e2e").join(format!("{}-{number}", std::process::id()));
    fs::create_dir_all(folder.join("reprise-data")).expect("a directory for the stack");
    let wasm = wasm.canonicalize().expect("the filter is there");
    std::os::unix::fs::symlink(wasm, folder.join("reprise.wasm")).expect("a link to the filter");
    folder.canonicalize().expect("the directory is there")
}

/// Removes what earlier runs that are over have left.
fn sweep() {
    let Ok(entries) = fs::read_dir(target().join("e2e")) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let process = name.split('-').next().unwrap_or_default();
        if !Path::new("/proc").join(process).exists() {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
