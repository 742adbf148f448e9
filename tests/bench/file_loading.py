"""Opening files as people have them, beside the libraries of Python, turn by turn: time, and the most memory beyond what a program held before.

    python file_loading.py BUILD SCRATCH [single] [quantized] [attach]      # Python with torch, diffusers, peft, gguf; some 20 GB of SCRATCH

single: SDXL all in one, of its published size with random numbers in bf16, over safetensors.torch.load_file with each tensor read, from the disk and from
the system's cache (aim: 1.2 of its time, and less memory). quantized: a transformer of FLUX.1's width in fp8 and GGUF (aim: 1.1 of the file). attach: an
adapter of all attention, feed-forward and projection layers of SDXL's U-Net in kohya's names, rank 16, over diffusers' load_lora_weights (aim: a third of
its time).
BUILD: where glyphscope_file_loading is. The last output is in tests/README.md."""

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

HERE = Path(__file__).parent
CONFIGS = HERE.parent / "configs"
TURNS = 3

READ_IN_PYTHON = """
import json, sys, time, torch
from safetensors.torch import load_file
def held(name):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(name)) * 1024
torch.ones(8, dtype=torch.bfloat16).sum().item()
before = held("VmRSS")
open("/proc/self/clear_refs", "w").write("5")
start = time.monotonic()
tensors = load_file(sys.argv[1])
total = sum(tensor.sum().item() for tensor in tensors.values())
print(json.dumps({"open_seconds": time.monotonic() - start, "open_bytes": held("VmHWM") - before}))
"""

ATTACH_IN_PYTHON = """
import json, sys, time, torch
from pathlib import Path
from diffusers import StableDiffusionXLPipeline, UNet2DConditionModel
from safetensors.torch import load_file
config = json.loads((Path(sys.argv[1]) / "config.json").read_text())
with torch.device("meta"):
    unet = UNet2DConditionModel.from_config(config)
unet.load_state_dict(load_file(sys.argv[2]), assign=True)
pipeline = StableDiffusionXLPipeline(None, None, None, None, None, unet, None)
start = time.monotonic()
pipeline.load_lora_weights(sys.argv[3])
print(json.dumps({"attach_seconds": time.monotonic() - start}))
"""


def run(command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command[:3]))}: {done.stderr[-2000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def randomly(model):
    """Weights of few random numbers: what they are does not matter to the time."""
    few = torch.randn(1 << 16, generator=torch.Generator().manual_seed(1)).mul(0.02).to(torch.bfloat16)
    return {key: few.repeat(-(-max(1, value.numel()) // few.numel()))[: value.numel()].view(value.shape).clone() for key, value in model.state_dict().items()}


def on_meta(kind, config):
    with torch.device("meta"):
        return kind.from_config(config) if hasattr(kind, "from_config") else kind(config)


def read_config(path):
    return json.loads((path / "config.json").read_text())


def write_sdxl(scratch):
    """The U-Net alone in diffusers' keys, and all in one in its authors'."""
    unet_file, whole_file = scratch / "unet.safetensors", scratch / "sdxl.safetensors"
    if whole_file.exists():
        return unet_file, whole_file
    sys.path.insert(0, str(HERE.parent / "golden"))
    import make_golden
    import transformers
    from diffusers import AutoencoderKL, UNet2DConditionModel

    config = read_config(CONFIGS / "sdxl/unet")
    unet = randomly(on_meta(UNet2DConditionModel, config))
    save_file(unet, unet_file)
    whole = {"model.diffusion_model." + make_golden.original_unet_key(key, config): value for key, value in unet.items()}
    config = read_config(CONFIGS / "sdxl/vae")
    for key, value in randomly(on_meta(AutoencoderKL, config)).items():
        whole["first_stage_model." + make_golden.original_vae_key(key, config)] = value
    for folder, begin in (("text_encoder", "conditioner.embedders.0.transformer."), ("text_encoder_2", "")):
        config = read_config(CONFIGS / "sdxl" / folder)
        kind = getattr(transformers, config["architectures"][0])
        state = {key: value for key, value in randomly(on_meta(kind, transformers.CLIPTextConfig(**config))).items() if "position_ids" not in key}
        if begin:
            whole |= {begin + key: value for key, value in make_golden.published_clip(state).items()}
        else:
            whole |= {"conditioner.embedders.1.model." + key: value for key, value in make_golden.original_open_clip(state).items()}
    save_file({key: value.contiguous() for key, value in whole.items()}, whole_file)
    return unet_file, whole_file


def compare(name, ours, theirs, key):
    ratios = [a[key] / b[key] for a, b in zip(ours, theirs)]
    print(f"  {name}: {statistics.median(ratios):.2f} of the other's ({', '.join(f'{ratio:.2f}' for ratio in sorted(ratios))})", flush=True)


def read_once(file):
    with open(file, "rb", buffering=0) as stream:
        while stream.read(1 << 24):
            pass


def leave_cache(file):
    with open(file, "rb") as stream:
        os.fsync(stream.fileno())
        os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def single(build, scratch):
    _, file = write_sdxl(scratch)
    print(f"single: {file.stat().st_size / 1e9:.2f} GB, SDXL all in one, bf16", flush=True)
    for cached in (False, True):
        print("  the file is in the system's cache:" if cached else "  the file is read from the disk:", flush=True)
        ours, theirs = [], []
        for _ in range(TURNS):
            for turns, command in ((ours, [build / "glyphscope_file_loading", file, "bf16"]), (theirs, [sys.executable, "-c", READ_IN_PYTHON, file])):
                (read_once if cached else leave_cache)(file)
                turns.append(run(command))
        for each in (*ours, *theirs):
            print(f"  {'ours' if 'checksum' in each else 'Python'}: {each['open_seconds']:.2f} s, {each['open_bytes'] / 1e9:.2f} GB", flush=True)
        compare("time", ours, theirs, "open_seconds")
        compare("memory", ours, theirs, "open_bytes")


def quantized(build, scratch):
    import gguf
    import numpy
    from diffusers import FluxTransformer2DModel

    golden = HERE.parent / "golden/data/pipeline_flux"
    small = read_config(golden / "transformer")
    # The published width; few blocks, and what the small encoders beside it write.
    config = {"patch_size": 1, "num_layers": 2, "num_single_layers": 4, "attention_head_dim": 128, "num_attention_heads": 24, "axes_dims_rope": [16, 56, 56]}
    config |= {key: small[key] for key in ("in_channels", "joint_attention_dim", "pooled_projection_dim", "guidance_embeds")}
    folder = scratch / "flux"
    if not (folder / "model_index.json").exists():
        import shutil

        shutil.copytree(golden, folder, dirs_exist_ok=True)
        for file in (folder / "transformer").glob("*.safetensors"):
            file.unlink()
        (folder / "transformer/config.json").write_text(json.dumps({**config, "_class_name": "FluxTransformer2DModel"}))
    state = randomly(on_meta(FluxTransformer2DModel, config))
    fp8 = scratch / "flux-fp8.safetensors"
    save_file({key: value.to(torch.float8_e4m3fn) if value.dim() == 2 else value for key, value in state.items()}, fp8)
    files = [("fp8", fp8)]
    for kind in ("Q8_0", "Q4_K"):
        file = scratch / f"flux-{kind}.gguf"
        writer = gguf.GGUFWriter(str(file), "flux")
        noise = numpy.random.default_rng(1)
        quantization = getattr(gguf.GGMLQuantizationType, kind)
        numbers, size = gguf.GGML_QUANT_SIZES[quantization]
        for key, value in state.items():
            if value.dim() == 2 and value.shape[1] % numbers == 0:
                blocks = noise.integers(0, 20, (value.shape[0], value.shape[1] // numbers * size), dtype=numpy.uint8)
                writer.add_tensor(key, blocks, raw_dtype=quantization)
            else:
                writer.add_tensor(key, value.float().numpy())
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        files.append((kind, file))
    del state
    print("quantized: FLUX.1's width, 2 + 4 blocks", flush=True)
    for kind, file in files:
        each = run([build / "glyphscope_file_loading", file, "bf16", folder])
        size = file.stat().st_size
        print(f"  {kind}: {size / 1e9:.2f} GB, {each['open_bytes'] / 1e9:.2f} GB of memory: {each['open_bytes'] / size:.3f} of the file, {each['open_seconds']:.1f} s", flush=True)


def attach(build, scratch):
    import torch.nn as nn
    from diffusers import UNet2DConditionModel

    unet_file, whole = write_sdxl(scratch)
    adapter = scratch / "adapter.safetensors"
    model = on_meta(UNet2DConditionModel, read_config(CONFIGS / "sdxl/unet"))
    sys.path.insert(0, str(HERE.parent / "golden"))
    import make_golden

    tensors, noise = {}, torch.Generator().manual_seed(2)
    config = dict(model.config)
    for path, module in model.named_modules():
        if isinstance(module, nn.Linear) and ("attentions" in path):
            name = "lora_unet_" + make_golden.original_unet_key(path + ".weight", config).removesuffix(".weight").replace(".", "_")
            tensors[name + ".lora_down.weight"] = torch.randn((16, module.in_features), generator=noise).half()
            tensors[name + ".lora_up.weight"] = torch.randn((module.out_features, 16), generator=noise).half() * 0.01
            tensors[name + ".alpha"] = torch.tensor(8.0).half()
    save_file(tensors, adapter)
    print(f"attach: {len(tensors) // 3} layers, {adapter.stat().st_size / 1e6:.0f} MB", flush=True)
    ours, theirs = [], []
    for _ in range(TURNS):
        ours.append(run([build / "glyphscope_file_loading", whole, "bf16", "", adapter]))
        theirs.append(run([sys.executable, "-c", ATTACH_IN_PYTHON, CONFIGS / "sdxl/unet", unet_file, adapter]))
    for a, b in zip(ours, theirs):
        print(f"  ours {a['attach_seconds']:.2f} s, diffusers {b['attach_seconds']:.2f} s", flush=True)
    compare("time", ours, theirs, "attach_seconds")


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    build, scratch = Path(sys.argv[1]), Path(sys.argv[2])
    scratch.mkdir(parents=True, exist_ok=True)
    for name in sys.argv[3:] or ["single", "quantized", "attach"]:
        {"single": single, "quantized": quantized, "attach": attach}[name](build, scratch)


if __name__ == "__main__":
    main()
