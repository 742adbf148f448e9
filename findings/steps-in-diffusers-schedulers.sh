#!/usr/bin/env bash
# With timestep_spacing "trailing" a scheduler divides its 1000 timesteps by the number of steps, and counts down from 1000.
#
# The guess: asked for 61 steps, diffusers' schedulers take 61.
# What happens (diffusers 0.42.1, numpy 2.4.6): they take 62. The stride 1000 / 61 is not exact, so that numpy.arange stops one element later; the extra
# timestep is -1, which as an index means the last timestep, the noisiest. DDIM, Euler and DPM-Solver++ do so, at 62 of the numbers up to 1000. The picture's last step
# reads the schedule at its other end; nothing is said. What holds at every number: timesteps counted by index, (1000 - i * 1000 / steps), for i below steps.
#
# Usage: findings/steps-in-diffusers-schedulers.sh    (some 4 GB in a temporary folder). Fails if the behaviour changes.
set -euo pipefail
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
python3 -m venv "$scratch/env"
"$scratch/env/bin/pip" install --quiet torch==2.15.0 numpy==2.4.6 diffusers==0.42.1 transformers==5.23.0
"$scratch/env/bin/python" - << 'PYTHON' 2> "$scratch/warnings" || { cat "$scratch/warnings" >&2; exit 1; }
import numpy
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler, EulerDiscreteScheduler

for kind in (DDIMScheduler, EulerDiscreteScheduler, DPMSolverMultistepScheduler):
    scheduler = kind(timestep_spacing="trailing")
    scheduler.set_timesteps(61)
    steps = [float(one) for one in scheduler.timesteps]
    print(f"{kind.__name__}: 61 steps asked for, {len(steps)} taken, the last {steps[-1]:g}")
    assert len(steps) == 62 and steps[-1] == -1
wrong = [n for n in range(1, 1001) if len(numpy.arange(1000, 0, -1000 / n)) != n]
print(f"{len(wrong)} of the numbers of steps up to 1000: {wrong[:8]} ...")
assert len(wrong) == 62 and wrong[0] == 61
PYTHON
