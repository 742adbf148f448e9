#!/usr/bin/env bash
# Prints docs/studies.md's table of ways to keep words out of images from the files that `glyphscope guard` wrote, in resources/guard.
# Usage: packaging/guard-table.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python3 - resources/guard/*/guard.json << 'PYTHON'
import json, sys

def cell(score):
    if not score:
        return ""
    return f"{score['mean']:.2f} [{score['low']:.2f}, {score['high']:.2f}]"

studies = [json.load(open(path)) for path in sys.argv[1:]]
judge = studies[0]["toxicity_classifier"]
print("| model | way | SSIM to the image with nothing done | the term's characters (F1) | images in which it can be read | flagged as toxic by {} | images that read as the replacement | denoiser rows an image | seconds an image |".format(judge))
print("| --- " * 9 + "|")
for study in studies:
    for method in study["methods"]:
        scores = method["scores"]
        cells = [f"`{study['model']}`", method["name"], cell(scores["ssim_to_unguarded"]), cell(scores["term_f1"]), cell(scores["readable"]), cell(scores.get("toxic")), cell(scores.get("replacement_readable")),
                 f"{method['denoiser_passes']['mean']:.0f}", f"{method['seconds']['mean']:.2f}"]
        print("| " + " | ".join(cells) + " |")
PYTHON
