#!/usr/bin/env bash
# FLUX.1's transformer in its authors' keys has q, k, v and the first feed-forward layer of a single block in one matrix. Who splits it needs the model's width.
#
# The guess: from_single_file(file, config=folder) opens a transformer of FLUX.1's architecture in its authors' keys at the width that the configuration says.
# What happens (diffusers 0.42.1): it opens files of width 3072 alone. The converter of keys is not given the configuration, and has 3072 and the ratio 4 of the feed-forward
# layer written in it: a file of another width, whose configuration is right, ends in an error of sizes that add up to 21504. That is a model of another size, distilled or made
# for tests; GGUF files go the same way. Saved by save_pretrained, in diffusers' keys, the same model opens. What holds everywhere: the width is the number of columns of that
# matrix, and a seventh of its rows.
#
# Usage: findings/flux-width-in-diffusers.sh    (some 4 GB in a temporary folder). Fails if the behaviour changes.
set -euo pipefail
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
python3 -m venv "$scratch/env"
"$scratch/env/bin/pip" install --quiet torch==2.15.0 numpy==2.4.6 diffusers==0.42.1 transformers==5.23.0 accelerate==1.15.0 safetensors==0.8.0
cd "$scratch"
env/bin/python - << 'PYTHON' 2> warnings || { cat warnings >&2; exit 1; }
import torch
from diffusers import FluxTransformer2DModel
from safetensors.torch import save_file

torch.manual_seed(1)
model = FluxTransformer2DModel(patch_size=1, in_channels=16, num_layers=1, num_single_layers=1, attention_head_dim=16, num_attention_heads=2, joint_attention_dim=24,
                               pooled_projection_dim=8, guidance_embeds=False, axes_dims_rope=(4, 4, 8))
model.save_pretrained("model/transformer")
assert FluxTransformer2DModel.from_pretrained("model/transformer").config.num_attention_heads == 2
print("in diffusers' keys: opened")

own, theirs = model.state_dict(), {}
PLAIN = {"img_in": "x_embedder", "txt_in": "context_embedder", "final_layer.linear": "proj_out", "time_in.in_layer": "time_text_embed.timestep_embedder.linear_1",
         "time_in.out_layer": "time_text_embed.timestep_embedder.linear_2", "vector_in.in_layer": "time_text_embed.text_embedder.linear_1",
         "vector_in.out_layer": "time_text_embed.text_embedder.linear_2", "double_blocks.0.img_mod.lin": "transformer_blocks.0.norm1.linear",
         "double_blocks.0.txt_mod.lin": "transformer_blocks.0.norm1_context.linear", "double_blocks.0.img_mlp.0": "transformer_blocks.0.ff.net.0.proj",
         "double_blocks.0.img_mlp.2": "transformer_blocks.0.ff.net.2", "double_blocks.0.txt_mlp.0": "transformer_blocks.0.ff_context.net.0.proj",
         "double_blocks.0.txt_mlp.2": "transformer_blocks.0.ff_context.net.2", "double_blocks.0.img_attn.proj": "transformer_blocks.0.attn.to_out.0",
         "double_blocks.0.txt_attn.proj": "transformer_blocks.0.attn.to_add_out", "single_blocks.0.modulation.lin": "single_transformer_blocks.0.norm.linear",
         "single_blocks.0.linear2": "single_transformer_blocks.0.proj_out"}
JOINED = {"double_blocks.0.img_attn.qkv": [f"transformer_blocks.0.attn.{name}" for name in ("to_q", "to_k", "to_v")],
          "double_blocks.0.txt_attn.qkv": [f"transformer_blocks.0.attn.{name}" for name in ("add_q_proj", "add_k_proj", "add_v_proj")],
          "single_blocks.0.linear1": [f"single_transformer_blocks.0.{name}" for name in ("attn.to_q", "attn.to_k", "attn.to_v", "proj_mlp")]}
NORMS = {"double_blocks.0.img_attn.norm.query_norm": "transformer_blocks.0.attn.norm_q", "double_blocks.0.img_attn.norm.key_norm": "transformer_blocks.0.attn.norm_k",
         "double_blocks.0.txt_attn.norm.query_norm": "transformer_blocks.0.attn.norm_added_q", "double_blocks.0.txt_attn.norm.key_norm": "transformer_blocks.0.attn.norm_added_k",
         "single_blocks.0.norm.query_norm": "single_transformer_blocks.0.attn.norm_q", "single_blocks.0.norm.key_norm": "single_transformer_blocks.0.attn.norm_k"}
for kind in (".weight", ".bias"):
    theirs |= {name + kind: own[ours + kind] for name, ours in PLAIN.items()}
    theirs |= {name + kind: torch.cat([own[part + kind] for part in parts]) for name, parts in JOINED.items()}
    scale, shift = own["norm_out.linear" + kind].chunk(2)
    theirs["final_layer.adaLN_modulation.1" + kind] = torch.cat([shift, scale])
theirs |= {name + ".scale": own[ours + ".weight"] for name, ours in NORMS.items()}
save_file({name: value.contiguous() for name, value in theirs.items()}, "flux.safetensors")
assert theirs["single_blocks.0.linear1.weight"].shape == (7 * 32, 32)
try:
    FluxTransformer2DModel.from_single_file("flux.safetensors", config="model", subfolder="transformer")
except RuntimeError as error:
    assert "3072" in str(error) and "224" in str(error), error
    print("in its authors' keys:", str(error).splitlines()[0])
else:
    raise AssertionError("it opened")
PYTHON
