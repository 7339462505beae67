"""Cuts the demo set out of the full Fashion-MNIST: the first 5,000 training and 3,000 test images.

    python cut.py FOLDER        # with the four published files *-ubyte.gz
"""

import gzip
import os
import struct
import sys

HERE = os.path.dirname(os.path.abspath(__file__))


def cut(source, name, count):
    with gzip.open(os.path.join(source, name)) as f:
        data = f.read()
    dimensions = data[3]
    shape = struct.unpack(f">{dimensions}I", data[4 : 4 + 4 * dimensions])
    item = 1
    for size in shape[1:]:
        item *= size
    start = 4 + 4 * dimensions
    assert shape[0] >= count and len(data) == start + shape[0] * item
    head = data[:4] + struct.pack(f">{dimensions}I", count, *shape[1:])
    # No time and no name in the header: the same input gives the same bytes.
    with open(os.path.join(HERE, name), "wb") as out:
        with gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=out, mtime=0) as f:
            f.write(head + data[start : start + count * item])


for part, count in [("train", 5000), ("t10k", 3000)]:
    cut(sys.argv[1], f"{part}-images-idx3-ubyte.gz", count)
    cut(sys.argv[1], f"{part}-labels-idx1-ubyte.gz", count)
