#!/usr/bin/env python3
"""Training of adapters other than LoRA, and of text encoders' adapters, as PEFT and LyCORIS do it.

    python make_adapter_training.py data        # after make_golden.py. Written for lycoris-lora 4.1.3, peft 0.21, diffusers 0.42.1

data/adapter_training/NAME.safetensors: ten steps of AdamW on one batch in float64. `start.`, `gradient.` (of the first step), `after1.` and `after10.` with a
layer's path and its part: lora_down, lora_up, magnitude, hada_w1_a and so on; of a text encoder's layers with "text_encoder:" before the path. `losses`; what
was learned from: `clean`, `noise`, `index` (of the timesteps), `ids` (of the prompts), `target` (where an encoder is trained alone). Metadata: `settings`, JSON:
the denoiser or encoder, the scheduler's configuration, each layer's scale."""
import json
import shutil
import sys
import warnings
from pathlib import Path

import lycoris
import torch
from diffusers import DDPMScheduler, UNet2DConditionModel
from make_adapters import MODELS, call
from peft import LoraConfig
from safetensors.torch import load_file, save_file
from transformers import CLIPTextModel, T5EncoderModel

ATTENTION = ["to_q", "to_k", "to_v", "to_out.0"]
STABLE = {"_class_name": "DDPMScheduler", "beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
FLOW = {"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 3.0}
PEFT_PARTS = {"lora_A": "lora_down", "lora_B": "lora_up", "lora_magnitude_vector": "magnitude"}


def randomise(weights, seed):
    """At a size at which they matter, and none at zero, where gradients would be."""
    noise = torch.Generator().manual_seed(seed)
    for name, parameter in sorted(weights.items()):
        drawn = torch.randn(parameter.shape, generator=noise, dtype=torch.float64)
        if name.endswith("magnitude"):
            parameter.data *= 1 + 0.3 * drawn
        else:
            parameter.data = 0.5 * drawn / max(parameter.shape[-1], 1) ** 0.5


def peft_weights(model, before=""):
    out = {}
    for path, value in model.named_parameters():
        for theirs, ours in PEFT_PARTS.items():
            if f".{theirs}." in path:
                out[before + path.split(f".{theirs}.")[0] + "." + ours] = value
    for value in model.parameters():
        value.requires_grad_(False)
    for value in out.values():
        value.requires_grad_(True)
    return out


def by_peft(model, seed, before="", **options):
    config = LoraConfig(r=3, lora_alpha=6, init_lora_weights="gaussian", **options)
    model.add_adapter(config)
    weights = peft_weights(model, before)
    randomise(weights, seed)
    return weights, {name.rsplit(".", 1)[0]: 2.0 for name in weights}


def by_lycoris(model, seed, **options):
    model.requires_grad_(False)
    lycoris.LycorisNetwork.apply_preset({"target_module": ["Attention"]})
    torch.manual_seed(5)
    network = lycoris.create_lycoris(model, 1.0, linear_alpha=2, conv_dim=1, **options).double()
    network.apply_to()
    paths = {path.replace(".", "_"): path for path, _ in model.named_modules()}
    weights, scales = {}, {}
    for module in network.loras:
        path = paths[module.lora_name.removeprefix("lycoris_")]
        scales[path] = float(module.scale)
        for part, value in module.named_parameters():
            if not part.startswith("org_"):
                weights[f"{path}.{part}"] = value
    randomise(weights, seed)
    return weights, scales


def ten_steps(weights, loss_of):
    """What AdamW makes of them."""
    tensors = {}
    keep = lambda prefix, value_of: tensors.update({f"{prefix}.{name}": value_of(value).detach().clone() for name, value in weights.items()})
    keep("start", lambda value: value)
    optimizer = torch.optim.AdamW(weights.values(), lr=1e-2, betas=(0.9, 0.999), weight_decay=0.01, eps=1e-8)
    losses = []
    for step in range(10):
        with torch.enable_grad():
            loss = loss_of()
            loss.backward()
        losses.append(loss.item())
        if step == 0:
            keep("gradient", lambda value: value.grad)
        torch.nn.utils.clip_grad_norm_(weights.values(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if step in (0, 9):
            keep(f"after{step + 1}", lambda value: value)
    assert losses[-1] < 0.99 * losses[0], losses
    tensors["losses"] = torch.tensor(losses, dtype=torch.float64)
    return tensors


def write(out, name, tensors, settings):
    save_file({key: value.contiguous() for key, value in tensors.items()}, out / f"{name}.safetensors", {"settings": json.dumps(settings)})
    print(name, flush=True)


def noisy(clean, drawn, index, scheduler):
    if "shift" in scheduler:
        sigma = (index + 1).float() / 1000
        sigma = 3 * sigma / (1 + 2 * sigma)
        alpha, timestep, target = 1 - sigma, sigma * 1000, drawn - clean
    else:
        ddpm = DDPMScheduler.from_config(scheduler)
        alpha, sigma = (x[index] for x in (ddpm.alphas_cumprod.sqrt(), (1 - ddpm.alphas_cumprod).sqrt()))
        timestep, target = index.float(), drawn
    share = lambda x: x.double().view(-1, 1, 1, 1)
    return share(alpha) * clean + share(sigma) * drawn, timestep, target


def denoisers(data, out, name, denoiser, scheduler, make):
    reference = load_file(data / denoiser / "expected.safetensors")
    clean, index = reference["sample"], torch.tensor([700, 20])
    drawn = torch.randn(clean.shape, generator=torch.Generator().manual_seed(17))
    model = MODELS[denoiser][0].from_pretrained(data / denoiser).eval().double()
    weights, scales = make(model)
    sample, timestep, target = noisy(clean.double(), drawn.double(), index, scheduler)
    inputs = {key: value.double() for key, value in reference.items() if value.is_floating_point()} | {"sample": sample, "timestep": timestep}
    tensors = ten_steps(weights, lambda: (call(model, inputs)[:, : clean.shape[1]] - target).pow(2).mean())
    write(out, name, tensors | {"clean": clean, "noise": drawn, "index": index}, {"denoiser": denoiser, "scheduler": scheduler, "scales": scales})


def clip_and_denoiser(data, out):
    """Both learn: what CLIP says of the prompts is what the U-Net reads."""
    folder = data / "pipeline"
    unet = UNet2DConditionModel.from_pretrained(folder / "unet").eval().double()
    clip = CLIPTextModel.from_pretrained(folder / "text_encoder").eval().double()
    weights, scales = by_peft(unet, 23, target_modules=["attn2.to_k", "attn2.to_v"])
    its, own = by_peft(clip, 29, before="text_encoder:", target_modules=["q_proj", "k_proj", "v_proj", "out_proj"])
    weights |= its
    scales |= own
    noise = torch.Generator().manual_seed(17)
    clean, drawn = (torch.randn((2, unet.config.in_channels, 8, 8), generator=noise) for _ in range(2))
    ids, index = torch.randint(0, clip.config.vocab_size, (2, 9), generator=noise), torch.tensor([700, 20])
    sample, timestep, target = noisy(clean.double(), drawn.double(), index, STABLE)
    tensors = ten_steps(weights, lambda: (unet(sample, timestep, clip(ids).last_hidden_state).sample - target).pow(2).mean())
    write(out, "clip_and_unet", tensors | {"clean": clean, "noise": drawn, "index": index, "ids": ids}, {"scheduler": STABLE, "scales": scales})


def t5_alone(data, out):
    t5 = T5EncoderModel.from_pretrained(data / "pipeline_sd3" / "text_encoder_3").eval().double()
    weights, scales = by_peft(t5, 31, before="text_encoder:", target_modules=["q", "k", "v", "o"], use_dora=True)
    noise = torch.Generator().manual_seed(19)
    ids = torch.randint(0, t5.config.vocab_size, (2, 9), generator=noise)
    target = torch.randn((2, 9, t5.config.d_model), generator=noise)
    tensors = ten_steps(weights, lambda: (t5(ids).last_hidden_state - target).pow(2).mean())
    write(out, "t5", tensors | {"ids": ids, "target": target}, {"scales": scales})


def main():
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    data = Path(sys.argv[1])
    out = data / "adapter_training"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    for denoiser, scheduler in (("unet_sd1", STABLE), ("mmdit_sd3", FLOW)):
        denoisers(data, out, f"dora_{denoiser}", denoiser, scheduler, lambda model: by_peft(model, 23, target_modules=ATTENTION, use_dora=True))
        denoisers(data, out, f"loha_{denoiser}", denoiser, scheduler, lambda model: by_lycoris(model, 23, algo="loha", linear_dim=3))
        denoisers(data, out, f"lokr_{denoiser}", denoiser, scheduler, lambda model: by_lycoris(model, 23, algo="lokr", linear_dim=1, factor=-1))
    denoisers(data, out, "lokr_whole_unet_sd1", "unet_sd1", STABLE, lambda model: by_lycoris(model, 23, algo="lokr", linear_dim=64, factor=-1))
    clip_and_denoiser(data, out)
    t5_alone(data, out)
    for file in out.iterdir():
        file.chmod(0o644)


if __name__ == "__main__":
    with torch.no_grad():
        main()
