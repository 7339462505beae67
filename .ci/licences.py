#!/usr/bin/env python3
"""Licences of everything that is linked: each must be usable under one of the licences below.

Reads `cargo metadata`; a licence expression is read as SPDX: `OR` needs one side, `AND` needs both. Also fails for
a dependency that comes from anywhere but crates.io or this checkout.
"""

import json
import re
import subprocess
import sys

ALLOWED = {
    "MIT", "MIT-0", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "BSD-2-Clause", "BSD-3-Clause", "BSD-1-Clause",
    "ISC", "Zlib", "0BSD", "CC0-1.0", "Unlicense", "Unicode-3.0", "Unicode-DFS-2016", "BSL-1.0",
}


def allowed(expression):
    """Whether an SPDX expression can be met. Parentheses, OR, AND, and the older slash for OR."""
    tokens = re.findall(r"\(|\)|\bOR\b|\bAND\b|[\w.+-]+(?: WITH [\w.-]+)?", expression.replace("/", " OR "))

    def either(i):
        left, i = both(i)
        while i < len(tokens) and tokens[i] == "OR":
            right, i = both(i + 1)
            left = left or right
        return left, i

    def both(i):
        left, i = one(i)
        while i < len(tokens) and tokens[i] == "AND":
            right, i = one(i + 1)
            left = left and right
        return left, i

    def one(i):
        if tokens[i] == "(":
            value, i = either(i + 1)
            return value, i + 1
        return tokens[i] in ALLOWED, i + 1

    return bool(tokens) and either(0)[0]


def self_test():
    assert allowed("MIT OR Apache-2.0") and allowed("GPL-3.0 OR MIT") and allowed("MIT/Apache-2.0")
    assert allowed("(MIT OR GPL-3.0) AND Zlib") and allowed("Apache-2.0 WITH LLVM-exception")
    assert not allowed("GPL-3.0") and not allowed("MIT AND GPL-3.0") and not allowed("")


def main():
    self_test()
    command = ["cargo", "metadata", "--format-version", "1", "--locked"]
    packages = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)["packages"]
    bad = []
    for p in packages:
        source = p["source"]
        if source is not None and "crates.io" not in source:
            bad.append(f"{p['name']} {p['version']}: comes from {source}")
        if not allowed(p["license"] or ""):
            bad.append(f"{p['name']} {p['version']}: licence {p['license'] or 'not stated'}")
    print("\n".join(bad + [f"licences: {len(packages)} packages, {len(bad)} refused"]))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
