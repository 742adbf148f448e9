#!/usr/bin/env python3
"""Writes a folder of LPIPS for --lpips-model, from the package lpips and torchvision's network.

    lpips_folder.py OUT [alex|vgg]

Needs Python with lpips, torchvision and safetensors; torchvision fetches its network's weights, unless they are there already.
"""

import json
import sys
from pathlib import Path

import lpips
from safetensors.torch import save_file


def main():
    if len(sys.argv) not in (2, 3) or sys.argv[2:] not in ([], ["alex"], ["vgg"]):
        sys.exit(__doc__)
    out, net = Path(sys.argv[1]), sys.argv[2] if len(sys.argv) == 3 else "alex"
    model = lpips.LPIPS(net=net, verbose=False)
    out.mkdir(parents=True, exist_ok=True)
    # The module has its linear layers twice: once by name, once in a list.
    tensors = {name: tensor.contiguous() for name, tensor in model.state_dict().items() if name.startswith(("net.", "lin")) and not name.startswith("lins.")}
    save_file(tensors, out / "model.safetensors")
    (out / "config.json").write_text(json.dumps({"architectures": ["LPIPS"], "net": net}, indent=2) + "\n")


if __name__ == "__main__":
    main()
