"""Adapters go both ways: a file that Glyphscope trained gives the same picture in diffusers (`load_lora_weights`), and one that PEFT made gives the
same picture in Glyphscope; on a small model of each family. Both also as `convert-adapter` writes them for diffusers and for kohya, where diffusers
reads that.

usage: check_adapters_in_diffusers.py GLYPHSCOPE   (Python with diffusers, transformers and peft)
Exits with 1 if more than 0.1 % of a picture's pixels differ by more than 1/255, or an adapter changes nothing.
"""

import json
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import diffusers
import numpy as np
import torch
from diffusers import DiffusionPipeline, LDMTextToImagePipeline
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict, set_peft_model_state_dict
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file

DATA = Path(__file__).parent / "data"
PROMPT, STEPS, GUIDANCE, SEED = 'a red sign that says "open"', 4, 3.0, 42
FAMILIES = ["pipeline", "pipeline_sdxl", "pipeline_sd3", "pipeline_flux", "pipeline_if", "pipeline_ldm/kl"]
KOHYA = ["pipeline", "pipeline_sdxl"]  # of which diffusers reads kohya's files; FLUX's only in the published width, SD 3's not at all
CONVOLUTIONS = ["pipeline", "pipeline_ldm/kl"]  # whose proj_in and proj_out are convolutions of one point
ATTENTION = ["to_q", "to_k", "to_v", "to_out.0", "add_q_proj", "add_k_proj", "add_v_proj", "to_add_out"]

warnings.filterwarnings("ignore")
diffusers.utils.logging.set_verbosity_error()


def glyphscope(*arguments):
    done = subprocess.run([sys.argv[1], *map(str, arguments)], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"glyphscope {' '.join(map(str, arguments))}\n{done.stderr}")
    return done.stdout


def ours(folder, out, adapter=None):
    extra = ["--adapter", adapter] if adapter else []
    glyphscope("generate", folder, "--prompt", PROMPT, "--steps", STEPS, "--guidance", GUIDANCE, "--seed", SEED, "--dtype", "fp32", "--out", out, *extra)
    return np.asarray(Image.open(out)).astype(np.int64)


def theirs(pipeline, size):
    arguments = dict(num_inference_steps=STEPS, guidance_scale=GUIDANCE, generator=torch.Generator().manual_seed(SEED), output_type="np")
    image = pipeline([PROMPT], height=size, width=size, **arguments).images[0]
    return np.round(np.asarray(image) * 255).astype(np.int64)


def denoiser_of(pipeline):
    return pipeline.transformer if hasattr(pipeline, "transformer") else pipeline.unet


def load_adapter(pipeline, file):
    """diffusers has no loader for latent diffusion: there PEFT's own is the reference."""
    if not isinstance(pipeline, LDMTextToImagePipeline):
        return pipeline.load_lora_weights(str(file))
    with safe_open(file, "pt") as opened:
        metadata = json.loads(opened.metadata()["lora_adapter_metadata"])
    settings = {key.removeprefix("unet."): value for key, value in metadata.items()}
    pipeline.unet.add_adapter(LoraConfig(**settings))
    set_peft_model_state_dict(pipeline.unet, {key.removeprefix("unet."): value for key, value in load_file(file).items()})


def save_adapter(pipeline, config, folder):
    component = "transformer" if hasattr(pipeline, "transformer") else "unet"
    state, metadata = get_peft_model_state_dict(denoiser_of(pipeline)), config.to_dict()
    file = folder / "pytorch_lora_weights.safetensors"
    if isinstance(pipeline, LDMTextToImagePipeline):
        settings = {f"unet.{key}": list(value) if isinstance(value, set) else value for key, value in metadata.items()}
        text = json.dumps(settings, default=str)
        save_file({f"unet.{key}": value.contiguous() for key, value in state.items()}, file, metadata={"format": "pt", "lora_adapter_metadata": text})
    else:
        pipeline.save_lora_weights(str(folder), **{f"{component}_lora_layers": state, f"{component}_lora_adapter_metadata": metadata})
    return file


def converted(name, folder, adapter, work):
    """The adapter as diffusers' and kohya's files."""
    for form in ["diffusers"] + ["kohya"] * (name in KOHYA):
        file = work / f"{adapter.stem}-{form}.safetensors"
        glyphscope("convert-adapter", folder, adapter, "--format", form, "--out", file)
        yield form, file


def open_pipeline(folder):
    pipeline = DiffusionPipeline.from_pretrained(folder, torch_dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def same(what, a, b, plain):
    share = (np.abs(a - b).max(-1) <= 1).mean()
    changed = (np.abs(a - plain).max(-1) > 1).mean()
    print(f"{what}: {100 * share:.2f} % of pixels within 1/255, largest difference {np.abs(a - b).max()}; the adapter changes {100 * changed:.0f} %")
    return share >= 0.999 and changed > 0.1


def check(name, work):
    folder = DATA / name
    plain = ours(folder, work / "plain.png")
    size = plain.shape[0]
    pictures = work / "pictures"
    pictures.mkdir(parents=True)
    random = np.random.default_rng(1)
    for i in range(4):
        Image.fromarray(random.integers(0, 256, (size, size, 3), dtype=np.uint8)).save(pictures / f"{i}.png")
        (pictures / f"{i}.txt").write_text("a sign")
    glyphscope("finetune", folder, "--data", pictures, "--every-attention", "--rank", 2, "--ranks", "1:3", "--alpha", 5, "--steps", 6, "--rate", 0.1, "--batch", 2, "--held-out", 0,
               "--sample-every", 0, "--out", work / "tuned")
    adapter = work / "tuned" / "last.safetensors"
    mine = ours(folder, work / "a.png", adapter)
    good = True
    for form, file in [("as it is", adapter), *converted(name, folder, adapter, work)]:
        pipeline = open_pipeline(folder)
        load_adapter(pipeline, file)
        good &= same(f"{name}, trained here, {form}", mine, theirs(pipeline, size), plain)

    pipeline = open_pipeline(folder)
    config = LoraConfig(r=3, lora_alpha=4, target_modules=ATTENTION + ["proj_in", "proj_out"] * (name in CONVOLUTIONS), init_lora_weights=False)
    denoiser = denoiser_of(pipeline)
    denoiser.add_adapter(config)
    noise = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for path, parameter in sorted(denoiser.named_parameters()):
            if "lora_" in path:
                parameter.copy_(torch.randn(parameter.shape, generator=noise) * 0.5 / parameter.shape[1] ** 0.5)
    adapter = save_adapter(pipeline, config, work)
    wanted = theirs(pipeline, size)
    good &= same(f"{name}, made by PEFT", ours(folder, work / "b.png", adapter), wanted, plain)
    for form, file in converted(name, folder, adapter, work):
        pipeline = open_pipeline(folder)
        load_adapter(pipeline, file)
        good &= same(f"{name}, made by PEFT, converted for {form}", theirs(pipeline, size), wanted, plain)
    return good


def check_mixed(name, layers, work):
    """Layers of unlike rank and alpha, whose names end alike: each counts as it did, in whatever file."""
    folder = DATA / name
    pipeline = open_pipeline(folder)
    component = "transformer" if hasattr(pipeline, "transformer") else "unet"
    noise = torch.Generator().manual_seed(5)
    tensors, ranks, alphas = {}, {}, {}
    for number, (path, module) in enumerate(sorted(denoiser_of(pipeline).named_modules())):
        if not isinstance(module, torch.nn.Linear) or not any(path.endswith(layer) for layer in layers):
            continue
        rank, alpha = [(4, 4), (8, 8), (4, 12), (2, 1)][number % 4]
        ranks["^" + path], alphas["^" + path] = rank, alpha
        for part, shape in (("A", (rank, module.in_features)), ("B", (module.out_features, rank))):
            tensors[f"{component}.{path}.lora_{part}.weight"] = torch.randn(shape, generator=noise) * 0.4 / shape[1] ** 0.5
    settings = {"r": 4, "lora_alpha": 4, "rank_pattern": ranks, "alpha_pattern": alphas, "target_modules": [path[1:] for path in ranks]}
    adapter = work / "mixed.safetensors"
    text = json.dumps({f"{component}.{key}": value for key, value in settings.items()})
    save_file(tensors, adapter, metadata={"format": "pt", "lora_adapter_metadata": text})
    plain = ours(folder, work / "plain.png")
    mine = ours(folder, work / "a.png", adapter)
    good = True
    for form, file in converted(name, folder, adapter, work):
        pipeline = open_pipeline(folder)
        load_adapter(pipeline, file)
        good &= same(f"{name}, {len(ranks)} layers of mixed ranks, converted for {form}", mine, theirs(pipeline, plain.shape[0]), plain)
    return good


MIXED = {"pipeline": ["to_q", "to_k", "to_v", "to_out.0", "net.2"], "pipeline_flux": ["proj_out", "context_embedder", "to_q"]}
with tempfile.TemporaryDirectory() as work:
    results = [check_mixed(name, layers, Path(work) / ("mixed-" + name)) for name, layers in MIXED.items() if (Path(work) / ("mixed-" + name)).mkdir(parents=True) is None]
    results += [check(name, Path(work) / name) for name in FAMILIES if (Path(work) / name).mkdir(parents=True) is None]
sys.exit(int(not all(results)))
