#!/usr/bin/env bash
# Prints docs/studies.md's table of studies from the run files of `glyphscope localize demo:NAME` in resources/studies.
# Usage: packaging/study-table.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python3 - resources/studies/*/run.json << 'PYTHON'
import json, sys

def score(scores, name):
    one = scores[name]
    text = f"{one['mean']:.2f}"
    return text if one.get("low") is None else f"{text} [{one['low']:.2f}, {one['high']:.2f}]"

def sites(numbers):
    return ", ".join(map(str, numbers)) or "none"

print("| model | sites | localized | share of parameters | patched there: reads as B (F1), of B's own | reads as A (F1) | background kept (SSIM) "
      "| random sets of its size: reads as B | all sites: reads as B | smallest set found that keeps 90 % of B's F1 | chosen by, reported on |")
print("| --- " * 11 + "|")
for path in sorted(sys.argv[1:], key=lambda path: path.split("/")):
    run = json.load(open(path))
    found = run["localized"] or run["smallest_set_found"]
    none = not found
    if none:  # the site that did most on the pairs that choose
        found = [max(run["sites"], key=lambda site: site["choosing_scores"]["target_f1"]["mean"])["index"]]
    every = [site | {"sites": [site["index"]]} for site in run["sites"]] + run["sets"]
    best = next((one for one in every if one["sites"] == found and "scores" in one), {})
    scores = best.get("scores")
    whole = next(one["scores"] for one in run["sets"] if one["sites"] == [site["index"] for site in run["sites"]])
    controls = "; ".join(f"{sites(one['sites'])}: {score(one['scores'], 'target_f1')}" for one in run["sets"] if one["kind"] == "random")
    name = f"`{run['model']['source']}`" + (", pooled prompt of B" if run["settings"]["pooled"] == "target" else "")
    words = f"none surely; most by {sites(found)}" if none else sites(found) + ("" if run["localized"] else " together")
    cells = [name, str(len(run["sites"])), words, f"{100 * best.get('share', run['localized_share']):.2f} %"]
    if scores:
        cells += [f"{score(scores, 'target_f1')} of {run['target']['target_f1']['mean']:.2f}", score(scores, "source_f1"), score(scores, "ssim_outside_text")]
    else:
        cells += [""] * 3
    protocol = run["protocol"]
    resampled = protocol["resampled"]
    cells += [controls, score(whole, "target_f1"), sites(run["smallest_set_found"]),
              f"{len(protocol['choosing_pairs'])} pairs, {len(protocol['reporting_pairs'])} others of {2 * resampled['word_clusters']} other words; {resampled['noises']} noises"]
    print("| " + " | ".join(cells) + " |")
PYTHON
