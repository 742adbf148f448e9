#!/usr/bin/env bash
# Prints of each study in resources/studies how often the localized sites, or the one that did most, write B's word exactly: where it is as long as A's, and where it is not.
# Usage: packaging/study-lengths.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python3 - resources/studies/*/run.json << 'PYTHON'
import json, sys

for path in sorted(sys.argv[1:]):
    run = json.load(open(path))
    # Where nothing is localized surely, of the site that did most on the pairs that choose.
    most = max(run["sites"], key=lambda site: site["choosing_scores"]["target_f1"]["mean"])["index"]
    found = run["localized"] or run.get("smallest_set_found") or [most]
    counts = {True: [0, 0], False: [0, 0]}
    for result in run["pairs"]:
        pair = run["settings"]["pairs"][result["pair"]]
        patched = [one for one in result["patched"] if one["sites"] == found]
        if not patched:
            continue
        count = counts[len(pair["source_text"]) == len(pair["target_text"])]
        count[0] += patched[0]["scores"]["word_accuracy"]
        count[1] += 1
    said = ", ".join(f"{'as long' if same else 'of another length'}: {exact:.0f} of {count} pictures" for same, (exact, count) in counts.items() if count)
    print(f"{path.split('/')[-2]}, sites {found}: {said}")
PYTHON
