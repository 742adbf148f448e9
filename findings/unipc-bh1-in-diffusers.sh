#!/usr/bin/env bash
# UniPC has two functions of the step size, bh1 and bh2; the paper recommends bh1 without guidance, for few steps.
#
# The guess: solver_type="bh1" is UniPCMultistepScheduler with the other function.
# What happens (diffusers 0.42.1): with all else at its default the last step's result is not a number, whatever the model says and however many steps are taken. A run ends
# without noise by default (final_sigmas_type "zero"): the logarithm of the signal-to-noise ratio is infinite there, bh1 is that step size itself, and the last step, of first
# order, multiplies it by a sum of no terms, zero. bh2 is finite there. What holds everywhere: leave the product out where there are no terms, or end at sigma_min.
#
# Usage: findings/unipc-bh1-in-diffusers.sh    (some 4 GB in a temporary folder). Fails if the behaviour changes.
set -euo pipefail
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
python3 -m venv "$scratch/env"
"$scratch/env/bin/pip" install --quiet torch==2.15.0 numpy==2.4.6 diffusers==0.42.1 transformers==5.23.0
"$scratch/env/bin/python" - << 'PYTHON' 2> "$scratch/warnings" || { cat "$scratch/warnings" >&2; exit 1; }
import torch
from diffusers import UniPCMultistepScheduler

for solver, final, finite in (("bh2", "zero", True), ("bh1", "sigma_min", True), ("bh1", "zero", False)):
    for steps in (4, 10, 30):
        scheduler = UniPCMultistepScheduler(solver_type=solver, final_sigmas_type=final)
        scheduler.set_timesteps(steps)
        sample = torch.ones(1, 1, 2, 2)
        before = sample
        for timestep in scheduler.timesteps:
            before, sample = sample, scheduler.step(0.5 * sample, timestep, sample).prev_sample
        assert before.isfinite().all() and bool(sample.isfinite().all()) == finite
    print(f"{solver}, ending at {final}: {'a picture' if finite else 'not a number, after the last step'}")
PYTHON
