"""Writes the recogniser's alphabet, which lies in its ONNX metadata under the key `character`, one character a line.

Usage: ocr_alphabet.py MODEL.onnx ALPHABET.txt. ONNX is a protobuf message; `metadata_props` is its field 14,
a list of (key = 1, value = 2) strings (onnx.proto3), so no ONNX library is needed.
"""
import sys


def fields(data):
    """Yields (field number, payload) of each length-delimited field of a protobuf message."""
    at = 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(data):
        tag = varint()
        if tag & 7 == 0:
            varint()
        elif tag & 7 == 1:
            at += 8
        elif tag & 7 == 5:
            at += 4
        elif tag & 7 == 2:
            size = varint()
            yield tag >> 3, data[at:at + size]
            at += size
        else:
            sys.exit(f"ocr_alphabet: not a protobuf message (tag {tag} at byte {at})")


model, out = sys.argv[1:]
for number, payload in fields(memoryview(open(model, "rb").read())):
    if number == 14:
        entry = dict(fields(payload))
        if bytes(entry[1]) == b"character":
            open(out, "wb").write(bytes(entry[2]))
            sys.exit(0)
sys.exit(f"ocr_alphabet: {model} has no metadata entry 'character'")
