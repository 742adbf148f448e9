#!/usr/bin/env python3
"""Pictures whose EXIF tells which way the camera was held, in all eight ways, and as Pillow turns them: data/orientation. Pictures of many kinds, and as
Pillow reads them, or no such picture where the kind is not read: data/picture_kinds. Usage: make_pictures.py data. Needs Pillow 13, tifffile and numpy.
Every side is of another length, and every corner of another colour."""
import sys
from pathlib import Path
import numpy as np
import tifffile
from PIL import Image, ImageOps

data = Path(sys.argv[1])
out = data / "orientation"
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

out = data / "picture_kinds"
out.mkdir(parents=True, exist_ok=True)
rows, columns = np.mgrid[:24, :40]
pixels = np.stack([columns * 6, rows * 10, rows * columns % 256], -1).astype(np.uint8)
pixels[-8:, :8] = (20, 20, 250)
rgb, other = Image.fromarray(pixels), Image.fromarray(255 - pixels)
rgba = Image.fromarray(np.dstack([pixels, (columns * 13 % 256).astype(np.uint8)]))
turned = Image.Exif()
turned[0x0112] = 6
clear = rgb.quantize(16)
kinds = {
    "lzw.tif": (rgb, {"compression": "tiff_lzw"}),
    "deflate.tiff": (rgb, {"compression": "tiff_adobe_deflate"}),
    "cmyk.tiff": (rgb.convert("CMYK"), {}),
    "rgba.tiff": (rgba, {}),
    "gray.tif": (rgb.convert("L"), {}),
    "fax.tif": (rgb.convert("1"), {"compression": "group4"}),
    "palette.tif": (rgb.convert("P"), {}),
    "pages.tiff": (rgb, {"save_all": True, "append_images": [other]}),
    "turned.tiff": (rgb, {"exif": turned}),
    "rgb.bmp": (rgb, {}),
    "palette.bmp": (rgb.convert("P"), {}),
    "bits.bmp": (rgb.convert("1"), {}),
    "rgb.jfif": (rgb, {"format": "JPEG", "quality": 100, "subsampling": 0}),
    "cmyk.jpg": (rgb.convert("CMYK"), {"quality": 100, "subsampling": 0}),
    "gray_alpha.png": (rgba.convert("LA"), {}),
    "bits.png": (rgb.convert("1"), {}),
    "clear_colour.png": (clear, {"transparency": 3}),
    "moving.png": (rgb, {"save_all": True, "append_images": [other]}),
    "rgb.webp": (rgb, {"lossless": True}),
    "a_gif.gif": (rgb, {}),
    "an_avif.avif": (rgb, {}),
    "an_avif.jpg": (rgb, {"format": "AVIF"}),
    "a_jpeg_2000.jp2": (rgb, {}),
    "moving.webp": (rgb, {"save_all": True, "append_images": [other], "lossless": True}),
}
# What is transparent in a TIFF is told in three ways, of 8 and of 16 bits: multiplied into the colours (1), not (2), or not told (0).
straight = np.asarray(rgba)
alpha = straight[..., 3:].astype(int)
on_white = Image.fromarray(((straight[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8))
multiplied = np.dstack([(straight[..., :3] * alpha + 127) // 255, alpha]).astype(np.uint8)
for extra, values in ((0, straight), (1, multiplied), (2, straight)):
    for bits, of_type in ((8, values), (16, values.astype(np.uint16) * 257)):
        name = f"alpha{extra}_{bits}.tiff"
        tifffile.imwrite(out / name, of_type, photometric="rgb", extrasamples=[extra], compression="zlib", predictor=True)
        on_white.save(out / f"{name}-read.png")
unread = ("a_gif.gif", "an_avif.avif", "an_avif.jpg", "a_jpeg_2000.jp2", "moving.webp")
for name, (picture, options) in kinds.items():
    picture.save(out / name, **options)
    if name in unread:
        continue
    read = ImageOps.exif_transpose(Image.open(out / name))
    if read.mode in ("RGBA", "LA") or "transparency" in read.info:  # laid over white
        white = Image.new("RGBA", read.size, (255, 255, 255, 255))
        white.alpha_composite(read.convert("RGBA"))
        read = white
    read.convert("RGB").save(out / f"{name}-read.png")
