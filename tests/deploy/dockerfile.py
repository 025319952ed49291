"""Reads the Dockerfile and .dockerignore, as far as the checks need it."""

import fnmatch
import json
import re
from pathlib import Path


class Stage:
    def __init__(self, base, name):
        self.base = base
        self.name = name
        self.instructions = []

    def copies(self):
        """Each COPY as (stage or None for the context, sources, target)."""
        for instruction, arguments in self.instructions:
            if instruction == "COPY":
                *sources, target = [word for word in arguments.split() if not word.startswith("--")]
                stage = re.search(r"--from=(\S+)", arguments)
                yield stage and stage.group(1), sources, target

    def last(self, instruction):
        """The arguments of the last instruction of this kind, a list if they are in exec form."""
        found = [arguments for name, arguments in self.instructions if name == instruction]
        if not found:
            return None
        return json.loads(found[-1]) if found[-1].startswith("[") else found[-1]


def stages(text):
    """The stages of a Dockerfile by name."""
    found = {}
    text = re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE)
    for line in re.sub(r"\\\n\s*", " ", text).splitlines():
        if not line.strip():
            continue
        instruction, arguments = line.split(None, 1)
        if instruction == "FROM":
            base, name = re.fullmatch(r"(\S+) AS (\S+)", arguments).groups()
            found[name] = stage = Stage(base, name)
        else:
            stage.instructions.append((instruction, arguments))
    return found


def lineage(found, name):
    """The stage and those that it is built on, the first of them first."""
    line = []
    while name in found:
        line.insert(0, found[name])
        name = found[name].base
    return line


def context(root, ignore):
    """The files of the build's context: the last pattern of .dockerignore that matches a path or a folder decides."""
    patterns = [line for line in ignore.splitlines() if line and not line.startswith("#")]
    allowed = [pattern[1:] for pattern in patterns if pattern.startswith("!")]
    if patterns[0] != "*" or len(allowed) != len(patterns) - 1:
        raise ValueError(".dockerignore: expected `*` and then only lines that begin with `!`")
    for pattern in allowed:
        matches = [path for path in root.glob(pattern)]
        if not matches:
            raise ValueError(f".dockerignore: there is no {pattern}")
        for match in matches:
            yield from [match] if match.is_file() else (path for path in match.rglob("*") if path.is_file())


def faults(root, text, ignore):
    """Paths that are copied and do not exist, as far as can be known without a build."""
    found = stages(text)
    files = {str(Path(path).relative_to(root)) for path in context(root, ignore)}
    for stage in found.values():
        for source_stage, sources, _target in stage.copies():
            for source in sources:
                if source_stage is None:
                    if source != "." and not any(fnmatch.fnmatch(file, source) for file in files):
                        yield f"{stage.name}: COPY {source}: not in the context of the build"
                elif source_stage not in found:
                    yield f"{stage.name}: COPY --from={source_stage}: there is no such stage"
                elif source.startswith("/src/target/dist/"):
                    yield from program_faults(found[source_stage], stage, Path(source).name)


def program_faults(build, stage, program):
    """The name of a program is that of its package, and each RUN that compiles has to name it."""
    for instruction, arguments in build.instructions:
        if instruction == "RUN" and program not in re.findall(r"--package (\S+)", arguments):
            yield f"{stage.name}: COPY {program}: not built by `RUN {arguments[:30]}…`"
