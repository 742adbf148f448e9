"""Two adapters that should be one: the largest difference of their numbers. Fails over 1e-6, or where nothing was learned.

    python3 compare_adapters.py A.safetensors B.safetensors"""

import json, struct, sys

def numbers(path):
    data = open(path, "rb").read()
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + size])
    out = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        assert entry["dtype"] == "F32", entry
        begin, end = entry["data_offsets"]
        out[name] = struct.unpack(f"<{(end - begin) // 4}f", data[8 + size + begin:8 + size + end])
    return out

a, b = map(numbers, sys.argv[1:])
assert a.keys() == b.keys()
largest = max(abs(x - y) for name in a for x, y in zip(a[name], b[name]))
moved = max(abs(x) for name in a if "lora_B" in name for x in a[name])
print(f"largest difference {largest:.2e}; the adapter's largest number that began at 0 is {moved:.2e}")
sys.exit(largest > 1e-6 or moved < 1e-3)
