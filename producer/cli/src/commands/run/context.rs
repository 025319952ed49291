//! Context files of a task: only from the working directory, and of limited size.

use std::{
    fs::File,
    io::Read as _,
    path::{Component, Path, PathBuf},
};

use crate::render::text::grouped;

/// Maximum bytes of a file.
const MAX_FILE_BYTES: u64 = 256 << 10;

/// Maximum bytes of all files of a task.
pub(super) const MAX_TOTAL_BYTES: usize = 1 << 20;

/// The working directory.
pub(super) struct Folder(PathBuf);

/// A file of the working directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ContextFile {
    /// As the task names it.
    pub(super) path: String,
    pub(super) text: String,
}

impl Folder {
    /// Resolves the links of its path.
    pub(super) fn open(path: &Path) -> Result<Self, String> {
        path.canonicalize().map(Self).map_err(|error| {
            format!(
                "the working directory `{}` cannot be used: {error}",
                path.display()
            )
        })
    }

    /// Reads a file of the directory.
    pub(super) fn read(&self, name: &str) -> Result<ContextFile, String> {
        let path = Path::new(name);
        let inside = |part: Component<'_>| matches!(part, Component::Normal(_) | Component::CurDir);
        if name.is_empty() || !path.components().all(inside) {
            return Err(format!(
                "expected a relative path in the working directory, without `..`, but got `{name}`"
            ));
        }
        let unreadable = |error| format!("`{name}` cannot be read: {error}");
        let real = self.0.join(path).canonicalize().map_err(unreadable)?;
        if !real.starts_with(&self.0) {
            return Err(format!(
                "`{name}` is a link to a file outside the working directory"
            ));
        }
        // A pipe would never end.
        if !real.is_file() {
            return Err(format!("`{name}` is not a file"));
        }
        let mut bytes = Vec::new();
        File::open(&real)
            .and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes))
            .map_err(unreadable)?;
        if bytes.len() as u64 > MAX_FILE_BYTES {
            return Err(format!(
                "`{name}` is too large: expected at most {} bytes",
                grouped(MAX_FILE_BYTES)
            ));
        }
        let text = String::from_utf8(bytes).map_err(|_| format!("`{name}` is not UTF-8 text"))?;
        Ok(ContextFile {
            path: name.to_owned(),
            text,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn only_files_of_the_working_directory_are_read() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("project");
        fs::create_dir_all(root.join("src")).unwrap();
        fs::write(root.join("src/lib.rs"), "fn a() {}").unwrap();
        fs::write(directory.path().join("secret"), "s").unwrap();
        fs::write(root.join("binary"), [0xff, 0xfe]).unwrap();
        fs::write(root.join("full"), "x".repeat(256 << 10)).unwrap();
        fs::write(root.join("large"), "x".repeat((256 << 10) + 1)).unwrap();
        std::os::unix::fs::symlink("../secret", root.join("out")).unwrap();
        std::os::unix::fs::symlink("src/lib.rs", root.join("in")).unwrap();
        std::os::unix::fs::symlink(directory.path(), root.join("up")).unwrap();
        let folder = Folder::open(&root).unwrap();
        assert_eq!(folder.read("src/lib.rs").unwrap().text, "fn a() {}");
        assert_eq!(folder.read("./in").unwrap().text, "fn a() {}");
        assert_eq!(folder.read("full").unwrap().text.len(), 256 << 10);
        let absolute = directory.path().join("secret");
        let wrong = [
            "",
            "../secret",
            "src/../../secret",
            absolute.to_str().unwrap(),
            "out",
            "up/secret",
            "src",
            "none",
            "binary",
            "large",
        ]
        .map(|name| {
            folder
                .read(name)
                .unwrap_err()
                .replace(directory.path().to_str().unwrap(), "DIRECTORY")
        });
        insta::assert_snapshot!(wrong.join("\n"), @"
        expected a relative path in the working directory, without `..`, but got ``
        expected a relative path in the working directory, without `..`, but got `../secret`
        expected a relative path in the working directory, without `..`, but got `src/../../secret`
        expected a relative path in the working directory, without `..`, but got `DIRECTORY/secret`
        `out` is a link to a file outside the working directory
        `up/secret` is a link to a file outside the working directory
        `src` is not a file
        `none` cannot be read: No such file or directory (os error 2)
        `binary` is not UTF-8 text
        `large` is too large: expected at most 262,144 bytes
        ");
        assert!(Folder::open(&root.join("none")).is_err());
    }
}
