"""Records training runs of SwAV in PyTorch, float64 on the CPU, for the golden tests.

    python make_trajectory.py check DIR...      recompute recorded runs and print the largest difference of each kind
    python make_trajectory.py make NAME OUT     record one of the runs named in RUNS below
    python make_trajectory.py bounds DIR...     how far PyTorch's own float32 run is from its float64 run

Needs `pip install torch numpy safetensors`. It shares no text with the Rust code: the two agree because both
follow the published recipe (Caron et al. 2020 and its published code), not because one copies the other.
"""

import argparse
import json
import math
import pathlib

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import nn

torch.set_num_threads(1)

SWAV = {
    "name": "swav",
    "temperature": 0.1,
    "epsilon": 0.05,
    "sinkhorn_iterations": 3,
    "crops_for_assign": [0, 1],
    "queue_length": 0,
    "queue_start_step": 0,
    "freeze_prototypes_steps": 1,
}
SGD = {"name": "sgd", "momentum": 0.9, "weight_decay": 1e-6, "lars": None}
LARS = {"trust_coefficient": 0.001, "eps": 1e-8, "clip": False}

# Each differs from the three runs that came with the recipe in block, depth, width, channels, crop list,
# assigned crops, rounds, temperature, epsilon, clipping or queue.
RUNS = {
    # Two blocks in a stage, so a block without downsampling; an odd width; one assigned crop; no momentum.
    "basic_two_blocks_one_assigned": {
        "seed": 11,
        "steps": 3,
        "batch_size": 6,
        "backbone": {"block": "basic", "layers": [2, 1], "width": 3, "stem": "small", "in_channels": 3},
        "head": {"hidden": 0, "output_dim": 5, "prototypes": 7},
        "crops": [{"count": 1, "size": 9}, {"count": 2, "size": 7}],
        "method": SWAV | {"temperature": 0.2, "epsilon": 0.1, "sinkhorn_iterations": 1, "crops_for_assign": [0]},
        "optimizer": SGD | {"momentum": 0.0, "weight_decay": 1e-3},
        "learning_rates": [0.1, 0.05, 0.2],
    },
    # Three resolutions, codes of a small crop too, clipped LARC, five rounds, a deep stage of bottlenecks.
    "bottleneck_clip_three_sizes": {
        "seed": 12,
        "steps": 3,
        "batch_size": 5,
        "backbone": {"block": "bottleneck", "layers": [1, 2], "width": 2, "stem": "imagenet", "in_channels": 1},
        "head": {"hidden": 6, "output_dim": 4, "prototypes": 9},
        "crops": [{"count": 2, "size": 24}, {"count": 1, "size": 17}, {"count": 2, "size": 12}],
        "method": SWAV
        | {"temperature": 0.07, "epsilon": 0.03, "sinkhorn_iterations": 5, "crops_for_assign": [0, 1, 3]},
        "optimizer": SGD | {"weight_decay": 1e-4, "lars": LARS | {"trust_coefficient": 0.02, "clip": True}},
        "learning_rates": [0.5, 0.01, 0.4],
    },
    # A queue as long as one batch, from the first step, assigned crops out of order; prototypes never frozen.
    "queue_of_one_batch": {
        "seed": 13,
        "steps": 4,
        "batch_size": 4,
        "backbone": {"block": "basic", "layers": [1, 1, 1], "width": 2, "stem": "small", "in_channels": 2},
        "head": {"hidden": 5, "output_dim": 3, "prototypes": 6},
        "crops": [{"count": 3, "size": 10}],
        "method": SWAV
        | {
            "epsilon": 0.5,
            "sinkhorn_iterations": 2,
            "crops_for_assign": [2, 0],
            "queue_length": 4,
            "freeze_prototypes_steps": 0,
        },
        "optimizer": SGD | {"momentum": 0.8, "lars": LARS},
        "learning_rates": [1.0, 0.5, 0.3, 0.2],
    },
    # A long queue that fills only at the end, many rounds, small epsilon: codes far from smooth.
    "queue_small_epsilon": {
        "seed": 14,
        "steps": 5,
        "batch_size": 4,
        "backbone": {"block": "bottleneck", "layers": [1], "width": 2, "stem": "small", "in_channels": 4},
        "head": {"hidden": 0, "output_dim": 6, "prototypes": 5},
        "crops": [{"count": 2, "size": 8}, {"count": 1, "size": 6}],
        "method": SWAV
        | {
            "epsilon": 0.01,
            "sinkhorn_iterations": 10,
            "queue_length": 8,
            "queue_start_step": 1,
            "freeze_prototypes_steps": 3,
        },
        "optimizer": SGD,
        "learning_rates": [0.1, 0.1, 0.1, 0.05, 0.05],
    },
}


class Basic(nn.Module):
    expansion = 1

    def __init__(self, inputs, planes, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, planes, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.downsample = shortcut(inputs, planes, stride)

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + (x if self.downsample is None else self.downsample(x)))


class Bottleneck(nn.Module):
    expansion = 4

    def __init__(self, inputs, planes, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, planes, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv3 = nn.Conv2d(planes, 4 * planes, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * planes)
        self.downsample = shortcut(inputs, 4 * planes, stride)

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        return F.relu(self.bn3(self.conv3(y)) + (x if self.downsample is None else self.downsample(x)))


def shortcut(inputs, outputs, stride):
    if stride == 1 and inputs == outputs:
        return None
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))


class Net(nn.Module):
    """A ResNet, a head and prototypes with the published names."""

    def __init__(self, config):
        super().__init__()
        b, h = config["backbone"], config["head"]
        block = {"basic": Basic, "bottleneck": Bottleneck}[b["block"]]
        self.small = b["stem"] == "small"
        kernel, stride, pad = (3, 1, 1) if self.small else (7, 2, 3)
        planes = inputs = b["width"]
        self.conv1 = nn.Conv2d(b["in_channels"], planes, kernel, stride, pad, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.stages = len(b["layers"])
        for i, count in enumerate(b["layers"]):
            blocks = []
            for j in range(count):
                blocks.append(block(inputs, planes, 2 if i > 0 and j == 0 else 1))
                inputs = planes * block.expansion
            setattr(self, f"layer{i + 1}", nn.Sequential(*blocks))
            planes *= 2
        if h["hidden"]:
            self.projection_head = nn.Sequential(
                nn.Linear(inputs, h["hidden"]),
                nn.BatchNorm1d(h["hidden"]),
                nn.ReLU(),
                nn.Linear(h["hidden"], h["output_dim"]),
            )
        else:
            self.projection_head = nn.Linear(inputs, h["output_dim"])
        self.prototypes = nn.Linear(h["output_dim"], h["prototypes"], bias=False)

    def features(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        if not self.small:
            x = F.max_pool2d(x, 3, 2, 1)
        for i in range(self.stages):
            x = getattr(self, f"layer{i + 1}")(x)
        return x.mean((2, 3))

    def forward(self, groups):
        """groups: one tensor per resolution. The trunk sees one resolution at a time, the head all rows."""
        z = F.normalize(self.projection_head(torch.cat([self.features(g) for g in groups])), dim=1)
        return z, self.prototypes(z)


def sinkhorn(scores, epsilon, rounds):
    """The published loop: prototypes first, samples last; the rows of the result sum to one."""
    # One shift per prototype cancels exactly; no prototype's column underflows, in float32 and at a small epsilon.
    q = ((scores - scores.max(0, keepdim=True).values) / epsilon).exp().T
    k, b = q.shape
    q = q / q.sum()
    for _ in range(rounds):
        q = q / q.sum(1, keepdim=True) / k
        q = q / q.sum(0, keepdim=True) / b
    return (q * b).T


def trained(net):
    return {n: p for n, p in net.named_parameters()}


class Update:
    """SGD with momentum, with or without LARC around it, written out."""

    def __init__(self, config):
        self.rule = config["optimizer"]
        self.buffers = {}

    def step(self, net, lr):
        lars, decay = self.rule["lars"], self.rule["weight_decay"]
        for name, p in trained(net).items():
            if p.grad is None:
                continue
            g = p.grad
            if lars is None:
                g = g + decay * p.data
            else:
                pn, gn = p.data.norm(), g.norm()
                if pn != 0 and gn != 0:
                    rate = lars["trust_coefficient"] * pn / (gn + decay * pn + lars["eps"])
                    if lars["clip"]:
                        rate = min(rate / lr, 1)
                    g = rate * (g + decay * p.data)
            old = self.buffers.get(name)
            self.buffers[name] = g.clone() if old is None else self.rule["momentum"] * old + g
            p.data -= lr * self.buffers[name]


def replay(config, inputs, dtype=torch.float64):
    """Returns everything that `expected.safetensors` holds."""
    m = config["method"]
    net = Net(config).to(dtype)
    state = {k.removeprefix("init."): v.to(dtype) for k, v in inputs.items() if k.startswith("init.")}
    missing, unexpected = net.load_state_dict(state, strict=False)
    assert not unexpected and all(k.endswith("num_batches_tracked") for k in missing), (missing, unexpected)
    net.train()
    update, out = Update(config), {}
    b, views = config["batch_size"], sum(c["count"] for c in config["crops"])
    queue = torch.zeros(len(m["crops_for_assign"]), m["queue_length"], config["head"]["output_dim"], dtype=dtype)
    for t in range(config["steps"]):
        with torch.no_grad():
            net.prototypes.weight.copy_(F.normalize(net.prototypes.weight, dim=1))
        groups, v = [], 0
        for c in config["crops"]:
            groups.append(torch.cat([inputs[f"step{t}.crop{v + i}"] for i in range(c["count"])]).to(dtype))
            v += c["count"]
        z, scores = net(groups)
        fixed, loss = z.detach(), 0.0
        for i, a in enumerate(m["crops_for_assign"]):
            with torch.no_grad():
                population = scores[a * b : (a + 1) * b].detach()
                if m["queue_length"] and t >= m["queue_start_step"]:
                    if bool((queue[i, -1] != 0).any()):
                        population = torch.cat([queue[i] @ net.prototypes.weight.T, population])
                    queue[i, b:] = queue[i, :-b].clone()
                    queue[i, :b] = fixed[a * b : (a + 1) * b]
                q = sinkhorn(population, m["epsilon"], m["sinkhorn_iterations"])[-b:]
                out[f"step{t}.codes{i}"] = q
            part = 0.0
            for w in range(views):
                if w != a:
                    logp = F.log_softmax(scores[w * b : (w + 1) * b] / m["temperature"], dim=1)
                    part = part - (q * logp).sum(1).mean()
            loss = loss + part / (views - 1)
        loss = loss / len(m["crops_for_assign"])
        net.zero_grad(set_to_none=True)
        loss.backward()
        out[f"step{t}.loss"] = loss.detach().reshape(1)
        if t == 0:
            out["step0.embeddings"], out["step0.scores"] = fixed, scores.detach()
            for name, p in trained(net).items():
                out[f"step0.grad.{name}"] = p.grad.clone()
        if t < m["freeze_prototypes_steps"]:
            net.prototypes.weight.grad = None
        update.step(net, config["learning_rates"][t])
    for name, value in net.state_dict().items():
        if not name.endswith("num_batches_tracked"):
            out[f"final.{name}"] = value
    for name, value in update.buffers.items():
        out[f"final.momentum.{name}"] = value
    if m["queue_length"]:
        out["final.queue"] = queue
    return {k: v.detach().to(torch.float64).contiguous().clone() for k, v in out.items()}


def inputs_of(config):
    """Initial parameters as the published code draws them, and crops with some structure."""
    gen = torch.Generator().manual_seed(config["seed"])
    torch.manual_seed(config["seed"])
    net, out = Net(config), {}
    for name, module in net.named_modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            # Away from 1 and 0, where a mistake in the order of scale, shift and residual would hide.
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.3, 0.3)
    for name, value in net.state_dict().items():
        if not name.endswith("num_batches_tracked"):
            out[f"init.{name}"] = value.float().contiguous().clone()
    b, c = config["batch_size"], config["backbone"]["in_channels"]
    for t in range(config["steps"]):
        coarse, v = torch.randn(b, c, 4, 4, generator=gen), 0
        for group in config["crops"]:
            for _ in range(group["count"]):
                size = (group["size"], group["size"])
                image = F.interpolate(coarse, size, mode="bilinear", align_corners=False)
                noise = torch.randn(b, c, *size, generator=gen)
                out[f"step{t}.crop{v}"] = (image + 0.3 * noise).float().contiguous()
                v += 1
    return out


def kind(name):
    if name.startswith("final."):
        return "momentum" if name.startswith("final.momentum.") else "last"
    rest = name.split(".", 1)[1]
    return "loss" if rest == "loss" else "gradients" if rest.startswith("grad.") else "codes"


def error(name, found, want):
    if kind(name) in ("codes", "gradients"):
        return float((found - want).norm() / want.norm().clamp_min(1e-300))
    return float((found - want).abs().max() / want.abs().max().clamp_min(1e-300))


def excluded(config, name):
    tails = ("projection_head.0.bias", "projection_head.1.running_mean")
    return config["head"]["hidden"] > 0 and name.endswith(tails)


def largest(config, found, want):
    assert found.keys() == want.keys(), sorted(found.keys() ^ want.keys())
    out = {"loss": 0.0, "codes": 0.0, "gradients": 0.0, "last": 0.0, "momentum": 0.0}
    for name in want:
        if not excluded(config, name):
            e = error(name, found[name], want[name])
            out[kind(name)] = max(out[kind(name)], math.inf if math.isnan(e) else e)
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=["check", "make", "bounds"])
    parser.add_argument("names", nargs="+")
    args = parser.parse_args()
    if args.what == "make":
        name, folder = args.names
        config, out = RUNS[name], pathlib.Path(folder)
        out.mkdir(parents=True, exist_ok=True)
        inputs = inputs_of(config)
        (out / "config.json").write_text(json.dumps(config, indent=1) + "\n")
        save_file(inputs, out / "inputs.safetensors")
        save_file(replay(config, inputs), out / "expected.safetensors")
        return
    failed = False
    for folder in map(pathlib.Path, args.names):
        config = json.loads((folder / "config.json").read_text())
        inputs = load_file(folder / "inputs.safetensors")
        want = load_file(folder / "expected.safetensors")
        single = args.what == "bounds"
        found = replay(config, inputs, torch.float32 if single else torch.float64)
        errors = largest(config, found, want)
        failed |= not single and max(errors.values()) > 1e-9
        print(folder.name, json.dumps({k: float(f"{v:.2g}") for k, v in errors.items()}))
    raise SystemExit(9 if failed else 0)


if __name__ == "__main__":
    main()
