#!/usr/bin/env bash
# A list of layer names chooses what an adapter is trained on: PEFT calls it target_modules, LyCORIS (in kohya's trainer) unet_target_name of a preset.
#
# The guess: the same list means the same layers in both, and one that means none is an error.
# What happens (lycoris-lora 4.1.3, peft 0.21.0): LyCORIS takes a name for a regular expression that is bound to the beginning of a path and open at its end. So
# "joint_blocks.1" is blocks 1, 10 and 11 too; "qkv", which is every qkv layer in PEFT, is none, and so is the glob "joint_blocks.?.qkv" (patterns of that kind want
# use_fnmatch). A preset that matches nothing makes a network of no layers, with a warning in its log; PEFT refuses such a list.
# It matters where a preset is written from another program's list. What holds in both: whole paths; for LyCORIS between ^ and $, with \. for the dots.
#
# Usage: findings/layer-names-in-lycoris.sh    (some 4 GB in a temporary folder). Fails if the behaviour changes.
set -euo pipefail
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
python3 -m venv "$scratch/env"
"$scratch/env/bin/pip" install --quiet torch==2.15.0 numpy==2.4.6 transformers==5.23.0 peft==0.21.0 lycoris-lora==4.1.3
"$scratch/env/bin/python" - << 'PYTHON' 2> "$scratch/warnings" || { cat "$scratch/warnings" >&2; exit 1; }
import torch.nn as nn
from lycoris.kohya import LycorisNetworkKohya
from peft import LoraConfig, inject_adapter_in_model


def network():
    root = nn.Module()
    root.joint_blocks = nn.ModuleList(nn.ModuleDict({"qkv": nn.Linear(4, 12)}) for _ in range(12))
    return root


def in_lycoris(names):
    LycorisNetworkKohya.apply_preset({"enable_conv": False, "unet_target_module": [], "unet_target_name": names, "text_encoder_target_module": [], "text_encoder_target_name": []})
    return sorted(int(lora.lora_name.split("_")[4]) for lora in LycorisNetworkKohya(None, network(), lora_dim=2, alpha=2).loras)


def in_peft(names):
    try:
        model = inject_adapter_in_model(LoraConfig(r=2, target_modules=names), network())
    except ValueError:
        return "refused"
    return sorted(int(path.split(".")[1]) for path, module in model.named_modules() if hasattr(module, "lora_A"))


expected = {
    "joint_blocks.1.qkv": ([1], [1]),
    "joint_blocks.1": ([1, 10, 11], "refused"),
    "qkv": ([], list(range(12))),
    "joint_blocks.?.qkv": ([], "refused"),
    r"^joint_blocks\.1\.qkv$": ([1], "refused"),
}
seen = {name: (in_lycoris([name]), in_peft([name])) for name in expected}
for name, (lycoris, peft) in seen.items():
    print(f"{name:24} LyCORIS: blocks {lycoris}, PEFT: {peft}")
if seen != expected:
    raise SystemExit("the behaviour has changed")
print("as described: one list, other layers")
PYTHON
