#!/usr/bin/env python3
"""What the libraries cost to compile: the lines of LLVM code that rustc makes of each, before any optimisation.

    .ci/llvm_lines.py          measure, print, and fail where a library is above its budget
    .ci/llvm_lines.py --top 30 also print which functions make most of them, copies of a generic one together

Compile time goes with these lines, and unlike seconds they are the same on every machine. Needs cargo and Python 3.9.
"""

import argparse
import collections
import glob
import os
import re
import subprocess
import sys

# Package, cargo's arguments, and the lines it may have: those of the day it was measured and a twentieth more.
BUDGETS = [
    ("swav-core", ["--features", "parallel"], 639_000),
    ("swav-images", [], 480_000),
    ("swav-kernels", [], 312_000),
    ("swav", [], 1_024_000),
]


def readable(symbol):
    """The path of a function without its hash, so that all copies of a generic function are one."""
    parts, rest = [], symbol.removeprefix("_ZN")
    while (length := re.match(r"\d+", rest)) is not None:
        start = length.end()
        parts.append(rest[start:start + int(length.group())])
        rest = rest[start + int(length.group()):]
    if re.fullmatch(r"h[0-9a-f]{16}", parts[-1] if parts else ""):
        parts.pop()
    path = "::".join(parts) or symbol
    for code, sign in (("$LT$", "<"), ("$GT$", ">"), ("$RF$", "&"), ("$u20$", " "), ("$u7b$", "{"), ("$u7d$", "}"),
                       ("$LP$", "("), ("$RP$", ")"), ("$C$", ","), ("..", "::")):
        path = path.replace(code, sign)
    return path


def measure(package, arguments):
    """Lines of every function of a library by its name without hash."""
    target = os.environ.get("CARGO_TARGET_DIR", "target")
    pattern = f"{target}/debug/deps/{package.replace('-', '_')}-*.ll"
    command = ["cargo", "rustc", "--quiet", "--locked", "--lib", "--package", package, *arguments, "--",
               "--emit=llvm-ir", "-Cno-prepopulate-passes", "-Ccodegen-units=1", "-Cdebuginfo=0"]
    subprocess.run(command, check=True)
    # Cargo leaves it where it is when nothing has changed since; others are of other features or versions.
    found = max(glob.glob(pattern), key=os.path.getmtime, default=None)
    if found is None:
        sys.exit(f"llvm_lines: cargo left no LLVM code of {package}; touch its lib.rs and try again")
    lines, name = collections.Counter(), None
    with open(found, encoding="utf-8", errors="replace") as text:
        for line in text:
            if line.startswith("define "):
                name = readable(re.search(r'@"?([^"(]+)', line).group(1))
            elif line.startswith("  ") and name is not None:  # not a label, a comment or an end
                lines[name] += 1
    return lines


def main():
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--top", type=int, default=0, help="functions to print for each library")
    options = options.parse_args()
    over = False
    for package, arguments, budget in BUDGETS:
        lines = measure(package, arguments)
        total = sum(lines.values())
        over |= total > budget
        print(f"{package:13} {total:9,} lines of LLVM code, {budget:9,} at most" + (" <-- too many" if total > budget else ""))
        for name, count in lines.most_common(options.top):
            print(f"    {count:8,} {name}")
    if over:
        print("llvm_lines: see \"What made the build slower?\" in CONTRIBUTING.md", file=sys.stderr)
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main())
