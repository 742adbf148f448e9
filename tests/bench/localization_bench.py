"""A localization here, with the paper's way in diffusers, and with an earlier build of Glyphscope: in turn, in one run.

    python localization_bench.py BUILD SCRATCH [--earlier GLYPHSCOPE] [--busy] [--turns 3] [--study ARGUMENTS]

BUILD: where glyphscope is. Needs PyTorch, diffusers and transformers (versions: golden/README.md). Prints seconds (medians of the turns) and ratios:

- one pair of demo:sign-unet: A's and B's pictures, 11 patched ones, controls, OCR and scores, without loading (as run.json says) and from the program's start
  to its end; against the time in which diffusers' StableDiffusionPipeline, loaded and warm, draws the 11 patched pictures alone, one site at a time, the site
  reading prompt B (the paper's way: attention processors that are given the other prompt), without OCR.
- with --earlier: the study `localize demo:sign-unet` with ARGUMENTS (default: none), by this build and by that one.
- with --busy: the same beside two processes that multiply matrices without end, one a core.

Both sides use the threads they choose. The last output is in tests/README.md.
"""

import argparse
import json
import os
import shlex
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
MODEL = ROOT / "resources/models/sign-unet"
STEPS, GUIDANCE, SEED = 20, 3.0, 42
PROMPTS = ['a round red sign that says "LOVE" on a blue wall', 'a round red sign that says "RAIN" on a blue wall']

# Draws as often as it is told to by a line on its input, and answers in seconds.
THEIRS = f"""
import sys, time, torch
from diffusers import StableDiffusionPipeline
from diffusers.models.attention_processor import AttnProcessor2_0

class Patched(AttnProcessor2_0):
    other = None
    def __call__(self, attention, hidden, encoder_hidden_states=None, **more):
        return super().__call__(attention, hidden, encoder_hidden_states=Patched.other, **more)

pipeline = StableDiffusionPipeline.from_pretrained({str(MODEL)!r}, torch_dtype=torch.float32, safety_checker=None)
pipeline.set_progress_bar_config(disable=True)
sites = [name for name in pipeline.unet.attn_processors if "attn2" in name]
a, b = {PROMPTS!r}
def draw(site, steps):
    Patched.other = torch.cat(pipeline.encode_prompt(b, "cpu", 1, True)[::-1])
    pipeline.unet.set_attn_processor({{name: Patched() if name == site else AttnProcessor2_0() for name in pipeline.unet.attn_processors}})
    return pipeline(a, num_inference_steps=steps, guidance_scale={GUIDANCE}, generator=torch.Generator().manual_seed({SEED}), output_type="np").images[0]
# The U-Net's names are not in forward order, and need not be: all are drawn.
different = [abs(draw(site, 4) - draw(None, 4)).max() > 0 for site in sites]
assert all(different), different
print(len(sites), flush=True)
for line in sys.stdin:
    start = time.perf_counter()
    for site in sites:
        draw(site, {STEPS})
    print(time.perf_counter() - start, flush=True)
"""
BUSY = "import numpy as np\na = np.random.rand(600, 600).astype(np.float32)\nwhile True: a @ a"


def timed(program, arguments, out):
    shutil.rmtree(out, ignore_errors=True)
    start = time.perf_counter()
    subprocess.run([program, "localize", "demo:sign-unet", *arguments, "--out", out], check=True, capture_output=True)
    return time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build", type=Path)
    parser.add_argument("scratch", type=Path)
    parser.add_argument("--earlier", type=Path)
    parser.add_argument("--busy", action="store_true")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--study", default="")
    options = parser.parse_args()
    options.scratch.mkdir(parents=True, exist_ok=True)
    pairs = options.scratch / "pair.txt"
    pairs.write_text("\t".join(PROMPTS) + "\n")
    one_pair = ["--prompts", str(pairs), "--steps", str(STEPS), "--guidance", str(GUIDANCE), "--seed", str(SEED)]
    program = options.build / "glyphscope"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    busy = [subprocess.Popen([sys.executable, "-c", BUSY], env=environment) for _ in range(os.cpu_count() if options.busy else 0)]
    try:
        theirs = subprocess.Popen([sys.executable, "-c", THEIRS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        sites = int(theirs.stdout.readline())
        ours, whole, paper, study, earlier = [], [], [], [], []
        for _ in range(options.turns):
            whole.append(timed(program, one_pair, options.scratch / "pair"))
            ours.append(json.loads((options.scratch / "pair" / "run.json").read_text())["seconds"]["mean"])
            theirs.stdin.write("\n")
            theirs.stdin.flush()
            paper.append(float(theirs.stdout.readline()))
            if options.earlier:
                study.append(timed(program, shlex.split(options.study), options.scratch / "study"))
                earlier.append(timed(options.earlier, shlex.split(options.study), options.scratch / "earlier"))
        theirs.terminate()

        def ratio(name, first, second):
            ratios = [one / other for one, other in zip(first, second)]
            seconds = [f"{statistics.median(times):.1f} s" for times in (first, second)]
            print(f"{name}: {seconds[0]} / {seconds[1]} = {statistics.median(ratios):.2f} [{min(ratios):.2f}, {max(ratios):.2f}], {len(ratios)} turns", flush=True)

        print(f"beside {len(busy)} busy processes" if busy else "on a quiet machine, if nothing else ran")
        ratio(f"one pair here / {sites} patched pictures in diffusers, both loaded", ours, paper)
        ratio(f"one pair here, from start to end / {sites} patched pictures in diffusers, loaded", whole, paper)
        if earlier:
            ratio("the study here / by the earlier build", study, earlier)
    finally:
        for process in busy:
            process.kill()


if __name__ == "__main__":
    main()
