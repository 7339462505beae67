#!/usr/bin/env python3
"""How long it takes from an edit to its test, and from a clean clone to all of them.

    benches/build_times.py            three edits of each kind; prints the median of the seconds
    benches/build_times.py --clean    also the three clean builds, in a target folder of their own: some ten minutes

An edit is a new statement at the start of one function; the file is put back afterwards. Run it on a quiet machine.
Needs cargo and Python 3.8; nothing is downloaded if `cargo fetch` has been run.
"""

import argparse
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
CHECK = ["cargo", "check", "-p", "swav"]
BUILD = ["cargo", "build", "-p", "swav"]


def unit(module, package="swav", features=()):
    return ["cargo", "test", "-p", package, *features, "--lib", module]


PARALLEL = ("--features", "parallel")
# What is edited (file and function), what is run, and the seconds asked for.
EDITS = [
    ("runtime/src/train.rs", "run", CHECK, 8),
    ("runtime/src/data/augment.rs", "crops", CHECK, 8),
    ("runtime/src/config/load.rs", "load", CHECK, 8),
    ("runtime/src/train.rs", "run", BUILD, 10),
    ("runtime/src/data/augment.rs", "crops", BUILD, 10),
    ("runtime/src/config/load.rs", "load", BUILD, 10),
    ("runtime/src/eval/knn.rs", "knn", BUILD, 10),
    ("runtime/kernels/src/norm.rs", "norm_sums", BUILD, 30),
    ("runtime/kernels/src/conv/winograd.rs", "suits", BUILD, 30),
    ("runtime/src/train.rs", "run", unit("train::"), 15),
    ("runtime/src/data/augment.rs", "crops", unit("data::augment"), 15),
    ("runtime/src/config/load.rs", "load", unit("config::"), 15),
    ("runtime/kernels/src/norm.rs", "norm_sums", unit("norm", "swav-kernels"), 15),
    ("core/src/transport/run.rs", "judge", unit("transport::", "swav-core", PARALLEL), 30),
    ("core/src/transport/problem.rs", "balance", unit("transport::", "swav-core", PARALLEL), 30),
]
CLEAN = [
    (["cargo", "test", "--workspace"], 480),
    (["cargo", "build", "--release"], 120),
]


def timed(command, **more):
    start = time.monotonic()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, **more)
    seconds = time.monotonic() - start
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return seconds


def edited(text, function, number):
    """The text with a statement more at the start of a function's body."""
    head = re.search(rf"\bfn {function}\b[^{{;]*\{{\n", text)
    if head is None:
        sys.exit(f"no function {function} to edit")
    return f"{text[:head.end()]}    core::hint::black_box({number}u32);\n{text[head.end():]}"


def row(what, command, seconds, asked):
    times = " ".join(f"{s:6.1f}" for s in seconds)
    mark = "" if statistics.median(seconds) <= asked else "  above"
    print(f"{what:38} {' '.join(command[1:]):52} {times}  of {asked} s{mark}", flush=True)


def main():
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--clean", action="store_true", help="also build from nothing")
    options.add_argument("--rounds", type=int, default=3, help="edits of each kind")
    options = options.parse_args()
    for command in (CHECK, BUILD):
        timed(command)
    number, warm = 0, set()
    for path, function, command, asked in EDITS:
        file = ROOT / path
        text, seconds = file.read_text(), []
        try:
            if tuple(command) not in warm:
                timed(command)
                warm.add(tuple(command))
            for _ in range(options.rounds):
                number += 1
                file.write_text(edited(text, function, number))
                seconds.append(timed(command))
        finally:
            file.write_text(text)
        row(path, command, seconds, asked)
        timed(command)
    if options.clean:
        for command, asked in CLEAN:
            target = tempfile.mkdtemp(prefix="swav-target-")
            try:
                seconds = timed(command, env={**os.environ, "CARGO_TARGET_DIR": target})
                row("from nothing", command, [seconds], asked)
            finally:
                shutil.rmtree(target)


if __name__ == "__main__":
    main()
