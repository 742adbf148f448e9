"""Denoisers of SD 1.5's, SDXL's and SD 3's sizes on a GPU, here and in diffusers: in turns, on the same GPU, with random weights in bf16.

    python speed.py BUILD SCRATCH [FAMILY ...] [--device cuda] [--turns 5] [--small]      # sd1 sdxl sd3

BUILD: where glyphscope_cuda_speed is (preset cuda, or run_with_pytorch.sh's folder). SCRATCH: 6 GB for the largest family. Needs PyTorch and diffusers. Prints, with
the card's name, medians of the turns and ratios with their range:

- how far one call's result lies from diffusers' (both bf16);
- a denoiser call of 1, 2 and 16 rows: diffusers' time, run eagerly, over ours (aim: at least 1.2), and our peak memory over diffusers' (aim: below 1);
- a localization, every site alone and both pictures, 16 rows at once: the paper's way's time, in diffusers one picture at a time whose site is given the other
  prompt, over ours (aim: at least 3). U-Nets only.

- a call of 2 rows with all blocks copied from the host as they compute, over one with all on the GPU.

Training is measured by tests/bench/finetune_bench.py --cuda. --small and --device standin try the script itself on a machine without a GPU (diffusers is on the
CPU then, numbers mean nothing): GLYPHSCOPE_TEST_DEVICE=standin LD_PRELOAD=BUILD/tests/libglyphscope_stand_in.so go to our program alone.
"""

import argparse
import gc
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch
from diffusers import SD3Transformer2DModel, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor2_0
from safetensors.torch import load_file, save_file

ROOT = Path(__file__).parent.parent.parent
COMPONENT = {"sd1": "unet", "sdxl": "unet", "sd3": "transformer"}
LATENT = {"sd1": 64, "sdxl": 128, "sd3": 128}
GOLDEN = {"sd1": "unet_sd1", "sdxl": "unet_sdxl", "sd3": "mmdit_sd3"}
TOKENS = {"sd1": 77, "sdxl": 77, "sd3": 333}
ROWS, TIMES = (1, 2, 16), 5
STEPS, AT_ONCE, GUIDANCE = 2, 16, 7.5


class Other(AttnProcessor2_0):
    """Attention to a prompt that is not the call's: what arXiv 2502.09935 patches a site by."""

    prompts = None

    def __call__(self, attention, hidden_states, encoder_hidden_states=None, *more, **named):
        return super().__call__(attention, hidden_states, Other.prompts, *more, **named)


class Theirs:
    def __init__(self, model, inputs, device):
        self.model, self.device = model, device
        self.inputs = {name: tensor.to(device, torch.float32 if name in ("timestep", "time_ids") else torch.bfloat16) for name, tensor in inputs.items()}

    def wait(self):
        if self.device == "cuda":
            torch.cuda.synchronize()

    def rows(self, name, count):
        one = self.inputs[name]
        return one.repeat(count, *[1] * (one.dim() - 1))

    def forward(self, sample, embedding):
        count = sample.shape[0]
        if isinstance(self.model, SD3Transformer2DModel):
            return self.model(sample, embedding, self.rows("pooled", count), self.rows("timestep", count)).sample
        added = None
        if "pooled" in self.inputs:
            added = {"text_embeds": self.rows("pooled", count), "time_ids": self.rows("time_ids", count)}
        return self.model(sample, self.rows("timestep", count), embedding, added_cond_kwargs=added).sample

    def timed(self, work):
        if self.device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        self.wait()
        start = time.perf_counter()
        with torch.inference_mode():
            work()
        self.wait()
        return time.perf_counter() - start, torch.cuda.max_memory_allocated() if self.device == "cuda" else 0

    def call(self, count, times):
        sample, embedding = self.rows("sample", count), self.rows("embedding", count)
        seconds, peak = self.timed(lambda: [self.forward(sample, embedding) for _ in range(times)])
        return {"seconds": seconds / times, "peak_bytes": peak}

    def localize(self, steps):
        sites = [name for name in self.model.attn_processors if "attn2" in name]
        nothing = torch.zeros_like(self.inputs["embedding"])

        def picture(site, embedding):
            self.model.set_attn_processor({name: Other() if name == site else AttnProcessor2_0() for name in self.model.attn_processors})
            Other.prompts = torch.cat([nothing, self.inputs["other_embedding"]])
            latent = self.inputs["sample"].float()
            for _ in range(steps):
                halves = self.forward(latent.to(torch.bfloat16).repeat(2, 1, 1, 1), torch.cat([nothing, embedding])).float().chunk(2)
                latent = latent - (halves[0] + GUIDANCE * (halves[1] - halves[0])) / steps

        def all_of_them():
            for site, name in [(None, "embedding"), (None, "other_embedding"), *((one, "embedding") for one in sites)]:
                picture(site, self.inputs[name])

        seconds, peak = self.timed(all_of_them)
        self.model.set_attn_processor(AttnProcessor2_0())
        return {"seconds": seconds, "peak_bytes": peak, "sites": len(sites)}


class Ours:
    def __init__(self, options, folder, inputs):
        environment = dict(os.environ)
        if options.device == "standin":
            library = options.build / "tests/libglyphscope_stand_in.so"
            environment |= {"GLYPHSCOPE_TEST_DEVICE": "standin", "LD_PRELOAD": str(library.resolve())}
        command = [options.build / "glyphscope_cuda_speed", folder, "bf16", options.device, inputs]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)

    def ask(self, *words):
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"glyphscope_cuda_speed ended with {self.process.wait()}")
        return json.loads(line)

    def end(self):
        self.process.stdin.close()
        self.process.wait()


def ratio(name, theirs, ours):
    each = [one["seconds"] / other["seconds"] for one, other in zip(theirs, ours)]
    seconds = [statistics.median(one["seconds"] for one in side) for side in (theirs, ours)]
    memory = [max(one["peak_bytes"] for one in side) / 2**30 for side in (theirs, ours)]
    print(
        f"  {name}: diffusers {1000 * seconds[0]:.1f} ms, here {1000 * seconds[1]:.1f} ms, {statistics.median(each):.2f} [{min(each):.2f}, {max(each):.2f}] times as fast;"
        f" memory {memory[0]:.2f} and {memory[1]:.2f} GiB" + (f", {memory[1] / memory[0]:.2f}" if memory[0] else ""),
        flush=True,
    )


def measure(family, options):
    component = COMPONENT[family]
    configs = ROOT / "tests" / ("golden/data" if options.small else "configs") / (GOLDEN[family] if options.small else f"{family}/{component}")
    config = json.loads((configs / "config.json").read_text())
    kind = SD3Transformer2DModel if family == "sd3" else UNet2DConditionModel
    theirs_device = "cuda" if options.device == "cuda" else "cpu"
    torch.manual_seed(1)
    with torch.device(theirs_device):
        torch.set_default_dtype(torch.bfloat16)
        model = kind.from_config(config).eval().requires_grad_(False)
        torch.set_default_dtype(torch.float32)
    folder = options.scratch / family
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder)
    side = config["sample_size"] if options.small else LATENT[family]
    width = config["joint_attention_dim"] if family == "sd3" else config["cross_attention_dim"]
    tokens = 9 if options.small else TOKENS[family]
    shapes = {"sample": [1, config["in_channels"], side, side], "embedding": [1, tokens, width], "other_embedding": [1, tokens, width]}
    if family == "sdxl":
        shapes["pooled"] = [1, config["projection_class_embeddings_input_dim"] - 6 * config["addition_time_embed_dim"]]
    if family == "sd3":
        shapes["pooled"] = [1, config["pooled_projection_dim"]]
    noise = torch.Generator().manual_seed(7)
    inputs = {name: torch.randn(shape, generator=noise) for name, shape in shapes.items()}
    inputs["timestep"] = torch.tensor([601.0])
    if family == "sdxl":
        inputs["time_ids"] = torch.tensor([[1024.0, 1024.0, 0.0, 0.0, 1024.0, 1024.0]])
    file = options.scratch / f"{family}.safetensors"
    save_file(inputs, file)

    theirs, ours = Theirs(model, inputs, theirs_device), Ours(options, folder, file)
    parameters = sum(one.numel() for one in model.parameters()) / 1e6
    print(f"{family}: {parameters:.0f} M parameters, latents {side} x {side}", flush=True)
    ours.ask("output")
    with torch.inference_mode():
        expected = theirs.forward(theirs.inputs["sample"], theirs.inputs["embedding"]).float().cpu()
    result = load_file(str(file) + ".output")["output"]
    apart = ((result - expected).norm() / expected.norm()).item()
    print(f"  one call: {apart:.1e} apart")
    assert apart < 0.05, "not the same computation"
    for rows in ROWS:
        pairs = []
        for turn in range(options.turns + 1):  # the first is for libraries to settle
            pairs.append((theirs.call(rows, TIMES), ours.ask("call", rows, TIMES)))
        ratio(f"call of {rows} rows", *zip(*pairs[1:]))
    if family != "sd3":
        pairs = [(theirs.localize(STEPS), ours.ask("localize", STEPS, AT_ONCE)) for _ in range(max(2, options.turns // 2))]
        assert pairs[0][0]["sites"] == pairs[0][1]["sites"]
        ratio(f"localization, {pairs[0][0]['sites']} sites, {STEPS} steps", *zip(*pairs[1:]))
    whole = ours.ask("call", 2, TIMES)
    blocks = ours.ask("stream", 0)["blocks"]
    streamed = [ours.ask("call", 2, TIMES) for _ in range(2)][1]
    print(
        f"  call of 2 rows, all {blocks} blocks copied to the device as they compute: {streamed['seconds'] / whole['seconds']:.2f} times as long,"
        f" memory {streamed['peak_bytes'] / 2**30:.2f} of {whole['peak_bytes'] / 2**30:.2f} GiB",
        flush=True,
    )
    ours.end()
    shutil.rmtree(folder)
    del theirs, model
    gc.collect()
    if theirs_device == "cuda":
        torch.cuda.empty_cache()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=Path)
    parser.add_argument("scratch", type=Path)
    parser.add_argument("families", nargs="*", choices=[*COMPONENT, []], default=[])
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu", "standin"])
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--small", action="store_true")
    options = parser.parse_args()
    options.scratch.mkdir(parents=True, exist_ok=True)
    card = torch.cuda.get_device_name() if options.device == "cuda" else f"{options.device}: a trial of the script, numbers mean nothing"
    print(f"{card}; PyTorch {torch.__version__}", flush=True)
    for family in options.families or COMPONENT:
        measure(family, options)


if __name__ == "__main__":
    main()
