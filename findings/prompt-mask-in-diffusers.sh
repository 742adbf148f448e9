#!/usr/bin/env bash
# diffusers' UNet2DConditionModel takes `encoder_attention_mask`: which tokens of a padded prompt may be attended to.
#
# The guess: every layer that reads the prompt can leave its padding out.
# What happens (diffusers 0.42.1): in blocks with added keys and values (SimpleCrossAttnDownBlock2D and its counterparts, of DeepFloyd IF) the mask is
# lengthened by the pixels' own keys, which stand beside the prompt's, whether these are there or not. With `only_cross_attention`, as in IF's second stage,
# they are left out, the mask is too long, and the call raises a RuntimeError about sizes; with either attention processor. Without it the mask
# does what it says: the padding is as if it were not there.
#
# Usage: findings/prompt-mask-in-diffusers.sh    (some 4 GB in a temporary folder; no checkpoint is needed). Fails if the behaviour changes.
set -euo pipefail
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
python3 -m venv "$scratch/env"
"$scratch/env/bin/pip" install --quiet torch==2.15.0 numpy==2.4.6 diffusers==0.42.1 transformers==5.23.0 accelerate==1.15.0
"$scratch/env/bin/python" - << 'PYTHON' 2> "$scratch/warnings" || { cat "$scratch/warnings" >&2; exit 1; }
import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import AttnAddedKVProcessor, AttnAddedKVProcessor2_0

TOKENS, KEPT, SIDE = 7, 4, 8
torch.manual_seed(0)
sample, timestep, prompt = torch.randn(1, 3, SIDE, SIDE), torch.tensor([10]), torch.randn(1, TOKENS, 32)
mask = torch.arange(TOKENS)[None] < KEPT
seen = []
for only_cross_attention in (False, True):
    unet = UNet2DConditionModel(sample_size=SIDE, in_channels=3, out_channels=3, block_out_channels=(8, 16), norm_num_groups=4, cross_attention_dim=32,
                                layers_per_block=1, attention_head_dim=4, only_cross_attention=only_cross_attention,
                                down_block_types=("SimpleCrossAttnDownBlock2D",) * 2, mid_block_type="UNetMidBlock2DSimpleCrossAttn",
                                up_block_types=("SimpleCrossAttnUpBlock2D",) * 2).eval()
    for processor in (AttnAddedKVProcessor2_0(), AttnAddedKVProcessor()):
        unet.set_attn_processor(processor)
        with torch.no_grad():
            cut = unet(sample, timestep, prompt[:, :KEPT]).sample
            try:
                apart = (unet(sample, timestep, prompt, encoder_attention_mask=mask).sample - cut).abs().max().item()
                what = "as if the padding were not there" if apart < 1e-5 else "something else"
            except RuntimeError as error:
                what = f"RuntimeError, {TOKENS} against {TOKENS + SIDE * SIDE}" if str(TOKENS + SIDE * SIDE) in str(error) else f"RuntimeError: {error}"
        seen.append((only_cross_attention, what))
        print(f"only_cross_attention {only_cross_attention!s:5} {type(processor).__name__:23} {what}")
wanted = [(False, "as if the padding were not there")] * 2 + [(True, f"RuntimeError, {TOKENS} against {TOKENS + SIDE * SIDE}")] * 2
if seen != wanted:
    raise SystemExit("the behaviour has changed")
print("as described")
PYTHON
# Output seen on 2026-11-29:
#   only_cross_attention False AttnAddedKVProcessor2_0 as if the padding were not there
#   only_cross_attention False AttnAddedKVProcessor    as if the padding were not there
#   only_cross_attention True  AttnAddedKVProcessor2_0 RuntimeError, 7 against 71
#   only_cross_attention True  AttnAddedKVProcessor    RuntimeError, 7 against 71
#   as described
