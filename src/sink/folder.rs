//! Whether a file can be made in a folder, learnt without making one: for `check`.

use crate::{Error, Kind, Result};
use std::path::Path;

/// Refuses a folder in which no file can be made, or, with `making`, none of the folders that lead to it.
pub(super) fn takes_files(folder: &Path, making: bool) -> Result<()> {
    let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_path_buf());
    let there = folder
        .ancestors()
        .find(|f| f.exists() && (making || *f == folder));
    let Some(there) = there else {
        let message = format!(
            "the folder {} is not there; make it, or name another",
            folder.display()
        );
        return Err(Error::new(Kind::Endpoint, message));
    };
    if !there.is_dir() {
        let message = format!("{} is no folder; name another path", there.display());
        return Err(Error::new(Kind::Endpoint, message));
    }
    match system::tried(there) {
        Some(e) => Err(refused(there, e)),
        None => Ok(()),
    }
}

fn refused(folder: &Path, e: std::io::Error) -> Error {
    let message = format!(
        "no file can be made in {} ({}); look at its permissions, or name another folder",
        folder.display(),
        e.kind()
    );
    Error::new(Kind::Endpoint, message).because(e)
}

#[cfg(target_os = "linux")]
mod system {
    use std::fs::OpenOptions;
    use std::io::ErrorKind;
    use std::os::unix::fs::OpenOptionsExt;
    use std::path::Path;

    /// Why a file without a name, gone at once, could not be made; file systems that know no such files say nothing.
    pub(super) fn tried(folder: &Path) -> Option<std::io::Error> {
        let mut options = OpenOptions::new();
        let made = options
            .write(true)
            .custom_flags(libc::O_TMPFILE)
            .open(folder);
        made.err().filter(|e| {
            matches!(
                e.kind(),
                ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem
            )
        })
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use std::path::Path;

    /// Elsewhere only the first run tells.
    pub(super) fn tried(_: &Path) -> Option<std::io::Error> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_looked_at_and_left_as_it_is() {
        let here = std::env::temp_dir().join(format!("wattline-folder-{}", std::process::id()));
        std::fs::create_dir_all(&here).unwrap();
        takes_files(&here, false).unwrap();
        takes_files(&here.join("a/b"), true).unwrap();
        assert_eq!(std::fs::read_dir(&here).unwrap().count(), 0);
        let missing = takes_files(&here.join("a"), false).unwrap_err();
        assert!(missing.message.contains("is not there"), "{missing}");
        std::fs::write(here.join("file"), "").unwrap();
        let file = takes_files(&here.join("file/a"), true).unwrap_err();
        assert!(file.message.contains("is no folder"), "{file}");
        std::fs::remove_dir_all(&here).unwrap();
    }
}
