"""Loads what `swav export` wrote into torchvision and timm and compares their features with `swav embed`.

    python tests/load_export.py SWAV RUN IMAGES

SWAV is the program, RUN a run with a resnet18, 34, 50 or 101 backbone, IMAGES a folder of images. Needs torch,
torchvision, timm, numpy and pillow. Exits with 1 when an architecture does not load strictly or features differ.
"""

import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import safetensors
import safetensors.torch
import timm
import torch
import torchvision
from PIL import Image


def run(*command):
    return subprocess.run([str(c) for c in command], check=True, capture_output=True, text=True).stdout


def main(swav, model, images):
    folder = pathlib.Path(tempfile.mkdtemp())
    run(swav, "embed", model, images, "--out", folder / "x.npy")
    expected = torch.from_numpy(np.load(folder / "x.npy"))
    names = (folder / "x.txt").read_text().splitlines()
    assert expected.shape[0] == len(names)

    file = folder / "backbone.safetensors"
    said = json.loads(run(swav, "export", model, "--format", "torchvision", "--out", file, "--json"))
    with safetensors.safe_open(file, "pt") as f:
        metadata = f.metadata()
    mean, std = (torch.tensor(json.loads(metadata[k])).view(-1, 1, 1) for k in ("mean", "std"))
    crop = int(metadata["crop"])

    # Images that already have the crop's size are taken as they are, so this compares networks, not resizers.
    def load(name):
        pixels = np.asarray(Image.open(pathlib.Path(images) / name).convert("RGB"))
        assert pixels.shape == (crop, crop, 3), f"{name}: give images of {crop} x {crop}"
        return (torch.from_numpy(pixels.copy()).permute(2, 0, 1) / 255 - mean) / std

    x = torch.stack([load(n) for n in names])

    tv = getattr(torchvision.models, said["architecture"])(weights=None)
    tv.fc = torch.nn.Identity()
    tv.load_state_dict(safetensors.torch.load_file(file), strict=True)

    run(swav, "export", model, "--format", "timm", "--out", folder / "timm")
    tm = timm.create_model(f"local-dir:{folder / 'timm'}", pretrained=True)
    assert tm.pretrained_cfg["mean"] == mean.flatten().tolist() or np.allclose(tm.pretrained_cfg["mean"], mean.flatten())
    assert tm.num_classes == 0 and tm.num_features == expected.shape[1]

    for name, network in (("torchvision", tv), ("timm", tm)):
        with torch.no_grad():
            found = network.eval()(x)
        error = (found - expected).abs().max().item()
        scale = expected.abs().max().item()
        print(f"{name}: largest difference {error:.3g} where features reach {scale:.3g}")
        # 50 layers of sums of about 1000 products in f32, each rounding by 2^-24 and growing like the root of
        # their number: 50 * sqrt(1000) * 2^-24 = 1e-4 of the scale.
        assert error <= 1e-4 * scale, name

    # An exported file is a model again, with the same bits.
    run(swav, "embed", file, images, "--out", folder / "y.npy")
    assert np.array_equal(np.load(folder / "y.npy"), expected.numpy())
    print(f"{len(names)} images, {said['tensors']} tensors, {said['architecture']}")


if __name__ == "__main__":
    main(*sys.argv[1:])
