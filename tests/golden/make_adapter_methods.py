#!/usr/bin/env python3
"""Adapters of every method that is read, with random weights, as LyCORIS and PEFT write them, and what the denoisers of data/ say with them.

    python make_adapter_methods.py data        # after make_golden.py. Written for lycoris-lora 4.1.3, peft 0.21, diffusers 0.42.1

data/adapter_methods/NAME.safetensors (or the folder NAME of PEFT) goes with DENOISER as methods.json says; NAME.expected.safetensors has `output` with
the adapter at strength 1, and `half` at 0.5 where the library has a strength."""
import json
import shutil
import sys
import warnings
from pathlib import Path

import lycoris
import torch
from make_adapters import MODELS, call
from peft import BOFTConfig, IA3Config, LoHaConfig, LoKrConfig, LoraConfig, OFTConfig, get_peft_model
from peft.utils import get_peft_model_state_dict
from safetensors.torch import load_file, save_file
from transformers import CLIPTextModel, T5EncoderModel

warnings.filterwarnings("ignore")


def randomise(module, seed):
    noise = torch.Generator().manual_seed(seed)
    for name, parameter in sorted(module.named_parameters()):
        if not parameter.requires_grad:
            continue
        drawn = torch.randn(parameter.shape, generator=noise)
        last = name.split(".")[-1]
        if last == "dora_scale" or "magnitude" in name:
            parameter.data *= 1 + 0.3 * drawn
        elif last == "rescale" or "ia3" in name or "boft_s" in name:
            parameter.data = 1 + 0.3 * drawn
        elif "oft_blocks" in name:
            parameter.data = 0.2 * drawn
        elif last in ("weight", "bias", "w_norm", "b_norm", "scalar") and "lora" not in name:
            parameter.data += 0.05 * drawn
        else:
            parameter.data = 0.5 * drawn / max(parameter.shape[-1], 1) ** 0.5


LYCORIS = {
    "locon": dict(algo="locon", linear_dim=3, linear_alpha=2, conv_dim=2, conv_alpha=1.0),
    "locon_tucker": dict(algo="locon", linear_dim=3, linear_alpha=2, conv_dim=2, conv_alpha=1.0, use_tucker=True),
    "loha": dict(algo="loha", linear_dim=3, linear_alpha=2, conv_dim=2, conv_alpha=1.0),
    "loha_tucker": dict(algo="loha", linear_dim=3, linear_alpha=2, conv_dim=2, conv_alpha=1.0, use_tucker=True),
    "lokr": dict(algo="lokr", linear_dim=1, linear_alpha=0.5, conv_dim=1, conv_alpha=0.5, factor=2),
    "lokr_both": dict(algo="lokr", linear_dim=1, linear_alpha=0.5, conv_dim=1, conv_alpha=0.5, factor=4, decompose_both=True),
    "lokr_tucker": dict(algo="lokr", linear_dim=1, linear_alpha=0.5, conv_dim=1, conv_alpha=0.5, factor=2, use_tucker=True),
    "dora": dict(algo="locon", linear_dim=3, linear_alpha=2, conv_dim=2, conv_alpha=1.0, dora_wd=True, wd_on_output=True),
    "dora_columns": dict(algo="locon", linear_dim=3, linear_alpha=2, conv_dim=2, conv_alpha=1.0, dora_wd=True, wd_on_output=False),
    "doha": dict(algo="loha", linear_dim=3, linear_alpha=2, conv_dim=2, conv_alpha=1.0, dora_wd=True, wd_on_output=True),
    "full": dict(algo="full", linear_dim=3, linear_alpha=1, train_norm=True),
    "oft": dict(algo="diag-oft", linear_dim=4, linear_alpha=0, conv_dim=4, conv_alpha=0),
    "oft_rescaled": dict(algo="diag-oft", linear_dim=4, linear_alpha=0, conv_dim=4, conv_alpha=0, rescaled=True, constraint=0.05),
    "boft": dict(algo="boft", linear_dim=6, linear_alpha=0, conv_dim=6, conv_alpha=0),
    "ia3": dict(algo="ia3", linear_dim=1, linear_alpha=1),
}
# Denoisers, and what of LyCORIS' layers takes part: whole blocks, convolutions too.
PRESETS = {
    "unet_sd1": {"target_module": ["Transformer2DModel", "ResnetBlock2D", "Downsample2D", "Upsample2D"], "target_name": ["conv_in", "conv_out"], "enable_conv": True},
    "mmdit_sd3": {"target_module": ["JointTransformerBlock"]},
}


def write_lycoris(data, out, name, denoiser, options):
    kind = MODELS[denoiser][0]
    inputs = load_file(data / denoiser / "expected.safetensors")
    model = kind.from_pretrained(data / denoiser).eval().requires_grad_(False)
    plain = call(model, inputs)
    lycoris.LycorisNetwork.apply_preset({"target_module": ["Attention"]} if options["algo"] == "boft" else PRESETS[denoiser])
    torch.manual_seed(5)
    network = lycoris.create_lycoris(model, 1.0, **options)
    network.apply_to()
    randomise(network, len(name))
    results = {"output": call(model, inputs).clone()}
    assert (results["output"] - plain).abs().max() > 0.01, f"{name} does nothing"
    network.set_multiplier(0.5)
    results["half"] = call(model, inputs).clone()
    assert (results["output"] - results["half"]).abs().max() > 0.005
    # Without this it writes what its forward pass does not multiply by.
    state = {key: value.detach().clone().contiguous() for key, value in network.state_dict().items()}
    save_file(state, out / f"{name}.safetensors")
    save_file(results, out / f"{name}.expected.safetensors")


ATTENTION = ["to_q", "to_k", "to_v", "to_out.0"]
PEFT = {
    "peft_dora": lambda: LoraConfig(r=3, lora_alpha=2, target_modules=[*ATTENTION, "conv1"], use_dora=True, init_lora_weights=False),
    "peft_conv": lambda: LoraConfig(r=3, lora_alpha=2, target_modules=["conv1", "conv_in", "to_k"], init_lora_weights=False),
    "peft_bias": lambda: LoraConfig(r=3, lora_alpha=2, target_modules=["to_out.0"], lora_bias=True, init_lora_weights=False),
    "peft_saved": lambda: LoraConfig(r=3, lora_alpha=2, target_modules=["to_k"], modules_to_save=["conv_in", "norm2"], init_lora_weights=False),
    "peft_loha": lambda: LoHaConfig(r=3, alpha=2, target_modules=[*ATTENTION, "conv1"], init_weights=False),
    "peft_loha_cp": lambda: LoHaConfig(r=3, alpha=2, target_modules=["conv1"], use_effective_conv2d=True, init_weights=False),
    "peft_lokr": lambda: LoKrConfig(r=2, alpha=3, target_modules=[*ATTENTION, "conv1"], init_weights=False),
    "peft_lokr_both": lambda: LoKrConfig(r=1, alpha=3, target_modules=ATTENTION, decompose_both=True, decompose_factor=4, init_weights=False),
    "peft_ia3": lambda: IA3Config(target_modules=["to_k", "to_v", "ff.net.2"], feedforward_modules=["ff.net.2"], init_ia3_weights=False),
    "peft_oft": lambda: OFTConfig(oft_block_size=4, target_modules=[*ATTENTION, "ff.net.2"], init_weights=False),
    "peft_oft_exact": lambda: OFTConfig(oft_block_size=4, target_modules=ATTENTION, use_cayley_neumann=False, init_weights=False),
    "peft_oft_three": lambda: OFTConfig(oft_block_size=4, target_modules=ATTENTION, num_cayley_neumann_terms=3, init_weights=False),
    "peft_oft_shared": lambda: OFTConfig(oft_block_size=4, target_modules=ATTENTION, block_share=True, coft=True, eps=0.4, init_weights=False),
    "peft_boft": lambda: BOFTConfig(boft_block_size=4, target_modules=ATTENTION, init_weights=False),
}


def write_peft(data, out, name, make):
    inputs = load_file(data / "unet_sd1" / "expected.safetensors")
    model = MODELS["unet_sd1"][0].from_pretrained(data / "unet_sd1").eval()
    plain = call(model, inputs)
    torch.manual_seed(5)
    wrapped = get_peft_model(model, make())
    randomise(wrapped, len(name))
    wrapped.eval()
    results = {"output": call(wrapped.base_model.model, inputs).clone()}
    assert (results["output"] - plain).abs().max() > 0.01, f"{name} does nothing"
    wrapped.save_pretrained(out / name)
    for file in (out / name).iterdir():
        if file.name not in ("adapter_model.safetensors", "adapter_config.json"):
            file.unlink()
    save_file(results, out / f"{name}.expected.safetensors")


def write_text(data, out):
    """Text encoders': CLIP of pipeline/ and T5 of pipeline_sd3/, as diffusers writes them with the denoiser's, and as kohya names them."""
    ids = torch.tensor([[3, 14, 15, 9, 2, 6, 5]])
    tensors = {"ids": ids}
    for name, kind, folder, component, targets in (
        ("clip", CLIPTextModel, data / "pipeline", "text_encoder", ["q_proj", "v_proj", "fc1"]),
        ("t5", T5EncoderModel, data / "pipeline_sd3", "text_encoder_3", ["q", "wi_0"]),
    ):
        model = kind.from_pretrained(folder / component).eval()
        tensors[f"{name}.plain"] = model(ids).last_hidden_state
        model.add_adapter(LoraConfig(r=2, lora_alpha=3, target_modules=targets, init_lora_weights=False))
        randomise(model, 3)
        tensors[f"{name}.output"] = model(ids).last_hidden_state
        state = get_peft_model_state_dict(model)
        settings = {"lora_adapter_metadata": json.dumps({f"{component}.lora_alpha": 3, f"{component}.r": 2})}
        save_file({f"{component}.{key}": value.contiguous() for key, value in state.items()}, out / f"text_{name}.safetensors", settings)
        kohya = {}
        for key, value in state.items():
            path, part = key.rsplit(".lora_", 1)
            flat = ("lora_te3_" if name == "t5" else "lora_te_") + path.replace(".", "_")
            kohya[flat + (".lora_down.weight" if part.startswith("A") else ".lora_up.weight")] = value.contiguous()
            kohya[flat + ".alpha"] = torch.tensor(3.0)
        save_file(kohya, out / f"text_{name}_kohya.safetensors")
    save_file({key: value.clone() for key, value in tensors.items()}, out / "text.expected.safetensors")


@torch.no_grad()
def main():
    data = Path(sys.argv[1])
    out = data / "adapter_methods"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    places = {}
    for name, options in LYCORIS.items():
        write_lycoris(data, out, name, "unet_sd1", options)
        places[f"{name}.safetensors"] = "unet_sd1"
    for name in ("loha", "lokr", "full"):
        # Its norms have no weights, which the library's norms cannot do without.
        write_lycoris(data, out, f"{name}_mmdit", "mmdit_sd3", {key: value for key, value in LYCORIS[name].items() if key != "train_norm"})
        places[f"{name}_mmdit.safetensors"] = "mmdit_sd3"
    for name, make in PEFT.items():
        write_peft(data, out, name, make)
        places[name] = "unet_sd1"
    write_text(data, out)
    (out / "methods.json").write_text(json.dumps(places, indent=1) + "\n")


if __name__ == "__main__":
    main()
