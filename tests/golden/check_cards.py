#!/usr/bin/env python3
"""Checks what `glyphscope export-card` writes in the programs that it is for: PEFT and diffusers, LyCORIS, and the filter of OneTrainer.

    check_cards.py GLYPHSCOPE

GLYPHSCOPE is the program. Needs Python with diffusers, peft, lycoris-lora and safetensors. For a small model of each family, a card that names its second and its
last site is exported. PEFT, given target_modules, must wrap the K and V layers of those and no others; LyCORIS the same of a network that has kohya's names (SD 1's
are diffusers', the others' those of the model's first code, taken from single files where there are some).
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
import torch.nn as nn
from diffusers import FluxTransformer2DModel, SD3Transformer2DModel, UNet2DConditionModel
from lycoris.kohya import LycorisNetworkKohya
from peft import LoraConfig, inject_adapter_in_model
from safetensors import safe_open

DATA = Path(__file__).parent / "data"
FAMILIES = {  # folder, denoiser, its class, a single file of the same model
    "SD 1": ("pipeline", "unet", UNet2DConditionModel, None),
    "SDXL": ("pipeline_sdxl", "unet", UNet2DConditionModel, "pipeline_sdxl.safetensors"),
    "SD 3": ("pipeline_sd3", "transformer", SD3Transformer2DModel, "pipeline_sd3.safetensors"),
    "FLUX": ("pipeline_flux", "transformer", FluxTransformer2DModel, None),
    "IF": ("pipeline_if", "unet", UNet2DConditionModel, None),
}


def run(program, *arguments):
    done = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, arguments))}: {done.stderr}")
    return done.stdout


def card_of(program, model, folder):
    """A card of this model: what no random model has earned is written into one that names nothing."""
    (folder / "pairs.txt").write_text('says "ON"\tsays "UP"\n')
    run(program, "localize", model, "--certify", "--prompts", folder / "pairs.txt", "--steps", 1, "--size", "32x32", "--random-sets", 0, "--out", folder / "run", "--device", "cpu")
    card = json.loads((folder / "run/card.json").read_text())
    sites = json.loads(run(program, "inspect", model, "--json"))["sites"]
    card["sites"] = [sites[1], sites[-1]]
    (folder / "card.json").write_text(json.dumps(card))
    return folder / "card.json", card["sites"]


def module_of(names):
    """A network of linear layers with these paths."""
    root = nn.Module()
    for name in names:
        at = root
        for part in name.split(".")[:-1]:
            if part not in dict(at.named_children()):
                at.add_module(part, nn.Module())
            at = getattr(at, part)
        at.add_module(name.split(".")[-1], nn.Linear(4, 4))
    return root


def original_layers(file):
    with safe_open(file, "pt") as opened:
        keys = [key for key in opened.keys() if key.startswith("model.diffusion_model.") and key.endswith(".weight")]
        return [key.removeprefix("model.diffusion_model.").removesuffix(".weight") for key in keys if len(opened.get_slice(key).get_shape()) == 2]


def preset_of(file):
    text = file.read_text()
    names = re.findall(r"^  '(.*)',$", text, re.M)
    try:
        import tomllib
        assert tomllib.loads(text)["unet_target_name"] == names
    except ImportError:
        pass
    return {"enable_conv": False, "unet_target_module": [], "unet_target_name": names, "text_encoder_target_module": [], "text_encoder_target_name": []}


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    checked = 0
    for family, (name, part, model_class, single) in FAMILIES.items():
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            card, sites = card_of(sys.argv[1], DATA / name, folder)
            run(sys.argv[1], "export-card", card, "--out", folder / "out")
            wanted = {f"{site['path']}.{layer}" for site in sites for layer in site["projections"]}

            denoiser = model_class.from_pretrained(DATA / name / part)
            linear = {path for path, module in denoiser.named_modules() if isinstance(module, (nn.Linear, nn.Conv2d))}
            filters = json.loads((folder / "out/onetrainer.json").read_text())
            assert filters["layer_filter_regex"]
            chosen = {path for path in linear for one in filters["layer_filter"].split(",") if re.search(one, path)}
            assert chosen == wanted, f"{family}: OneTrainer's filter takes {chosen}, not {wanted}"

            config = LoraConfig(r=2, **json.loads((folder / "out/peft.json").read_text()))
            wrapped = inject_adapter_in_model(config, denoiser)
            got = {path for path, module in wrapped.named_modules() if hasattr(module, "lora_A")}
            assert got == wanted, f"{family}: PEFT wraps {got}, not {wanted}"

            lycoris = folder / "out/lycoris.toml"
            assert lycoris.exists() == (family != "IF")
            if lycoris.exists():
                fused = [layer for site in sites for layer in site["original"]]
                by_path = family == "SD 1"
                paths = sorted(linear) if by_path else original_layers(DATA / "single_file" / single) if single else fused + [f"{one}.other" for one in fused]
                LycorisNetworkKohya.apply_preset(preset_of(lycoris))
                network = LycorisNetworkKohya(None, module_of(paths), lora_dim=2, alpha=2)
                got = {lora.lora_name for lora in network.loras}
                expected = {"lora_unet_" + path.replace(".", "_") for path in (wanted if by_path else fused)}
                assert got == expected, f"{family}: LyCORIS takes {got}, not {expected}"
            print(f"{family}: {len(wanted)} layers, and no others")
            checked += 1
    print(f"{checked} of {len(FAMILIES)} families")


if __name__ == "__main__":
    main()
