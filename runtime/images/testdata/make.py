"""Writes the image fixtures of this folder, and what Pillow makes of them (Pillow 13.0, NumPy 2).

    python make.py

`X.ext` is a fixture, `X.expected.png` is Pillow's `convert("RGB")` of it; `augment.*.png` are colour
operations, a blur and a crop with resize applied to `augment.png`.
"""

import io
import os

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

HERE = os.path.dirname(os.path.abspath(__file__))


def picture(width, height):
    """A smooth picture with a few edges, in colour."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    red = 128 + 100 * np.sin(x / 9) * np.cos(y / 7)
    green = 255 * x / width
    blue = 128 + 90 * np.cos((x + 2 * y) / 13)
    image = np.stack([red, green, blue], -1)
    image[(x - width * 0.7) ** 2 + (y - height * 0.4) ** 2 < (height * 0.2) ** 2] = [230, 40, 60]
    image[int(height * 0.6) : int(height * 0.8), int(width * 0.1) : int(width * 0.3)] = [20, 60, 200]
    return Image.fromarray(image.clip(0, 255).round().astype(np.uint8))


def path(name):
    return os.path.join(HERE, name)


def expect(name, rgb):
    rgb.save(path(name + ".expected.png"), optimize=True)


def save(name, image, **options):
    image.save(path(name), **options)
    with Image.open(path(name)) as back:
        back.seek(0)
        expect(name, back.convert("RGB"))


small = picture(48, 32)
alpha = Image.fromarray((np.mgrid[0:32, 0:48][1] * 5).astype(np.uint8))
rgba = small.copy()
rgba.putalpha(alpha)

save("baseline.jpg", picture(50, 37), quality=85)
save("progressive.jpg", small, quality=85, progressive=True)
save("gray.jpg", small.convert("L"), quality=85)
save("full.jpg", small, quality=85, subsampling=0, restart_marker_blocks=3)
save("cmyk.jpg", small.convert("CMYK"), quality=85)
exif = Image.Exif()
exif[0x0112] = 6
small.save(path("turned.jpg"), quality=85, exif=exif)
with Image.open(path("turned.jpg")) as turned:
    expect("turned.jpg", turned.convert("RGB").transpose(Image.Transpose.ROTATE_270))
small.save(path("turned.png"), exif=exif, optimize=True)
expect("turned.png", small.transpose(Image.Transpose.ROTATE_270))
small.save(path("turned.webp"), exif=exif, lossless=True)
expect("turned.webp", small.transpose(Image.Transpose.ROTATE_270))

save("lossy.webp", small, quality=80)
save("lossless.webp", small, lossless=True)
save("alpha.webp", rgba, quality=80)
save("moving.webp", small, save_all=True, append_images=[small.rotate(90)], lossless=True)

save("palette.png", small.quantize(16), optimize=True)
save("onebit.png", small.convert("1"), optimize=True)
save("rgba.png", rgba, optimize=True)
save("la.png", rgba.convert("LA"), optimize=True)
transparent = small.quantize(16)
save("keyed.png", transparent, transparency=3, optimize=True)
save("moving.png", small, save_all=True, append_images=[small.rotate(90)])

# Colour operations as torchvision applies them to Pillow images, on a picture of its own.
source = picture(40, 40)
source.save(path("augment.png"), optimize=True)


def step(name, image):
    image.save(path(f"augment.{name}.png"), optimize=True)


def hue(image, factor):
    h, s, v = image.convert("HSV").split()
    h = Image.fromarray((np.asarray(h).astype(np.int32) + int(factor * 255)).astype(np.uint8))
    return Image.merge("HSV", (h, s, v)).convert("RGB")


step("brightness", ImageEnhance.Brightness(source).enhance(1.4))
step("contrast", ImageEnhance.Contrast(source).enhance(0.5))
step("saturation", ImageEnhance.Color(source).enhance(1.6))
step("hue", hue(source, 0.2))
step("gray", source.convert("L").convert("RGB"))
step("blur", source.filter(ImageFilter.GaussianBlur(2.0)))
step("crop", source.resize((16, 16), Image.Resampling.BILINEAR, box=(3, 5, 36, 30)))

# A 16-bit picture, whose high bytes are those of the small picture.
wide = np.asarray(small).astype(np.uint16) * 256 + 77
height, width, _ = wide.shape
raw = b"".join(b"\0" + row.astype(">u2").tobytes() for row in wide)


def chunk(kind, body):
    import struct
    import zlib

    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png16():
    import struct
    import zlib

    head = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    out = io.BytesIO()
    out.write(b"\x89PNG\r\n\x1a\n")
    out.write(chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(raw, 9)) + chunk(b"IEND", b""))
    return out.getvalue()


with open(path("sixteen.png"), "wb") as f:
    f.write(png16())
expect("sixteen.png", small)
