#!/usr/bin/env python3
"""Transport beside POT's, in one run on one machine.

    benches/compare_pot.sh [--cases log-1024,emd-500] [--rounds 3] [--threads 2] [--out FILE.json]

Rounds alternate: swav, POT, swav, POT, ... so that what else the machine does meets both. Printed are the best of each side
and their ratio (what the machine can do), and the median of the ratios of each round (what a user sees). Iterations
are plain ones of dense problems between points in three dimensions with weights that are not uniform; POT computes in
f64, as it does by default, with the same number of threads for its BLAS. What an iteration costs is the difference
between a long and a short run, so that what each side does before and after does not count.

The shell script beside this file installs POT outside the checkout and builds the bench with --release.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

# swav's case: POT's, the ratio that is asked for
CASES = {
    "log-1024-f64": ("log-1024", 30), "log-1024-f32": ("log-1024", 60),
    "log-2048-f64": ("log-2048", 30), "log-2048-f32": ("log-2048", 60),
    "kernel-2048-f64": ("kernel-2048", 1.5), "kernel-2048-f32": ("kernel-2048", 4),
    "kernel-4096-f64": ("kernel-4096", 1.5), "kernel-4096-f32": ("kernel-4096", 4),
    # The log domain in f32 against the kernel domain of POT.
    "log-2048-f32 ": ("kernel-2048", 1), "log-4096-f32": ("kernel-4096", 1),
    "reach": ("reach", 100),
    "emd-500": ("emd-500", 1), "emd-2000": ("emd-2000", 1),
}
SWAV = "target/release/transport_speed"


def draws(seed, n):
    """The generator of the reference inputs: a 64-bit congruential sequence, uniform in [0, 1)."""
    state, found = seed, []
    for _ in range(n):
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        found.append((state >> 11) / 2**53)
    return found


def serve():
    """Times a case in this process whenever a line arrives on stdin, and prints its seconds as JSON."""
    import warnings

    import numpy as np
    import ot

    warnings.simplefilter("ignore")

    def problem(n, m):
        x, y = (np.array(draws(s, k * 3)).reshape(k, 3) for s, k in ((11, n), (12, m)))
        a, b = (0.1 + np.array(draws(s, k)) for s, k in ((13, n), (14, m)))
        return a / a.sum(), b / b.sum(), ((x[:, None] - y[None]) ** 2).sum(-1)

    problems = {}
    for line in sys.stdin:
        kind, _, n = line.strip().partition("-")
        shape = (64, 48) if kind == "reach" else (int(n), int(n))
        if shape not in problems:
            problems = {shape: problem(*shape)}
        a, b, cost = problems[shape]
        best, more = float("inf"), {}
        if kind in ("log", "kernel"):
            method = "sinkhorn_log" if kind == "log" else "sinkhorn"
            long = max(6, min(400, (20_000_000 if kind == "log" else 2_000_000_000) // cost.size))
            # The best of each: making the kernel takes as long as dozens of iterations, and not always as long.
            seconds = [float("inf")] * 2
            for _ in range(3):
                for k, iterations in enumerate((2, 2 + long)):
                    begin = time.perf_counter()
                    ot.sinkhorn(a, b, cost, 0.05, method=method, numItermax=iterations, stopThr=0)
                    seconds[k] = min(seconds[k], time.perf_counter() - begin)
            best = (seconds[1] - seconds[0]) / long
        elif kind == "reach":
            begin = time.perf_counter()
            plan = ot.sinkhorn(a, b, cost, 1e-3, method="sinkhorn_log", numItermax=100_000, stopThr=3e-10)
            best = time.perf_counter() - begin
            more = {"error": float(abs(plan.sum(0) - b).sum() + abs(plan.sum(1) - a).sum())}
        elif kind == "emd":
            for _ in range(3):
                begin = time.perf_counter()
                plan = ot.emd(a, b, cost, numItermax=10_000_000)
                best = min(best, time.perf_counter() - begin)
            more = {"value": float((plan * cost).sum())}
        print(json.dumps({"seconds": best, **more}), flush=True)


class Side:
    """A process that answers a line with a line."""

    def __init__(self, command, environment):
        self.process = subprocess.Popen(command, env={**os.environ, **environment}, text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, case):
        self.process.stdin.write(case.strip() + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        if "error" in answer and "seconds" not in answer:
            sys.exit(answer["error"])
        return answer


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--cases", default=",".join(CASES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out")
    options = parser.parse_args()
    if options.serve:
        return serve()
    threads = str(options.threads)
    # A core type or cache size forced on OpenBLAS would slow it down.
    environment = {"OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads, "RAYON_NUM_THREADS": threads}
    for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
        os.environ.pop(name, None)
    swav = Side([SWAV, threads], environment)
    pot = Side([sys.executable, __file__, "--serve"], environment)
    table = []
    print(f"{'case':18} {'swav':>11} {'POT':>11} {'ratio':>8} {'median':>8} {'asked':>6}  of the limit")
    for name in options.cases.split(","):
        theirs, asked = CASES[name]
        rounds = [(swav.ask(name), pot.ask(theirs)) for _ in range(options.rounds)]
        best = [min(side["seconds"] for side in sides) for sides in zip(*rounds)]
        median = statistics.median(p["seconds"] / s["seconds"] for s, p in rounds)
        share = max((s.get("share_of_limit", 0) for s, _ in rounds))
        row = {"case": name.strip(), "against": theirs, "swav": best[0], "pot": best[1], "ratio": best[1] / best[0],
               "median_ratio": median, "asked": asked, "share_of_limit": share, "rounds": rounds}
        table.append(row)
        print(f"{name.strip():18} {best[0] * 1e3:8.3f} ms {best[1] * 1e3:8.3f} ms {row['ratio']:8.2f} {median:8.2f}"
              f" {asked:6}  {f'{share:.0%}' if share else ''}", flush=True)
    cloud = Side([SWAV, threads], environment).ask("cloud-50000")
    print(f"points, n = m = 50000, d = 3, f32: {cloud['seconds']:.2f} s an iteration,"
          f" {cloud['peak_bytes'] / 1e6:.0f} MB at most")
    if options.out:
        with open(options.out, "w") as file:
            json.dump({"threads": options.threads, "cases": table, "cloud": cloud}, file, indent=1)


if __name__ == "__main__":
    main()
