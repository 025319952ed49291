//! The tools that read and change the files of a workspace. Nothing outside of its directory is reached: no path, no `..`
//! and no link leads out.

mod edit;
mod search;
mod walk;

use std::{
    io::{self, Read as _},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use cap_std::{
    ambient_authority,
    fs::{Dir, OpenOptions, OpenOptionsExt as _},
};
use longshore_policy::tools::Workspace;
use nix::fcntl::OFlag;
use serde::Deserialize;

pub(super) use self::{edit::Edit, search::Search, walk::ListFiles};

/// The directory that no tool changes and no list shows: a change of it could run a command later.
const PROTECTED: &str = ".git";

/// The files of a workspace, for one call.
#[derive(Debug, Clone)]
pub(super) struct Files {
    directory: PathBuf,
    max_file_bytes: usize,
    /// When a long walk gives up.
    until: Instant,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReadFile {
    path: String,
    offset: Option<usize>,
    lines: Option<usize>,
}

impl Files {
    pub(super) fn new(workspace: &Workspace, timeout: Duration) -> Self {
        Self {
            directory: workspace.directory.clone(),
            max_file_bytes: workspace.max_file_bytes,
            until: Instant::now() + timeout,
        }
    }

    /// `read_file`.
    pub(super) fn read(&self, asked: &ReadFile) -> Result<String, String> {
        let text = self.text(&self.open()?, &asked.path)?;
        if asked.offset.is_none() && asked.lines.is_none() {
            return Ok(text);
        }
        let first = asked.offset.unwrap_or(1).max(1);
        let mut rest = text.split_inclusive('\n').skip(first - 1);
        let wanted = asked.lines.unwrap_or(usize::MAX);
        let part: String = rest.by_ref().take(wanted).collect();
        Ok(match rest.count() {
            0 => part,
            left => format!("{part}… {left} more lines …"),
        })
    }

    fn open(&self) -> Result<Dir, String> {
        Dir::open_ambient_dir(&self.directory, ambient_authority())
            .map_err(|error| format!("the workspace cannot be opened: {error}"))
    }

    /// The text of a file.
    fn text(&self, dir: &Dir, path: &str) -> Result<String, String> {
        let mut options = OpenOptions::new();
        // Opening a pipe must not wait for who writes into it.
        options.read(true).custom_flags(OFlag::O_NONBLOCK.bits());
        let say = |error: io::Error| fault(path, &error);
        let file = dir.open_with(relative(path)?, &options).map_err(say)?;
        let metadata = file.metadata().map_err(say)?;
        if !metadata.is_file() {
            return Err(format!("`{path}` is not a file"));
        }
        let most = u64::try_from(self.max_file_bytes).unwrap_or(u64::MAX);
        let mut bytes = Vec::new();
        let mut bounded = file.take(most.saturating_add(1));
        bounded.read_to_end(&mut bytes).map_err(say)?;
        self.check_size(path, bytes.len().max(saturated(metadata.len())))?;
        String::from_utf8(bytes).map_err(|_| format!("`{path}` is not a text in UTF-8"))
    }

    fn check_size(&self, path: &str, size: usize) -> Result<(), String> {
        let most = self.max_file_bytes;
        if size > most {
            return Err(format!(
                "`{path}` has {size} bytes; at most {most} are allowed"
            ));
        }
        Ok(())
    }
}

/// A path within the workspace. The directory itself refuses what leads out of it.
fn relative(path: &str) -> Result<&Path, String> {
    if path.is_empty() {
        return Err("expected a path, but got an empty text".to_owned());
    }
    let relative = Path::new(path);
    if relative.is_absolute() {
        return Err(format!(
            "`{path}` is absolute; expected a path relative to the workspace"
        ));
    }
    Ok(relative)
}

fn fault(path: &str, error: &io::Error) -> String {
    format!("`{path}`: {error}")
}

fn saturated(size: u64) -> usize {
    usize::try_from(size).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use longshore_policy::tools::{SecretPairs, ToolBounds};
    use tempfile::TempDir;

    use super::*;

    /// A workspace `inside`, with a secret file and links to it.
    pub(super) fn rig() -> (TempDir, Files) {
        let root = tempfile::tempdir().unwrap();
        let inside = root.path().join("inside");
        fs::create_dir_all(inside.join("src/deep")).unwrap();
        fs::create_dir_all(inside.join(".git/hooks")).unwrap();
        fs::write(root.path().join("secret"), "hunter2").unwrap();
        fs::write(inside.join("src/main.rs"), "one\ntwo\nthree\n").unwrap();
        fs::write(inside.join("src/deep/lib.rs"), "deep two\n").unwrap();
        fs::write(inside.join("large"), "x".repeat(101)).unwrap();
        fs::write(inside.join("binary"), [0xff, 0xfe]).unwrap();
        fs::write(inside.join(".git/config"), "two").unwrap();
        symlink("../secret", inside.join("link")).unwrap();
        symlink("..", inside.join("up")).unwrap();
        symlink(root.path().join("secret"), inside.join("absolute")).unwrap();
        symlink("src/main.rs", inside.join("within")).unwrap();
        symlink(".git", inside.join("disguised")).unwrap();
        let workspace = Workspace {
            directory: inside,
            max_file_bytes: 100,
            run: Vec::new(),
            env: SecretPairs::default(),
            bounds: ToolBounds {
                timeout: Duration::from_secs(10),
                max_output: 1024,
            },
        };
        let files = Files::new(&workspace, Duration::from_secs(10));
        (root, files)
    }

    fn read(files: &Files, arguments: serde_json::Value) -> Result<String, String> {
        files.read(&serde_json::from_value(arguments).unwrap())
    }

    #[test]
    fn a_file_is_read_whole_or_by_lines() {
        let (_root, files) = rig();
        let path = "src/main.rs";
        for (arguments, text) in [
            (serde_json::json!({"path": path}), "one\ntwo\nthree\n"),
            (
                serde_json::json!({"path": "src/../src/./main.rs"}),
                "one\ntwo\nthree\n",
            ),
            (serde_json::json!({"path": "within"}), "one\ntwo\nthree\n"),
            (
                serde_json::json!({"path": path, "offset": 2}),
                "two\nthree\n",
            ),
            (
                serde_json::json!({"path": path, "offset": 2, "lines": 1}),
                "two\n… 1 more lines …",
            ),
            (serde_json::json!({"path": path, "offset": 9}), ""),
        ] {
            assert_eq!(
                read(&files, arguments.clone()).unwrap(),
                text,
                "{arguments}"
            );
        }
    }

    #[test]
    fn nothing_outside_is_read() {
        let (root, files) = rig();
        let absolute = root.path().join("secret");
        for path in [
            "../secret",
            "src/../../secret",
            "link",
            "up/secret",
            "absolute",
            absolute.to_str().unwrap(),
            "",
            "src\0/main.rs",
        ] {
            let error = read(&files, serde_json::json!({"path": path})).unwrap_err();
            assert!(!error.contains("hunter2"), "{path}: {error}");
        }
    }

    #[test]
    fn what_is_too_large_or_no_text_is_not_read() {
        let (root, files) = rig();
        nix::unistd::mkfifo(
            &root.path().join("inside/pipe"),
            nix::sys::stat::Mode::S_IRWXU,
        )
        .unwrap();
        for (path, error) in [
            ("large", "`large` has 101 bytes; at most 100 are allowed"),
            ("binary", "`binary` is not a text in UTF-8"),
            ("src", "`src` is not a file"),
            ("pipe", "`pipe` is not a file"),
        ] {
            let read = read(&files, serde_json::json!({"path": path}));
            assert_eq!(read.unwrap_err(), error);
        }
    }
}
