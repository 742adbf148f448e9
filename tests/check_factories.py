#!/usr/bin/env python3
"""Refuses tensors of models, pipelines and patching that are made without saying where: on the host (on_host), or with a placement's or another tensor's
options. On a GPU they would lie on the wrong side. Usage: check_factories.py SOURCE_DIR"""
import pathlib
import re
import sys

ROOMS = ("models", "pipelines", "patching", "families", "text", "device")
FACTORY = re.compile(r"\b(?:torch|at)::(zeros|ones|empty|full|arange|linspace|rand|randn|randint|randperm|tensor|eye|scalar_tensor|from_blob)\(")
SAYS_WHERE = re.compile(r"options|on_host\(|kMeta|\bthere\b")

bad = 0
for room in ROOMS:
    for path in sorted((pathlib.Path(sys.argv[1]) / "engine" / room).rglob("*.[ch]*")):
        text = path.read_text()
        for call in FACTORY.finditer(text):
            end, depth = call.end(), 1
            while depth > 0:
                depth += {"(": 1, ")": -1}.get(text[end], 0)
                end += 1
            if not SAYS_WHERE.search(text[call.end():end]):
                print(f"{path}:{text.count(chr(10), 0, call.start()) + 1}: {text[call.start():end]} does not say where the tensor lies")
                bad = 1
sys.exit(bad)
