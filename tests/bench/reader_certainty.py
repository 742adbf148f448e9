#!/usr/bin/env python3
"""How many pairs of words a site's effect takes to be seen, by OCR's F1 and by the small reader's log-likelihoods.

    reader_certainty.py RUN...        folders of `glyphscope localize`, whose cells have every site alone

An effect by F1 is that of A's picture patched at the site less that of A's own. By the reader it is how far the patched picture goes from A's own to B's own, by B's
log-likelihood less A's: 0 where it stays A's, 1 where it says B's word as B's own picture does. Both are means over a pair's noises. For a two-sided test at 5 % that
finds an effect four times in five, n = ((1.96 + 0.84) x deviation / mean)^2 pairs are needed. The last line has the ratio of the needs, geometric mean over those sites
that both see with 100 pairs at most; and what one of the two alone sees so.
"""

import json
import math
import statistics
import sys
from pathlib import Path

MOST = 100


def cells_of(run):
    """For each cell its pair, A's own scores, B's own, and by site those of A patched there."""
    for cell in sorted((run / "cells").iterdir()):
        measured = [one for file in sorted(cell.glob("*.json")) for one in json.loads(file.read_text())["measured"]]
        own = {one["base"]: one["scores"] for one in measured if not one["plan"]}
        # All heads, tokens and steps of one site.
        plain = {"site", "prompt", "streams", "from_step"}
        sites = {one["sites"][0]: one["scores"] for one in measured if len(one["sites"]) == 1 and one["base"] == "A" and all(set(patch) == plain for patch in one["plan"])}
        yield int(cell.name.split("-")[0].removeprefix("pair")), own["A"], own["B"], sites


def effects(run):
    """{site: (by F1, by the reader)}, one number a pair each"""
    found = {}
    for pair, a, b, sites in cells_of(run):
        for site, scores in sites.items():
            by_f1 = scores["target_f1"] - a["target_f1"]
            by_reader = (scores["reader_margin"] - a["reader_margin"]) / (b["reader_margin"] - a["reader_margin"])
            found.setdefault(site, {}).setdefault(pair, []).append((by_f1, by_reader))
    return {site: [[statistics.mean(one[which] for one in cells) for cells in pairs.values()] for which in (0, 1)] for site, pairs in sorted(found.items())}


def need(values):
    mean, deviation = statistics.mean(values), statistics.stdev(values)
    return math.inf if mean == 0 else ((1.96 + 0.84) * deviation / mean) ** 2


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    ratios, by_one = [], {"F1": 0, "the reader": 0}
    for run in map(Path, sys.argv[1:]):
        of_sites = effects(run)
        model = json.loads((run / "settings.json").read_text())["model"]
        print(f"{model}: {len(next(iter(of_sites.values()))[0])} pairs")
        print("  site   F1: effect  pairs needed   reader: effect  pairs needed")
        for site, (f1, reader) in of_sites.items():
            needs = need(f1), need(reader)
            print(f"  {site:4d}  {statistics.mean(f1):11.3f}  {needs[0]:12.1f}  {statistics.mean(reader):15.3f}  {needs[1]:12.1f}")
            seen = [0 < one <= MOST for one in needs]
            if all(seen):
                ratios.append(needs[1] / needs[0])
            elif any(seen):
                by_one["F1" if seen[0] else "the reader"] += 1
    if ratios:
        print(f"of the pairs that F1 needs the reader needs {math.exp(statistics.mean(map(math.log, ratios))):.2f} (geometric mean of {len(ratios)} sites that both see)")
    print(f"sites that one alone sees with {MOST} pairs: F1 {by_one['F1']}, the reader {by_one['the reader']}")


if __name__ == "__main__":
    main()
