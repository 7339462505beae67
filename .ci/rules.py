#!/usr/bin/env python3
"""The rules of this project that a script can check.

    .ci/rules.py              check the checkout; prints every breach as FILE:LINE, exits 1 if there is one
    .ci/rules.py --self-test  show that each rule can fail: every rule against a text that breaks it

Each rule is a function from one file (its path and its text) to breaches (line, what). It says what is meant in
its docstring. Needs Python 3.8 and git, nothing else.
"""

import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent

# Source files with `unsafe`: the CUDA engine, and CPU kernels that need vector intrinsics or raw pointers. What
# orchestrates kernels is none.
UNSAFE = re.compile(r"runtime/(src/cuda/.*|src/dist/nccl\.rs|kernels/src/\w+(/\w+)*\.rs)$")
# A program without std has no allocator and no entry point but its own.
NO_STD_PROGRAM = "tests/no_std/"
FORBIDDEN_NAMES = {"util", "utils", "helper", "helpers", "common", "misc", "stuff"}
MOST_LINES = 500


def code(text):
    """The lines with string contents and comments blanked, so that words in them are not code."""
    text = re.sub(r'r(#+)".*?"\1', lambda m: "\n" * m.group().count("\n") or '""', text, flags=re.S)
    text = re.sub(r'"(?:\\.|[^"\\])*"', lambda m: '"' + "\n" * m.group().count("\n") + '"', text, flags=re.S)
    text = re.sub(r"/\*.*?\*/", lambda m: "\n" * m.group().count("\n"), text, flags=re.S)
    return [re.sub(r"//.*", "", line) for line in text.split("\n")]


def modules_named(line):
    """First modules of `crate::` paths on a line, `crate::{a, b::c}` and `super::super::x` in part included."""
    for m in re.finditer(r"\bcrate::(?:\{([^}]*)\}|(\w+))", line):
        if m.group(2):
            yield m.group(2)
        else:
            for part in m.group(1).split(","):
                yield part.strip().split("::")[0]


def never(path, text, folder, names, why):
    if path.startswith(folder):
        for i, line in enumerate(code(text), 1):
            for name in modules_named(line):
                if name in names:
                    yield i, f"{folder} names `crate::{name}`: {why}"


def core_is_ours_alone(path, text):
    """core depends on nothing of ours, and names no device, file, thread or clock."""
    if path.startswith("core/src/"):
        for i, line in enumerate(code(text), 1):
            if re.search(r"\bswav::|\bstd::(fs|net|time|process|env|io)\b", line):
                yield i, "core names the program, files, time or the environment"


def core_forbids_unsafe(path, text):
    """core is no_std and forbids unsafe code."""
    if path == "core/src/lib.rs":
        for want in ("#![no_std]", "#![forbid(unsafe_code)]", "missing_docs"):
            if want not in text:
                yield 1, f"core/src/lib.rs lacks {want}"


def net_knows_no_memory(path, text):
    """net is arithmetic on shapes: no buffer, no engine, no unsafe, no feature flags."""
    yield from never(path, text, "runtime/src/net/", {"cpu", "cuda", "engine", "device", "dist", "data", "train"},
                     "the network knows no memory")
    if path.startswith("runtime/src/net/"):
        for i, line in enumerate(code(text), 1):
            if re.search(r"cfg\(.*feature", line):
                yield i, "a feature flag in net"


def engines_know_no_program(path, text):
    """cpu and cuda never name each other, nor what stands above an engine."""
    above = {"data", "train", "eval", "checkpoint", "commands", "cli", "report", "export"}
    yield from never(path, text, "runtime/src/cpu/", above | {"cuda"}, "an engine stands below it")
    yield from never(path, text, "runtime/src/cuda/", above | {"cpu"}, "an engine stands below it")
    if re.match(r"runtime/src/(cpu|cuda)/", path):
        for i, line in enumerate(code(text), 1):
            m = re.search(r"\bcrate::config::\{?([\w, ]*)", line)
            # The update rule's numbers are handed to an engine as the plain values they are.
            if m and set(re.findall(r"\w+", m.group(1))) - {"Optim", "Optimizer", "Lars", "Config"}:
                yield i, "an engine reads the configuration"
            elif m and "Config" in m.group(1) and "/tests/" not in path:
                yield i, "an engine reads the whole configuration"


def engines_are_opened_in_one_place(path, text):
    """cpu and cuda are named outside themselves only where engines are opened, measured or described."""
    allowed = ("runtime/src/cpu/", "runtime/src/cuda/", "runtime/src/device.rs", "runtime/src/bench",
               "runtime/src/commands/", "runtime/src/lib.rs", "runtime/src/main.rs")
    if path.startswith("runtime/src/") and not path.startswith(allowed):
        for i, line in enumerate(code(text), 1):
            if {"cpu", "cuda"} & set(modules_named(line)):
                yield i, "an engine is named outside device.rs"


def cuda_is_spelled_under_cuda(path, text):
    """cudarc only under cuda/ and in dist/nccl.rs; its feature flag only where modules are declared and opened."""
    if path.startswith("runtime/") and path.endswith(".rs"):
        inside = path.startswith("runtime/src/cuda/")
        for i, line in enumerate(code(text), 1):
            if "cudarc" in line and not inside and path != "runtime/src/dist/nccl.rs":
                yield i, "cudarc outside cuda/ and dist/nccl.rs"
        places = ("runtime/src/lib.rs", "runtime/src/device.rs", "runtime/src/dist/mod.rs")
        for i, line in enumerate(text.split("\n"), 1):
            if re.search(r'feature\s*=\s*"cuda"', line) and path not in places and not inside:
                yield i, "the cuda feature is asked for outside lib.rs, device.rs, dist/mod.rs"


def checkpoint_calls_no_engine(path, text):
    """checkpoint sees snapshots, host arrays by name, and never calls an engine."""
    if re.match(r"runtime/src/checkpoint", path):
        for i, line in enumerate(code(text), 1):
            if re.search(r"\bdyn Engine\b|\bengine::Engine\b", line):
                yield i, "checkpoint calls an engine"


def unsafe_is_rare(path, text):
    """unsafe stands only in kernels; one operation a block; each block with the reason why this call is right."""
    if path.startswith(NO_STD_PROGRAM) or not path.endswith(".rs"):
        return
    lines, raw = code(text), text.split("\n")
    for i, line in enumerate(lines, 1):
        if not re.search(r"\bunsafe\b", line) or re.search(r"unsafe_code|unsafe_op", line):
            continue
        if not UNSAFE.match(path):
            yield i, "unsafe outside the kernels"
            continue
        if re.search(r"\bunsafe\s+(fn|trait)\b", line) or re.search(r"\bunsafe\s+extern\b", line):
            continue
        above, j = [], i - 2
        while j >= 0 and (re.match(r"\s*(//|#\[)", raw[j]) or not raw[j].rstrip().endswith((";", "{", "}"))) and raw[j].strip():
            above.append(raw[j])
            j -= 1
        if not any("SAFETY:" in a for a in above + [raw[i - 1]]):
            yield i, "unsafe without a SAFETY comment"
        depth, body, k = 0, "", i - 1
        tail = lines[k][lines[k].index("unsafe"):]
        while k < len(lines):
            body += tail + "\n"
            depth += tail.count("{") - tail.count("}")
            if depth <= 0 and "{" in body:
                break
            k += 1
            tail = lines[k] if k < len(lines) else ""
        if re.search(r"\bunsafe\s*\{", body) and body.count(";") > 1:
            yield i, "more than one statement in an unsafe block"


def files_are_short(path, text):
    """A source file has fewer than 500 lines."""
    if path.endswith((".rs", ".py", ".cu")) and text.count("\n") >= MOST_LINES:
        yield text.count("\n"), f"{text.count(chr(10))} lines, {MOST_LINES - 1} at most"


def names_say_something(path, text):
    """No file called util, helper, common, misc; no _v2, _new, _old."""
    parts = pathlib.PurePath(path)
    for part in parts.parts:
        stem = part.split(".")[0].lower()
        if stem in FORBIDDEN_NAMES:
            yield 1, f"a name that says nothing: {part}"
        if re.search(r"[_-](v\d+|new|old)$", stem) and not stem.startswith(("deepcluster", "sela", "moco")):
            yield 1, f"a version in a name: {part}"


def nothing_is_left_open(path, text):
    """No unfinished code: todo!, unimplemented!, dbg!, notes to self, allow(dead_code), allow(warnings)."""
    if path.endswith(".rs"):
        for i, line in enumerate(code(text), 1):
            if re.search(r"\b(todo|unimplemented|dbg)!", line):
                yield i, "unfinished code"
            if re.search(r"allow\((dead_code|warnings|unused\w*)\)", line):
                yield i, "a silenced warning hides dead code"
        for i, line in enumerate(text.split("\n"), 1):
            if re.search(r"//.*\b(TO" r"DO|FIX" r"ME|XX" r"X|HA" r"CK)\b", line):
                yield i, "a note to self"


def no_foreign_paths(path, text):
    """Nothing names a path of the machine it was written on."""
    for i, line in enumerate(text.split("\n"), 1):
        if re.search(r"(?<![\w.])/(work|root|home/\w+|Users/\w+)/\w", line):
            yield i, "a path outside the project"


def only_the_program_prints(path, text):
    """The library is silent: printing is for main, the command line and its progress."""
    allowed = ("runtime/src/main.rs", "runtime/src/cli", "runtime/src/commands", "runtime/src/terminal",
               "runtime/src/metrics", "runtime/src/config/show")
    libraries = ("runtime/src/", "runtime/images/src/", "runtime/kernels/src/", "core/src/")
    if path.startswith(libraries) and not path.startswith(allowed) and "test" not in path:
        for i, line in enumerate(code(text), 1):
            if re.search(r"\be?print(ln)?!", line):
                yield i, "a library prints"


RULES = [core_is_ours_alone, core_forbids_unsafe, net_knows_no_memory, engines_know_no_program,
         engines_are_opened_in_one_place, cuda_is_spelled_under_cuda, checkpoint_calls_no_engine, unsafe_is_rare,
         files_are_short, names_say_something, nothing_is_left_open, no_foreign_paths, only_the_program_prints]

# For each rule, a path and a text that break it, and one that does not.
EXAMPLES = {
    "core_is_ours_alone": [("core/src/a.rs", "use std::fs::File;"), ("core/src/a.rs", "use alloc::vec::Vec; // std::fs")],
    "core_forbids_unsafe": [("core/src/lib.rs", "#![no_std]"),
                            ("core/src/lib.rs", "#![no_std]\n#![forbid(unsafe_code)]\n#![warn(missing_docs)]")],
    "net_knows_no_memory": [("runtime/src/net/a.rs", "use crate::{error::E, cpu::Buf};"),
                            ("runtime/src/net/a.rs", "use crate::config::Model;")],
    "engines_know_no_program": [("runtime/src/cpu/a.rs", "use crate::data::Loader;"),
                                ("runtime/src/cpu/a.rs", "use crate::config::{Optim, Optimizer};")],
    "engines_are_opened_in_one_place": [("runtime/src/eval/a.rs", "use crate::cpu::Engine;"),
                                        ("runtime/src/device.rs", "use crate::cpu::Engine;")],
    "cuda_is_spelled_under_cuda": [("runtime/src/train.rs", '#[cfg(feature = "cuda")]'),
                                   ("runtime/src/lib.rs", '#[cfg(feature = "cuda")]')],
    "checkpoint_calls_no_engine": [("runtime/src/checkpoint/a.rs", "fn f(e: &mut dyn Engine) {}"),
                                   ("runtime/src/checkpoint/a.rs", "use crate::engine::Snapshot;")],
    "unsafe_is_rare": [("runtime/src/train.rs", "fn f() { unsafe { g() } }"),
                       ("runtime/kernels/src/gemm.rs", "// SAFETY: g reads what it is given.\nunsafe { g() }")],
    "files_are_short": [("core/src/a.rs", "\n" * 500), ("core/src/a.rs", "\n" * 499)],
    "names_say_something": [("runtime/src/utils.rs", ""), ("runtime/src/rows.rs", "")],
    "nothing_is_left_open": [("core/src/a.rs", "fn f() { todo!() }"), ("core/src/a.rs", 'let s = "todo!";')],
    "no_foreign_paths": [("README.md", "see /ho" "me/me/x"), ("README.md", "see docs/work/x")],
    "only_the_program_prints": [("runtime/src/train.rs", 'println!("x")'), ("runtime/src/main.rs", 'println!("x")')],
}
MORE_BREACHES = [
    (unsafe_is_rare, "runtime/src/cpu/engine.rs", "// SAFETY: no.\nunsafe { g() }"),
    (unsafe_is_rare, "runtime/kernels/src/gemm.rs", "fn f() {\n    unsafe { g() }\n}"),
    (unsafe_is_rare, "runtime/kernels/src/conv/pack.rs", "// SAFETY: both.\nunsafe { g(); h(); }"),
    (unsafe_is_rare, "runtime/images/src/resize.rs", "// SAFETY: no.\nunsafe { g() }"),
    (only_the_program_prints, "runtime/kernels/src/norm.rs", 'println!("x")'),
    (names_say_something, "core/src/sinkhorn_v2.rs", ""),
    (engines_know_no_program, "runtime/src/cpu/a.rs", "use crate::cuda::Kernels;"),
    (engines_know_no_program, "runtime/src/cuda/a.rs", "use crate::cpu::Engine;"),
    (cuda_is_spelled_under_cuda, "runtime/src/train.rs", "use cudarc::driver;"),
    (net_knows_no_memory, "runtime/src/net/a.rs", "#[cfg(feature = 1)]"),
    (nothing_is_left_open, "core/src/a.rs", "#![allow(warnings)]"),
]


def self_test():
    for rule in RULES:
        (bad_path, bad), (good_path, good) = EXAMPLES[rule.__name__]
        assert list(rule(bad_path, bad)), f"{rule.__name__} did not fail"
        assert not list(rule(good_path, good)), f"{rule.__name__} failed: {list(rule(good_path, good))}"
    for rule, path, text in MORE_BREACHES:
        assert list(rule(path, text)), f"{rule.__name__} let {text!r} pass in {path}"
    print(f"rules: each of {len(RULES)} can fail")


def main():
    if sys.argv[1:] == ["--self-test"]:
        return self_test()
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, check=True,
                            capture_output=True).stdout.decode().split("\0")
    breaches = blocks = files = 0
    for path in sorted(p for p in listed if p):
        full = ROOT / path
        if path == ".ci/rules.py" or not full.is_file():
            continue
        try:
            text = full.read_text()
        except UnicodeDecodeError:
            continue
        files += 1
        if path.endswith(".rs"):
            blocks += sum(bool(re.search(r"\bunsafe\b(?!_)", line)) for line in code(text))
        for rule in RULES:
            for line, what in rule(path, text):
                breaches += 1
                print(f"{path}:{line}: {what} [{rule.__name__}]")
    print(f"rules: {len(RULES)} rules, {files} files, {blocks} lines with unsafe, {breaches} breaches")
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main())
