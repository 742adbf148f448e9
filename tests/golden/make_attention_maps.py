#!/usr/bin/env python3
"""Where pictures look among prompts: the softmax of the queries and keys that diffusers hands to attention, at each site of small models of make_golden.py and
make_z_image.py, mean over heads and of the first head. Writes attention_maps.safetensors into the folder given, beside the models. Usage: make_attention_maps.py data"""
import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers import FluxPipeline, FluxTransformer2DModel, SD3Transformer2DModel, UNet2DConditionModel, ZImageTransformer2DModel
from safetensors.torch import load_file, save_file

out = Path(sys.argv[1])
real = F.scaled_dot_product_attention
running, seen = [], []


def watched(query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None, **others):
    scores = query.float() @ key.float().transpose(-1, -2) / query.shape[-1] ** 0.5
    if attn_mask is not None:
        scores = scores.masked_fill(~attn_mask, -torch.inf) if attn_mask.dtype == torch.bool else scores + attn_mask
    seen.append((running[-1] if running else "", scores.softmax(-1)))
    return real(query, key, value, attn_mask=attn_mask, dropout_p=dropout_p, is_causal=is_causal, scale=scale, **others)


def maps_of(model, call):
    """Path of the attention layer and its maps, in the order in which layers run."""
    seen.clear()
    hooks = []
    for path, module in model.named_modules():
        if hasattr(module, "to_q"):
            hooks.append(module.register_forward_pre_hook(lambda *_, path=path: running.append(path)))
            hooks.append(module.register_forward_hook(lambda *_: running.pop() and None))
    F.scaled_dot_product_attention = watched
    with torch.no_grad():
        call(model)
    F.scaled_dot_product_attention = real
    for hook in hooks:
        hook.remove()
    return list(seen)


tensors = {}


def keep(name, site, maps):
    """maps: [batch, heads, points, the prompt's tokens]."""
    tensors[f"{name}.{site}"] = maps.mean(1).contiguous()
    tensors[f"{name}.{site}.first_head"] = maps[:, 0].contiguous()


for name, model_class in {
    "unet_sd1": UNet2DConditionModel,
    "unet_sdxl": UNet2DConditionModel,
    "unet_if1": UNet2DConditionModel,
    "mmdit_sd35": SD3Transformer2DModel,
    "flux_dev": FluxTransformer2DModel,
    "z_image": ZImageTransformer2DModel,
}.items():
    model = model_class.from_pretrained(out / name).eval()
    given = load_file(out / name / "expected.safetensors")
    if name.startswith("unet"):
        added = {key: given[key] for key in ("text_embeds", "time_ids") if key in given}
        tokens = given["encoder_hidden_states"].shape[1]
        site = 0
        for path, maps in maps_of(model, lambda m: m(given["sample"], given["timestep"], given["encoder_hidden_states"], added_cond_kwargs=added)):
            if path.endswith("attn2") or name == "unet_if1":
                keep(name, site, maps[..., :tokens])
                site += 1
    elif name.startswith("mmdit"):
        tokens = given["embedding"].shape[1]
        for path, maps in maps_of(model, lambda m: m(given["sample"], given["embedding"], given["pooled"], given["timestep"])):
            if path.endswith(".attn"):
                points = maps.shape[-1] - tokens
                keep(name, int(path.split(".")[1]), maps[:, :, :points, points:])
    elif name == "z_image":
        captions = [row[mask] for row, mask in zip(given["embedding"], given["prompt_mask"])]
        refiners = len(model.context_refiner)
        call = lambda m: m(list(given["sample"].unsqueeze(2)), (1000 - given["timestep"]) / 1000, captions)
        rows, columns = (side // 2 for side in given["sample"].shape[-2:])
        for path, maps in maps_of(model, call):
            if path.startswith("layers."):
                # The picture's points are filled up to 32; the caption's follow.
                keep(name, int(path.split(".")[1]) + refiners, maps[:, :, : rows * columns, 32:])
    else:
        tokens = given["embedding"].shape[1]
        rows, columns = given["sample"].shape[2] // 2, given["sample"].shape[3] // 2
        ids = FluxPipeline._prepare_latent_image_ids(2, rows, columns, "cpu", torch.float32)
        packed = FluxPipeline._pack_latents(given["sample"], 2, 4, 2 * rows, 2 * columns)
        call = lambda m: m(packed, given["embedding"], given["pooled"], given["timestep"] / 1000, ids, torch.zeros(tokens, 3), given["time_ids"])
        doubles = len(model.transformer_blocks)
        for path, maps in maps_of(model, call):
            number = int(path.split(".")[1])
            keep(name, number if path.startswith("transformer_blocks") else number + doubles, maps[:, :, tokens:, :tokens])
    print(name, sorted({key.split(".")[1] for key in tensors if key.startswith(name + ".")}, key=int))
save_file(tensors, out / "attention_maps.safetensors")
