"""Full-size models with the published configurations and random weights: every key is read, one denoiser call fits, and bf16 lies
no further from diffusers' fp32 than diffusers' own bf16 does.

    python full_size.py BUILD SCRATCH [FAMILY ...]      # ldm sd1 sd2 sdxl sd3 if-i-xl z-image; 5 to 25 GB of SCRATCH each, one at a time

SDXL is also drawn on the stand-in device, whole and with memory for so little of it that its blocks are copied there as they compute: the same picture.

BUILD: where glyphscope and glyphscope_denoiser_step are. Needs PyTorch, diffusers and transformers (versions: golden/README.md).
The last output is in tests/README.md.
"""

import gc
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import torch
import transformers
from diffusers import AutoencoderKL, SD3Transformer2DModel, UNet2DConditionModel, ZImageTransformer2DModel
from diffusers.pipelines.latent_diffusion.pipeline_latent_diffusion import LDMBertConfig, LDMBertModel
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import CLIPTextConfig, Qwen3Config, Qwen3ForCausalLM, T5Config, T5EncoderModel

CONFIGS = Path(__file__).parent.parent / "configs"
# Latent, prompt, and what else the denoiser reads.
INPUTS = {
    "ldm": {"sample": [1, 4, 32, 32], "embedding": [1, 77, 1280]},
    "sd1": {"sample": [1, 4, 64, 64], "embedding": [1, 77, 768]},
    "sd2": {"sample": [1, 4, 96, 96], "embedding": [1, 77, 1024]},
    "sdxl": {"sample": [1, 4, 128, 128], "embedding": [1, 77, 2048], "pooled": [1, 1280]},
    "sd3": {"sample": [1, 16, 128, 128], "embedding": [1, 333, 4096], "pooled": [1, 2048]},
    "if-i-xl": {"sample": [1, 3, 64, 64], "embedding": [1, 77, 4096]},
    "z-image": {"sample": [1, 16, 64, 64], "embedding": [1, 64, 2560]},
}
GOLDEN = Path(__file__).parent.parent / "golden/data"
T5_XXL = {
    "architectures": ["T5EncoderModel"],
    "model_type": "t5",
    "d_model": 4096,
    "d_kv": 64,
    "d_ff": 10240,
    "num_layers": 24,
    "num_heads": 64,
    "vocab_size": 32128,
    "feed_forward_proj": "gated-gelu",
    "relative_attention_num_buckets": 32,
}


# The published text encoder's widths, at two of its 36 layers.
QWEN3 = {
    "vocab_size": 151936,
    "hidden_size": 2560,
    "intermediate_size": 9728,
    "num_hidden_layers": 2,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "rope_parameters": {"rope_theta": 1000000.0, "rope_type": "default"},
    "tie_word_embeddings": True,
}


def make(kind, config):
    """A model with PyTorch's own initialisation, in bf16 from the start: fp32 would need twice the memory."""
    torch.set_default_dtype(torch.bfloat16)
    torch.manual_seed(1)
    try:
        if hasattr(kind, "from_config"):
            return kind.from_config(config).eval()
        return kind(config).eval()
    finally:
        torch.set_default_dtype(torch.float32)


def save(model, folder):
    model.save_pretrained(folder, max_shard_size="2GB")
    for number, file in enumerate(sorted(folder.glob("*.safetensors"))):
        print(f"    {file.name}: {file.stat().st_size / 1e9:.2f} GB")


def write_folder(family, folder):
    """Everything but the denoiser."""
    configs = CONFIGS / family
    if family == "z-image":
        save(make(Qwen3ForCausalLM, Qwen3Config(**QWEN3)), folder / "text_encoder")
        for part in ("tokenizer", "scheduler"):
            shutil.copytree(GOLDEN / "pipeline_z_image" / part, folder / part)
        shutil.copy(GOLDEN / "pipeline_z_image/model_index.json", folder)
        config = json.loads((CONFIGS / "sd3/vae/config.json").read_text()) | {"scaling_factor": 0.3611, "shift_factor": 0.1159}
        save(make(AutoencoderKL, config), folder / "vae")
        return
    if family == "if-i-xl":
        save(make(T5EncoderModel, T5Config(**T5_XXL)), folder / "text_encoder")
        shutil.copytree(GOLDEN / "pipeline_if/tokenizer", folder / "tokenizer")
        shutil.copytree(GOLDEN / "pipeline_if/scheduler", folder / "scheduler")
        shutil.copy(GOLDEN / "pipeline_if/model_index.json", folder)
        return
    shutil.copytree(configs, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("transformer", "unet", "vae", "vqvae", "bert", "text_encoder*"))
    if family == "ldm":
        config = {key: value for key, value in json.loads((configs / "bert/config.json").read_text()).items() if key not in ("architectures", "model_type")}
        save(make(LDMBertModel, LDMBertConfig(**config)), folder / "bert")
        save(make(AutoencoderKL, json.loads((configs / "vqvae/config.json").read_text())), folder / "vqvae")
        shutil.copytree(GOLDEN / "pipeline_ldm/kl/tokenizer", folder / "tokenizer")
        return
    save(make(AutoencoderKL, json.loads((configs / "vae/config.json").read_text())), folder / "vae")
    for encoder in sorted(configs.glob("text_encoder*")):
        config = json.loads((encoder / "config.json").read_text())
        save(make(getattr(transformers, config["architectures"][0]), CLIPTextConfig(**config)), folder / encoder.name)
    if family == "sd3":  # without T5
        index = json.loads((folder / "model_index.json").read_text())
        index["text_encoder_3"] = index["tokenizer_3"] = [None, None]
        (folder / "model_index.json").write_text(json.dumps(index))


def call(model, inputs, dtype):
    given = {name: tensor.to(dtype) for name, tensor in inputs.items() if name in ("sample", "embedding", "pooled")}
    with torch.inference_mode():
        if isinstance(model, ZImageTransformer2DModel):
            (out,) = model(list(given["sample"].unsqueeze(2)), (1000 - inputs["timestep"]) / 1000, list(given["embedding"])).sample
            return -out[:, 0].unsqueeze(0).float()
        if isinstance(model, SD3Transformer2DModel):
            out = model(given["sample"], given["embedding"], given["pooled"], inputs["timestep"])
        else:
            added = {"text_embeds": given["pooled"], "time_ids": inputs["time_ids"]} if "pooled" in given else None
            out = model(given["sample"], inputs["timestep"], given["embedding"], added_cond_kwargs=added)
        return out.sample.float()


def distance(a, b):
    return ((a - b).norm() / b.norm()).item()


def run(command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}: {done.stderr}")
    return done.stdout


def call_both(model, inputs, dtypes):
    """What diffusers' model says in each dtype."""
    results = {}
    for dtype in dtypes:
        model.to(dtype)
        start = time.monotonic()
        results[dtype] = call(model, inputs, dtype)
        print(f"  diffusers, {str(dtype)[6:]}: {time.monotonic() - start:.1f} s", flush=True)
    return results


def call_ours(build, folder, scratch):
    step = [build / "glyphscope_denoiser_step", folder, "bf16", scratch / "inputs.safetensors", scratch / "output.safetensors"]
    printed = json.loads(run(step))
    return printed, load_file(scratch / "output.safetensors")["output"]


def near(output, results):
    theirs, ours = (distance(x, results[torch.float32]) for x in (results[torch.bfloat16], output))
    print(f"  distance from diffusers' fp32: diffusers' bf16 {theirs:.2e}, ours {ours:.2e}, ratio {ours / theirs:.2f} (limit 2)")
    return ours <= 2 * theirs


def draws_in_little_memory(build, folder, scratch):
    """Whether a model that is larger than its device draws what it draws on one that holds it."""
    pictures = []
    environment = os.environ | {"GLYPHSCOPE_TEST_DEVICE": "standin", "LD_PRELOAD": str((build / "tests/libglyphscope_stand_in.so").resolve())}
    for memory in ("60GiB", "2GiB"):
        out = scratch / f"{memory}.png"
        out.unlink(missing_ok=True)
        options = ["--prompt", 'a sign that says "LOVE"', "--steps", "2", "--size", "256x256", "--dtype", "bf16", "--device", "standin", "--memory", memory]
        start = time.monotonic()
        done = subprocess.run([build / "glyphscope", "generate", folder, *options, "--out", out], capture_output=True, text=True, env=environment, check=False)
        if done.returncode != 0:
            sys.exit(done.stderr)
        notes = " ".join(line for line in done.stdout.splitlines() if "weights" in line)
        print(f"  two steps on the stand-in, {memory} to take: {time.monotonic() - start:.0f} s. {notes}", flush=True)
        pictures.append(Image.open(out).tobytes())
    same = pictures[0] == pictures[1]
    print(f"  the pictures are {'the same' if same else 'NOT the same'}, bit for bit")
    return same


def check(family, build, scratch):
    folder = scratch / family
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    kind = {"sd3": SD3Transformer2DModel, "z-image": ZImageTransformer2DModel}.get(family, UNet2DConditionModel)
    component = "unet" if kind is UNet2DConditionModel else "transformer"
    config = {} if family == "z-image" else json.loads((CONFIGS / family / component / "config.json").read_text())  # its defaults are the published ones
    noise = torch.Generator().manual_seed(7)
    inputs = {name: torch.randn(shape, generator=noise) for name, shape in INPUTS[family].items()}
    inputs["timestep"] = torch.tensor([601.0])
    if family == "sdxl":
        inputs["time_ids"] = torch.tensor([[1024.0, 1024.0, 0.0, 0.0, 1024.0, 1024.0]])
    save_file(inputs, scratch / "inputs.safetensors")

    print(f"{family}: random weights in bf16, as shards", flush=True)
    write_folder(family, folder)
    model = make(kind, config)
    save(model, folder / component)
    fits = family not in ("if-i-xl", "z-image")  # in fp32 their 4.3 and 6.2 billion parameters leave no room on a machine of 24 GiB
    results = call_both(model, inputs, (torch.bfloat16, torch.float32) if fits else (torch.bfloat16,))
    del model
    gc.collect()

    print("  glyphscope inspect --dtype bf16:")
    for line in run([build / "glyphscope", "inspect", folder, "--dtype", "bf16"]).splitlines()[1:]:
        print("    " + line)
    mine, output = call_ours(build, folder / component, scratch)
    print(f"  one call in bf16: {mine['step_seconds']:.1f} s, peak {mine['peak_bytes'] / 2**30:.2f} GiB (limit 24)")
    ratio = mine["load_peak_bytes"] / mine["weight_bytes"]
    print(f"  loading: peak {mine['load_peak_bytes'] / 1e9:.2f} GB for {mine['weight_bytes'] / 1e9:.2f} GB of weights, ratio {ratio:.2f} (limit 1.2)")
    good = mine["peak_bytes"] < 24 * 2**30 and ratio <= 1.2
    if fits:
        good = near(output, results) and good
    else:
        print(f"  distance from diffusers' bf16: {distance(output, results[torch.bfloat16]):.2e} (fp32 does not fit)")
        shutil.rmtree(folder / component)
        config |= {"n_layers": 6} if family == "z-image" else {"layers_per_block": 1}
        model = make(kind, config)
        print(f"  at reduced depth, {'6 blocks of one stream' if family == 'z-image' else 'a layer a block'}: {sum(x.numel() for x in model.parameters()) / 1e6:.0f} M parameters")
        save(model, folder / component)
        results = call_both(model, inputs, (torch.bfloat16, torch.float32))
        del model
        gc.collect()
        good = near(call_ours(build, folder / component, scratch)[1], results) and good
    if family == "sdxl":
        good = draws_in_little_memory(build, folder, scratch) and good
    print(f"  {'passed' if good else 'FAILED'}", flush=True)
    shutil.rmtree(folder)
    return good


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    families = sys.argv[3:] or list(INPUTS)
    transformers.utils.logging.set_verbosity_error()
    build, scratch = Path(sys.argv[1]), Path(sys.argv[2])
    scratch.mkdir(parents=True, exist_ok=True)
    passed = [check(family, build, scratch) for family in families]
    sys.exit(0 if all(passed) else 1)


if __name__ == "__main__":
    main()
