#!/bin/sh
# Makes a git repository in DIRECTORY: a crate without dependencies, whose test fails.
set -eu
mkdir -p "$1/src"
cd "$1"
cat >Cargo.toml <<'END'
[package]
name = "sums"
version = "0.1.0"
edition = "2024"
END
cat >src/lib.rs <<'END'
/// The sum of two numbers.
pub fn sum(a: u32, b: u32) -> u32 {
    a - b
}

#[test]
fn two_and_two_are_four() {
    assert_eq!(sum(2, 2), 4);
}
END
printf 'target\nCargo.lock\n' >.gitignore
git init --quiet
git add .
git -c user.name=test -c user.email=test@localhost commit --quiet --message "Add sums"
