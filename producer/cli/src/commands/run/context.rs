//! The files that a task is given: of the working directory only, and of limited size.

use std::{
    fs::File,
    io::Read as _,
    path::{Component, Path, PathBuf},
};

use crate::render::text::grouped;

/// The largest file, in bytes.
const LARGEST: u64 = 256 << 10;

/// The most bytes of all files of a task.
pub(super) const TOGETHER: usize = 1 << 20;

/// The working directory.
pub(super) struct Folder(PathBuf);

/// A file of it.
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

    /// Reads a file that lies in it.
    pub(super) fn read(&self, name: &str) -> Result<ContextFile, String> {
        let path = Path::new(name);
        let inside = |part: Component<'_>| matches!(part, Component::Normal(_) | Component::CurDir);
        if name.is_empty() || !path.components().all(inside) {
            return Err(format!(
                "expected the path of a file in the working directory, without `..` and not absolute, but got `{name}`"
            ));
        }
        let unread = |error| format!("`{name}` cannot be read: {error}");
        let real = self.0.join(path).canonicalize().map_err(unread)?;
        if !real.starts_with(&self.0) {
            return Err(format!(
                "`{name}` is a link that leads out of the working directory"
            ));
        }
        // A pipe would never end.
        if !real.is_file() {
            return Err(format!("`{name}` is no file"));
        }
        let mut bytes = Vec::new();
        File::open(&real)
            .and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes))
            .map_err(unread)?;
        if bytes.len() as u64 > LARGEST {
            return Err(format!(
                "`{name}` is too large: expected at most {} bytes",
                grouped(LARGEST)
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
        let place = tempfile::tempdir().unwrap();
        let root = place.path().join("project");
        fs::create_dir_all(root.join("src")).unwrap();
        fs::write(root.join("src/lib.rs"), "fn a() {}").unwrap();
        fs::write(place.path().join("secret"), "s").unwrap();
        fs::write(root.join("binary"), [0xff, 0xfe]).unwrap();
        fs::write(root.join("full"), "x".repeat(256 << 10)).unwrap();
        fs::write(root.join("large"), "x".repeat((256 << 10) + 1)).unwrap();
        std::os::unix::fs::symlink("../secret", root.join("out")).unwrap();
        std::os::unix::fs::symlink("src/lib.rs", root.join("in")).unwrap();
        std::os::unix::fs::symlink(place.path(), root.join("up")).unwrap();
        let folder = Folder::open(&root).unwrap();
        assert_eq!(folder.read("src/lib.rs").unwrap().text, "fn a() {}");
        assert_eq!(folder.read("./in").unwrap().text, "fn a() {}");
        assert_eq!(folder.read("full").unwrap().text.len(), 256 << 10);
        let absolute = place.path().join("secret");
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
                .replace(place.path().to_str().unwrap(), "PLACE")
        });
        insta::assert_snapshot!(wrong.join("\n"), @"
        expected the path of a file in the working directory, without `..` and not absolute, but got ``
        expected the path of a file in the working directory, without `..` and not absolute, but got `../secret`
        expected the path of a file in the working directory, without `..` and not absolute, but got `src/../../secret`
        expected the path of a file in the working directory, without `..` and not absolute, but got `PLACE/secret`
        `out` is a link that leads out of the working directory
        `up/secret` is a link that leads out of the working directory
        `src` is no file
        `none` cannot be read: No such file or directory (os error 2)
        `binary` is not UTF-8 text
        `large` is too large: expected at most 262,144 bytes
        ");
        assert!(Folder::open(&root.join("none")).is_err());
    }
}
