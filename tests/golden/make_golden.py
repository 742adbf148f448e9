#!/usr/bin/env python3
"""Writes the reference ("golden") data that the C++ engine is tested against.

    make_golden.py OUT_DIR [NAME ...]

NAME is one of those in GOLDENS below; without names, all are written. Every model is tiny and has random weights, drawn
from fixed seeds, so that a second run with the same versions on the same kind of processor writes the same bytes.
README.md, next to this program, says what is in each file.

Versions used: Python 3.11, torch 2.15.0 (CPU), diffusers 0.42.1, transformers 5.23.0, tokenizers 0.23.3,
safetensors 0.8.0, scikit-image 0.26.0, lpips 0.1.4, scipy 1.17.1, numpy 2.4.6.
"""

import io
import json
import math
import random
import re
import shutil
import sys
import tempfile
import unicodedata
import warnings
from collections import Counter
from pathlib import Path

import diffusers
import lpips
import numpy as np
import sentencepiece
import tokenizers
import torch
import torch.nn.functional as F
import transformers
from diffusers import (
    LatentConsistencyModelPipeline,
    AutoencoderKL,
    DDIMScheduler,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
    IFPipeline,
    IFSuperResolutionPipeline,
    LDMTextToImagePipeline,
    PNDMScheduler,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
    VQModel,
    ZImageTransformer2DModel,
)
from diffusers.pipelines.deprecated.stable_diffusion_safe import StableDiffusionPipelineSafe
from diffusers.loaders import single_file_utils
from diffusers.models.attention_processor import AttnAddedKVProcessor2_0, AttnProcessor2_0, JointAttnProcessor2_0
from diffusers.models.embeddings import apply_rotary_emb
from diffusers.models.transformers.transformer_flux import FluxAttnProcessor
from diffusers.pipelines.latent_diffusion.pipeline_latent_diffusion import LDMBertConfig, LDMBertModel
from PIL import Image
from safetensors.torch import load_file, save_file
from scipy.ndimage import gaussian_filter
from skimage.metrics import mean_squared_error, peak_signal_noise_ratio, structural_similarity
from transformers import BertTokenizer, BitImageProcessorPil, CLIPConfig, CLIPImageProcessorPil, CLIPModel, CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer, Dinov2Config, Dinov2Model, RobertaConfig, RobertaForSequenceClassification, T5Config, T5EncoderModel, T5Tokenizer, ViTConfig, ViTImageProcessorPil, ViTModel

# ---------------------------------------------------------------------------------------------------------------- helpers


def generator(seed):
    return torch.Generator("cpu").manual_seed(seed)


def save(path, tensors, metadata=None):
    """Writes one safetensors file. At most one metadata entry: safetensors writes several in random order."""
    assert metadata is None or len(metadata) == 1
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.detach().clone().contiguous() for name, tensor in tensors.items()}, path, metadata=metadata)


def write_json(path, value, ascii_only=True):
    """Writes JSON: a list with one item a line, anything else indented."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(value, list):
        text = "[\n" + ",\n".join(json.dumps(item, ensure_ascii=ascii_only) for item in value) + "\n]"
    else:
        text = json.dumps(value, ensure_ascii=ascii_only, indent=1)
    path.write_text(text + "\n", encoding="utf-8")


def randomise(module, seed):
    """Gives every parameter, norms and biases included, values of its own, of a size that keeps activations near 1."""
    noise = generator(seed)
    for name, parameter in sorted(module.named_parameters()):
        values = torch.randn(parameter.shape, generator=noise)
        if parameter.ndim > 1:
            values /= math.sqrt(parameter[0].numel())
        elif name.endswith("weight"):
            values = 1 + 0.2 * values
        else:
            values *= 0.1
        parameter.data.copy_(values)
    return module.eval().requires_grad_(False)


# ------------------------------------------------------------------------------------------------------------------ U-Net


def padding_mask(lengths, tokens):
    """True where a token is one of a row's first `length`."""
    return torch.arange(tokens)[None] < torch.tensor(lengths)[:, None]


class PatchedAttention:
    """Cross-attention whose keys and values come, in part, from another prompt embedding.

    heads and rows (of the batch) say where; parts says whether keys, values or both. What is not replaced is computed as
    diffusers' own AttnProcessor2_0 does. Active from the `start`-th call on. other_mask: which of the other prompt's tokens are read; all rows and heads
    read them.
    """

    def __init__(self, other, heads=slice(None), rows=slice(None), parts=("key", "value"), start=0, other_mask=None):
        self.other, self.heads, self.rows, self.parts, self.start, self.other_mask = other, heads, rows, parts, start, other_mask
        self.calls = 0

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None, temb=None):
        def split(projected):
            return projected.unflatten(-1, (attn.heads, -1)).transpose(1, 2)

        query = split(attn.to_q(hidden_states))
        inputs = {"key": split(attn.to_k(encoder_hidden_states)), "value": split(attn.to_v(encoder_hidden_states))}
        if self.calls >= self.start:
            others = {"key": split(attn.to_k(self.other)), "value": split(attn.to_v(self.other))}
            for part in self.parts:
                inputs[part] = inputs[part].clone()
                inputs[part][self.rows, self.heads] = others[part][self.rows, self.heads]
        self.calls += 1
        mask = None if self.other_mask is None else self.other_mask[:, None, None]
        out = F.scaled_dot_product_attention(query, inputs["key"], inputs["value"], mask)
        return attn.to_out[0](out.transpose(1, 2).flatten(2))


def site_paths(unet, *inputs):
    """Module paths of the prompt-reading attention layers, in the order in which one forward pass runs them."""
    order = []
    hooks = [
        module.register_forward_pre_hook(lambda *_, name=name: order.append(name))
        for name, module in unet.named_modules()
        if name.endswith(".attn2")
    ]
    unet(*inputs)
    for hook in hooks:
        hook.remove()
    assert len(order) == len(hooks) == len(set(order))
    rank = {"down_blocks": 0, "mid_block": 1, "up_blocks": 2}
    assert [rank[path.split(".")[0]] for path in order] == sorted(rank[path.split(".")[0]] for path in order)
    return order


def run_patched(unet, patches, *inputs):
    """Output of the U-Net with `patches`: from module path to the processor that runs there."""
    for path, processor in patches.items():
        unet.get_submodule(path).set_processor(processor)
    output = unet(*inputs).sample
    for path in patches:
        unet.get_submodule(path).set_processor(AttnProcessor2_0())
    return output


def record_keys_and_values(unet, paths, *inputs):
    """Runs the U-Net; gives its output and, for each site, what the site's own to_k and to_v made of the prompt."""
    tensors, hooks = {}, []
    for index, path in enumerate(paths):
        site = unet.get_submodule(path)
        for part, layer in (("key", site.to_k), ("value", site.to_v)):

            def keep(_, __, out, name=f"site.{index}.{part}", heads=site.heads):
                tensors[name] = out.unflatten(-1, (heads, -1)).transpose(1, 2)

            hooks.append(layer.register_forward_hook(keep))
    tensors["output"] = unet(*inputs).sample
    for hook in hooks:
        hook.remove()
    return tensors


def write_unet(out, seed, conditions=None, **config):
    """conditions: from a generator and a number of rows, what else the U-Net reads (`added_cond_kwargs`)."""
    config = {
        "down_block_types": ("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        "layers_per_block": 2,
    } | config
    unet = randomise(
        UNet2DConditionModel(
            sample_size=8, block_out_channels=(8, 16, 24), norm_num_groups=4, cross_attention_dim=12, in_channels=4, out_channels=4, **config
        ),
        seed,
    )
    unet.save_pretrained(out)

    noise = generator(seed + 1)
    sample = torch.randn([2, 4, 9, 13], generator=noise)
    timestep = torch.tensor([801.0, 17.0])
    prompt = torch.randn([2, 7, 12], generator=noise)
    other = torch.randn([2, 7, 12], generator=noise)
    added = conditions(noise, 2) if conditions else {}
    more = (None, None, None, None, added)
    inputs = (sample, timestep, prompt, *more)
    paths = site_paths(unet, *inputs)
    tensors = {"sample": sample, "timestep": timestep, "encoder_hidden_states": prompt, "other_hidden_states": other} | added
    tensors |= record_keys_and_values(unet, paths, *inputs)

    # A patch with the layer's own prompt changes nothing, and patching every site is the same as running the other prompt.
    own = run_patched(unet, {path: PatchedAttention(prompt) for path in paths}, *inputs)
    torch.testing.assert_close(own, tensors["output"], rtol=0, atol=1e-5)
    everywhere = run_patched(unet, {path: PatchedAttention(other) for path in paths}, *inputs)
    torch.testing.assert_close(everywhere, unet(sample, timestep, other, *more).sample, rtol=0, atol=1e-5)

    for index, path in enumerate(paths):
        patched = run_patched(unet, {path: PatchedAttention(other)}, *inputs)
        assert (patched - tensors["output"]).abs().max() > 1e-3, f"the patch at {path} does nothing"
        tensors[f"patched.{index}.output"] = patched
    for name, index, patch in (
        ("patched_heads.output", 1, PatchedAttention(other, heads=[1])),
        ("patched_value_only.output", 2, PatchedAttention(other, parts=("value",))),
    ):
        tensors[name] = run_patched(unet, {paths[index]: patch}, *inputs)

    # A second case: one image, a square that needs no odd sizes, another number of tokens.
    square = (torch.randn([1, 4, 8, 8], generator=noise), torch.tensor([500.0]), torch.randn([1, 5, 12], generator=noise))
    tensors |= {"square.sample": square[0], "square.timestep": square[1], "square.encoder_hidden_states": square[2]}
    added = conditions(noise, 1) if conditions else {}
    tensors |= {f"square.{name}": tensor for name, tensor in added.items()}
    tensors["square.output"] = unet(*square, None, None, None, None, added).sample

    # Both prompts padded, each row to another length; where a layer reads the other prompt, its padding comes with it.
    mask, other_mask = padding_mask([4, 6], 7), padding_mask([5, 2], 7)
    tensors |= {"mask": mask, "other_mask": other_mask, "masked.output": unet(*inputs, encoder_attention_mask=mask).sample}
    site = unet.get_submodule(paths[1])
    site.set_processor(PatchedAttention(other, other_mask=other_mask))
    tensors["masked_patched.output"] = unet(*inputs, encoder_attention_mask=mask).sample
    site.set_processor(AttnProcessor2_0())
    save(out / "expected.safetensors", tensors, {"site_paths": json.dumps(paths)})


def write_unet_sd1(out):
    # attention_head_dim is, for historical reasons, the number of heads.
    write_unet(out, 100, attention_head_dim=2)


def write_unet_sd2(out):
    write_unet(
        out,
        200,
        attention_head_dim=[2, 1, 4],
        use_linear_projection=True,
        upcast_attention=True,
        transformer_layers_per_block=[1, 2, 1],
    )


def size_conditions(noise, rows):
    """What SDXL's U-Net reads beside the prompt: a pooled embedding, and six numbers of size and crop."""
    return {"text_embeds": torch.randn([rows, 10], generator=noise), "time_ids": torch.randint(0, 1025, [rows, 6], generator=noise).float()}


def write_unet_sdxl(out):
    write_unet(
        out,
        300,
        size_conditions,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        transformer_layers_per_block=[1, 2, 3],
        attention_head_dim=[1, 2, 4],
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=10 + 6 * 8,
    )


def write_unet_70_sites(out):
    """A U-Net with SDXL's blocks, all 70 of its cross-attention layers, as narrow as it gets and in half precision: to be looked at, not to be computed with."""
    config = json.loads((Path(__file__).parent / "data/pipeline_sdxl/unet/config.json").read_text())
    config = {key: value for key, value in config.items() if not key.startswith("_")} | {
        "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"], "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
        "block_out_channels": [8, 8, 8], "layers_per_block": 2, "transformer_layers_per_block": [1, 2, 10], "attention_head_dim": [1, 1, 1], "norm_num_groups": 4,
    }  # fmt: skip
    randomise(UNet2DConditionModel(**config), 950).half().save_pretrained(out)


def write_unet_variants(out):
    """U-Nets of other shapes: distilled ones without a middle block, or with depths of their own for each attention, and one that reads its guidance."""
    common = {
        "sample_size": 8, "block_out_channels": (8, 16), "norm_num_groups": 4, "cross_attention_dim": 12, "layers_per_block": 1, "attention_head_dim": 2,
        "down_block_types": ("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"), "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
    }  # fmt: skip
    variants = {
        "no_middle": {"mid_block_type": None},
        "resnet_middle": {"mid_block_type": "UNetMidBlock2D"},
        "nested": {"layers_per_block": 2, "transformer_layers_per_block": [[2, 1], [3, 0]], "reverse_transformer_layers_per_block": [[1, 2, 1], [0, 2, 1]]},
        "guidance": {"time_cond_proj_dim": 16},
    }
    for index, (name, options) in enumerate(variants.items()):
        unet = randomise(UNet2DConditionModel(**(common | options)), 900 + index)
        unet.save_pretrained(out / name)
        noise = generator(950 + index)
        inputs = torch.randn([2, 4, 8, 8], generator=noise), torch.tensor([801.0, 17.0]), torch.randn([2, 5, 12], generator=noise)
        tensors = {"sample": inputs[0], "timestep": inputs[1], "encoder_hidden_states": inputs[2]}
        more = {}
        if "time_cond_proj_dim" in options:
            tensors["guidance"] = torch.tensor([8.5, 2.0])
            more["timestep_cond"] = LatentConsistencyModelPipeline.get_guidance_scale_embedding(None, tensors["guidance"] - 1, embedding_dim=16)
        tensors["output"] = unet(*inputs, **more).sample
        save(out / name / "expected.safetensors", tensors)


class PatchedAddedAttention:
    """Attention with added keys and values (DeepFloyd IF), whose prompt's keys and values come from another prompt.

    other: that prompt, as the U-Net has projected it. What is not replaced is computed as AttnAddedKVProcessor2_0 does.
    """

    def __init__(self, other, heads=slice(None), rows=slice(None), tape=None, start=0):
        self.other, self.heads, self.rows, self.tape, self.start, self.calls = other, heads, rows, tape, start, 0

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None):
        def split(projected):
            return projected.unflatten(-1, (attn.heads, -1)).transpose(1, 2)

        def project(prompt):
            prompt = attn.norm_encoder_hidden_states(prompt) if attn.norm_cross else prompt
            return split(attn.add_k_proj(prompt)), split(attn.add_v_proj(prompt))

        key, value = project(encoder_hidden_states)
        if self.tape is not None:
            self.tape.append((key, value))
        if self.other is not None and self.calls >= self.start:
            key, value = key.clone(), value.clone()
            key[self.rows, self.heads], value[self.rows, self.heads] = (other[self.rows, self.heads] for other in project(self.other))
        self.calls += 1
        pixels = attn.group_norm(hidden_states.flatten(2)).transpose(1, 2)
        if not attn.only_cross_attention:
            key, value = torch.cat([key, split(attn.to_k(pixels))], 2), torch.cat([value, split(attn.to_v(pixels))], 2)
        out = F.scaled_dot_product_attention(split(attn.to_q(pixels)), key, value)
        return hidden_states + attn.to_out[0](out.transpose(1, 2).flatten(2)).transpose(1, 2).reshape(hidden_states.shape)


def build_unet_if(seed, **config):
    return randomise(
        UNet2DConditionModel(
            sample_size=8,
            block_out_channels=(8, 16, 24),
            norm_num_groups=4,
            cross_attention_dim=32,
            out_channels=6,
            down_block_types=("ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D", "SimpleCrossAttnDownBlock2D"),
            up_block_types=("SimpleCrossAttnUpBlock2D", "SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"),
            mid_block_type="UNetMidBlock2DSimpleCrossAttn",
            layers_per_block=1,
            attention_head_dim=4,
            act_fn="gelu",
            cross_attention_norm="group_norm",
            encoder_hid_dim_type="text_proj",
            addition_embed_type="text",
            resnet_time_scale_shift="scale_shift",
            **config,
        ),
        seed,
    )


def write_unet_if(out, seed, noise_level=False, **config):
    unet = build_unet_if(seed, in_channels=6 if noise_level else 3, encoder_hid_dim=12, addition_embed_type_num_heads=3, **config)
    unet.save_pretrained(out)
    noise = generator(seed + 1)
    sample, timestep = torch.randn([2, unet.config.in_channels, 8, 12], generator=noise), torch.tensor([801.0, 17.0])
    prompt, other = (torch.randn([2, 7, 12], generator=noise) for _ in range(2))
    levels = torch.tensor([250.0, 30.0]) if noise_level else None
    inputs = (sample, timestep, prompt, levels)
    tensors = {"sample": sample, "timestep": timestep, "encoder_hidden_states": prompt, "other_hidden_states": other}
    if noise_level:
        tensors["time_ids"] = levels
    order = []
    names = [name for name, module in unet.named_modules() if module.__class__.__name__ == "Attention"]
    hooks = [unet.get_submodule(name).register_forward_pre_hook(lambda *_, name=name: order.append(name)) for name in names]
    tensors["output"] = unet(*inputs).sample
    for hook in hooks:
        hook.remove()
    assert sorted(order) == sorted(names)

    def run(processors):
        for path, processor in processors.items():
            unet.get_submodule(path).set_processor(processor)
        output = unet(*inputs).sample
        for path in processors:
            unet.get_submodule(path).set_processor(AttnAddedKVProcessor2_0())
        return output

    tapes = {path: [] for path in order}
    torch.testing.assert_close(run({path: PatchedAddedAttention(None, tape=tape) for path, tape in tapes.items()}), tensors["output"], rtol=0, atol=1e-5)
    projected = unet.encoder_hid_proj(other)
    for index, path in enumerate(order):
        tensors |= {f"site.{index}.key": tapes[path][0][0], f"site.{index}.value": tapes[path][0][1]}
        patched = run({path: PatchedAddedAttention(projected)})
        assert (patched - tensors["output"]).abs().max() > 1e-3, f"the patch at {path} does nothing"
        tensors[f"patched.{index}.output"] = patched
    tensors["patched_heads.output"] = run({order[1]: PatchedAddedAttention(projected, heads=[1, 2])})
    tensors["other_output"] = unet(sample, timestep, other, levels).sample
    if not noise_level:  # diffusers 0.42 takes no mask where a layer leaves the pixels' own keys out, as stage II's do
        mask = padding_mask([4, 6], 7)
        tensors |= {"mask": mask, "masked.output": unet(*inputs, encoder_attention_mask=mask).sample}
    save(out / "expected.safetensors", tensors, {"site_paths": json.dumps(order)})


def write_unet_if1(out):
    write_unet_if(out, 400)


def write_unet_if2(out):
    """Stage II: a noise level of its own, activations and scales as its checkpoints have them, pixels left out at one level."""
    write_unet_if(
        out,
        450,
        noise_level=True,
        class_embed_type="timestep",
        time_embedding_act_fn="gelu",
        resnet_skip_time_act=True,
        resnet_out_scale_factor=2**0.5,
        mid_block_scale_factor=2**0.5,
        only_cross_attention=[False, True, False],
        mid_block_only_cross_attention=True,
    )


# ------------------------------------------------------------------------------------------------------------ autoencoder


def moments(vae, image):
    distribution = vae.encode(image).latent_dist
    return {"mean": distribution.mean, "logvar": distribution.logvar}


def write_vae(out):
    vae = randomise(
        AutoencoderKL(
            block_out_channels=(8, 16),
            down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2,
            norm_num_groups=4,
            layers_per_block=1,
            latent_channels=4,
            sample_size=32,
        ),
        300,
    )
    vae.save_pretrained(out)
    noise = generator(301)
    image = torch.rand([1, 3, 24, 40], generator=noise) * 2 - 1
    latent = torch.randn([1, 4, 12, 20], generator=noise)
    tensors = {"image": image, **moments(vae, image), "latent": latent, "decoded": vae.decode(latent).sample}

    # These are what sample_size gives by itself; set here so that they can be read off.
    vae.enable_tiling()
    vae.tile_sample_min_size, vae.tile_latent_min_size, vae.tile_overlap_factor = 32, 16, 0.25
    for case, (height, width) in (("tiled", (28, 36)), ("tiled2", (26, 19))):
        image = torch.rand([1, 3, 2 * height, 2 * width], generator=noise) * 2 - 1
        latent = torch.randn([1, 4, height, width], generator=noise)
        both = {"image": image, **moments(vae, image), "latent": latent, "decoded": vae.decode(latent).sample}
        tensors |= {f"{case}.{name}": tensor for name, tensor in both.items()}
    save(out / "expected.safetensors", tensors)


def write_vae_plain(out):
    vae = randomise(
        AutoencoderKL(
            block_out_channels=(8, 12, 16),
            down_block_types=("DownEncoderBlock2D",) * 3,
            up_block_types=("UpDecoderBlock2D",) * 3,
            norm_num_groups=4,
            layers_per_block=2,
            latent_channels=8,
            sample_size=32,
            scaling_factor=1.5305,
            shift_factor=0.0609,
            use_quant_conv=False,
            use_post_quant_conv=False,
            mid_block_add_attention=False,
        ),
        400,
    )
    vae.save_pretrained(out)
    noise = generator(401)
    image = torch.rand([2, 3, 24, 40], generator=noise) * 2 - 1
    latent = torch.randn([2, 8, 6, 10], generator=noise)
    save(out / "expected.safetensors", {"image": image, **moments(vae, image), "latent": latent, "decoded": vae.decode(latent).sample})


# -------------------------------------------------------------------------------------------------------------- tokenizer

BEGIN, END = "<|startoftext|>", "<|endoftext|>"
MAX_LENGTH = 20
MERGES = 300

# What the merges are learned from: words, and the letters of a few scripts and marks, already split as CLIP splits them.
TRAINING_TEXT = """
a photo of a sign that says hello world a photo of the word open written on a wall a neon sign with the words coffee shop
a painting of an old street in the rain at night with bright shop signs a poster that reads summer music festival
a wooden board above the door of a small bakery with golden letters a red stop sign at the corner of a busy road
the cover of a book titled winter a chalk board in a cafe with the menu of the day a white truck with blue text
a close up of a label on a glass bottle that says water a birthday cake with the name anna in pink cream
a t shirt with a printed logo a yellow taxi in front of a theater a graffiti on a brick wall that spells freedom
an astronaut riding a horse on the moon highly detailed digital art a portrait of a young woman with flowers in her hair
oil on canvas by a famous artist soft light sharp focus high resolution studio lighting very beautiful landscape
mountains and a river under a cloudy sky sunset over the ocean a cat and a dog playing with a ball in the garden
a robot reading a newspaper in a library a castle on a hill in the morning mist a bowl of fruit on the kitchen table
black and white photograph of a train station in the city people walking along the market street under umbrellas
the letters are large and clear there is nothing else in the picture plain background without any other text
it 's we 're i 'm you 've she 'll they 'd don 't isn 't can 't one 's it 's
red green blue yellow orange purple black white silver golden big small new old left right top bottom first last
hello hello world open closed sale welcome love peace home school bank hotel pizza burger tea bread milk fish
writing written letters letter word words text font style type typed print printed printing paint painted painting
running runner runs walking walked walker reading reader reads singing singer sings drawing drawn draws
station nation information generation situation resolution illustration composition exhibition edition
... ... ... !!! !!! -- -- ?! ?! ," ," ." () ), 
café café naïve résumé über straße größe señor français œuvre ångström
日本 日本語 日本 東京 東京 中国 中文 漢字 привет привет мир мира слово ελλάδα λόγος سلام שלום नमस्ते
😀 😀 😂 👍 👍 👩 👨 ❤ ❤
"""


def byte_letters():
    """CLIP's letters for the 256 bytes, in the order of its vocabulary: printable bytes first, then the others."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    letters = {byte: chr(byte) for byte in printable}
    for byte in range(256):
        if byte not in letters:
            letters[byte] = chr(256 + len(letters) - len(printable))
    return letters


def learn_merges(text, count):
    """Byte-pair encoding: merges the most frequent pair of neighbours, `count` times; ties go to the pair that sorts first."""
    letters = byte_letters()
    words = {}
    for word, times in Counter(text.split()).items():
        parts = [letters[byte] for byte in word.encode()]
        parts[-1] += "</w>"
        words[word] = (parts, times)
    merges = []
    while len(merges) < count:
        pairs = Counter()
        for parts, times in words.values():
            for pair in zip(parts, parts[1:]):
                pairs[pair] += times
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        for parts, _ in words.values():
            at = 0
            while at + 1 < len(parts):
                if (parts[at], parts[at + 1]) == best:
                    parts[at : at + 2] = ["".join(best)]
                at += 1
    return merges


def write_tokenizer_files(folder, pad=END):
    """A tokenizer as Stable Diffusion publishes its own: the same files, keys and options, a small vocabulary.

    `pad` is what special_tokens_map.json says, which wins over tokenizer_config.json.
    """
    merges = learn_merges(TRAINING_TEXT, MERGES)
    letters = list(byte_letters().values())
    tokens = [*letters, *(letter + "</w>" for letter in letters), *("".join(pair) for pair in merges), BEGIN, END]
    assert len(tokens) == len(set(tokens)) == 512 + MERGES + 2
    special = {
        f"{role}_token": {"content": token, "lstrip": False, "normalized": True, "rstrip": False, "single_word": False}
        for role, token in (("bos", BEGIN), ("eos", END), ("unk", END))
    }
    write_json(folder / "vocab.json", {token: index for index, token in enumerate(tokens)}, ascii_only=False)
    (folder / "merges.txt").write_text("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in merges), encoding="utf-8")
    write_json(folder / "special_tokens_map.json", {**special, "pad_token": pad})
    write_json(
        folder / "tokenizer_config.json",
        {
            "add_prefix_space": False,
            **{role: {"__type": "AddedToken", **token} for role, token in special.items()},
            "do_lower_case": True,
            "errors": "replace",
            "model_max_length": MAX_LENGTH,
            "pad_token": END,
            "tokenizer_class": "CLIPTokenizer",
        },
    )


def load_tokenizer(pad=END):
    with tempfile.TemporaryDirectory() as folder:
        write_tokenizer_files(Path(folder), pad)
        return CLIPTokenizer.from_pretrained(folder)


def encode(tokenizer, text):
    return tokenizer(text, padding="max_length", truncation=True, max_length=MAX_LENGTH).input_ids


LONG_TEXT = "a photo of a sign that says hello world and open and closed and welcome and love and peace and home and school"

TEXTS = [
    # Ordinary prompts, case, numbers.
    "", " ", "a", "A", "a photo of a neon sign", "A Photo Of A Neon Sign", "a sign that says hello world",
    "A poster that reads SUMMER MUSIC FESTIVAL, 4k, highly detailed!", "oil on canvas, by a famous artist; soft light",
    LONG_TEXT, LONG_TEXT.upper(), "internationalization", "antidisestablishmentarianism", "x" * 200, "ab" * 60,
    "photo, photo,photo ,photo", "1", "42", "1234567890", "mp3 4x4 b2b 3d", "1/2 + 3.14 = 3,640", "24mm f/1.8 iso100", "2024-01-31 12:59",
    # Contractions.
    "it's", "it's one's she'll we're I'm you've they'd don't", "IT'S I'LL WE'RE I'M YOU'VE THEY'D DON'T", "'s", "'S", "'twas 'till 'tis", "rock 'n' roll",
    "don''t", "!!!'s ''s \u0027\u0027\u0027s", "'sign 'reads 'vest 'made 'llama 'door", "it\u2019s it\u02bcs it\uff07s", "o'clock o'd o'D'S",
    # Punctuation, quotes.
    "...", "hello...world", "!!! ?! -- ,.", "\"hello\" 'world'", "\u201chello\u201d \u2018world\u2019 \u00abopen\u00bb \u201eclosed\u201c", "(a sign), [a sign] {a sign}",
    "((masterpiece:1.3)), <lora:style:0.8>", "a_b __init__ c-d e+f g=h", "#1 @home $5 50% & * ^ ~ ` | \\ /", "em\u2014dash en\u2013dash ellipsis\u2026", "\u00bfqu\u00e9? \u00a1hola!",
    # White space.
    "hello  world", "  hello world  ", "hello\tworld\nhello\r\nworld", "hello\u00a0world", "hello\u3000world", "\u2003hello\u2009world\u202f!\u205f.\u1680", "hello\u2028world\u2029hello\u0085world",
    "\u000b\u000chello\u000bworld\u000c", "\n\n\n", "photo\u200aof\u2007a\u2000sign",
    # Accents, composed and decomposed.
    "caf\u00e9 na\u00efve r\u00e9sum\u00e9", "cafe\u0301 nai\u0308ve re\u0301sume\u0301", "CAF\u00c9 CAFE\u0301", "\u00c5ngstr\u00f6m \u212bngstr\u00f6m A\u030angstro\u0308m", "Vi\u1ec7t Nam Vie\u0323\u0302t Vie\u0302\u0323t",
    "q\u0307\u0323 q\u0323\u0307", "\u1e9b\u0323", "\u0958 \u0915\u093c", "\u1100\u1161\u11a8 \uac01 \ud55c\uad6d\uc5b4", "\u00f1 n\u0303 \u00d1 N\u0303", "\u2126 \u212a \u212b \u03a9 K \u00c5", "\u0344 \u0308\u0301 \u1fbe \u037e",
    # Lower case that is not one to one, or depends on its place.
    "\u0130stanbul I\u0131\u0130i", "STRASSE stra\u00dfe STRA\u1e9eE", "\u039b\u039f\u0393\u039f\u03a3 \u03bb\u03cc\u03b3\u03bf\u03c2 \u03a3\u03a3\u03a3 \u03a3", "\u01c5 \u01c4 \u01c6 \u01f1", "\u1fac \u1fbc \u1ff3", "\ua64a \u1c88 \u0404", "\U00010400\U00010428 \U0001e900", "\u2c00 \u10a0 \u13a0 \uab70 \u1c90", "\u2160\u2161\u2169 \u24b6\u24d0",
    # Scripts.
    "\u65e5\u672c\u8a9e", "\u65e5\u672c \u6771\u4eac\u306e\u770b\u677f", "\u4e2d\u56fd\u4e2d\u6587\u6f22\u5b57", "\u3053\u3093\u306b\u3061\u306f\u3001\u4e16\u754c\uff01", "\u30ab\u30bf\u30ab\u30ca \uff76\uff80\uff76\uff85 \u304c \u304b\u3099", "\u041f\u0440\u0438\u0432\u0435\u0442, \u043c\u0438\u0440!", "\u0419\u043e\u0448\u043a\u0430 \u0418\u0306\u043e",
    "\u0633\u0644\u0627\u0645 \u0645\u064e\u0631\u0652\u062d\u064e\u0628\u064b\u0627 \u0661\u0662\u0663", "\u05e9\u05dc\u05d5\u05dd \u05e9\u05b8\u05c1\u05dc\u05d5\u05b9\u05dd", "\u0928\u092e\u0938\u094d\u0924\u0947 \u0967\u0968\u0969", "\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35", "\u10d2\u10d0\u10db\u10d0\u10e0\u10ef\u10dd\u10d1\u10d0 \u0540\u0561\u0575\u0565\u0580\u0565\u0576", "hello\u4e16\u754chello", "\ua500\ua501 \u1200\u1201",
    # Emoji.
    "\U0001f600", "\U0001f600\U0001f602\U0001f44d", "a \U0001f44d\U0001f3fd sign \u2764\ufe0f", "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466", "\U0001f1ef\U0001f1f5 \U0001f3f4\u200d\u2620\ufe0f", "1\ufe0f\u20e3 \u00a9 \u00ae \u2122", "hi\U0001f600hi", "\u2600!\u2601?",
    # Marks, controls, things that cannot be seen.
    "\u0301", "\u0301a \u0301", "a\u0301\u0302\u0303\u0304\u0305b", "a\u200bb \u200b \u200c\u200d\u2060\ufeff", "\ufeffhello", "so\u00adft hy\u00adphen", "a\u0000b", "a\u0001b\u001bc\u007fd\u0080e", "a\u001cb\u001dc\u001ed\u001fe",
    "\u202ehello\u202c \u200eworld\u200f \u2066x\u2069", "\ufffd \ufffe \uffff", "\ue000 \U000f0000 \U0010ffff", "\u034f\u180e\u115f\u3164", "\U000e0041\U000e007f",
    # Compatibility forms: NFC leaves them.
    "\ufb01ne \ufb03 \ufb05", "\uff28\uff45\uff4c\uff4c\uff4f \uff11\uff12\uff13\uff01", "\u2167 \u2177 \u216b", "x\u00b2 + y\u00b3 = z\u2074 H\u2082O", "\u00bd \u2153 \u00bc cup", "\u2460\u2473 \u3220 \u3280", "\u2102\u210d \U0001d400\U0001d7d8 \U0001d538", "\u3371 \u33a5 \u32ff", "\u00aa \u00ba \u00b5 \u2071",
    "\uf900 \u8c48 \U0002f800", "\U00020000\U0002a6d6", "\U00010330\U00010331", "\U0001f110 \U0001f130", "\u0e33 \u0eb3 \u0f77",
    # Special tokens as text. The end token is found in the raw text, the start token in the normalised text.
    "<|startoftext|>", "<|endoftext|>", "a <|startoftext|> b <|endoftext|> c", "hello<|endoftext|>world", "hello<|startoftext|>world", "<|endoftext|><|endoftext|><|startoftext|>", "<|STARTOFTEXT|> hello", "<|ENDOFTEXT|> hello", "<|EndOfText|>!!!", "!!!<|ENDOFTEXT|>",
    "<|startoftext|>!!!", "!!!<|startoftext|>", "<|endoftext|>\u0338", "<|startoftext|>\u0338", "<|start oftext|> <|endoftext| >", "<|endoftext", "startoftext|>", "e<|endoftext|>\u0301", "<|endoftext|>'s <|startoftext|>'s", " <|endoftext|> ",
]

# Code points that random texts draw from. All but the emoji are those that Unicode 3.2 already had, so that their
# properties do not depend on the version of Unicode that a library was built with.
RANDOM_RANGES = [
    (0x20, 0x7E), (0x20, 0x7E), (0x20, 0x7E), (0x00, 0xFF), (0x100, 0x24F), (0x250, 0x2FF), (0x300, 0x36F), (0x370, 0x3FF), (0x400, 0x52F),
    (0x530, 0x5FF), (0x600, 0x6FF), (0x900, 0x97F), (0xE00, 0xE7F), (0x10A0, 0x11FF), (0x1E00, 0x1FFF), (0x2000, 0x206F), (0x2070, 0x218F),
    (0x2190, 0x27BF), (0x3000, 0x30FF), (0x3200, 0x33FF), (0x4E00, 0x9FA5), (0xAC00, 0xD7A3), (0xF900, 0xFA2D), (0xFB00, 0xFDFF), (0xFE20, 0xFFEF),
    (0x10300, 0x1044D), (0x1D100, 0x1D7FF), (0x1F300, 0x1F64F), (0x20000, 0x2A6D6),
]  # fmt: skip


def random_texts(count):
    draw = random.Random(500)

    def letter(first, last):
        while True:
            code = draw.randint(first, last)
            if first == 0x1F300 or unicodedata.ucd_3_2_0.category(chr(code)) not in ("Cn", "Cs"):
                return chr(code)

    texts = []
    for index in range(count):
        if index % 3 == 0:  # anything at all
            texts.append("".join(letter(*draw.choice(RANDOM_RANGES)) for _ in range(draw.randint(1, 9))))
        elif index % 3 == 1:  # ASCII
            texts.append("".join(letter(0x20, 0x7E) for _ in range(draw.randint(1, 24))))
        else:  # runs of a few scripts, with marks
            runs = []
            for _ in range(draw.randint(2, 4)):
                scope = draw.choice(RANDOM_RANGES)
                runs.append("".join(letter(*scope) for _ in range(draw.randint(1, 3))))
                runs.append(draw.choice(["", "", " ", "\u0301", "\u0323\u0302", "'s", "\u200d"]))
            texts.append("".join(runs))
    return texts


def write_expected_ids(out, texts):
    tokenizer = CLIPTokenizer.from_pretrained(out)
    assert len(set(texts)) == len(texts)
    write_json(out / "expected.json", [{"text": text, "ids": encode(tokenizer, text)} for text in texts])


def write_tokenizer(out):
    write_tokenizer_files(out)
    write_expected_ids(out, TEXTS + random_texts(120))


def write_tokenizer_sd2(out):
    """Stable Diffusion 2 pads with "!" (id 0): a special token from then on, found in the raw text before anything else."""
    write_tokenizer_files(out, pad="!")
    write_expected_ids(out, [*TEXTS, "!", "hello!", "hello! world", "hello !!! world", "a!\u0338", "it!'s", "don!t"])


# ----------------------------------------------------------------------------------------------------------- text encoder

PROMPT_A = "a neon sign that says open"
PROMPT_B = "a golden cat reading a newspaper in the rain"


def build_clip(seed, hidden_act, kind=CLIPTextModel, **config):
    config = {
        "vocab_size": 512 + MERGES + 2,
        "hidden_size": 16,
        "intermediate_size": 32,
        "projection_dim": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "max_position_embeddings": MAX_LENGTH,
        "hidden_act": hidden_act,
    } | config
    return randomise(kind(CLIPTextConfig(**config)), seed)


def modern_ids(tokenizer):
    return {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}


def clip_inputs(tokenizer):
    """Ids of three texts: a short one, one that is cut, and one padded with id 0 as Stable Diffusion 2 does."""
    rows = [encode(tokenizer, text) for text in (PROMPT_A, LONG_TEXT, PROMPT_B)]
    end = rows[2].index(tokenizer.eos_token_id)
    rows[2][end + 1 :] = [0] * (MAX_LENGTH - end - 1)
    return torch.tensor(rows)


def write_clip_folder(out, model, tokenizer):
    model.save_pretrained(out)
    ids = clip_inputs(tokenizer)
    result = model(ids)
    save(out / "expected.safetensors", {"input_ids": ids, "last_hidden_state": result.last_hidden_state, "pooled": result.pooler_output})


def write_clip(out):
    tokenizer = load_tokenizer()
    model = build_clip(600, "quick_gelu", **modern_ids(tokenizer))
    write_clip_folder(out, model, tokenizer)
    # The same weights as published checkpoints name them, with the table of positions that old files also hold.
    weights = load_file(out / "model.safetensors")
    assert not any(name.startswith("text_model.") for name in weights)
    published = {f"text_model.{name}": tensor for name, tensor in weights.items()}
    published["text_model.embeddings.position_ids"] = torch.arange(MAX_LENGTH)[None]
    save(out / "published.safetensors", published, {"format": "pt"})


def write_clip_gelu(out):
    # The token ids of published configurations: wrong, but read as a sign of age.
    write_clip_folder(out, build_clip(700, "gelu", **LEGACY_IDS), load_tokenizer())


LEGACY_IDS = {"bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 1}


def build_projected_clip(seed):
    return build_clip(
        seed, "gelu", CLIPTextModelWithProjection, hidden_size=8, intermediate_size=24, projection_dim=10, num_hidden_layers=3, **LEGACY_IDS
    )


def write_clip_projection(out):
    """SDXL's second encoder: the penultimate layer's states, and a projection of the pooled one."""
    model = build_projected_clip(800)
    model.save_pretrained(out)
    ids = clip_inputs(load_tokenizer())
    result = model(ids, output_hidden_states=True)
    tensors = {"input_ids": ids, "last_hidden_state": result.last_hidden_state, "text_embeds": result.text_embeds}
    save(out / "expected.safetensors", tensors | {f"hidden_states.-{i}": result.hidden_states[-i] for i in (1, 2, 3)})


def write_clip_scores(out):
    """Both towers of a CLIP: what its processor makes of pictures, its features of them, and how well texts go with them."""
    tokenizer = load_tokenizer()
    text = {"vocab_size": 512 + MERGES + 2, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    text |= {"max_position_embeddings": MAX_LENGTH, "hidden_act": "quick_gelu", **modern_ids(tokenizer)}
    vision = {"hidden_size": 24, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4, "image_size": 32, "patch_size": 8}
    model = randomise(CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=12)), 820).eval()
    processor = CLIPImageProcessorPil(size={"shortest_edge": 40}, crop_size={"height": 32, "width": 32})
    model.save_pretrained(out)
    processor.save_pretrained(out)
    for name in ("vocab.json", "merges.txt", "tokenizer_config.json", "special_tokens_map.json"):
        if (out.parent / "tokenizer" / name).exists():
            shutil.copy(out.parent / "tokenizer" / name, out / name)
    generator = np.random.default_rng(821)
    # Smooth pictures, larger and smaller than what the model reads, and of other shapes.
    tensors, features = {}, []
    for i, (height, width) in enumerate([(96, 64), (33, 57), (48, 48)]):
        coarse = generator.integers(0, 256, (6, 6, 3), dtype=np.uint8)
        image = Image.fromarray(coarse).resize((width, height), Image.BICUBIC)
        prepared = processor(image, return_tensors="pt")["pixel_values"]
        tensors |= {f"image.{i}": torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous(), f"prepared.{i}": prepared[0]}
        features.append(model.visual_projection(model.vision_model(prepared).pooler_output)[0])
    ids = torch.tensor([encode(tokenizer, PROMPT_A)])
    result = model(input_ids=ids, pixel_values=torch.stack([tensors[f"prepared.{i}"] for i in range(3)]))
    alignment = result.logits_per_text[0] / model.logit_scale.exp()
    text_features = model.text_projection(model.text_model(ids).pooler_output)
    save(out / "expected.safetensors", tensors | {"features": torch.stack(features), "text_features": text_features, "alignment": alignment})


def smooth_pictures(seed, sizes):
    """Pictures that are no noise, so that scaling them means something: [3, H, W] bytes each."""
    generator = np.random.default_rng(seed)
    for height, width in sizes:
        coarse = generator.integers(0, 256, (6, 6, 3), dtype=np.uint8)
        yield Image.fromarray(coarse).resize((width, height), Image.BICUBIC)


def write_dino(out):
    """Class tokens of DINO's two kinds: with positions that are interpolated, a gated feed-forward, and the first DINO's."""
    small = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4, "image_size": 56}
    models = {
        "dinov2": Dinov2Model(Dinov2Config(**small, patch_size=14, mlp_ratio=2)),
        "dinov2_gated": Dinov2Model(Dinov2Config(**small, patch_size=14, mlp_ratio=4, use_swiglu_ffn=True)),
        "vit": ViTModel(ViTConfig(**small, patch_size=8, intermediate_size=40), add_pooling_layer=False),
    }
    processors = {
        "dinov2": BitImageProcessorPil(size={"shortest_edge": 48}, crop_size={"height": 42, "width": 42}, image_mean=[0.485, 0.456, 0.406], image_std=[0.229, 0.224, 0.225]),
        "vit": ViTImageProcessorPil(size={"height": 56, "width": 56}, resample=3, image_mean=[0.485, 0.456, 0.406], image_std=[0.229, 0.224, 0.225]),
    }
    for seed, (name, model) in enumerate(models.items(), start=830):
        randomise(model, seed)
        processor = processors["vit" if name == "vit" else "dinov2"]
        model.save_pretrained(out / name)
        processor.save_pretrained(out / name)
        tensors = {}
        for i, image in enumerate(smooth_pictures(835, [(96, 64), (33, 57), (48, 48)])):
            prepared = processor(image, return_tensors="pt")["pixel_values"]
            tensors |= {f"image.{i}": torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous(), f"prepared.{i}": prepared[0]}
            tensors[f"features.{i}"] = model(pixel_values=prepared).last_hidden_state[0, 0]
        save(out / name / "expected.safetensors", tensors)


def write_lpips(out):
    """The package lpips on networks whose weights are drawn from a seed: the test draws them again, as they are too many to keep."""
    tensors = {f"image.{i}": torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous() for i, image in enumerate(smooth_pictures(845, [(80, 96)] * 3))}
    normalized = [tensors[f"image.{i}"][None].float() / 127.5 - 1 for i in range(3)]
    for net, seed in (("alex", 840), ("vgg", 841)):
        model = randomise(lpips.LPIPS(net=net, pretrained=False, pnet_rand=True, verbose=False), seed)
        # Only its size matters here, not that a distance is no less than 0.
        tensors[net] = torch.stack([model(normalized[0], normalized[i]).flatten()[0] for i in range(3)])
    save(out / "lpips.safetensors", tensors)


def write_roberta(out):
    """A classifier of texts: ids by the tokenizers library, logits by transformers."""
    corpus = [*TEXTS, "You are lovely, aren't you?", "  two  spaces\n and lines\n\n", "signs 2024: OPEN!!! caf\u00e9", "it's we'll I'd they've"] * 3
    tokenizer = tokenizers.ByteLevelBPETokenizer()
    tokenizer.train_from_iterator(corpus, vocab_size=420, min_frequency=2, show_progress=False, special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    config = RobertaConfig(
        vocab_size=tokenizer.get_vocab_size(), hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2, max_position_embeddings=40,
        type_vocab_size=1, id2label={0: "neutral", 1: "toxic", 2: "spam"}, label2id={"neutral": 0, "toxic": 1, "spam": 2},
    )  # fmt: skip
    model = randomise(RobertaForSequenceClassification(config), 830).eval()
    model.save_pretrained(out)
    tokenizer.save_model(str(out))
    texts = [*corpus[: len(corpus) // 3], "", " ", "a", "\u3042 \U0001f600 x", "word " * 60]
    ids = [[0, *tokenizer.encode(text).ids[:36], 2] for text in texts]  # 40 positions, of which two come before the first
    logits = torch.cat([model(input_ids=torch.tensor([row])).logits for row in ids])
    save(out / "expected.safetensors", {"logits": logits})
    write_json(out / "expected.json", {"texts": texts, "ids": ids})


# ------------------------------------------------------------------------------------------------------------- schedulers

BETAS = {"num_train_timesteps": 1000, "beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
STABLE_DDIM = {**BETAS, "clip_sample": False, "set_alpha_to_one": False, "steps_offset": 1}
STABLE_PNDM = {**BETAS, "skip_prk_steps": True, "set_alpha_to_one": False, "steps_offset": 1}
V = {"prediction_type": "v_prediction"}


def spacing(name):
    return {"timestep_spacing": name}


SCHEDULER_CASES = [
    ("ddim_epsilon_leading_10", DDIMScheduler, {**STABLE_DDIM}, 10),
    ("ddim_epsilon_leading_25", DDIMScheduler, {**STABLE_DDIM}, 25),
    ("ddim_v_leading_10", DDIMScheduler, {**STABLE_DDIM, **V}, 10),
    ("ddim_epsilon_trailing_25", DDIMScheduler, {**STABLE_DDIM, **spacing("trailing")}, 25),
    ("ddim_epsilon_linspace_10", DDIMScheduler, {**STABLE_DDIM, **spacing("linspace")}, 10),
    ("ddim_v_linspace_25", DDIMScheduler, {**STABLE_DDIM, **V, **spacing("linspace")}, 25),
    ("ddim_v_trailing_10_alpha_one", DDIMScheduler, {**STABLE_DDIM, **V, **spacing("trailing"), "set_alpha_to_one": True}, 10),
    ("ddim_epsilon_leading_10_clip", DDIMScheduler, {**STABLE_DDIM, "clip_sample": True}, 10),
    ("ddim_epsilon_leading_10_threshold", DDIMScheduler, {**STABLE_DDIM, "thresholding": True, "dynamic_thresholding_ratio": 0.9, "sample_max_value": 1.5}, 10),
    ("ddim_v_trailing_7", DDIMScheduler, {**STABLE_DDIM, **V, **spacing("trailing")}, 7),
    ("ddim_epsilon_trailing_16", DDIMScheduler, {**STABLE_DDIM, **spacing("trailing")}, 16),
    ("ddim_zero_snr_v_trailing_10", DDIMScheduler, {**STABLE_DDIM, **V, **spacing("trailing"), "rescale_betas_zero_snr": True}, 10),
    ("ddim_zero_snr_v_trailing_25", DDIMScheduler, {**STABLE_DDIM, **V, **spacing("trailing"), "rescale_betas_zero_snr": True}, 25),
    ("euler_epsilon_leading_10", EulerDiscreteScheduler, {**BETAS, **spacing("leading"), "steps_offset": 1}, 10),
    ("euler_v_leading_25", EulerDiscreteScheduler, {**BETAS, **V, **spacing("leading"), "steps_offset": 1}, 25),
    ("euler_epsilon_trailing_25", EulerDiscreteScheduler, {**BETAS, **spacing("trailing")}, 25),
    ("euler_v_trailing_10", EulerDiscreteScheduler, {**BETAS, **V, **spacing("trailing")}, 10),
    ("euler_epsilon_linspace_10", EulerDiscreteScheduler, {**BETAS}, 10),
    ("euler_epsilon_linspace_25", EulerDiscreteScheduler, {**BETAS}, 25),
    ("euler_v_linspace_25", EulerDiscreteScheduler, {**BETAS, **V}, 25),
    ("euler_zero_snr_v_trailing_10", EulerDiscreteScheduler, {**BETAS, **V, **spacing("trailing"), "rescale_betas_zero_snr": True}, 10),
    ("pndm_epsilon_leading_10", PNDMScheduler, {**STABLE_PNDM}, 10),
    ("pndm_epsilon_leading_25", PNDMScheduler, {**STABLE_PNDM}, 25),
    ("pndm_v_leading_10", PNDMScheduler, {**STABLE_PNDM, **V}, 10),
    ("pndm_v_leading_25", PNDMScheduler, {**STABLE_PNDM, **V}, 25),
    ("pndm_epsilon_trailing_10", PNDMScheduler, {**STABLE_PNDM, **spacing("trailing")}, 10),
    ("pndm_v_linspace_10", PNDMScheduler, {**STABLE_PNDM, **V, **spacing("linspace")}, 10),
    ("pndm_epsilon_leading_3", PNDMScheduler, {**STABLE_PNDM}, 3),
    ("dpm_epsilon_linspace_10", DPMSolverMultistepScheduler, {**BETAS}, 10),
    ("dpm_epsilon_linspace_25", DPMSolverMultistepScheduler, {**BETAS}, 25),
    ("dpm_v_linspace_25", DPMSolverMultistepScheduler, {**BETAS, **V}, 25),
    ("dpm_epsilon_leading_25", DPMSolverMultistepScheduler, {**BETAS, **spacing("leading"), "steps_offset": 1}, 25),
    ("dpm_v_leading_10", DPMSolverMultistepScheduler, {**BETAS, **V, **spacing("leading"), "steps_offset": 1}, 10),
    ("dpm_epsilon_trailing_10", DPMSolverMultistepScheduler, {**BETAS, **spacing("trailing")}, 10),
    ("dpm_epsilon_trailing_16", DPMSolverMultistepScheduler, {**BETAS, **spacing("trailing")}, 16),
    ("dpm_v_trailing_25", DPMSolverMultistepScheduler, {**BETAS, **V, **spacing("trailing")}, 25),
    ("dpm_epsilon_linspace_10_sigma_min", DPMSolverMultistepScheduler, {**BETAS, "final_sigmas_type": "sigma_min"}, 10),
    ("dpm_epsilon_linspace_25_sigma_min", DPMSolverMultistepScheduler, {**BETAS, "final_sigmas_type": "sigma_min"}, 25),
    ("dpm_epsilon_linspace_10_high_order_final", DPMSolverMultistepScheduler, {**BETAS, "lower_order_final": False, "final_sigmas_type": "sigma_min"}, 10),
    ("flow_shift3_10", FlowMatchEulerDiscreteScheduler, {"shift": 3.0}, 10),
    ("flow_shift3_28", FlowMatchEulerDiscreteScheduler, {"shift": 3.0}, 28),
    ("flow_shift1_10", FlowMatchEulerDiscreteScheduler, {"shift": 1.0}, 10),
    ("flow_shift1_28", FlowMatchEulerDiscreteScheduler, {"shift": 1.0}, 28),
]  # fmt: skip


def fake_model(scaled, timestep):
    return 0.3 * torch.sin(3 * scaled + 0.01 * timestep) + 0.1 * scaled


DDPM = {"beta_schedule": "squaredcos_cap_v2"}
LEARNED = {**DDPM, "variance_type": "learned_range", "thresholding": True, "dynamic_thresholding_ratio": 0.9, "sample_max_value": 1.5}
SCHEDULER_CASES += [
    ("ddpm_fixed_small", DDPMScheduler, DDPM, 10),
    ("ddpm_fixed_large_v", DDPMScheduler, {**BETAS, **V, "variance_type": "fixed_large", "clip_sample": False}, 7),
    ("dpm_thresholded", DPMSolverMultistepScheduler, {key: value for key, value in LEARNED.items() if key != "variance_type"}, 12),
    ("ddpm_learned_thresholded", DDPMScheduler, LEARNED, 10),
    ("ddpm_learned_trailing", DDPMScheduler, {**LEARNED, "timestep_spacing": "trailing"}, 13),
]


def write_schedulers(out):
    noise = torch.randn([1, 2, 4, 4], generator=generator(800))
    tensors, cases = {"noise": noise}, []
    for name, kind, options, steps in SCHEDULER_CASES:
        scheduler = kind(**options)
        scheduler.set_timesteps(steps)
        timesteps = scheduler.timesteps
        first_sigma = getattr(scheduler, "init_noise_sigma", 1.0)  # the flow scheduler has none
        sample = noise * first_sigma
        middle = len(timesteps) // 2
        # Those that add noise at each step draw it from this.
        random_steps = {"generator": generator(801)} if kind is DDPMScheduler else {}
        for index, timestep in enumerate(timesteps):
            model_output = fake_model(
                scheduler.scale_model_input(sample, timestep) if hasattr(scheduler, "scale_model_input") else sample, float(timestep)
            )
            if options.get("variance_type") == "learned_range":
                model_output = torch.cat([model_output, torch.sin(sample)], 1)
            sample = scheduler.step(model_output, timestep, sample, **random_steps).prev_sample
            if index == 0:
                tensors[f"{name}.first"] = sample
            if index == middle:
                tensors[f"{name}.middle"] = sample
        tensors[f"{name}.final"] = sample
        assert torch.isfinite(sample).all()
        if hasattr(scheduler, "sigmas"):
            tensors[f"{name}.sigmas"] = scheduler.sigmas
        cases.append(
            {
                "name": name,
                "class": kind.__name__,
                "prediction_type": scheduler.config.get("prediction_type", "flow_prediction"),
                "steps": steps,
                "timesteps": timesteps.tolist(),
                "timesteps_dtype": str(timesteps.dtype).removeprefix("torch."),
                "middle_index": middle,
                "init_noise_sigma": float(first_sigma),
                "config": json.loads(scheduler.to_json_string()),
            }
        )
    save(out / "schedulers.safetensors", tensors)
    write_json(out / "schedulers.json", cases)


# --------------------------------------------------------------------------------------------------------------- pipeline


def build_small_vae(seed, contrast, **config):
    """An autoencoder of three levels whose pictures neither fade nor saturate."""
    vae = AutoencoderKL(
        block_out_channels=(8, 8, 16),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        norm_num_groups=4,
        layers_per_block=1,
        sample_size=32,
        **config,
    )
    randomise(vae, seed).decoder.conv_out.weight *= contrast
    return vae


def draw(pipe, settings, kinds, prepare=lambda: None, **inputs):
    """What a pipeline draws, one run for each kind of output; `prepare` is called before every run."""
    outputs = []
    for kind in kinds:
        prepare()
        outputs.append(
            pipe(
                **inputs,
                guidance_scale=settings["guidance_scale"],
                num_inference_steps=settings["num_inference_steps"],
                height=settings["height"],
                width=settings["width"],
                generator=generator(settings["seed"]),
                output_type=kind,
            ).images
        )
    return outputs


def to_bytes(pictures):
    return torch.from_numpy(np.stack([np.asarray(picture) for picture in pictures]))


def write_pipeline(out):
    settings = {
        "prompt_a": PROMPT_A,
        "prompt_b": PROMPT_B,
        "negative_prompt": "",
        "guidance_scale": 5.0,
        "num_inference_steps": 8,
        "seed": 42,
        "height": 32,
        "width": 48,
        "patched_site": 2,
        "patched_from_step": 3,
    }
    tokenizer = load_tokenizer()
    unet = UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(8, 16),
        norm_num_groups=4,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        layers_per_block=1,
        attention_head_dim=2,
        cross_attention_dim=16,
    )
    pipe = StableDiffusionPipeline(
        vae=build_small_vae(901, 0.4),
        text_encoder=build_clip(902, "quick_gelu", **modern_ids(tokenizer)),
        tokenizer=tokenizer,
        unet=randomise(unet, 900),
        scheduler=DDIMScheduler(**STABLE_DDIM, **V),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipe.save_pretrained(out)
    pipe.set_progress_bar_config(disable=True)

    def embed(text):
        return pipe.text_encoder(torch.tensor([encode(tokenizer, text)])).last_hidden_state

    def generate(prompt, prepare=lambda: None):
        """Final latents, latents after each step, the image in [0, 1] and in bytes; `prepare` is called before every run."""
        steps = []

        def keep(_, __, ___, kept):
            steps.append(kept["latents"].clone())
            return kept

        inputs = {"prompt": prompt, "negative_prompt": settings["negative_prompt"]}
        (latents,) = draw(pipe, settings, ["latent"], prepare, callback_on_step_end=keep, **inputs)
        image, pictures = draw(pipe, settings, ["pt", "pil"], prepare, **inputs)
        return {"latents": latents, "steps": torch.cat(steps), "image": image, "image_u8": to_bytes(pictures)}

    tensors = {
        "input_ids_a": torch.tensor([encode(tokenizer, PROMPT_A)]),
        "input_ids_b": torch.tensor([encode(tokenizer, PROMPT_B)]),
        "input_ids_negative": torch.tensor([encode(tokenizer, settings["negative_prompt"])]),
        "embedding_a": embed(PROMPT_A),
        "embedding_b": embed(PROMPT_B),
        "embedding_negative": embed(settings["negative_prompt"]),
        "initial_noise": torch.randn([1, 4, 8, 12], generator=generator(settings["seed"])),
    }
    runs = {"a": generate(PROMPT_A), "b": generate(PROMPT_B)}

    settings["site_paths"] = site_paths(pipe.unet, tensors["initial_noise"], torch.tensor([1.0]), tensors["embedding_a"])
    site = pipe.unet.get_submodule(settings["site_paths"][settings["patched_site"]])
    # The batch is [unconditional, conditional]; the layer runs once a step.
    other = torch.cat([tensors["embedding_negative"], tensors["embedding_b"]])
    runs["patched"] = generate(
        PROMPT_A, lambda: site.set_processor(PatchedAttention(other, rows=[1], start=settings["patched_from_step"]))
    )
    site.set_processor(AttnProcessor2_0())

    start = settings["patched_from_step"]
    assert torch.equal(runs["patched"]["steps"][:start], runs["a"]["steps"][:start])
    for name, result in runs.items():
        assert torch.equal(result["steps"][-1:], result["latents"])
        if name != "a":
            assert (result["latents"] - runs["a"]["latents"]).abs().max() > 0.05, f"{name} hardly differs from a"
        assert 0.1 < result["image"].std() and ((result["image"] == 0) | (result["image"] == 1)).float().mean() < 0.05
        tensors |= {f"{name}.{key}": tensor for key, tensor in result.items()}
    settings["timesteps"] = pipe.scheduler.timesteps.tolist()
    save(out / "expected.safetensors", tensors, {"settings": json.dumps(settings)})


def write_pipeline_sdxl(out):
    settings = {
        "prompt_a": PROMPT_A,
        "prompt_b": PROMPT_B,
        "guidance_scale": 4.0,
        "num_inference_steps": 6,
        "seed": 42,
        "height": 32,
        "width": 48,
        "patched_sites": [1, 4],
        "patched_from_step": 2,
    }
    tokenizer = load_tokenizer()
    unet = UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(8, 16),
        norm_num_groups=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        transformer_layers_per_block=[1, 2],
        attention_head_dim=[1, 2],
        use_linear_projection=True,
        cross_attention_dim=16 + 8,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=10 + 6 * 8,
    )
    pipe = StableDiffusionXLPipeline(
        vae=build_small_vae(911, 0.3, scaling_factor=0.13025),
        text_encoder=build_clip(912, "quick_gelu", num_hidden_layers=3, **modern_ids(tokenizer)),
        text_encoder_2=build_projected_clip(913),
        tokenizer=tokenizer,
        tokenizer_2=load_tokenizer("!"),
        unet=randomise(unet, 910),
        scheduler=EulerDiscreteScheduler(**BETAS, timestep_spacing="leading", steps_offset=1),
        add_watermarker=False,
    )
    pipe.save_pretrained(out)
    pipe.set_progress_bar_config(disable=True)

    def generate(prepare=lambda: None, **inputs):
        latents, pictures = draw(pipe, settings, ["latent", "pil"], prepare, **inputs)
        return {"latents": latents, "image_u8": to_bytes(pictures)}

    names = ("prompt_embeds", "negative_prompt_embeds", "pooled_prompt_embeds", "negative_pooled_prompt_embeds")
    a, b = (dict(zip(names, pipe.encode_prompt(prompt))) for prompt in (PROMPT_A, PROMPT_B))
    assert a["negative_prompt_embeds"].abs().max() == 0  # force_zeros_for_empty_prompt
    runs = {
        "a": generate(prompt=PROMPT_A),
        "b": generate(prompt=PROMPT_B),
        "negative": generate(prompt=PROMPT_A, negative_prompt=PROMPT_B),
        "empty_negative": generate(prompt=PROMPT_A, negative_prompt=""),
        "clip_skip": generate(prompt=PROMPT_A, clip_skip=1),
        "pooled_b": generate(**a | {"pooled_prompt_embeds": b["pooled_prompt_embeds"]}),
    }
    time_ids = torch.tensor([[32.0, 48.0, 0, 0, 32.0, 48.0]])
    added = {"text_embeds": a["pooled_prompt_embeds"], "time_ids": time_ids}
    settings["site_paths"] = site_paths(
        pipe.unet, torch.zeros([1, 4, 8, 12]), torch.tensor([1.0]), a["prompt_embeds"], None, None, None, None, added
    )
    other = torch.cat([b["negative_prompt_embeds"], b["prompt_embeds"]])
    sites = [pipe.unet.get_submodule(settings["site_paths"][site]) for site in settings["patched_sites"]]

    def patch():
        for site in sites:
            site.set_processor(PatchedAttention(other, rows=[1], start=settings["patched_from_step"]))

    runs["patched"] = generate(patch, prompt=PROMPT_A)
    tensors = {}
    for name, result in runs.items():
        if name != "a":
            assert (result["latents"] - runs["a"]["latents"]).abs().max() > 0.02, f"{name} hardly differs from a"
        tensors |= {f"{name}.{key}": tensor for key, tensor in result.items()}
    save(out / "expected.safetensors", tensors, {"settings": json.dumps(settings)})


# ------------------------------------------------------------------------------------------------------ Stable Diffusion 3


class RecordedContext(JointAttnProcessor2_0):
    """Joint attention that keeps the context's keys and values (after their norm) of every call, or puts kept ones in.

    tape: a list that calls append to; with `replay`, one that calls take from, in order.
    """

    def __init__(self, tape, replay=False, heads=slice(None), start=0):
        self.tape, self.replay, self.heads, self.start, self.calls = tape, replay, heads, start, 0

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None):
        def split(projected):
            return projected.unflatten(-1, (attn.heads, -1)).transpose(1, 2)

        def norm(layer, x):
            return x if layer is None else layer(x)

        own = hidden_states.shape[1]
        key, value = norm(attn.norm_added_k, split(attn.add_k_proj(encoder_hidden_states))), split(attn.add_v_proj(encoder_hidden_states))
        if self.replay:
            if self.calls >= self.start:
                key, value = key.clone(), value.clone()
                key[:, self.heads], value[:, self.heads] = (kept[:, self.heads] for kept in self.tape[self.calls])
        else:
            self.tape.append((key, value))
        self.calls += 1
        query = torch.cat([norm(attn.norm_q, split(attn.to_q(hidden_states))), norm(attn.norm_added_q, split(attn.add_q_proj(encoder_hidden_states)))], 2)
        key = torch.cat([norm(attn.norm_k, split(attn.to_k(hidden_states))), key], 2)
        value = torch.cat([split(attn.to_v(hidden_states)), value], 2)
        out = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
        context = out[:, own:]
        return attn.to_out[0](out[:, :own]), context if attn.context_pre_only else attn.to_add_out(context)


def build_mmdit(seed, **config):
    config = {
        "sample_size": 8,
        "patch_size": 2,
        "in_channels": 4,
        "out_channels": 4,
        "num_layers": 3,
        "attention_head_dim": 8,
        "num_attention_heads": 2,
        "joint_attention_dim": 28,
        "caption_projection_dim": 16,
        "pooled_projection_dim": 26,
        "pos_embed_max_size": 9,
    } | config
    return randomise(SD3Transformer2DModel(**config), seed)


def run_mmdit(model, processors, *inputs):
    for index, processor in processors.items():
        model.transformer_blocks[index].attn.set_processor(processor)
    output = model(*inputs).sample
    for index in processors:
        model.transformer_blocks[index].attn.set_processor(JointAttnProcessor2_0())
    return output


def write_mmdit(out, seed, **config):
    model = build_mmdit(seed, **config)
    model.save_pretrained(out)
    noise = generator(seed + 1)
    sample, timestep = torch.randn([2, 4, 6, 14], generator=noise), torch.tensor([801.5, 17.0])
    a, b = (torch.randn([2, 7, 28], generator=noise) for _ in range(2))
    pooled_a, pooled_b = (torch.randn([2, 26], generator=noise) for _ in range(2))
    inputs = (sample, a, pooled_a, timestep)
    layers = range(len(model.transformer_blocks))
    tensors = {"sample": sample, "timestep": timestep, "embedding": a, "pooled": pooled_a, "other_embedding": b, "other_pooled": pooled_b}
    tensors["output"] = model(*inputs).sample
    tapes = {index: [] for index in layers}
    record = {index: RecordedContext(tape) for index, tape in tapes.items()}
    tensors["other_output"] = run_mmdit(model, record, sample, b, pooled_b, timestep)
    torch.testing.assert_close(tensors["other_output"], model(sample, b, pooled_b, timestep).sample, rtol=0, atol=1e-5)
    for index in layers:
        tensors |= {f"other.{index}.key": tapes[index][0][0], f"other.{index}.value": tapes[index][0][1]}
        patched = run_mmdit(model, {index: RecordedContext(tapes[index], replay=True)}, *inputs)
        assert (patched - tensors["output"]).abs().max() > 1e-3, f"the patch at {index} does nothing"
        tensors[f"patched.{index}.output"] = patched
    tensors["patched_head.output"] = run_mmdit(model, {1: RecordedContext(tapes[1], replay=True, heads=[1])}, *inputs)
    save(out / "expected.safetensors", tensors)


def write_mmdit_sd3(out):
    write_mmdit(out, 1000)


def write_mmdit_sd35(out):
    write_mmdit(out, 1100, dual_attention_layers=(0, 1), qk_norm="rms_norm")


def build_t5(seed, **config):
    config = {"vocab_size": T5_PIECES + 100, "d_model": 28, "d_kv": 6, "d_ff": 40, "num_layers": 2, "num_heads": 3} | config
    config = {"feed_forward_proj": "gated-gelu", "relative_attention_num_buckets": 8, "relative_attention_max_distance": 20} | config
    return randomise(T5EncoderModel(T5Config(**config)), seed)


def write_t5(out):
    for name, config in (("gated", {}), ("relu", {"feed_forward_proj": "relu", "num_layers": 1})):
        model = build_t5(1200, **config)
        model.save_pretrained(out / name)
        ids = torch.randint(0, T5_PIECES, [2, 40], generator=generator(1201))
        mask = torch.ones_like(ids)
        mask[1, 11:] = 0
        masked = model(ids, attention_mask=mask).last_hidden_state
        save(out / name / "expected.safetensors", {"ids": ids, "mask": mask, "all": model(ids).last_hidden_state, "masked": masked})


T5_PIECES = 320


def write_t5_tokenizer_files(folder):
    """A SentencePiece model as T5's: the same options and special ids, a small vocabulary."""
    folder.mkdir(parents=True, exist_ok=True)
    model = io.BytesIO()  # a file's name would be written into the model
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TRAINING_TEXT.splitlines() + TEXTS * 3),
        model_writer=model,
        vocab_size=T5_PIECES,
        character_coverage=0.995,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        num_threads=1,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    (folder / "spiece.model").write_bytes(model.getvalue())
    return T5Tokenizer.from_pretrained(folder)


def write_tokenizer_t5(out):
    """Ids by SentencePiece itself, and by transformers, which normalises grapheme by grapheme: with combining marks it differs."""
    fast = write_t5_tokenizer_files(out)
    model = sentencepiece.SentencePieceProcessor(model_file=str(out / "spiece.model"))
    special = {token: fast.convert_tokens_to_ids(token) for token in ("<pad>", "</s>", "<unk>", *(f"<extra_id_{i}>" for i in range(100)))}

    def ids(text):
        parts = re.split("(" + "|".join(map(re.escape, special)) + ")", text)
        return [id for part in parts for id in ([special[part]] if part in special else model.encode(part))] + [model.eos_id()]

    texts = [*TEXTS, *random_texts(1000), "a</s>b", "<extra_id_0> and <extra_id_99>", " <pad>", "<unk>x", "<extra_id_100>"]
    cases = [{"text": text, "ids": ids(text)} for text in texts]
    for case in cases:
        if (other := fast(case["text"]).input_ids) != case["ids"]:
            case["transformers"] = other
    plain = [case for case in cases if case["text"].isascii()]
    assert sum("transformers" in case for case in plain) <= 1, "one text of equal letters, where two splits score alike"
    write_json(out / "expected.json", cases)


def write_pipeline_sd3(out):
    settings = {
        "prompt_a": PROMPT_A,
        "prompt_b": PROMPT_B,
        "guidance_scale": 4.0,
        "num_inference_steps": 6,
        "seed": 42,
        "height": 24,
        "width": 40,
        "patched_sites": [1, 2],
        "patched_from_step": 2,
    }
    with tempfile.TemporaryDirectory() as folder:
        tokenizer_3 = write_t5_tokenizer_files(Path(folder))
        spiece = (Path(folder) / "spiece.model").read_bytes()
    codes = {"scaling_factor": 1.5305, "shift_factor": 0.0609, "use_quant_conv": False, "use_post_quant_conv": False}
    first = build_clip(1302, "quick_gelu", CLIPTextModelWithProjection, num_hidden_layers=3, **LEGACY_IDS)
    parts = {
        "transformer": build_mmdit(1300, qk_norm="rms_norm", dual_attention_layers=(0,)),
        "scheduler": FlowMatchEulerDiscreteScheduler(shift=3.0),
        "vae": build_small_vae(1301, 0.3, **codes),
        "text_encoder": first,
        "text_encoder_2": build_projected_clip(1303),
        "tokenizer": load_tokenizer(),
        "tokenizer_2": load_tokenizer("!"),
    }
    pipe = StableDiffusion3Pipeline(**parts, text_encoder_3=build_t5(1304), tokenizer_3=tokenizer_3)
    pipe.save_pretrained(out)
    (out / "tokenizer_3" / "spiece.model").write_bytes(spiece)
    (out / "tokenizer_3" / "tokenizer.json").unlink()  # large, and not read
    without_t5 = StableDiffusion3Pipeline(**parts, text_encoder_3=None, tokenizer_3=None)

    def rewind():
        for site in pipe.transformer.transformer_blocks:
            if isinstance(site.attn.processor, RecordedContext):
                site.attn.processor.calls = 0
                if not site.attn.processor.replay:
                    site.attn.processor.tape.clear()

    def generate(pipe, **inputs):
        pipe.set_progress_bar_config(disable=True)
        latents, pictures = draw(pipe, settings, ["latent", "pil"], rewind, **inputs)
        return {"latents": latents, "image_u8": to_bytes(pictures)}

    runs = {"a": generate(pipe, prompt=PROMPT_A), "negative": generate(pipe, prompt=PROMPT_A, negative_prompt=PROMPT_B, clip_skip=1)}
    runs["without_t5"] = generate(without_t5, prompt=PROMPT_A)
    tapes = {site: [] for site in settings["patched_sites"]}
    for site, tape in tapes.items():
        pipe.transformer.transformer_blocks[site].attn.set_processor(RecordedContext(tape))
    runs["b"] = generate(pipe, prompt=PROMPT_B)
    for site, tape in tapes.items():
        pipe.transformer.transformer_blocks[site].attn.set_processor(RecordedContext(tape, replay=True, start=settings["patched_from_step"]))
    runs["patched"] = generate(pipe, prompt=PROMPT_A)
    tensors = {}
    for name, result in runs.items():
        if name != "a":
            assert (result["latents"] - runs["a"]["latents"]).abs().max() > 0.02, f"{name} hardly differs from a"
        tensors |= {f"{name}.{key}": tensor for key, tensor in result.items()}
    save(out / "expected.safetensors", tensors, {"settings": json.dumps(settings)})


# ------------------------------------------------------------------------------------------------------------ DeepFloyd IF


class RecordedFluxContext:
    """FLUX's attention in either kind of block; keeps the prompt's keys and values (after their norm) of every call, or puts kept ones in.

    tape: a list that calls append to; with `replay`, one that calls take from, in order. tokens: how many the prompt has.
    """

    def __init__(self, tape, tokens, replay=False, heads=slice(None), start=0):
        self.tape, self.tokens, self.replay, self.heads, self.start, self.calls = tape, tokens, replay, heads, start, 0

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None, image_rotary_emb=None):
        def split(projected):
            return projected.unflatten(-1, (attn.heads, -1))

        def project(x, added):
            names = ("add_q_proj", "add_k_proj", "add_v_proj") if added else ("to_q", "to_k", "to_v")
            query, key, value = (split(getattr(attn, name)(x)) for name in names)
            return (attn.norm_added_q if added else attn.norm_q)(query), (attn.norm_added_k if added else attn.norm_k)(key), value

        double = encoder_hidden_states is not None
        context, image = (encoder_hidden_states, hidden_states) if double else (hidden_states[:, : self.tokens], hidden_states[:, self.tokens :])
        query, key, value = project(context, double)
        if self.replay:
            if self.calls >= self.start:
                key, value = key.clone(), value.clone()
                key[:, :, self.heads], value[:, :, self.heads] = (kept[:, :, self.heads] for kept in self.tape[self.calls])
        else:
            self.tape.append((key, value))
        self.calls += 1
        query, key, value = (torch.cat(pair, 1) for pair in zip((query, key, value), project(image, False)))
        query, key = (apply_rotary_emb(x, image_rotary_emb, sequence_dim=1) for x in (query, key))
        out = F.scaled_dot_product_attention(*(x.transpose(1, 2) for x in (query, key, value))).transpose(1, 2).flatten(2)
        if not double:
            return out
        return attn.to_out[0](out[:, self.tokens :]), attn.to_add_out(out[:, : self.tokens])


def build_flux(seed, **config):
    config = {
        "in_channels": 16,
        "num_layers": 2,
        "num_single_layers": 2,
        "attention_head_dim": 16,
        "num_attention_heads": 2,
        "joint_attention_dim": 28,
        "pooled_projection_dim": 16,
        "axes_dims_rope": (4, 4, 8),
    } | config
    return randomise(FluxTransformer2DModel(**config), seed)


def flux_sites(model):
    return [block.attn for block in (*model.transformer_blocks, *model.single_transformer_blocks)]


def write_flux(out, seed, guidance):
    model = build_flux(seed, guidance_embeds=guidance is not None)
    model.save_pretrained(out)
    noise = generator(seed + 1)
    rows, columns, tokens = 3, 5, 7
    latent, timestep = torch.randn([2, 4, 2 * rows, 2 * columns], generator=noise), torch.tensor([801.5, 17.0])
    a, b = (torch.randn([2, tokens, 28], generator=noise) for _ in range(2))
    pooled_a, pooled_b = (torch.randn([2, 16], generator=noise) for _ in range(2))
    ids = FluxPipeline._prepare_latent_image_ids(2, rows, columns, "cpu", torch.float32)

    def call(embedding, pooled, processors=None):
        for attn, processor in zip(flux_sites(model), processors or [FluxAttnProcessor() for _ in flux_sites(model)]):
            attn.set_processor(processor)
        packed = FluxPipeline._pack_latents(latent, 2, 4, 2 * rows, 2 * columns)
        out = model(packed, embedding, pooled, timestep / 1000, ids, torch.zeros(tokens, 3), guidance).sample
        return FluxPipeline._unpack_latents(out, 2 * rows * 8, 2 * columns * 8, 8)

    tensors = {"sample": latent, "timestep": timestep, "embedding": a, "pooled": pooled_a, "other_embedding": b, "other_pooled": pooled_b}
    if guidance is not None:
        tensors["time_ids"] = guidance
    tensors["output"] = call(a, pooled_a)
    plain = call(b, pooled_b)
    tapes = [[] for _ in flux_sites(model)]
    tensors["other_output"] = call(b, pooled_b, [RecordedFluxContext(tape, tokens) for tape in tapes])
    torch.testing.assert_close(tensors["other_output"], plain, rtol=0, atol=1e-5)
    for index, tape in enumerate(tapes):
        tensors |= {f"other.{index}.key": tape[0][0].transpose(1, 2), f"other.{index}.value": tape[0][1].transpose(1, 2)}
        processors = [FluxAttnProcessor() for _ in tapes]
        processors[index] = RecordedFluxContext(tape, tokens, replay=True)
        patched = call(a, pooled_a, processors)
        assert (patched - tensors["output"]).abs().max() > 1e-3, f"the patch at {index} does nothing"
        tensors[f"patched.{index}.output"] = patched
    processors = [FluxAttnProcessor() for _ in tapes]
    processors[1] = RecordedFluxContext(tapes[1], tokens, replay=True, heads=[1])
    tensors["patched_head.output"] = call(a, pooled_a, processors)
    save(out / "expected.safetensors", tensors)


def write_flux_dev(out):
    write_flux(out, 1600, torch.tensor([3.5, 2.0]))


def write_flux_schnell(out):
    write_flux(out, 1610, None)


def write_pipeline_flux(out):
    settings = {
        "prompt_a": PROMPT_A,
        "prompt_b": PROMPT_B,
        "guidance_scale": 3.0,
        "num_inference_steps": 4,
        "seed": 42,
        "height": 24,
        "width": 40,
        "patched_sites": [1, 2],
        "patched_from_step": 1,
    }
    codes = {"scaling_factor": 0.3611, "shift_factor": 0.1159, "use_quant_conv": False, "use_post_quant_conv": False}
    shift = {"use_dynamic_shifting": True, "shift": 3.0, "base_image_seq_len": 4, "max_image_seq_len": 64}
    pipe = FluxPipeline(
        transformer=build_flux(1700, guidance_embeds=True),
        scheduler=FlowMatchEulerDiscreteScheduler(**shift),
        vae=build_small_vae(1701, 0.3, **codes),
        text_encoder=build_clip(1702, "quick_gelu", **LEGACY_IDS),
        tokenizer=load_tokenizer(),
        text_encoder_2=build_t5(1703),
        tokenizer_2=load_t5_tokenizer()["tokenizer"],
    )
    pipe.save_pretrained(out)
    write_t5_tokenizer_files(out / "tokenizer_2")
    (out / "tokenizer_2" / "tokenizer.json").unlink()  # large, and not read
    pipe.set_progress_bar_config(disable=True)
    sites = flux_sites(pipe.transformer)

    def rewind():
        for site in sites:
            if isinstance(site.processor, RecordedFluxContext):
                site.processor.calls = 0
                if not site.processor.replay:
                    site.processor.tape.clear()

    def generate(prompt):
        latents, pictures = draw(pipe, settings, ["latent", "pil"], rewind, prompt=prompt)
        latents = FluxPipeline._unpack_latents(latents, settings["height"], settings["width"], pipe.vae_scale_factor)
        return {"latents": latents, "image_u8": to_bytes(pictures)}

    runs = {"a": generate(PROMPT_A)}
    tokens = 512  # max_sequence_length
    tapes = {site: [] for site in settings["patched_sites"]}
    for site, tape in tapes.items():
        sites[site].set_processor(RecordedFluxContext(tape, tokens))
    runs["b"] = generate(PROMPT_B)
    for site, tape in tapes.items():
        sites[site].set_processor(RecordedFluxContext(tape, tokens, replay=True, start=settings["patched_from_step"]))
    runs["patched"] = generate(PROMPT_A)
    tensors = {}
    for name, result in runs.items():
        if name != "a":
            assert (result["latents"] - runs["a"]["latents"]).abs().max() > 0.02, f"{name} hardly differs from a"
        tensors |= {f"{name}.{key}": tensor for key, tensor in result.items()}
    save(out / "expected.safetensors", tensors, {"settings": json.dumps(settings)})


def write_pipeline_if(out):
    settings = {
        "prompt_a": "A Neon SIGN that says Open  ",
        "prompt_b": PROMPT_B,
        "guidance_scale": 5.0,
        "num_inference_steps": 6,
        "seed": 42,
        "height": 8,
        "width": 16,
        "patched_sites": [1, 3],
        "patched_from_step": 2,
    }
    pipe = IFPipeline(
        text_encoder=build_t5(1401),
        unet=build_unet_if(1400, in_channels=3, encoder_hid_dim=28, addition_embed_type_num_heads=4),
        scheduler=IF_SCHEDULER,
        **IF_PARTS,
        **load_t5_tokenizer(),
    )
    write_if_runs(out, pipe, settings)


IF_PARTS = {"safety_checker": None, "feature_extractor": None, "watermarker": None, "requires_safety_checker": False}
IF_SCHEDULER = DDPMScheduler(
    beta_schedule="squaredcos_cap_v2", variance_type="learned_range", thresholding=True, dynamic_thresholding_ratio=0.95, sample_max_value=1.5
)


def load_t5_tokenizer():
    with tempfile.TemporaryDirectory() as folder:
        return {"tokenizer": write_t5_tokenizer_files(Path(folder))}


def write_if_runs(out, pipe, settings, **inputs):
    pipe.save_pretrained(out)
    write_t5_tokenizer_files(out / "tokenizer")
    (out / "tokenizer" / "tokenizer.json").unlink()  # large, and not read
    pipe.set_progress_bar_config(disable=True)
    sites = [name for name, module in pipe.unet.named_modules() if module.__class__.__name__ == "Attention"]
    rank = {"down_blocks": 0, "mid_block": 1, "up_blocks": 2}
    sites.sort(key=lambda name: rank[name.split(".")[0]])  # forward order: stable within each part

    def generate(prompt, **more):
        (images,) = draw(pipe, settings, ["np"], prompt=prompt, clean_caption=False, **inputs, **more)
        return {"image": torch.from_numpy(images), "image_u8": torch.from_numpy((images * 255).round().astype("uint8"))}

    runs = {"a": generate(settings["prompt_a"]), "b": generate(PROMPT_B), "negative": generate(settings["prompt_a"], negative_prompt=PROMPT_B)}
    prompt, negative = pipe.encode_prompt(PROMPT_B)
    other = pipe.unet.encoder_hid_proj(torch.cat([negative, prompt]))
    for site in settings["patched_sites"]:
        pipe.unet.get_submodule(sites[site]).set_processor(PatchedAddedAttention(other, rows=[1], start=settings["patched_from_step"]))
    runs["patched"] = generate(settings["prompt_a"])
    tensors = {}
    for name, result in runs.items():
        if name != "a":
            assert (result["image"] - runs["a"]["image"]).abs().max() > 0.02, f"{name} hardly differs from a"
        tensors |= {f"{name}.{key}": tensor for key, tensor in result.items()}
    settings["site_paths"] = sites
    if "image" in inputs:
        tensors["picture"] = torch.from_numpy(np.array(inputs["image"])).permute(2, 0, 1)
    save(out / "expected.safetensors", tensors, {"settings": json.dumps(settings)})


def write_pipeline_if2(out):
    settings = {
        "prompt_a": PROMPT_A,
        "prompt_b": PROMPT_B,
        "guidance_scale": 4.0,
        "num_inference_steps": 5,
        "seed": 42,
        "height": 16,
        "width": 24,
        "noise_level": 200,
        "patched_sites": [0, 2],
        "patched_from_step": 1,
    }
    pipe = IFSuperResolutionPipeline(
        text_encoder=build_t5(1501),
        unet=build_unet_if(1500, in_channels=6, encoder_hid_dim=28, addition_embed_type_num_heads=4, class_embed_type="timestep", time_embedding_act_fn="gelu"),
        scheduler=IF_SCHEDULER,
        image_noising_scheduler=DDPMScheduler(beta_schedule="squaredcos_cap_v2"),
        **IF_PARTS,
        **load_t5_tokenizer(),
    )
    picture = torch.randint(0, 256, [5, 7, 3], generator=generator(1502), dtype=torch.uint8)
    write_if_runs(out, pipe, settings, image=Image.fromarray(picture.numpy()), noise_level=settings["noise_level"])


# ------------------------------------------------------------------------------------------------------ latent diffusion (LDM)

BERT_WORDS = """[PAD] [UNK] [CLS] [SEP] [MASK] a the sign says that on in wall red blue neon open ##ed ##s ##ing cat dog new news ##paper paper gold
##en read reading rain hello world o p e n s h l w r d i t y ! " ' , . : ; ? - ( ) # $ % & ##a ##b ##c ##d ##e ##f ##g ##h ##i ##k ##l ##m ##n ##o
##p ##r ##t ##u ##y 1 2 3 ##1 ##2 ##3 is it don love b c f g k m u viet ##nam nam e ##te 中 文 한 国 ß α ω""".split()


def write_bert_tokenizer_files(folder):
    folder.mkdir(parents=True, exist_ok=True)
    words = list(dict.fromkeys(BERT_WORDS))
    (folder / "vocab.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    write_json(folder / "tokenizer_config.json", {"do_lower_case": True, "model_max_length": 77, "tokenizer_class": "BertTokenizer"})
    return BertTokenizer.from_pretrained(folder)


def write_tokenizer_bert(out):
    tokenizer = write_bert_tokenizer_files(out)
    texts = [*TEXTS, *random_texts(1000), "[SEP] a [mask][MASK]b", "Élan naïve", "re-read: 'newspapers'!", "x" * 101, "a" * 100]
    write_json(out / "expected.json", [{"text": text, "ids": tokenizer(text).input_ids} for text in texts])


def build_ldm_bert(seed):
    config = {"d_model": 16, "encoder_layers": 2, "encoder_ffn_dim": 24, "encoder_attention_heads": 2, "head_dim": 6}
    return randomise(LDMBertModel(LDMBertConfig(vocab_size=len(set(BERT_WORDS)), max_position_embeddings=77, **config)), seed)


def write_pipeline_ldm(out):
    """Both autoencoders that this family has: folder kl/ and folder vq/, which share the rest."""
    settings = {"prompt_a": PROMPT_A, "prompt_b": PROMPT_B, "guidance_scale": 15.0, "num_inference_steps": 6, "seed": 42, "height": 32, "width": 48}
    settings |= {"patched_sites": [0, 2], "patched_from_step": 1}
    with tempfile.TemporaryDirectory() as folder:
        tokenizer = write_bert_tokenizer_files(Path(folder))
    unet = UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(8, 16),
        norm_num_groups=4,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        layers_per_block=1,
        attention_head_dim=2,
        cross_attention_dim=16,
    )
    coder = {
        "block_out_channels": (8, 8, 8, 16),
        "down_block_types": ("DownEncoderBlock2D",) * 4,
        "up_block_types": ("UpDecoderBlock2D",) * 4,
        "norm_num_groups": 4,
        "layers_per_block": 1,
        "sample_size": 64,
        "latent_channels": 4,
    }
    autoencoders = {
        "kl": randomise(AutoencoderKL(**coder), 1501),
        "vq": randomise(VQModel(**coder, num_vq_embeddings=40, vq_embed_dim=4, scaling_factor=1.0), 1502),
    }
    bert, unet = build_ldm_bert(1503), randomise(unet, 1500)
    for name, autoencoder in autoencoders.items():
        pipe = LDMTextToImagePipeline(
            vqvae=autoencoder, bert=bert, tokenizer=tokenizer, unet=unet, scheduler=DDIMScheduler(**STABLE_DDIM)
        )
        autoencoder.decoder.conv_out.weight *= 0.3
        pipe.save_pretrained(out / name)
        (out / name / "tokenizer" / "vocab.txt").write_text("\n".join(dict.fromkeys(BERT_WORDS)) + "\n", encoding="utf-8")
        pipe.set_progress_bar_config(disable=True)

        runs = {"a": draw(pipe, settings, ["np"], prompt=PROMPT_A)[0], "b": draw(pipe, settings, ["np"], prompt=PROMPT_B)[0]}
        states = lambda text: bert(tokenizer(text, padding="max_length", max_length=77, truncation=True, return_tensors="pt").input_ids)[0]
        paths = site_paths(unet, torch.zeros([1, 4, 4, 6]), torch.tensor([1.0]), states(PROMPT_A))
        sites = [unet.get_submodule(paths[site]) for site in settings["patched_sites"]]
        for site in sites:
            site.set_processor(PatchedAttention(torch.cat([states(""), states(PROMPT_B)]), rows=[1], start=settings["patched_from_step"]))
        runs["patched"] = draw(pipe, settings, ["np"], prompt=PROMPT_A)[0]
        for site in sites:
            site.set_processor(AttnProcessor2_0())
        tensors = {"states": states(PROMPT_A)}
        for run, images in runs.items():
            if run != "a":
                assert np.abs(images - runs["a"]).max() > 0.01, f"{name} {run} hardly differs from a"
            tensors |= {f"{run}.image": torch.from_numpy(images), f"{run}.image_u8": torch.from_numpy((images * 255).round().astype("uint8"))}
        save(out / name / "expected.safetensors", tensors, {"settings": json.dumps(settings)})


# ------------------------------------------------------------------------------------------------------ metrics and noise


def write_metrics(out):
    draw = np.random.default_rng(1000)

    def smooth(height, width):
        """Natural-like: noise of several scales, in colours that vary together."""
        grey = sum(weight * gaussian_filter(draw.standard_normal((height, width)), sigma) * sigma for sigma, weight in ((1, 1), (3, 2), (9, 3)))
        tint = gaussian_filter(draw.standard_normal((height, width, 3)), (6, 6, 0)) * 10
        return to_bytes(128 + 70 * grey[..., None] + 30 * tint)

    def to_bytes(image):
        return np.clip(np.round(image), 0, 255).astype(np.uint8)

    small, wide, third, fourth = smooth(64, 64), smooth(40, 72), smooth(64, 64), smooth(40, 72)
    pairs = [
        (small, to_bytes(small + draw.normal(0, 12, small.shape))),
        (wide, to_bytes(gaussian_filter(wide.astype(float), (1.5, 1.5, 0)))),
        (third, third),
        (np.full((40, 72, 3), 128, np.uint8), np.full((40, 72, 3), (140, 128, 90), np.uint8)),
        (small, third),
        (fourth, to_bytes((fourth.astype(float) - 128) * 1.8 + 150)),
    ]
    tensors, scores = {}, {"ssim": [], "mse": [], "psnr": []}
    for index, (a, b) in enumerate(pairs):
        tensors[f"pair.{index}.a"], tensors[f"pair.{index}.b"] = torch.from_numpy(a), torch.from_numpy(b)
        scores["ssim"].append(
            structural_similarity(a, b, channel_axis=2, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255)
        )
        scores["mse"].append(mean_squared_error(a, b))
        with np.errstate(divide="ignore"):  # identical images: infinity
            scores["psnr"].append(peak_signal_noise_ratio(a, b, data_range=255))
    tensors |= {name: torch.tensor(values, dtype=torch.float64) for name, values in scores.items()}
    save(out / "metrics.safetensors", tensors)


def write_random(out):
    seed42, seed0, seed7, big = generator(42), generator(0), generator(7), generator(2**40 + 5)
    tensors = {
        "seed42.first": torch.randn([5], generator=seed42),  # fewer than 16: the scalar path, which keeps a spare number
        "seed42.second": torch.randn([3, 4, 4], generator=seed42),
        "seed42.third": torch.randn([3], generator=seed42),
        "seed0": torch.randn([1, 4, 8, 8], generator=seed0),
        "seed7.odd": torch.randn([1, 4, 5, 7], generator=seed7),  # 140 numbers: not a multiple of 16
        "seed7.after": torch.randn([16], generator=seed7),
        "seed_2pow40_plus5": torch.randn([16], generator=big),
    }
    save(out / "random.safetensors", tensors)


# ------------------------------------------------------------------------------------------------------------------- main

# ------------------------------------------------------------------------------------------------------- single-file checkpoints


def rename(key, pairs):
    for new, old in pairs.items():
        key = key.replace(new, old)
    return key


def original_unet_key(key, config):
    """What the file of the U-Net's authors calls a parameter of diffusers' class."""
    layers = config["layers_per_block"]
    layers = layers if isinstance(layers, int) else layers[0]
    top = {
        "time_embedding.linear_1": "time_embed.0",
        "time_embedding.linear_2": "time_embed.2",
        "add_embedding.linear_1": "label_emb.0.0",
        "add_embedding.linear_2": "label_emb.0.2",
        "conv_in": "input_blocks.0.0",
        "conv_norm_out": "out.0",
        "conv_out": "out.2",
        "mid_block.resnets.0": "middle_block.0",
        "mid_block.attentions.0": "middle_block.1",
        "mid_block.resnets.1": "middle_block.2",
    }
    inner = {
        "norm1": "in_layers.0",
        "conv1": "in_layers.2",
        "time_emb_proj": "emb_layers.1",
        "norm2": "out_layers.0",
        "conv2": "out_layers.3",
        "conv_shortcut": "skip_connection",
    }
    if "resnets" in key:
        key = rename(key, inner)
    for new, old in top.items():
        if key.startswith(new + "."):
            return old + key[len(new) :]
    side, block, part, number, rest = re.fullmatch(r"(down|up)_blocks\.(\d+)\.(\w+)\.(\d+)\.(.*)", key).groups()
    block, number = int(block), int(number)
    first = {"down": 1, "up": 0}[side] + block * (layers + 1)
    blocks = {"down": "input_blocks", "up": "output_blocks"}[side]
    if part == "downsamplers":
        return f"{blocks}.{first + layers}.0.op." + rest.removeprefix("conv.")
    if part == "upsamplers":
        return f"{blocks}.{first + layers}.{1 + ('CrossAttn' in config['up_block_types'][block])}.{rest}"
    return f"{blocks}.{first + number}.{('resnets', 'attentions').index(part)}.{rest}"


def original_vae_key(key, config):
    last = len(config["block_out_channels"]) - 1
    key = re.sub(r"down_blocks\.(\d+)\.resnets\.", r"down.\1.block.", key)
    key = re.sub(r"down_blocks\.(\d+)\.downsamplers\.0\.", r"down.\1.downsample.", key)
    key = re.sub(r"up_blocks\.(\d+)\.resnets\.", lambda m: f"up.{last - int(m[1])}.block.", key)
    key = re.sub(r"up_blocks\.(\d+)\.upsamplers\.0\.", lambda m: f"up.{last - int(m[1])}.upsample.", key)
    attention = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}
    if "attentions" in key:
        key = rename(key, attention)
    names = {"mid_block.resnets.0": "mid.block_1", "mid_block.resnets.1": "mid.block_2", "mid_block.attentions.0": "mid.attn_1"}
    return rename(key, names | {"conv_norm_out": "norm_out", "conv_shortcut": "nin_shortcut"})


def original_open_clip(state):
    names = {
        "encoder.layers.": "transformer.resblocks.",
        "layer_norm1": "ln_1",
        "layer_norm2": "ln_2",
        "mlp.fc1": "mlp.c_fc",
        "mlp.fc2": "mlp.c_proj",
        "self_attn": "attn",
        "final_layer_norm": "ln_final",
        "embeddings.token_embedding": "token_embedding",
        "embeddings.position_embedding.weight": "positional_embedding",
    }
    out = {}
    for key, tensor in state.items():
        name = rename(key.removeprefix("text_model."), names)
        if name == "text_projection.weight":
            out["text_projection"] = tensor.T.contiguous()
        elif ".q_proj." in name:
            parts = [state[key.replace("q_proj", f"{letter}_proj")] for letter in "qkv"]
            out[name.replace("q_proj.", "in_proj_")] = torch.cat(parts)
        elif not re.search(r"\.[kv]_proj\.", name):
            out[name] = tensor
    return out | {"logit_scale": torch.tensor(4.6)}


def original_mmdit(state):
    names = {
        "pos_embed.proj": "x_embedder.proj",
        "pos_embed.pos_embed": "pos_embed",
        "time_text_embed.timestep_embedder.linear_1": "t_embedder.mlp.0",
        "time_text_embed.timestep_embedder.linear_2": "t_embedder.mlp.2",
        "time_text_embed.text_embedder.linear_1": "y_embedder.mlp.0",
        "time_text_embed.text_embedder.linear_2": "y_embedder.mlp.2",
        "norm_out.linear": "final_layer.adaLN_modulation.1",
        "proj_out": "final_layer.linear",
        "transformer_blocks": "joint_blocks",
        "norm1_context.linear": "context_block.adaLN_modulation.1",
        "norm1.linear": "x_block.adaLN_modulation.1",
        "ff_context.net.0.proj": "context_block.mlp.fc1",
        "ff_context.net.2": "context_block.mlp.fc2",
        "ff.net.0.proj": "x_block.mlp.fc1",
        "ff.net.2": "x_block.mlp.fc2",
        "attn.norm_added_q": "context_block.attn.ln_q",
        "attn.norm_added_k": "context_block.attn.ln_k",
        "attn.norm_q": "x_block.attn.ln_q",
        "attn.norm_k": "x_block.attn.ln_k",
        "attn2.norm_q": "x_block.attn2.ln_q",
        "attn2.norm_k": "x_block.attn2.ln_k",
        "attn.to_out.0": "x_block.attn.proj",
        "attn2.to_out.0": "x_block.attn2.proj",
        "attn.to_add_out": "context_block.attn.proj",
    }
    last = max(int(key.split(".")[1]) for key in state if key.startswith("transformer_blocks."))
    out = {}
    for key, tensor in state.items():
        fused = re.fullmatch(r"transformer_blocks\.(\d+)\.(attn2?)\.(to|add)_([qkv])(?:_proj)?\.(weight|bias)", key)
        if fused:
            number, attention, stream, letter, kind = fused.groups()
            if letter == "q":
                parts = [state[key.replace(f"{stream}_q", f"{stream}_{each}")] for each in "qkv"]
                out[f"joint_blocks.{number}.{'x' if stream == 'to' else 'context'}_block.{attention}.qkv.{kind}"] = torch.cat(parts)
            continue
        if key.startswith(("norm_out", f"transformer_blocks.{last}.norm1_context")):
            tensor = torch.cat(tensor.chunk(2)[::-1])
        out[rename(key, names)] = tensor
    return out


def write_single_file(out):
    """The models of pipeline/, pipeline_sdxl/ and pipeline_sd3/ as their authors would have published them; diffusers' own
    converters must give back what was there."""
    out.mkdir(parents=True)
    for name in ("pipeline", "pipeline_sdxl", "pipeline_sd3"):
        folder = out.parent / name

        def read(component):
            config = json.loads((folder / component / "config.json").read_text())
            return load_file(next((folder / component).glob("*.safetensors"))), config

        vae, vae_config = read("vae")
        squeezed = {key: tensor[:, :, None, None] if re.search(r"attentions.*\.(to_.|to_out\.0)\.weight", key) else tensor for key, tensor in vae.items()}
        whole = {"first_stage_model." + original_vae_key(key, vae_config): tensor for key, tensor in squeezed.items()}
        assert_same(single_file_utils.convert_ldm_vae_checkpoint(dict(whole), vae_config), vae)
        # What training leaves in such files.
        whole |= {"model_ema.decay": torch.tensor(0.99), "betas": torch.linspace(0, 1, 4)}
        if name == "pipeline_sd3":
            state, _ = read("transformer")
            original = {"model.diffusion_model." + key: tensor for key, tensor in original_mmdit(state).items()}
            assert_same(single_file_utils.convert_sd3_transformer_checkpoint_to_diffusers(dict(original)), state)
            whole |= original
            for component, prefix in (("text_encoder", "clip_l"), ("text_encoder_2", "clip_g"), ("text_encoder_3", "t5xxl")):
                whole |= {f"text_encoders.{prefix}.transformer.{key}": tensor for key, tensor in published_clip(read(component)[0]).items()}
        else:
            state, config = read("unet")
            original = {"model.diffusion_model." + original_unet_key(key, config): tensor for key, tensor in state.items()}
            assert len(original) == len(state)
            assert_same(single_file_utils.convert_ldm_unet_checkpoint(dict(original), config), state)
            first = "cond_stage_model." if name == "pipeline" else "conditioner.embedders.0."
            whole |= original | {f"{first}transformer.{key}": tensor for key, tensor in published_clip(read("text_encoder")[0]).items()}
            if name == "pipeline_sdxl":
                state, _ = read("text_encoder_2")
                original = {"conditioner.embedders.1.model." + key: tensor for key, tensor in original_open_clip(state).items()}
                model = CLIPTextModelWithProjection.from_pretrained(folder / "text_encoder_2")
                converted = single_file_utils.convert_open_clip_checkpoint(model, dict(original), "conditioner.embedders.1.model.")
                assert_same(published_clip(converted), published_clip(state))
                whole |= original
        save(out / f"{name}.safetensors", whole)


def published_clip(state):
    """A text encoder's keys as in published files: below text_model, its projection beside it."""
    if "shared.weight" in state:
        return state
    return {key if key.startswith(("text_model.", "text_projection.")) else "text_model." + key: tensor for key, tensor in state.items()}


def assert_same(converted, state):
    assert converted.keys() == state.keys(), sorted(converted.keys() ^ state.keys())
    for key, tensor in state.items():
        assert torch.equal(converted[key], tensor), key


FOLDERS = {
    "unet_sd1": write_unet_sd1,
    "unet_sd2": write_unet_sd2,
    "vae": write_vae,
    "vae_plain": write_vae_plain,
    "clip": write_clip,
    "clip_gelu": write_clip_gelu,
    "tokenizer": write_tokenizer,
    "tokenizer_sd2": write_tokenizer_sd2,
    "pipeline": write_pipeline,
    "unet_variants": write_unet_variants,
    "unet_70_sites": write_unet_70_sites,
    "unet_sdxl": write_unet_sdxl,
    "unet_if1": write_unet_if1,
    "unet_if2": write_unet_if2,
    "clip_projection": write_clip_projection,
    "clip_scores": write_clip_scores,
    "dino": write_dino,
    "roberta": write_roberta,
    "pipeline_sdxl": write_pipeline_sdxl,
    "mmdit_sd3": write_mmdit_sd3,
    "mmdit_sd35": write_mmdit_sd35,
    "t5": write_t5,
    "tokenizer_t5": write_tokenizer_t5,
    "pipeline_sd3": write_pipeline_sd3,
    "pipeline_if": write_pipeline_if,
    "pipeline_if2": write_pipeline_if2,
    "flux_dev": write_flux_dev,
    "flux_schnell": write_flux_schnell,
    "pipeline_flux": write_pipeline_flux,
    "tokenizer_bert": write_tokenizer_bert,
    "pipeline_ldm": write_pipeline_ldm,
    "single_file": write_single_file,
}
def write_block_parts(out):
    """One call of a denoiser of two rows, whose first row has, in the block of one site, the second row's K and V of the picture, or outputs of the MLPs."""

    def second_row(since=0, until=None):
        def hook(_, __, result):
            result = result.clone()
            result[0, since:until] = result[1, since:until]
            return result

        return hook

    def run(model, call, layers):
        hooks = [model.get_submodule(path).register_forward_hook(second_row(*rows)) for path, *rows in layers]
        result = call(model)
        for hook in hooks:
            hook.remove()
        return result

    tensors = {}
    folders = {"unet_sd1": UNet2DConditionModel, "unet_sdxl": UNet2DConditionModel, "unet_if1": UNet2DConditionModel, "mmdit_sd35": SD3Transformer2DModel, "flux_dev": FluxTransformer2DModel, "z_image": ZImageTransformer2DModel}
    for name, model_class in folders.items():
        model = model_class.from_pretrained(out / name).eval()
        given = load_file(out / name / "expected.safetensors")
        tokens = 7
        if name.startswith("unet"):
            added = {key: given[key] for key in ("text_embeds", "time_ids") if key in given}
            call = lambda unet: unet(given["sample"], given["timestep"], given["encoder_hidden_states"], added_cond_kwargs=added).sample
            sites = []
            names = [path for path, module in model.named_modules() if (path.endswith(".attn2") or (name == "unet_if1" and module.__class__.__name__ == "Attention"))]
            hooks = [model.get_submodule(path).register_forward_pre_hook(lambda *_, path=path: sites.append(path)) for path in names]
            call(model)
            for hook in hooks:
                hook.remove()
            parts = {}
            for index, path in enumerate(sites):
                block = path.removesuffix(".attn2")
                own = block if name == "unet_if1" else f"{block}.attn1"
                parts[f"picture.{index}"] = [(f"{own}.to_k", 0), (f"{own}.to_v", 0)]
                if name != "unet_if1":
                    parts[f"mlp.{index}"] = [(f"{block}.ff", 0)]
        elif name.startswith("mmdit"):
            call = lambda mmdit: mmdit(given["sample"], given["embedding"], given["pooled"], given["timestep"]).sample
            parts = {}
            for index, block in enumerate(model.transformer_blocks):
                path = f"transformer_blocks.{index}"
                own = [f"{path}.attn"] + ([f"{path}.attn2"] if block.attn2 is not None else [])
                parts[f"picture.{index}"] = [(f"{one}.{layer}", 0) for one in own for layer in ("to_k", "to_v")]
                parts[f"mlp.{index}"] = [(f"{path}.ff", 0)] + ([(f"{path}.ff_context", 0)] if block.ff_context is not None else [])
        elif name == "z_image":
            captions = [row[mask] for row, mask in zip(given["embedding"], given["prompt_mask"])]
            call = lambda z: -torch.stack(z(list(given["sample"].unsqueeze(2)), (1000 - given["timestep"]) / 1000, captions).sample)[:, :, 0]
            refiners = len(model.context_refiner)
            parts = {f"mlp.{index}": [(f"context_refiner.{index}.feed_forward", 0)] for index in range(refiners)}
            for index in range(len(model.layers)):
                path, site = f"layers.{index}", index + refiners
                # The picture's 32 tokens, some of which fill it up, stand before the prompt's.
                parts[f"picture.{site}"] = [(f"{path}.attention.{layer}", 0, 32) for layer in ("to_k", "to_v")]
                parts[f"mlp.{site}"] = [(f"{path}.feed_forward", 0)]
        else:
            rows, columns = given["sample"].shape[2] // 2, given["sample"].shape[3] // 2
            ids = FluxPipeline._prepare_latent_image_ids(2, rows, columns, "cpu", torch.float32)
            packed = FluxPipeline._pack_latents(given["sample"], 2, 4, 2 * rows, 2 * columns)
            call = lambda flux: FluxPipeline._unpack_latents(
                flux(packed, given["embedding"], given["pooled"], given["timestep"] / 1000, ids, torch.zeros(tokens, 3), given["time_ids"]).sample,
                2 * rows * 8, 2 * columns * 8, 8,
            )
            parts = {}
            for index in range(len(model.transformer_blocks)):
                path = f"transformer_blocks.{index}"
                parts[f"picture.{index}"] = [(f"{path}.attn.to_k", 0), (f"{path}.attn.to_v", 0)]
                parts[f"mlp.{index}"] = [(f"{path}.ff", 0), (f"{path}.ff_context", 0)]
            for index in range(len(model.single_transformer_blocks)):
                path, site = f"single_transformer_blocks.{index}", index + len(model.transformer_blocks)
                # Prompt and picture are one stream there; the picture's part alone is its own.
                parts[f"picture.{site}"] = [(f"{path}.attn.to_k", tokens), (f"{path}.attn.to_v", tokens)]
                parts[f"mlp.{site}"] = [(f"{path}.proj_mlp", 0)]
        plain = call(model)
        torch.testing.assert_close(plain, given["output"], rtol=0, atol=1e-4)
        for part, layers in parts.items():
            result = run(model, call, layers)
            # A last block's part may be what the second row has anyway, but it always does something here.
            assert (result[0] - plain[0]).abs().max() > 1e-4, f"{name}: {part} does nothing"
            torch.testing.assert_close(result[1], plain[1], rtol=0, atol=1e-6)
            tensors[f"{name}.{part}"] = result
    save(out / "block_parts.safetensors", tensors)


def write_safe_guidance(out):
    """Safe Latent Diffusion's guidance over a few calls: each call's three outputs of a denoiser, and what comes of them."""
    settings = {"sld_guidance_scale": 1000.0, "sld_warmup_steps": 2, "sld_threshold": 0.01, "sld_momentum_scale": 0.3, "sld_mom_beta": 0.4}
    tensors, momentum = {}, None
    for call in range(6):
        none, prompt, unwanted = outputs = 0.01 * torch.randn([3, 2, 4, 5, 5], generator=generator(910 + call))
        # Its argument is [prompt, none, unwanted].
        guidance, momentum = StableDiffusionPipelineSafe.perform_safety_guidance(
            None, True, momentum, prompt - none, [prompt, none, unwanted], call, **settings
        )
        tensors[f"outputs.{call}"] = outputs.contiguous()
        tensors[f"guidance.{call}"] = guidance
    save(out / "safe_guidance.safetensors", tensors)


# ------------------------------------------------------------------------------------------------------ Prompt-to-Prompt


class ReplacedMaps:
    """Attention whose maps, in the last row of the batch, are for some calls those of the row before it.

    As in the program of arXiv 2208.01626: over the prompt's tokens through the mapper, over the picture's own as they are and only where the picture has
    at most `self_tokens`. mapper: [tokens, tokens], alphas: [tokens]. Stands in for AttnProcessor2_0, AttnAddedKVProcessor2_0 and JointAttnProcessor2_0.
    """

    def __init__(self, mapper, alphas, settings):
        self.mapper, self.alphas, self.calls, self.self_tokens = mapper, alphas, 0, settings["self_tokens"]
        self.cross_steps = int(settings["cross_share"] * settings["num_inference_steps"] + 1e-9)
        self.self_steps = int(settings["self_share"] * settings["num_inference_steps"] + 1e-9)

    def attend(self, query, key, value, prompt, tokens):
        """prompt: the slice of the keys that are the prompt's, or None; tokens: of the picture, whose queries come first."""
        maps = (query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])).softmax(-1)
        source, target = maps[-2, :, :tokens].clone(), maps[-1, :, :tokens].clone()
        new = target.clone()
        if self.calls < self.self_steps and tokens <= self.self_tokens:
            own = torch.ones(maps.shape[-1], dtype=torch.bool)
            own[prompt or slice(0, 0)] = False
            new[..., own] = source[..., own]
        if self.calls < self.cross_steps and prompt:
            new[..., prompt] = torch.einsum("hpw,wn->hpn", source[..., prompt], self.mapper) * self.alphas + target[..., prompt] * (1 - self.alphas)
        maps[-1, :, :tokens] = new
        self.calls += 1
        return (maps @ value).transpose(1, 2).flatten(2)

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None, temb=None):
        def split(projected):
            return projected.unflatten(-1, (attn.heads, -1)).transpose(1, 2)

        def norm(layer, x):
            return x if layer is None else layer(x)

        joint = isinstance(encoder_hidden_states, torch.Tensor) and attn.add_k_proj is not None
        if joint and hidden_states.dim() == 4:
            context = attn.norm_encoder_hidden_states(encoder_hidden_states) if attn.norm_cross else encoder_hidden_states
            pixels = attn.group_norm(hidden_states.flatten(2)).transpose(1, 2)
            key, value, end = split(attn.add_k_proj(context)), split(attn.add_v_proj(context)), context.shape[1]
            if not attn.only_cross_attention:
                key, value = torch.cat([key, split(attn.to_k(pixels))], 2), torch.cat([value, split(attn.to_v(pixels))], 2)
            out = self.attend(split(attn.to_q(pixels)), key, value, slice(0, end), pixels.shape[1])
            return hidden_states + attn.to_out[0](out).transpose(1, 2).reshape(hidden_states.shape)
        own = hidden_states.shape[1]
        query = norm(attn.norm_q, split(attn.to_q(hidden_states)))
        if joint:
            query = torch.cat([query, norm(attn.norm_added_q, split(attn.add_q_proj(encoder_hidden_states)))], 2)
            key = torch.cat([norm(attn.norm_k, split(attn.to_k(hidden_states))), norm(attn.norm_added_k, split(attn.add_k_proj(encoder_hidden_states)))], 2)
            value = torch.cat([split(attn.to_v(hidden_states)), split(attn.add_v_proj(encoder_hidden_states))], 2)
            out = self.attend(query, key, value, slice(own, None), own)
            context = out[:, own:]
            return attn.to_out[0](out[:, :own]), context if attn.context_pre_only else attn.to_add_out(context)
        read = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        prompt = None if encoder_hidden_states is None else slice(0, read.shape[1])
        return attn.to_out[0](self.attend(query, norm(attn.norm_k, split(attn.to_k(read))), split(attn.to_v(read)), prompt, own))


def words_of(tokenizer, text):
    """Ids of a text without begin and end, and for each the index of its word between spaces."""
    if isinstance(tokenizer, T5Tokenizer):
        ids = tokenizer(text).input_ids[:-1]
        return ids, (np.cumsum([piece.startswith("\u2581") for piece in tokenizer.convert_ids_to_tokens(ids)]) - 1).tolist()
    ids, words, word, letters = tokenizer(text).input_ids[1:-1], [], 0, ""
    for token in ids:  # as the authors' get_word_inds counts letters
        words.append(word)
        letters += tokenizer.decode([token]).strip()
        if len(letters) >= len(text.split(" ")[word]):
            word, letters = word + 1, ""
    return ids, words


def mapper_of(tokenizer, source, target, length, lead):
    """The authors' replacement mapper if both have as many words, else their refinement mapper; but what comes after the text is mapped by what it is."""
    (source_ids, source_words), (target_ids, target_words) = words_of(tokenizer, source), words_of(tokenizer, target)
    assert max(len(source_ids), len(target_ids)) + lead + 1 <= length, (len(source_ids), len(target_ids))
    mapper, alphas = torch.zeros(length, length), torch.zeros(length)
    pairs = [(i, i, 1.0) for i in range(lead)]
    if len(source.split(" ")) == len(target.split(" ")):
        for word in range(len(source.split(" "))):
            a, b = ([lead + i for i, w in enumerate(words) if w == word] for words in (source_words, target_words))
            pairs += zip(a, b, [1.0] * len(a)) if len(a) == len(b) else [(i, j, 1.0 / len(b)) for i in a for j in b]
    else:
        score = np.zeros((len(source_ids) + 1, len(target_ids) + 1), dtype=int)
        for i, x in enumerate(source_ids):
            for j, y in enumerate(target_ids):
                score[i + 1, j + 1] = max(score[i + 1, j], score[i, j + 1], score[i, j] + (1 if x == y else -1))
        i, j = len(source_ids), len(target_ids)
        while i > 0 and j > 0:
            if score[i, j] == score[i, j - 1]:
                j -= 1
            elif score[i, j] == score[i - 1, j]:
                i -= 1
            else:
                i, j = i - 1, j - 1
                pairs.append((lead + i, lead + j, 1.0))
    pairs += [(i, j, 1.0) for i, j in zip(range(lead + len(source_ids), length), range(lead + len(target_ids), length))]
    for i, j, weight in pairs:
        mapper[i, j], alphas[j] = weight, 1
    return mapper, alphas


def write_prompt_to_prompt(out):
    """The pipelines of three families, whose folders must be there, each drawing a prompt and, with its maps, two others."""
    source = "a neon sign that says open"
    targets = {"replace": "a neon sign that says goodbye", "refine": "a big neon sign that says one"}
    tensors, told = {}, {}

    def attentions(module):
        return [one for one in module.modules() if one.__class__.__name__ == "Attention"]

    def compare(name, pipe, denoiser, runs, settings, kind, **inputs):
        """runs: of each tokenizer, its tokens of a prompt, and how many it puts before."""
        settings |= {"source": source, "targets": targets}
        pipe.set_progress_bar_config(disable=True)
        processors = [one.processor for one in attentions(denoiser)]
        for target, prompt in targets.items():
            parts = [mapper_of(tokenizer, source, prompt, length, lead) for tokenizer, length, lead in runs]
            mapper, alphas = torch.block_diag(*(part[0] for part in parts)), torch.cat([part[1] for part in parts])

            def draw(with_maps):
                for one, processor in zip(attentions(denoiser), processors):
                    one.set_processor(ReplacedMaps(mapper, alphas, settings) if with_maps else processor)
                return pipe(
                    prompt=[source, prompt],
                    guidance_scale=settings["guidance_scale"],
                    num_inference_steps=settings["num_inference_steps"],
                    height=settings["height"],
                    width=settings["width"],
                    generator=[generator(settings["seed"]) for _ in range(2)],
                    output_type=kind,
                    **inputs,
                ).images

            plain, replaced = (torch.as_tensor(draw(with_maps)) for with_maps in (False, True))
            assert (plain[0] - replaced[0]).abs().max() < 1e-3, f"{name}: the source's row changed"
            assert (plain[1] - replaced[1]).abs().max() > 0.02, f"{name}: nothing came of the maps"
            tensors[f"{name}.{target}"] = replaced[1:]
        told[name] = settings

    pipe = StableDiffusionPipeline.from_pretrained(out / "pipeline", safety_checker=None, feature_extractor=None, requires_safety_checker=False)
    shares = {"guidance_scale": 5.0, "seed": 42, "cross_share": 0.8, "self_share": 0.5, "self_tokens": 24}
    settings = shares | {"num_inference_steps": 8, "height": 32, "width": 48}
    compare("pipeline", pipe, pipe.unet, [(pipe.tokenizer, MAX_LENGTH, 1)], settings, "latent")

    with tempfile.TemporaryDirectory() as folder:
        t5 = write_t5_tokenizer_files(Path(folder))
    pipe = StableDiffusion3Pipeline.from_pretrained(out / "pipeline_sd3", tokenizer_3=t5)
    settings = shares | {"num_inference_steps": 6, "height": 24, "width": 40, "self_tokens": 1 << 20}
    compare("pipeline_sd3", pipe, pipe.transformer, [(pipe.tokenizer, MAX_LENGTH, 1), (t5, 256, 0)], settings, "latent")

    pipe = IFPipeline.from_pretrained(out / "pipeline_if", tokenizer=t5, **IF_PARTS)
    settings = shares | {"num_inference_steps": 6, "height": 8, "width": 16, "self_tokens": 1 << 20}
    compare("pipeline_if", pipe, pipe.unet, [(t5, 77, 0)], settings, "np", clean_caption=False)
    save(out / "prompt_to_prompt.safetensors", tensors, {"settings": json.dumps(told)})


FILES = {
    "safe_guidance": write_safe_guidance,
    "lpips": write_lpips,
    "block_parts": write_block_parts,
    "schedulers": write_schedulers,
    "metrics": write_metrics,
    "random": write_random,
    "prompt_to_prompt": write_prompt_to_prompt,
}
GOLDENS = {**FOLDERS, **FILES}


def main():
    if len(sys.argv) < 2 or any(name not in GOLDENS for name in sys.argv[2:]):
        sys.exit(f"{__doc__}\nNames: {' '.join(GOLDENS)}")
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    warnings.filterwarnings("ignore")
    diffusers.utils.logging.set_verbosity_error()
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    for name in sys.argv[2:] or GOLDENS:
        torch.manual_seed(0)
        print(name, flush=True)
        if name in FOLDERS:
            shutil.rmtree(out / name, ignore_errors=True)
            FOLDERS[name](out / name)
        else:
            FILES[name](out)


if __name__ == "__main__":
    with torch.inference_mode():
        main()
