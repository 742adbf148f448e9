"""Colours of matplotlib's maps (3.11.2), and PNGs whose text stands in each kind of chunk that libpng knows, written by Pillow: tests/golden/data/colours.json
and png_texts/. Usage: make_colours.py DATA"""
import json
import sys
import zlib
from pathlib import Path

import matplotlib
from PIL import Image, PngImagePlugin

data = Path(sys.argv[1])
names = {"viridis": "viridis", "cividis": "cividis", "magma": "magma", "grey": "grey", "turbo": "turbo", "difference": "RdBu_r"}
colours = {ours: [[round(255 * c) for c in matplotlib.colormaps[theirs](i / 64)[:3]] for i in range(65)] for ours, theirs in names.items()}
(data / "colours.json").write_text(json.dumps(colours, separators=(",", ":")) + "\n")

texts = data / "png_texts"
texts.mkdir(exist_ok=True)
said = json.dumps({"seed": 7, "prompt": "a sign that says OPEN " * 4})
image = Image.new("RGB", (4, 3), (10, 200, 30))


def save(name, add):
    info = PngImagePlugin.PngInfo()
    add(info)
    image.save(texts / name, pnginfo=info)


save("text.png", lambda info: info.add_text("glyphscope", said))
save("ztxt.png", lambda info: info.add_text("glyphscope", said, zip=True))
save("itxt.png", lambda info: info.add_itxt("glyphscope", said))
save("itxt_zipped.png", lambda info: info.add_itxt("glyphscope", said, zip=True))
save("other.png", lambda info: info.add_text("Software", "another"))


# After the pixels, where some writers put it.
def after(name):
    image.save(texts / name)
    whole = (texts / name).read_bytes()
    body = b"tEXtglyphscope\0" + said.encode()
    chunk = (len(body) - 4).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")
    (texts / name).write_bytes(whole[:-12] + chunk + whole[-12:])


after("after.png")
