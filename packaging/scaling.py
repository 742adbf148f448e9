#!/usr/bin/env python3
"""Weak scaling of a localization on paper: rows an hour on 1, 8 and 64 devices, each with as many cells as one has alone.

    glyphscope localize MODEL .. --plan --json > plan.json
    scaling.py plan.json [LOAD_SECONDS]

The plan has what was measured on this machine: seconds for all cells of each question. A shard loads the model once (LOAD_SECONDS, default 10). Questions come
one after the other; before the next, a shard waits for the slowest of the one before. Cells cannot be halved, so with N devices a question of C cells takes
as long as the largest share, ceil(C / N) cells. A cell's documents are a few kB, and the folder's file system is taken to keep up.
"""

import json
import math
import sys


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    plan = json.load(open(sys.argv[1]))
    load = float(sys.argv[2]) if len(sys.argv) == 3 else 10.0
    if plan.get("schema") != "glyphscope.plan/1" or not plan["seconds"]:
        sys.exit(f"{sys.argv[1]}: this is not what localize --plan --json prints")
    per_row = plan["seconds"] / plan["denoiser_rows"]
    print(f"{per_row * 1000:.1f} ms a denoiser row with all that belongs to it, {load:.0f} s to load, {len(plan['questions'])} rounds")
    print("devices      cells   denoiser rows    hours   rows an hour   of N times one")
    alone = None
    for devices in (1, 8, 64):
        rows, seconds, cells = 0, load, 0
        for question in plan["questions"]:
            if question["cells"] == 0:
                continue
            all_cells = question["cells"] * devices
            each = question["denoiser_rows"] / question["cells"]
            rows += each * all_cells
            cells += all_cells
            seconds += math.ceil(all_cells / devices) * each * per_row
        rate = rows / seconds * 3600
        alone = alone or rate
        print(f"{devices:7d} {cells:10d} {rows:15.0f} {seconds / 3600:8.2f} {rate:14.0f} {rate / alone / devices:14.2f}")
    print("the same cells on more devices:")
    for devices in (1, 8, 64):
        seconds = load + sum(math.ceil(q["cells"] / devices) * q["denoiser_rows"] / q["cells"] * per_row for q in plan["questions"] if q["cells"])
        print(f"{devices:7d} {sum(q['cells'] for q in plan['questions']):10d} {plan['denoiser_rows']:15d} {seconds / 3600:8.2f} {plan['denoiser_rows'] / seconds * 3600:14.0f}")


if __name__ == "__main__":
    main()
