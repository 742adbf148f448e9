#!/usr/bin/env python3
"""How many pairs of words a site's effect takes to be seen, by OCR's F1 and by the small reader's log-likelihoods.

    reader_certainty.py RUN...        folders of `glyphscope localize`, whose cells have every site alone

An effect is the score of A's picture patched at the site less that of A's own, mean over a pair's noises. For a two-sided test at 5 % that finds it four times in
five, n = ((1.96 + 0.84) x deviation / mean)^2 pairs are needed. Of sites with the largest effects by F1 down to a twentieth of the largest; the last line has the
ratio of their needs, geometric mean.
"""

import json
import math
import statistics
import sys
from pathlib import Path


def effects(run, score):
    """{site: one number a pair}"""
    by_site = {}
    for cell in sorted((run / "cells").iterdir()):
        measured = [one for file in sorted(cell.glob("*.json")) for one in json.loads(file.read_text())["measured"]]
        own = next(one["scores"].get(score) for one in measured if one["base"] == "A" and not one["plan"])
        pair = int(cell.name.split("-")[0].removeprefix("pair"))
        for one in measured:
            plain = len(one["sites"]) == 1 and one["base"] == "A" and all(set(patch) == {"site", "prompt", "streams", "from_step"} for patch in one["plan"])
            if plain and own is not None and one["scores"].get(score) is not None:
                by_site.setdefault(one["sites"][0], {}).setdefault(pair, {})[cell.name] = one["scores"][score] - own
    return {site: [statistics.mean(cells.values()) for cells in pairs.values()] for site, pairs in by_site.items()}


def need(values):
    mean, deviation = statistics.mean(values), statistics.stdev(values)
    return math.inf if mean == 0 else ((1.96 + 0.84) * deviation / mean) ** 2


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    ratios = []
    for run in map(Path, sys.argv[1:]):
        f1, margin = effects(run, "target_f1"), effects(run, "reader_margin")
        model = json.loads((run / "settings.json").read_text())["model"]
        largest = max(statistics.mean(values) for values in f1.values())
        print(f"{model}: {len(next(iter(f1.values())))} pairs")
        print("  site  effect, F1  pairs needed   effect, reader  pairs needed   of F1's")
        for site in sorted(f1, key=lambda site: -statistics.mean(f1[site])):
            if site not in margin or statistics.mean(f1[site]) < largest / 20:
                continue
            by_f1, by_margin = need(f1[site]), need(margin[site])
            if 0 < by_f1 < math.inf and 0 < by_margin < math.inf:
                ratios.append(by_margin / by_f1)
            print(f"  {site:4d}  {statistics.mean(f1[site]):10.3f}  {by_f1:12.1f}   {statistics.mean(margin[site]):14.3f}  {by_margin:12.1f}   {by_margin / by_f1 if by_f1 else math.inf:7.2f}")
    if ratios:
        print(f"pairs that the reader needs, of those that F1 needs: {math.exp(statistics.mean(map(math.log, ratios))):.2f} ({len(ratios)} sites)")


if __name__ == "__main__":
    main()
