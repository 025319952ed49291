//! `edit_file`: replaces a text of a file, or creates one.

use std::{
    io::{self, Write as _},
    path::Component,
};

use cap_std::fs::{Dir, OpenOptions};
use longshore_protocol::id::AttemptId;
use serde::Deserialize;

use super::{Files, PROTECTED, fault, relative};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::tools) struct Edit {
    path: String,
    old: String,
    new: String,
}

/// A file to be written: the directory that holds it, and its name there.
struct Place {
    dir: Dir,
    name: String,
}

impl Files {
    /// `edit_file`.
    pub(in crate::tools) fn edit(&self, asked: &Edit) -> Result<String, String> {
        let Edit { path, old, new } = asked;
        let creates = old.is_empty();
        let place = self.place(path, creates)?;
        if creates {
            self.check_size(path, new.len())?;
            return create(&place, path, new).map(|()| format!("created `{path}`"));
        }
        let text = self.text(&place.dir, &place.name)?;
        let found = text.matches(old.as_str()).count();
        if found != 1 {
            return Err(format!(
                "`old` occurs {found} times in `{path}`; expected it exactly once"
            ));
        }
        let changed = text.replacen(old.as_str(), new, 1);
        self.check_size(path, changed.len())?;
        replace(&place, &changed).map_err(|error| fault(path, &error))?;
        Ok(format!("changed `{path}`"))
    }

    /// Finds the directory of a file, without following links: one could lead to what is protected.
    fn place(&self, path: &str, creates: bool) -> Result<Place, String> {
        let mut names = Vec::new();
        for part in relative(path)?.components() {
            match part {
                Component::CurDir => {}
                Component::Normal(name) => names.push(name.to_str().unwrap_or_default()),
                _ => return Err(format!("`{path}` has `..`; expected a path without it")),
            }
        }
        if names
            .iter()
            .any(|name| name.eq_ignore_ascii_case(PROTECTED))
        {
            return Err(format!("`{path}`: nothing in `{PROTECTED}` is changed"));
        }
        let Some(name) = names.pop() else {
            return Err(format!("`{path}` is not a file"));
        };
        let mut dir = self.open()?;
        for name in names {
            dir = child(&dir, name, creates).map_err(|error| fault(path, &error))?;
        }
        match dir.symlink_metadata(name) {
            Ok(found) if found.is_symlink() => Err(format!("`{path}` is a link; name the file")),
            _ => Ok(Place {
                dir,
                name: name.to_owned(),
            }),
        }
    }
}

fn child(dir: &Dir, name: &str, creates: bool) -> io::Result<Dir> {
    match dir.symlink_metadata(name) {
        Ok(found) if found.is_symlink() => {
            return Err(io::Error::other(format!(
                "`{name}` is a link; name the directory"
            )));
        }
        Err(error) if creates && error.kind() == io::ErrorKind::NotFound => dir.create_dir(name)?,
        _ => {}
    }
    dir.open_dir(name)
}

fn create(place: &Place, path: &str, text: &str) -> Result<(), String> {
    let mut options = OpenOptions::new();
    let file = place
        .dir
        .open_with(&place.name, options.write(true).create_new(true));
    match file.and_then(|mut file| file.write_all(text.as_bytes())) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(format!(
            "`{path}` exists; expected the text to replace in `old`"
        )),
        Err(error) => Err(fault(path, &error)),
    }
}

/// Writes a new file and puts it in the place of the old one, so that no reader and no crash sees half of it.
fn replace(place: &Place, text: &str) -> io::Result<()> {
    let Place { dir, name } = place;
    let fresh = format!(".{}.tmp", AttemptId::new());
    let written = write_beside(dir, name, &fresh, text);
    let moved = written.and_then(|()| dir.rename(&fresh, dir, name));
    if moved.is_err() {
        // It may never have been created.
        dir.remove_file(&fresh).ok();
    }
    moved
}

fn write_beside(dir: &Dir, name: &str, fresh: &str, text: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = dir.open_with(fresh, options.write(true).create_new(true))?;
    file.set_permissions(dir.metadata(name)?.permissions())?;
    file.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::{super::tests::rig, *};

    fn edit(files: &Files, path: &str, old: &str, new: &str) -> Result<String, String> {
        files.edit(&Edit {
            path: path.to_owned(),
            old: old.to_owned(),
            new: new.to_owned(),
        })
    }

    #[test]
    fn a_text_that_occurs_once_is_replaced() {
        let (root, files) = rig();
        let path = root.path().join("inside/src/main.rs");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        edit(&files, "./src/main.rs", "two\n", "zwei\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "one\nzwei\nthree\n");
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o755
        );
        assert_eq!(
            edit(&files, "src/main.rs", "e", "x").unwrap_err(),
            "`old` occurs 4 times in `src/main.rs`; expected it exactly once"
        );
        assert_eq!(
            edit(&files, "src/main.rs", "four", "x").unwrap_err(),
            "`old` occurs 0 times in `src/main.rs`; expected it exactly once"
        );
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 2);
    }

    #[test]
    fn an_empty_old_creates_a_file() {
        let (root, files) = rig();
        edit(&files, "new/deep/file", "", "text").unwrap();
        let path = root.path().join("inside/new/deep/file");
        assert_eq!(fs::read_to_string(path).unwrap(), "text");
        assert_eq!(
            edit(&files, "new/deep/file", "", "other").unwrap_err(),
            "`new/deep/file` exists; expected the text to replace in `old`"
        );
    }

    #[test]
    fn nothing_outside_and_nothing_protected_is_changed() {
        let (root, files) = rig();
        for (path, old) in [
            ("../secret", "hunter2"),
            ("link", "hunter2"),
            ("up/secret", "hunter2"),
            ("up/new", ""),
            ("absolute", "hunter2"),
            ("/tmp/new", ""),
            (".git/config", "two"),
            (".GIT/config", "two"),
            (".git/hooks/pre-commit", ""),
            ("disguised/config", "two"),
            ("within", "two"),
            (".git", ""),
            ("src", ""),
            ("src", "x"),
            (".", ""),
        ] {
            edit(&files, path, old, "changed").unwrap_err();
        }
        let too_large = "x".repeat(101);
        assert_eq!(
            edit(&files, "huge", "", &too_large).unwrap_err(),
            "`huge` has 101 bytes; at most 100 are allowed"
        );
        edit(&files, "src/main.rs", "two", &too_large).unwrap_err();
        assert_eq!(
            fs::read_to_string(root.path().join("secret")).unwrap(),
            "hunter2"
        );
        let config = root.path().join("inside/.git/config");
        assert_eq!(fs::read_to_string(config).unwrap(), "two");
        assert!(!root.path().join("new").exists());
    }
}
