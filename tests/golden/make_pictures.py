#!/usr/bin/env python3
"""Pictures whose EXIF tells which way the camera was held, in all eight ways, and as Pillow turns them. Usage: make_pictures.py data/orientation
Needs Pillow 12 and numpy. Every side is of another length, and every corner of another colour."""
import sys
from pathlib import Path
import numpy as np
from PIL import Image, ImageOps

out = Path(sys.argv[1])
out.mkdir(parents=True, exist_ok=True)
pixels = np.full((24, 40, 3), 128, np.uint8)
pixels[:8, :8] = (250, 20, 20)
pixels[:8, -8:] = (20, 250, 20)
pixels[-8:, :8] = (20, 20, 250)
picture = Image.fromarray(pixels)
for orientation in range(1, 9):
    exif = Image.Exif()
    exif[0x0112] = orientation
    for ending, options in (("png", {}), ("webp", {"lossless": True}), ("jpg", {"quality": 100, "subsampling": 0})):
        file = out / f"{orientation}.{ending}"
        picture.save(file, exif=exif, **options)
        turned = np.asarray(ImageOps.exif_transpose(Image.open(file)).convert("RGB")).astype(int)
        if ending == "png":
            Image.fromarray(turned.astype(np.uint8)).save(out / f"{orientation}-upright.png")
