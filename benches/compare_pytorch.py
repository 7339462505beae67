#!/usr/bin/env python3
"""The training step beside PyTorch's, in one run on one machine.

    benches/compare_pytorch.sh [--cases resnet50-224,small-28] [--rounds 5] [--threads 2] [--out FILE.json]

Rounds alternate: swav, PyTorch, swav, PyTorch, ... so that what else the machine does meets both. Printed are the
best of each side and their ratio (what the machine can do), and the median of the ratios of each round (what a
user sees). Both sides do the same step: forward of all crops, codes by three Sinkhorn rounds, swapped prediction,
backward, SGD with momentum; f32, channels last, the same number of threads.
PyTorch runs as it is installed, eagerly, which is how the published code runs.

The shell script beside this file installs PyTorch outside the checkout and builds swav with --release.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

CASES = {
    # name: (block, layers, width, small stem, channels, images, [(count, size)])
    "resnet50-224": ("bottleneck", [3, 4, 6, 3], 64, False, 3, 4, [(2, 224), (6, 96)]),
    "small-28": ("basic", [2, 2, 2, 2], 16, True, 1, 64, [(2, 28), (4, 14)]),
}
HIDDEN, DIM, PROTOTYPES, TEMPERATURE, EPSILON, ROUNDS = 2048, 128, 3000, 0.1, 0.05, 3


def serve(case, threads, seconds):
    """Times steps in this process whenever a line arrives on stdin, and prints the best as JSON."""
    import torch
    import torch.nn.functional as F
    from torch import nn

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    block, layers, width, small, channels, images, crops = CASES[case]

    def conv(i, o, k, s):
        return nn.Conv2d(i, o, k, s, k // 2, bias=False)

    class Block(nn.Module):
        def __init__(self, i, planes, stride):
            super().__init__()
            if block == "basic":
                o = planes
                steps = [conv(i, planes, 3, stride), nn.BatchNorm2d(planes), nn.ReLU(inplace=True),
                         conv(planes, o, 3, 1), nn.BatchNorm2d(o)]
            else:
                o = 4 * planes
                steps = [conv(i, planes, 1, 1), nn.BatchNorm2d(planes), nn.ReLU(inplace=True),
                         conv(planes, planes, 3, stride), nn.BatchNorm2d(planes), nn.ReLU(inplace=True),
                         conv(planes, o, 1, 1), nn.BatchNorm2d(o)]
            self.body = nn.Sequential(*steps)
            self.skip = nn.Sequential(conv(i, o, 1, stride), nn.BatchNorm2d(o)) if stride > 1 or i != o else None

        def forward(self, x):
            return F.relu(self.body(x) + (x if self.skip is None else self.skip(x)), inplace=True)

    stem = [conv(channels, width, 3, 1)] if small else [nn.Conv2d(channels, width, 7, 2, 3, bias=False)]
    stem += [nn.BatchNorm2d(width), nn.ReLU(inplace=True)] + ([] if small else [nn.MaxPool2d(3, 2, 1)])
    stages, i = [], width
    for s, n in enumerate(layers):
        planes = width << s
        for j in range(n):
            stages.append(Block(i, planes, 2 if s and not j else 1))
            i = planes * (1 if block == "basic" else 4)
    trunk = nn.Sequential(*stem, *stages).to(memory_format=torch.channels_last)
    head = nn.Sequential(nn.Linear(i, HIDDEN), nn.BatchNorm1d(HIDDEN), nn.ReLU(inplace=True), nn.Linear(HIDDEN, DIM))
    prototypes = nn.Linear(DIM, PROTOTYPES, bias=False)
    parameters = [p for m in (trunk, head, prototypes) for p in m.parameters()]
    sgd = torch.optim.SGD(parameters, lr=0.01, momentum=0.9, weight_decay=1e-6)
    groups = [torch.randn(n * images, channels, s, s).to(memory_format=torch.channels_last) for n, s in crops]
    views = sum(n for n, _ in crops)

    def codes(scores):
        q = torch.exp(scores / EPSILON).T
        q /= q.sum()
        for _ in range(ROUNDS):
            q /= q.sum(1, keepdim=True) * q.shape[0]
            q /= q.sum(0, keepdim=True) * q.shape[1]
        return (q * q.shape[1]).T

    def step():
        with torch.no_grad():
            prototypes.weight.copy_(F.normalize(prototypes.weight, dim=1))
        z = F.normalize(head(torch.cat([trunk(g).mean((2, 3)) for g in groups])), dim=1)
        scores = prototypes(z)
        loss = 0.0
        for a in (0, 1):
            q = codes(scores[a * images : (a + 1) * images].detach())
            for v in range(views):
                if v != a:
                    logp = F.log_softmax(scores[v * images : (v + 1) * images] / TEMPERATURE, dim=1)
                    loss = loss - (q * logp).sum(1).mean() / (views - 1) / 2
        sgd.zero_grad(set_to_none=True)
        loss.backward()
        sgd.step()
        return loss.item()

    for _ in range(2):
        value = step()
    assert value == value, "PyTorch's loss is not a number"
    for _ in sys.stdin:
        best, start, n = float("inf"), time.perf_counter(), 0
        while n < 3 or time.perf_counter() - start < seconds:
            t = time.perf_counter()
            step()
            best, n = min(best, time.perf_counter() - t), n + 1
        print(json.dumps({"seconds": best, "repetitions": n, "version": torch.__version__}), flush=True)


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--swav", default="target/release/swav", help="the program to measure")
    p.add_argument("--cases", default=",".join(CASES))
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--seconds", type=float, default=5.0, help="least time of one turn")
    p.add_argument("--out", help="write the figures here as JSON")
    p.add_argument("--serve", help=argparse.SUPPRESS)
    a = p.parse_args()
    if a.serve:
        return serve(a.serve, a.threads, a.seconds)
    if a.rounds < 3:
        p.error("--rounds: at least 3, one turn each proves nothing")
    results = []
    for case in a.cases.split(","):
        command = [sys.executable, __file__, "--serve", case, "--threads", str(a.threads), "--seconds", str(a.seconds)]
        env = os.environ | {"OMP_NUM_THREADS": str(a.threads)}
        torch = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)
        rounds = []
        for r in range(a.rounds):
            bench = [a.swav, "bench", "step", "--case", case, "--threads", str(a.threads), "--json"]
            out = subprocess.run(bench, check=True, capture_output=True, text=True).stdout
            ours = json.loads(out.strip().splitlines()[-1])
            ours = ours[0] if isinstance(ours, list) else ours
            torch.stdin.write("\n")
            torch.stdin.flush()
            line = torch.stdout.readline()
            if not line:
                raise SystemExit("PyTorch's side ended; its message is above")
            theirs = json.loads(line)
            rounds.append((ours["seconds"], theirs["seconds"]))
            print(f"{case} round {r + 1}: swav {rounds[-1][0]:.4f} s, PyTorch {rounds[-1][1]:.4f} s", file=sys.stderr)
        torch.stdin.close()
        torch.wait()
        mine, other = min(x for x, _ in rounds), min(y for _, y in rounds)
        results.append({
            "case": case, "swav": mine, "pytorch": other, "best_ratio": mine / other,
            "median_ratio": statistics.median(x / y for x, y in rounds), "rounds": rounds, "threads": a.threads,
            "isa": ours.get("isa"), "pytorch_version": theirs["version"],
        })
        print(f"{case}: swav {mine:.4f} s, PyTorch {theirs['version']} {other:.4f} s, "
              f"best with best {mine / other:.2f}, median of rounds {results[-1]['median_ratio']:.2f}")
    if a.out:
        with open(a.out, "w") as f:
            json.dump(results, f, indent=1)
    print(json.dumps(results))


if __name__ == "__main__":
    main()
