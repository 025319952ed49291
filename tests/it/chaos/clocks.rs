//! Clocks of workers and schedulers that can be stepped, with libfaketime.

use std::path::{Path, PathBuf};

use longshore_tests::stack::Stack;

/// The file that libfaketime reads, in the working directory of the programs.
const CLOCKS: &str = "clocks";

/// libfaketime, where Debian's package of this name installs it, or where `LIBFAKETIME` says.
pub(super) fn libfaketime() -> Option<PathBuf> {
    const INSTALLED: [&str; 2] = [
        "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
        "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
    ];
    let named = std::env::vars().find(|(name, _)| name == "LIBFAKETIME");
    let all = named.into_iter().map(|(_, path)| PathBuf::from(path));
    all.chain(INSTALLED.map(PathBuf::from))
        .find(|path| path.is_file())
}

/// Lets programs of a stack that start from now on read the time through libfaketime.
pub(super) fn fake(stack: &mut Stack, library: &Path) -> anyhow::Result<()> {
    set(stack.dir(), 0)?;
    let clocks = stack.dir().join(CLOCKS).display().to_string();
    for (name, value) in [
        ("LD_PRELOAD", library.display().to_string().as_str()),
        ("FAKETIME_TIMESTAMP_FILE", &clocks),
        ("FAKETIME_CACHE_DURATION", "1"),
        // Waits are not affected by a step of the clock.
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
    ] {
        stack.set_env(name, value);
    }
    Ok(())
}

/// Replaces the file at once: a program must not read half of it.
pub(super) fn set(dir: &Path, offset_seconds: i64) -> anyhow::Result<()> {
    let next = dir.join("clocks.next");
    std::fs::write(&next, format!("{offset_seconds:+}\n"))?;
    Ok(std::fs::rename(next, dir.join(CLOCKS))?)
}
