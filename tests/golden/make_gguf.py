#!/usr/bin/env python3
"""GGUF files by the gguf package, and what is in them as gguf, diffusers and transformers read it. Usage: make_gguf.py data/gguf
Needs gguf 0.19.0, torch 2.15, diffusers 0.42.1, transformers 5.23.0, safetensors 0.8.

types.gguf            a matrix of every type of blocks, of random bytes;           types.safetensors: its numbers, as gguf has them
flux.safetensors      FLUX.1's transformer in its authors' keys, random numbers;   flux_converted.safetensors: in diffusers' keys, as diffusers converts it
flux.gguf             the same, quantized in several types;                        flux_gguf_converted.safetensors: as diffusers converts its numbers
t5/                   a T5 encoder in llama.cpp's names, with what it writes of ids, as transformers computes it of the file's numbers
"""
import inspect
import sys
from pathlib import Path

import gguf
import numpy as np
import torch
from diffusers.loaders import single_file_utils
from gguf_files import numbers, write
from safetensors.torch import save_file
from transformers import T5Config, T5EncoderModel

out = Path(sys.argv[1])
out.mkdir(parents=True, exist_ok=True)
Type = gguf.GGMLQuantizationType
random = np.random.default_rng(26)
QUANTIZED = [Type.Q4_0, Type.Q4_1, Type.Q5_0, Type.Q5_1, Type.Q8_0, Type.Q2_K, Type.Q3_K, Type.Q4_K, Type.Q5_K, Type.Q6_K, Type.IQ4_NL, Type.IQ4_XS]
# Where a block's half-precision scales lie; all other bytes may be anything.
HALVES = {Type.Q4_0: [0], Type.Q4_1: [0, 2], Type.Q5_0: [0], Type.Q5_1: [0, 2], Type.Q8_0: [0], Type.Q2_K: [80, 82], Type.Q3_K: [108], Type.Q4_K: [0, 2],
          Type.Q5_K: [0, 2], Type.Q6_K: [208], Type.IQ4_NL: [0], Type.IQ4_XS: [0]}


tensors, expected = {}, {}
for kind in QUANTIZED:
    block, size = gguf.GGML_QUANT_SIZES[kind]
    blocks = random.integers(0, 256, (3 * 512 // block, size), dtype=np.uint8)
    for at in HALVES[kind]:
        scales = (random.standard_normal(len(blocks)) * 10.0 ** random.uniform(-7, 2, len(blocks))).astype(np.float16)  # subnormal ones too
        blocks[:, at:at + 2] = scales.view(np.uint8).reshape(-1, 2)
    tensors[kind.name] = (blocks.reshape(3, -1), kind)
    expected[kind.name] = numbers(*tensors[kind.name])
plain = random.standard_normal((3, 5)).astype(np.float32)
tensors["F16"] = (plain.astype(np.float16), Type.F16)
tensors["BF16"] = (gguf.quants.quantize(plain, Type.BF16), Type.BF16)
expected["F16"], expected["BF16"] = numbers(*tensors["F16"]), numbers(*tensors["BF16"])
write(out / "types.gguf", "flux", tensors)
save_file(expected, out / "types.safetensors")

# diffusers' converter knows FLUX.1's width alone; the same with that of this model.
source = inspect.getsource(single_file_utils.convert_flux_transformer_checkpoint_to_diffusers)
assert source.count("inner_dim = 3072") == 1
scope = vars(single_file_utils).copy()
exec(source.replace("inner_dim = 3072", "inner_dim = 32"), scope)
convert = scope["convert_flux_transformer_checkpoint_to_diffusers"]

# As tests/golden/data/pipeline_flux/transformer/config.json has it: two heads of 16, two blocks of each kind.
WIDTH, PROMPT, POOLED, CHANNELS = 32, 28, 16, 16
shapes = {"img_in": (WIDTH, CHANNELS), "txt_in": (WIDTH, PROMPT), "final_layer.linear": (CHANNELS, WIDTH), "final_layer.adaLN_modulation.1": (2 * WIDTH, WIDTH)}
for name, inputs in (("time_in", 256), ("guidance_in", 256), ("vector_in", POOLED)):
    shapes |= {f"{name}.in_layer": (WIDTH, inputs), f"{name}.out_layer": (WIDTH, WIDTH)}
for i in range(2):
    for part in ("img", "txt"):
        at = f"double_blocks.{i}.{part}_"
        shapes |= {at + "mod.lin": (6 * WIDTH, WIDTH), at + "attn.qkv": (3 * WIDTH, WIDTH), at + "attn.proj": (WIDTH, WIDTH),
                   at + "mlp.0": (4 * WIDTH, WIDTH), at + "mlp.2": (WIDTH, 4 * WIDTH)}
    at = f"single_blocks.{i}."
    shapes |= {at + "linear1": (7 * WIDTH, WIDTH), at + "linear2": (WIDTH, 5 * WIDTH), at + "modulation.lin": (3 * WIDTH, WIDTH)}
torch.manual_seed(26)
flux = {}
for name, shape in shapes.items():
    flux[name + ".weight"] = torch.randn(shape) * 0.2
    flux[name + ".bias"] = torch.randn(shape[0]) * 0.1
for i in range(2):
    for norm in (f"double_blocks.{i}.img_attn.norm.", f"double_blocks.{i}.txt_attn.norm.", f"single_blocks.{i}.norm."):
        for part in ("query_norm", "key_norm"):
            flux[norm + part + ".scale"] = 1 + torch.randn(16) * 0.1
flux = {name: value.half().float() for name, value in flux.items()}
save_file({name: value.half() for name, value in flux.items()}, out / "flux.safetensors")
converted = convert({name: value.half() for name, value in flux.items()})
save_file({key: value.contiguous() for key, value in converted.items()}, out / "flux_converted.safetensors")

tensors, kept = {}, {}
kinds = [Type.Q8_0, Type.Q5_1, Type.Q4_0, Type.Q5_0, Type.Q4_1, Type.BF16]
for i, (name, value) in enumerate(flux.items()):
    kind = Type.F32 if value.dim() < 2 or value.shape[1] % 32 else kinds[i % len(kinds)]
    data = value.numpy() if kind == Type.F32 else gguf.quants.quantize(value.numpy(), kind)
    tensors[name] = (data, kind)
    kept[name] = numbers(data, kind) if kind != Type.F32 else value
write(out / "flux.gguf", "flux", tensors)
converted = convert(dict(kept))
save_file({key: value.contiguous() for key, value in converted.items()}, out / "flux_gguf_converted.safetensors")

config = T5Config(vocab_size=64, d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4, relative_attention_num_buckets=8, relative_attention_max_distance=20,
                  feed_forward_proj="gated-gelu", tie_word_embeddings=True, is_encoder_decoder=False, use_cache=False)
model = T5EncoderModel(config).eval()
names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.T5ENCODER, config.num_layers)
tensors, state = {}, model.state_dict()
with torch.no_grad():
    for i, (key, value) in enumerate(sorted(state.items())):
        if key == "encoder.embed_tokens.weight":
            continue  # the same as shared.weight
        value.normal_(1 if "norm" in key else 0, 0.1 if "norm" in key else 0.3)
        kind = Type.F32 if value.dim() < 2 or value.shape[1] % 32 else (Type.Q8_0, Type.Q5_0)[i % 2]
        data = value.numpy().copy() if kind == Type.F32 else gguf.quants.quantize(value.numpy(), kind)
        tensors[names.get_name(key, try_suffixes=(".weight",))] = (data, kind)
        if kind != Type.F32:
            value.copy_(numbers(data, kind))
    ids = torch.tensor([[5, 17, 3, 60, 1, 0, 0]])
    states = model(input_ids=ids).last_hidden_state
(out / "t5").mkdir(exist_ok=True)
write(out / "t5" / "t5.gguf", "t5encoder", tensors)
model.config.save_pretrained(out / "t5")
save_file({"ids": ids, "states": states}, out / "t5" / "expected.safetensors")
print(sorted(tensors))
