"""Training an adapter here and with diffusers + PEFT: the same denoiser, layers, batch, dtype and threads, in turn, in one run.

    python finetune_bench.py BUILD SCRATCH [CASE ...]      # demo-unet demo-mmdit sd1 sd3

BUILD: where glyphscope_finetune_steps is. Needs PyTorch, diffusers and peft (versions: golden/README.md). Prints, for localized sites, all sites that read
the prompt, and every attention: steps a second of each side, the ratio, and the memory that steps take beyond what was loaded. Both do the same
arithmetic: from equal adapters the losses must agree. The last output is in tests/README.md.
"""

import gc
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch
from diffusers import SD3Transformer2DModel, UNet2DConditionModel
from peft import LoraConfig
from safetensors.torch import load_file, save_file

ROOT = Path(__file__).parent.parent.parent
# Where the denoiser is, localized sites, latent and prompt; steps that are timed, and how often.
CASES = {
    "demo-unet": (ROOT / "resources/models/sign-unet/unet", "8", {"sample": [16, 8, 8, 8], "embedding": [16, 77, 128]}, 12, 2),
    "demo-mmdit": (ROOT / "resources/models/sign-mmdit/transformer", "4", {"sample": [16, 8, 8, 8], "embedding": [16, 77, 128], "pooled": [16, 128]}, 12, 2),
    # Full-size layers on a smaller picture, 256 x 256.
    "sd1": (ROOT / "tests/configs/sd1/unet", "8,9", {"sample": [1, 4, 32, 32], "embedding": [1, 77, 768]}, 4, 2),
    "sd3": (ROOT / "tests/configs/sd3/transformer", "10", {"sample": [1, 16, 32, 32], "embedding": [1, 154, 4096], "pooled": [1, 2048]}, 4, 2),
}
RANK, WARM_UP = 4, 2


def status(name):
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) * 1024


def call(model, inputs):
    if isinstance(model, SD3Transformer2DModel):
        return model(inputs["sample"], inputs["embedding"], inputs["pooled"], inputs["timestep"]).sample
    return model(inputs["sample"], inputs["timestep"], inputs["embedding"]).sample


def theirs(folder, dtype, layers, steps, checkpoints, file):
    """As diffusers' training examples do it: adapters and optimizer in fp32."""
    kind = SD3Transformer2DModel if "SD3" in (folder / "config.json").read_text() else UNet2DConditionModel
    torch.manual_seed(1)
    model = kind.from_pretrained(folder, torch_dtype=dtype).train()
    model.requires_grad_(False)
    model.add_adapter(LoraConfig(r=RANK, lora_alpha=RANK, target_modules=layers, init_lora_weights="gaussian"))
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for parameter in trained:
        parameter.data = parameter.data.float()
    if checkpoints:
        model.enable_gradient_checkpointing()
    optimizer = torch.optim.AdamW(trained, lr=1e-4, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01, fused=True)
    given = load_file(file)
    inputs = {name: tensor if name in ("timestep", "target") else tensor.to(dtype) for name, tensor in given.items()}
    sum(parameter.sum().item() for parameter in model.parameters())  # pages of a mapped file count once they are touched
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts anew
    held, seconds, losses = status("VmRSS"), [], []
    for step in range(WARM_UP + steps):
        start = time.monotonic()
        loss = (call(model, inputs).float() - inputs["target"]).pow(2).mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
        if step >= WARM_UP:
            seconds.append(time.monotonic() - start)
    return {"seconds": seconds, "losses": losses, "step_bytes": status("VmHWM") - held, "peak_bytes": status("VmHWM"), "trained": sum(p.numel() for p in trained)}


def run(command):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}: {done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def prepare(case, scratch):
    folder, localized, shapes, steps, runs = CASES[case]
    if not list(folder.glob("*.safetensors")):
        out = scratch / case
        if not (out / "config.json").exists():
            torch.manual_seed(1)
            kind = SD3Transformer2DModel if case == "sd3" else UNet2DConditionModel
            kind.from_config(json.loads((folder / "config.json").read_text())).save_pretrained(out)
        folder = out
    config = json.loads((folder / "config.json").read_text())
    # Widths of the demo models' prompts are their own.
    width = config.get("joint_attention_dim") or config["cross_attention_dim"]
    noise = torch.Generator().manual_seed(7)
    shapes = shapes | {"embedding": [*shapes["embedding"][:2], width], "target": shapes["sample"]}
    if "pooled" in shapes:
        shapes |= {"pooled": [shapes["pooled"][0], config["pooled_projection_dim"]]}
    inputs = {name: torch.randn(shape, generator=noise) for name, shape in shapes.items()}
    inputs["timestep"] = torch.linspace(50, 950, shapes["sample"][0])
    save_file(inputs, scratch / f"{case}.inputs.safetensors")
    return folder, localized, steps, runs, scratch / f"{case}.inputs.safetensors"


def compare(build, scratch, case, dtype, sites, checkpoints):
    folder, localized, steps, repeats, inputs = prepare(case, scratch)
    mode = "checkpointing" if checkpoints else "plain"
    results = {"ours": [], "theirs": []}
    for _ in range(repeats):
        ours = run([build / "glyphscope_finetune_steps", folder, dtype, localized if sites == "localized" else sites, RANK, steps, mode, inputs])
        results["ours"].append(ours)
        (scratch / "layers.json").write_text(json.dumps(ours["layers"]))
        # In a process of its own, so that its memory is its own too.
        results["theirs"].append(run([sys.executable, __file__, "--theirs", folder, dtype, scratch / "layers.json", steps, mode, inputs]))
    speed = {side: 1 / statistics.median(s for one in runs for s in one["seconds"]) for side, runs in results.items()}
    memory = {side: statistics.median(one["step_bytes"] for one in runs) / 2**20 for side, runs in results.items()}
    peak = {side: statistics.median(one["peak_bytes"] for one in runs) / 2**20 for side, runs in results.items()}
    first = [runs[0]["losses"][0] for runs in results.values()]
    equal = abs(first[0] - first[1]) < (1e-3 if dtype == "fp32" else 3e-2) * first[1] and results["ours"][0]["trained"] == results["theirs"][0]["trained"]
    print(f"{case}, {dtype}, {sites}{', ' + mode if checkpoints else ''}: {speed['ours']:.2f} steps/s, PEFT {speed['theirs']:.2f}, ratio {speed['ours'] / speed['theirs']:.2f}; "
          f"steps take {memory['ours']:.0f} MiB, PEFT's {memory['theirs']:.0f} (whole process {peak['ours']:.0f} and {peak['theirs']:.0f}); "
          f"{results['ours'][0]['trained']} parameters, {results['ours'][0]['optimizer_bytes'] / 1e6:.2f} MB of optimizer state; "
          f"{'same first loss' if equal else 'FIRST LOSSES DIFFER: ' + str(first)}", flush=True)
    return equal


def main():
    if len(sys.argv) > 1 and sys.argv[1] == "--theirs":
        folder, dtype, layers, steps, mode, inputs = sys.argv[2:]
        dtype = torch.bfloat16 if dtype == "bf16" else torch.float32
        print(json.dumps(theirs(Path(folder), dtype, json.loads(Path(layers).read_text()), int(steps), mode == "checkpointing", inputs)))
        return 0
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    build, scratch = map(Path, sys.argv[1:3])
    scratch.mkdir(parents=True, exist_ok=True)
    print(f"{os.cpu_count()} cores, {torch.get_num_threads()} threads, PyTorch {torch.__version__}")
    good = True
    for case in sys.argv[3:] or list(CASES):
        for sites in ("localized", "sites", "attention"):
            good &= compare(build, scratch, case, "fp32", sites, False)
        good &= compare(build, scratch, case, "bf16", "localized", False)
        good &= compare(build, scratch, case, "fp32", "attention", True)
    return int(not good)


if __name__ == "__main__":
    sys.exit(main())
