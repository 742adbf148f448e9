#!/usr/bin/env bash
# A model of a flow (Stable Diffusion 3, FLUX) may be sampled by a solver of diffusion models, with use_flow_sigmas and prediction_type flow_prediction.
#
# The guess: whichever solver it is, a run of it ends without noise, as a flow's own scheduler does.
# What happens (diffusers 0.42.1): DEISMultistepScheduler and SASolverScheduler leave out the level without noise and repeat the one before it. The last step goes from
# a level to the same level: it changes nothing, its call of the model is for nothing, and the picture keeps the noise of that level, 10 % of it with 10 steps and
# 3.3 % with 30. With a model that says exactly where the path ends, DPMSolverMultistepScheduler and UniPCMultistepScheduler end there, these two do not. What
# holds everywhere: look at scheduler.sigmas[-1] before a comparison of solvers, or take one that has final_sigmas_type.
#
# Usage: findings/last-noise-of-flows-in-diffusers.sh    (some 4 GB in a temporary folder). Fails if the behaviour changes.
set -euo pipefail
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
python3 -m venv "$scratch/env"
"$scratch/env/bin/pip" install --quiet torch==2.15.0 numpy==2.4.6 diffusers==0.42.1 transformers==5.23.0
"$scratch/env/bin/python" - << 'PYTHON' 2> "$scratch/warnings" || { cat "$scratch/warnings" >&2; exit 1; }
import torch
from diffusers import DEISMultistepScheduler, DPMSolverMultistepScheduler, SASolverScheduler, UniPCMultistepScheduler

generator = torch.Generator().manual_seed(0)
clean, noise = torch.randn(2, 1, 4, 32, 32, generator=generator, dtype=torch.float64)


def run(kind, steps):
    """The share of noise in the result, the last level, and how far the last step moved, of a model that knows the end of the path."""
    options = {"tau_func": lambda timestep: 0} if kind is SASolverScheduler else {}  # no fresh noise
    scheduler = kind(use_flow_sigmas=True, prediction_type="flow_prediction", **options)
    scheduler.set_timesteps(steps)
    sample = (1 - scheduler.sigmas[0]) * clean + scheduler.sigmas[0] * noise
    for index, timestep in enumerate(scheduler.timesteps):
        before = sample
        sample = scheduler.step((sample - clean) / scheduler.sigmas[index], timestep, sample).prev_sample
    left = ((sample - clean) * noise).sum() / (noise * noise).sum()
    return float(left), float(scheduler.sigmas[-1]), float((sample - before).abs().max())


for kind in (DPMSolverMultistepScheduler, UniPCMultistepScheduler, DEISMultistepScheduler, SASolverScheduler):
    for steps in (10, 30):
        left, last, moved = run(kind, steps)
        early = kind in (DEISMultistepScheduler, SASolverScheduler)
        assert (moved < 1e-6) == early and (abs(last - 0.999 / steps) < 1e-3 if early else last == 0), (kind, last, moved)
        assert (left > 0.9 * last) if early else abs(left) < 0.01, (kind, left)
        print(f"{kind.__name__}, {steps} steps: ends at sigma {last:.3f}, the last step moved {moved:.3f}, noise left {left:.3f}")
PYTHON
