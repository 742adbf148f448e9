"""Reference adapters: LoRA that PEFT makes for the denoisers of data/, in the files that diffusers, PEFT and kohya write, and what the
denoisers say with them.

    python make_adapters.py data            # after make_golden.py; versions: README.md

Each file in data/adapters has its expected output in NAME.expected.safetensors: `output` with the adapter at strength 1, `half` at 0.5.
training_NAME.safetensors: ten steps of AdamW on one batch in float64. `start.`, `after1.`, `after10.` and `gradient.` (of the first step) with the
layers' paths; `clean`, `noise`, `index` (of the timesteps), `losses`; `gradient32.`: the same in float32. Metadata `settings`: JSON, the scheduler's
configuration and `snr_gamma`.
"""

import json
import shutil
import sys
import tempfile
import warnings
from pathlib import Path
from unittest import mock

import diffusers
import torch
from diffusers import DDPMScheduler, FluxPipeline, FluxTransformer2DModel, SD3Transformer2DModel, StableDiffusion3Pipeline, StableDiffusionPipeline, UNet2DConditionModel, ZImagePipeline, ZImageTransformer2DModel
from diffusers.models.embeddings import apply_rotary_emb
from diffusers.models.normalization import RMSNorm
from diffusers.models.transformers import transformer_flux
from diffusers.training_utils import compute_snr
from diffusers.utils import convert_state_dict_to_kohya
from peft import LoraConfig, get_peft_model
from peft.utils import get_peft_model_state_dict
from safetensors.torch import load_file, save_file

ATTENTION = ["to_q", "to_k", "to_v", "to_out.0"]
# Denoiser folder of data/, layers that get an adapter.
MODELS = {
    "unet_sd1": (UNet2DConditionModel, [*ATTENTION, "ff.net.0.proj", "ff.net.2"]),
    "unet_sd2": (UNet2DConditionModel, [*ATTENTION, "proj_in", "proj_out"]),
    "unet_sdxl": (UNet2DConditionModel, ATTENTION),
    "unet_if1": (UNet2DConditionModel, [*ATTENTION, "add_k_proj", "add_v_proj"]),
    "mmdit_sd3": (SD3Transformer2DModel, [*ATTENTION, "add_q_proj", "add_k_proj", "add_v_proj", "to_add_out"]),
    "mmdit_sd35": (SD3Transformer2DModel, ATTENTION),
    "flux_dev": (FluxTransformer2DModel, [*ATTENTION, "add_k_proj", "add_v_proj", "proj_mlp"]),
    "z_image": (ZImageTransformer2DModel, [*ATTENTION, "w1", "w2", "cap_embedder.1"]),
}


def call(model, inputs):
    if isinstance(model, UNet2DConditionModel):
        added = {name: inputs[name] for name in ("text_embeds", "time_ids") if name in inputs}
        return model(inputs["sample"], inputs["timestep"], inputs["encoder_hidden_states"], None, None, None, None, added).sample
    if isinstance(model, SD3Transformer2DModel):
        return model(inputs["sample"], inputs["embedding"], inputs["pooled"], inputs["timestep"]).sample
    if isinstance(model, ZImageTransformer2DModel):
        captions = [row[mask] for row, mask in zip(inputs["embedding"], inputs["prompt_mask"])]
        out = model(list(inputs["sample"].unsqueeze(2)), (1000 - inputs["timestep"]) / 1000, captions).sample
        return -torch.stack(out)[:, :, 0]
    batch, channels, height, width = inputs["sample"].shape
    packed = FluxPipeline._pack_latents(inputs["sample"], batch, channels, height, width)
    ids = FluxPipeline._prepare_latent_image_ids(batch, height // 2, width // 2, "cpu", torch.float32)
    text = torch.zeros(inputs["embedding"].shape[1], 3)
    out = model(packed, inputs["embedding"], inputs["pooled"], inputs["timestep"] / 1000, ids, text, inputs.get("time_ids")).sample
    return FluxPipeline._unpack_latents(out, height * 8, width * 8, 8)


def randomise(model, seed):
    """Both matrices of every adapter: of a size at which it matters."""
    noise = torch.Generator().manual_seed(seed)
    for name, parameter in sorted(model.named_parameters()):
        if "lora_" in name:
            parameter.copy_(torch.randn(parameter.shape, generator=noise) * 0.5 / parameter.shape[1] ** 0.5)


def keep(out, name, model, inputs, plain):
    results = {}
    for key, strength in (("output", 1.0), ("half", 0.5)):
        model.set_adapters("default", strength)
        results[key] = call(model, inputs).clone()
    assert (results["output"] - plain).abs().max() > 0.05, f"the adapter of {name} does nothing"
    save_file(results, out / f"{name}.expected.safetensors")


def write(data, out, name, kind, targets):
    inputs = load_file(data / name / "expected.safetensors")
    model = kind.from_pretrained(data / name).eval()
    plain = call(model, inputs)
    assert torch.allclose(plain, inputs["output"], atol=1e-4), f"{name} is called otherwise than by make_golden.py"
    # Rank and alpha of one layer differ from the others'; alpha is not the rank.
    first = next(path for path, _ in model.named_modules() if path.endswith("to_k"))
    config = LoraConfig(r=3, lora_alpha=5, target_modules=targets, rank_pattern={first: 2}, alpha_pattern={first: 1.5}, init_lora_weights=False)
    model.add_adapter(config)
    randomise(model, len(name))
    keep(out, name, model, inputs, plain)
    state = get_peft_model_state_dict(model)
    pipeline, component = {
        UNet2DConditionModel: (StableDiffusionPipeline, "unet"),
        SD3Transformer2DModel: (StableDiffusion3Pipeline, "transformer"),
        FluxTransformer2DModel: (FluxPipeline, "transformer"),
        ZImageTransformer2DModel: (ZImagePipeline, "transformer"),
    }[kind]
    metadata = config.to_dict()
    with tempfile.TemporaryDirectory() as folder:
        pipeline.save_lora_weights(folder, **{f"{component}_lora_layers": state, f"{component}_lora_adapter_metadata": metadata})
        shutil.copy(Path(folder) / "pytorch_lora_weights.safetensors", out / f"{name}.safetensors")


def write_peft(data, out):
    """PEFT's own folder."""
    inputs = load_file(data / "unet_sd1" / "expected.safetensors")
    model = UNet2DConditionModel.from_pretrained(data / "unet_sd1").eval()
    plain = call(model, inputs)
    wrapped = get_peft_model(model, LoraConfig(r=4, lora_alpha=2, target_modules=["attn2.to_k", "attn2.to_v"], use_rslora=True, init_lora_weights=False))
    randomise(wrapped, 7)
    wrapped.save_pretrained(out / "peft")
    for file in (out / "peft").iterdir():
        if file.name not in ("adapter_model.safetensors", "adapter_config.json"):
            file.unlink()
    output = call(wrapped.base_model.model, inputs)
    assert (output - plain).abs().max() > 0.05
    save_file({"output": output.clone()}, out / "peft.expected.safetensors")


def write_kohya(data, out):
    """kohya's names, as diffusers converts to them: alpha is the rank then."""
    inputs = load_file(data / "unet_sd1" / "expected.safetensors")
    model = UNet2DConditionModel.from_pretrained(data / "unet_sd1").eval()
    plain = call(model, inputs)
    model.add_adapter(LoraConfig(r=2, lora_alpha=2, target_modules=ATTENTION, init_lora_weights=False))
    randomise(model, 11)
    keep(out, "kohya", model, inputs, plain)
    state = {f"unet.{key}": value for key, value in get_peft_model_state_dict(model).items()}
    # diffusers writes "lora.unet.."; kohya's own files have "lora_unet_..".
    converted = {key.replace("lora.unet", "lora_unet").replace("lora.", "lora_unet_"): value for key, value in convert_state_dict_to_kohya(state).items()}
    save_file({key: value.clone().contiguous() for key, value in converted.items()}, out / "kohya.safetensors")


def as_float(tensor):
    """Tensor.float, but for float64: DeepFloyd IF's pooling takes its softmax in float32 to be more exact than half."""
    return tensor if tensor.dtype == torch.float64 else tensor.to(torch.float32)


def exact_rotary(*arguments, **options):
    """The same of FLUX's rotation, and of nothing else: its time embedding is float32 here too."""
    with mock.patch.object(torch.Tensor, "float", as_float):
        return apply_rotary_emb(*arguments, **options)


def exact_norm(self, x):
    """diffusers' RMSNorm in the dtype that it is given."""
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps) * self.weight


def train(data, out, name, kind, scheduler, targets, gamma=0):
    flow = "shift" in scheduler
    reference = load_file(data / name / "expected.safetensors")
    noise = torch.Generator().manual_seed(17)
    clean, index = reference["sample"], torch.tensor([700, 20])
    drawn = torch.randn(clean.shape, generator=noise)
    tensors = {"clean": clean, "noise": drawn, "index": index}
    for dtype in (torch.float64, torch.float32):
        model = kind.from_pretrained(data / name).eval().to(dtype)
        model.add_adapter(LoraConfig(r=3, lora_alpha=6, target_modules=targets, init_lora_weights="gaussian"))
        randomise(model, 23)
        weights = {path: value for path, value in model.named_parameters() if "lora_" in path}
        for path, value in model.named_parameters():
            value.requires_grad_(path in weights)
        if flow:
            sigma = (index + 1).float() / 1000
            if not scheduler.get("use_dynamic_shifting"):
                sigma = 3 * sigma / (1 + 2 * sigma)
            alpha, timestep = 1 - sigma, sigma * 1000
        else:
            ddpm = DDPMScheduler.from_config(scheduler)
            alpha, sigma = (x[index] for x in (ddpm.alphas_cumprod.sqrt(), (1 - ddpm.alphas_cumprod).sqrt()))
            timestep = index.float()
        share = lambda x: x.to(dtype).view(-1, 1, 1, 1)
        inputs = {key: value.to(dtype) if value.is_floating_point() else value for key, value in reference.items()}
        inputs |= {"sample": share(alpha) * clean.to(dtype) + share(sigma) * drawn.to(dtype), "timestep": timestep}
        v = scheduler.get("prediction_type") == "v_prediction"
        target = drawn.to(dtype) - clean.to(dtype) if flow else drawn.to(dtype)
        if v:
            target = share(alpha) * drawn.to(dtype) - share(sigma) * clean.to(dtype)
        weights_of_samples = torch.ones(2)
        if gamma:
            snr = compute_snr(ddpm, index)
            weights_of_samples = snr.clamp(max=gamma) / (snr + 1 if v else snr)
        optimizer = torch.optim.AdamW(weights.values(), lr=1e-2, betas=(0.9, 0.999), weight_decay=0.01, eps=1e-8)
        keep = lambda prefix, values: {f"{prefix}.{path.replace('.default', '')}": value.detach().clone() for path, value in values}
        if dtype == torch.float64:
            tensors |= keep("start", weights.items())
        losses = []
        for step in range(10):
            with torch.enable_grad():
                with mock.patch.object(torch.Tensor, "float", as_float if name in ("unet_if1", "z_image") else torch.Tensor.float), mock.patch.object(
                    transformer_flux, "apply_rotary_emb", exact_rotary
                ), mock.patch.object(RMSNorm, "forward", exact_norm if name == "z_image" else RMSNorm.forward):
                    said = call(model, inputs)[:, : clean.shape[1]]  # a variance that it learns is none of the objective's
                loss = ((said - target).pow(2).mean((1, 2, 3)) * weights_of_samples.to(dtype)).mean()
                loss.backward()
            losses.append(loss.item())
            if step == 0:
                gradients = [(path, value.grad) for path, value in weights.items()]
                tensors |= keep("gradient" if dtype == torch.float64 else "gradient32", gradients)
            torch.nn.utils.clip_grad_norm_(weights.values(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            if dtype == torch.float64 and step in (0, 9):
                tensors |= keep(f"after{step + 1}", weights.items())
        if dtype == torch.float64:
            assert losses[-1] < 0.95 * losses[0], losses
            tensors["losses"] = torch.tensor(losses, dtype=torch.float64)
    metadata = {"settings": json.dumps({"scheduler": scheduler, "snr_gamma": gamma})}
    save_file({key: value.contiguous() for key, value in tensors.items()}, out / f"training_{name}.safetensors", metadata)


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    warnings.filterwarnings("ignore")
    diffusers.utils.logging.set_verbosity_error()
    data = Path(sys.argv[1])
    out = data / "adapters"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    for name, (kind, targets) in MODELS.items():
        print(name, flush=True)
        write(data, out, name, kind, targets)
    write_peft(data, out)
    write_kohya(data, out)
    stable = {"_class_name": "DDPMScheduler", "beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
    train(data, out, "unet_sd1", UNet2DConditionModel, stable, ATTENTION)
    train(data, out, "unet_sd2", UNet2DConditionModel, stable | {"prediction_type": "v_prediction"}, ["attn2.to_q", "attn2.to_v"], gamma=5)
    train(data, out, "unet_sdxl", UNet2DConditionModel, stable, ["attn2.to_k", "attn2.to_v"], gamma=5)
    train(data, out, "unet_if1", UNet2DConditionModel, {"_class_name": "DDPMScheduler", "beta_schedule": "squaredcos_cap_v2"}, ["add_k_proj", "add_v_proj", "to_q"])
    # diffusers norms queries in float32 whatever the model computes in: not one of those that do.
    train(data, out, "mmdit_sd3", SD3Transformer2DModel, {"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 3.0}, ATTENTION)
    dynamic = {"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 3.0, "use_dynamic_shifting": True}
    train(data, out, "flux_dev", FluxTransformer2DModel, dynamic, [*ATTENTION, "add_k_proj", "add_v_proj"])
    train(data, out, "z_image", ZImageTransformer2DModel, {"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 3.0}, ["attention.to_k", "attention.to_v"])
    for file in out.rglob("*.*"):
        file.chmod(0o644)


if __name__ == "__main__":
    with torch.no_grad():
        main()
