#!/usr/bin/env bash
# A picture with transparency holds its colours as they are (straight), or multiplied by how opaque they are. TIFF tells which by its tag ExtraSamples.
#
# The guess: OpenCV's imread with IMREAD_UNCHANGED gives the same four channels of one picture, whether it was kept as PNG, as TIFF of 8 or as TIFF of 16 bits.
# What happens (opencv-python-headless 5.0.0.93): of a TIFF that says its colours are straight (ExtraSamples 2, what Pillow writes), 8 bits come multiplied, and 16 bits come as
# they are. 8 bits are read by libtiff's RGBA functions, which multiply; 16 bits by its plain ones. A TIFF that says nothing (ExtraSamples 0, what OpenCV itself writes) comes as
# it is in both. Who lays such a picture over a background has dark rims with one depth and none with the other. What holds everywhere: read the tag, and undo the product
# where it is 2 and the file has 8 bits.
#
# Usage: findings/rgba-tiff-in-opencv.sh    (some 300 MB in a temporary folder). Fails if the behaviour changes.
set -euo pipefail
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
python3 -m venv "$scratch/env"
"$scratch/env/bin/pip" install --quiet numpy==2.4.6 opencv-python-headless==5.0.0.93 pillow==13.0.0 tifffile==2026.3.3
cd "$scratch"
env/bin/python - << 'PYTHON' 2> warnings || { cat warnings >&2; exit 1; }
import cv2
import numpy as np
import tifffile
from PIL import Image

picture = np.full((4, 4, 4), (200, 100, 50, 128), np.uint8)  # red, green, blue, alpha
Image.fromarray(picture).save("a.png")
Image.fromarray(picture).save("pillow.tiff")
for bits, pixels in ((8, picture), (16, picture.astype(np.uint16) * 257)):
    for extra in (0, 2):
        tifffile.imwrite(f"{bits}_{extra}.tiff", pixels, photometric="rgb", extrasamples=[extra])


def colours(file):
    read = cv2.imread(file, cv2.IMREAD_UNCHANGED)
    value = read[0, 0, 2::-1].astype(int) // (257 if read.dtype == np.uint16 else 1)
    return [int(one) for one in value]


for file, expected in (("a.png", [200, 100, 50]), ("8_0.tiff", [200, 100, 50]), ("16_0.tiff", [200, 100, 50]), ("16_2.tiff", [200, 100, 50]),
                       ("8_2.tiff", [100, 50, 25]), ("pillow.tiff", [100, 50, 25])):
    assert colours(file) == expected, (file, colours(file))
    print(f"{file}: {expected}")
PYTHON
