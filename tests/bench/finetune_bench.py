"""Training an adapter here and with diffusers + PEFT: the same denoiser, layers, batch, dtype and threads, in turn, in one run.

    python finetune_bench.py BUILD SCRATCH [CASE ...] [--cuda]      # demo-unet demo-mmdit sd1 sd3; on a GPU also sd1-512 sd3-1024

BUILD: where glyphscope_finetune_steps is. Needs PyTorch, diffusers and peft (versions: golden/README.md). Prints, for localized sites, all sites that read
the prompt, and every attention: steps a second of each side, the ratio, and the memory that steps take beyond what was loaded. The two take turns step
by step, so that what else the machine does falls on both; the ratio is the median over the turns, with its quartiles. Both do the same arithmetic: from
equal adapters the losses must agree. The last output is in tests/README.md.
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
# Where the denoiser is, localized sites, latent and prompt; turns that are timed.
CASES = {
    "demo-unet": (ROOT / "resources/models/sign-unet/unet", "8", {"sample": [16, 8, 8, 8], "embedding": [16, 77, 128]}, 30),
    "demo-mmdit": (ROOT / "resources/models/sign-mmdit/transformer", "4", {"sample": [16, 8, 8, 8], "embedding": [16, 77, 128], "pooled": [16, 128]}, 30),
    # Full-size layers on a smaller picture, 256 x 256.
    "sd1": (ROOT / "tests/configs/sd1/unet", "8,9", {"sample": [1, 4, 32, 32], "embedding": [1, 77, 768]}, 8),
    "sd3": (ROOT / "tests/configs/sd3/transformer", "10", {"sample": [1, 16, 32, 32], "embedding": [1, 154, 4096], "pooled": [1, 2048]}, 8),
    # Whole pictures, for a GPU.
    "sd1-512": (ROOT / "tests/configs/sd1/unet", "8,9", {"sample": [4, 4, 64, 64], "embedding": [4, 77, 768]}, 20),
    "sd3-1024": (ROOT / "tests/configs/sd3/transformer", "10", {"sample": [1, 16, 128, 128], "embedding": [1, 333, 4096], "pooled": [1, 2048]}, 20),
}
RANK, WARM_UP = 4, 2
# dtype, adapters' sites, gradient checkpointing
MODES = [("fp32", "localized", False), ("fp32", "sites", False), ("fp32", "attention", False), ("bf16", "localized", False), ("fp32", "attention", True)]
CUDA = "--cuda" in sys.argv
ARGUMENTS = [argument for argument in sys.argv[1:] if argument != "--cuda"]
if CUDA:
    MODES = [("bf16", "localized", False), ("bf16", "sites", False), ("bf16", "attention", True), ("fp32", "localized", False)]


def say(line):
    print(json.dumps(line), flush=True)


def status(name):
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) * 1024


def call(model, inputs):
    if isinstance(model, SD3Transformer2DModel):
        return model(inputs["sample"], inputs["embedding"], inputs["pooled"], inputs["timestep"]).sample
    return model(inputs["sample"], inputs["timestep"], inputs["embedding"]).sample


def theirs(folder, dtype, layers, checkpoints, file):
    """As diffusers' training examples do it: adapters and optimizer in fp32."""
    kind = SD3Transformer2DModel if "SD3" in (folder / "config.json").read_text() else UNet2DConditionModel
    torch.manual_seed(1)
    model = kind.from_pretrained(folder, torch_dtype=dtype).train()
    model.requires_grad_(False)
    model.to("cuda" if CUDA else "cpu")
    model.add_adapter(LoraConfig(r=RANK, lora_alpha=RANK, target_modules=layers, init_lora_weights="gaussian"))
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for parameter in trained:
        parameter.data = parameter.data.float()
    if checkpoints:
        model.enable_gradient_checkpointing()
    optimizer = torch.optim.AdamW(trained, lr=1e-4, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01, fused=True)
    given = load_file(file)
    inputs = {name: tensor.to(model.device, torch.float32 if name in ("timestep", "target") else dtype) for name, tensor in given.items()}
    sum(parameter.sum().item() for parameter in model.parameters())  # pages of a mapped file count once they are touched
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts anew
    say({"trained": sum(p.numel() for p in trained)})
    held = status("VmRSS")
    for _ in sys.stdin:
        start = time.monotonic()
        loss = (call(model, inputs).float() - inputs["target"]).pow(2).mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        value = loss.item()
        say({"seconds": time.monotonic() - start, "loss": value, "step_bytes": status("VmHWM") - held, "peak_bytes": status("VmHWM")})


class Side:
    """One of the two programs, which takes a step when it is told to."""

    def __init__(self, command):
        self.process = subprocess.Popen(list(map(str, command)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.about, self.steps = self.read(), []

    def read(self):
        line = self.process.stdout.readline()
        return json.loads(line) if line else sys.exit(f"{self.process.args} ended")

    def step(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        self.steps.append(self.read())

    def mib(self, what):
        return self.steps[-1][what] / 2**20

    def median(self, what):
        return statistics.median(step[what] for step in self.steps[WARM_UP:])

    def gpu_bytes(self):
        query = subprocess.run(["nvidia-smi", "--query-compute-apps=pid,used_memory", "--format=csv,noheader,nounits"], capture_output=True, text=True, check=True)
        used = dict(line.split(", ") for line in query.stdout.splitlines())
        return int(used.get(str(self.process.pid), 0)) * 2**20

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def prepare(case, scratch):
    folder, localized, shapes, turns = CASES[case]
    if not list(folder.glob("*.safetensors")):
        out = scratch / case.split("-")[0]
        if not (out / "config.json").exists():
            torch.manual_seed(1)
            kind = SD3Transformer2DModel if out.name == "sd3" else UNet2DConditionModel
            with torch.device("cuda" if CUDA else "cpu"):
                made = kind.from_config(json.loads((folder / "config.json").read_text()))
            made.save_pretrained(out)
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
    return folder, localized, turns, scratch / f"{case}.inputs.safetensors"


def compare(build, scratch, case, dtype, sites, checkpoints):
    folder, localized, turns, inputs = prepare(case, scratch)
    mode, device = "checkpointing" if checkpoints else "plain", ["cuda"] if CUDA else []
    ours = Side([build / "glyphscope_finetune_steps", folder, dtype, localized if sites == "localized" else sites, RANK, mode, inputs, *device])
    (scratch / "layers.json").write_text(json.dumps(ours.about["layers"]))
    theirs = Side([sys.executable, __file__, "--theirs", folder, dtype, scratch / "layers.json", mode, inputs, *(["--cuda"] if CUDA else [])])
    for _ in range(WARM_UP + turns):
        ours.step()
        theirs.step()
    # What either's steps take beyond what was loaded is not told apart on a GPU.
    memory = f"GPU memory {ours.gpu_bytes() / 2**20:.0f} MiB, PEFT's {theirs.gpu_bytes() / 2**20:.0f}" if CUDA else (
        f"steps take {ours.mib('step_bytes'):.0f} MiB, PEFT's {theirs.mib('step_bytes'):.0f} "
        f"(whole process {ours.mib('peak_bytes'):.0f} and {theirs.mib('peak_bytes'):.0f})")
    ours.close()
    theirs.close()
    ratios = [their["seconds"] / our["seconds"] for our, their in zip(ours.steps, theirs.steps)][WARM_UP:]
    low, middle, high = statistics.quantiles(ratios, n=4)
    first = [side.steps[0]["loss"] for side in (ours, theirs)]
    equal = abs(first[0] - first[1]) < (1e-3 if dtype == "fp32" else 3e-2) * first[1] and ours.about["trained"] == theirs.about["trained"]
    print(f"{case}, {dtype}, {sites}{', ' + mode if checkpoints else ''}: {1 / ours.median('seconds'):.3g} steps/s, PEFT {1 / theirs.median('seconds'):.3g}, "
          f"ratio {middle:.2f} [{low:.2f}, {high:.2f}]; {memory}; "
          f"{ours.about['trained']} parameters, {ours.about['optimizer_bytes'] / 1e6:.2f} MB of optimizer state; "
          f"{'same first loss' if equal else 'FIRST LOSSES DIFFER: ' + str(first)}", flush=True)
    return equal


def main():
    if ARGUMENTS[:1] == ["--theirs"]:
        folder, dtype, layers, mode, inputs = ARGUMENTS[1:]
        dtype = torch.bfloat16 if dtype == "bf16" else torch.float32
        theirs(Path(folder), dtype, json.loads(Path(layers).read_text()), mode == "checkpointing", inputs)
        return 0
    if len(ARGUMENTS) < 2:
        sys.exit(__doc__)
    build, scratch = map(Path, ARGUMENTS[:2])
    scratch.mkdir(parents=True, exist_ok=True)
    if CUDA:
        print(torch.cuda.get_device_name())
    print(f"{os.cpu_count()} cores, {torch.get_num_threads()} threads, PyTorch {torch.__version__}")
    good = True
    for case in ARGUMENTS[2:] or ["demo-unet", "demo-mmdit", "sd1", "sd3"]:
        for dtype, sites, checkpoints in MODES:
            good &= compare(build, scratch, case, dtype, sites, checkpoints)
    return int(not good)


if __name__ == "__main__":
    sys.exit(main())
