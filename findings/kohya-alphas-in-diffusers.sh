#!/usr/bin/env bash
# A LoRA file in kohya's format may give each layer an alpha of its own: the layer counts alpha / rank times.
#
# The guess: diffusers reads each layer's alpha, so that such a file has the same strength in every layer as where it was trained.
# What happens (diffusers 0.42.1, peft 0.21.0): for layers of the feed-forward part it does. For to_q, to_k, to_v and to_out of the U-Net's
# attention it converts the alphas, and keeps them under a name with "processor" and "down.weight" in it, which no layer has. These layers
# all get one alpha, the one that occurs most often in the file. Nothing is said.
# It matters where alphas or ranks differ between layers, as in files of per-block ranks. What holds everywhere: one alpha in the whole file,
# and the rest of each layer's scale multiplied into its lora_up.
#
# Usage: findings/kohya-alphas-in-diffusers.sh    (some 4 GB in a temporary folder; no checkpoint is needed). Fails if the behaviour changes.
set -euo pipefail
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
python3 -m venv "$scratch/env"
"$scratch/env/bin/pip" install --quiet torch==2.15.0 numpy==2.4.6 diffusers==0.42.1 transformers==5.23.0 peft==0.21.0 accelerate==1.15.0
"$scratch/env/bin/python" - << 'PYTHON' 2> "$scratch/warnings" || { cat "$scratch/warnings" >&2; exit 1; }
import collections, torch
from diffusers import UNet2DConditionModel
from diffusers.loaders import StableDiffusionLoraLoaderMixin as Loader

torch.manual_seed(0)
unet = UNet2DConditionModel(sample_size=8, layers_per_block=1, block_out_channels=(32, 64), norm_num_groups=8, cross_attention_dim=16, attention_head_dim=8,
                            down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"))
RANK = 4
alphas = {"attn2.to_q": 1.0, "attn2.to_k": 2.0, "attn2.to_v": 4.0, "attn1.to_q": 4.0, "attn2.to_out.0": 1.0, "attn1.to_k": 4.0, "ff.net.0.proj": 1.0}
state, asked = {}, {}
for name, module in unet.named_modules():
    for end, alpha in alphas.items():
        if name.endswith(end):
            key = "lora_unet_" + name.replace(".", "_")
            state[key + ".lora_down.weight"] = torch.randn(RANK, module.in_features)
            state[key + ".lora_up.weight"] = torch.randn(module.out_features, RANK)
            state[key + ".alpha"] = torch.tensor(alpha)
            asked[name] = alpha / RANK
converted, network_alphas = Loader.lora_state_dict(state, unet_config=unet.config)
Loader.load_lora_into_unet(converted, network_alphas, unet, adapter_name="file")
seen = collections.defaultdict(set)
for name, module in unet.named_modules():
    if getattr(module, "scaling", None):
        end = next(end for end in alphas if name.endswith(end))
        seen[end].add((asked[name], module.scaling["file"]))
for end, pairs in seen.items():
    for wanted, given in pairs:
        print(f"{end:14} alpha / rank in the file {wanted:.2f}, applied by diffusers {given:.2f}")
most = 4.0 / RANK
expected = {end: {(alpha / RANK, alpha / RANK if end.startswith("ff") else most)} for end, alpha in alphas.items()}
if dict(seen) != expected:
    raise SystemExit("the behaviour has changed")
print("as described: attention layers have lost their own alphas")
PYTHON
# Output seen on 2026-11-28:
#   attn1.to_q     alpha / rank in the file 1.00, applied by diffusers 1.00
#   attn2.to_q     alpha / rank in the file 0.25, applied by diffusers 1.00
#   attn2.to_k     alpha / rank in the file 0.50, applied by diffusers 1.00
#   attn2.to_v     alpha / rank in the file 1.00, applied by diffusers 1.00
#   ff.net.0.proj  alpha / rank in the file 0.25, applied by diffusers 0.25
#   as described: attention layers have lost their own alphas
