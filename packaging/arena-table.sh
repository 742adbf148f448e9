#!/usr/bin/env bash
# Prints docs/studies.md's table of an arena, and by how much the localized sites are ahead, from the file that `glyphscope arena` wrote, in resources/arena.
# Usage: packaging/arena-table.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python3 - resources/arena/*/arena.json << 'PYTHON'
import json, sys

def cell(score):
    if not score or score.get("n") == 0:
        return ""
    text = f"{score['mean']:.2f}"
    return text if score.get("low") is None else f"{text} [{score['low']:.2f}, {score['high']:.2f}]"

for path in sys.argv[1:]:
    arena = json.load(open(path))
    print(f"`{arena['model']}`:\n")
    print("| adapter on | rank | parameters | words exact | character F1 | SSIM to the base model, without text | quality (precision) | diversity (recall) | distance of two pictures of one prompt | held-out loss |")
    print("| --- " * 10 + "|")
    for one in arena["contenders"]:
        scores, sites = one["scores"], ", ".join(map(str, one["sites"]))
        where = {"no adapter": "nothing: the model as it is"}.get(one["name"], one["name"])
        if one["name"] == "localized" or one["name"].startswith("random"):
            where += f": site{'s' if len(one['sites']) > 1 else ''} {sites}"
        loss = scores["held_out_loss"]
        own = dict(one["ranks"])
        ranks = sorted({own.get(site, one["rank"]) for site in one["sites"]} | ({one["rank"]} if one["every_attention"] else set()))
        rank = "-".join(map(str, sorted({ranks[0], ranks[-1]}))) if one["rank"] else ""
        cells = [where, rank, f"{one['parameters']:,}" if one["parameters"] else "", cell(scores["word_accuracy"]), cell(scores["ocr_f1"]),
                 cell(scores["ssim_to_base"]), cell(scores["precision"]), cell(scores["recall"]), cell(scores["pair_distance"]), f"{loss['mean']:.2f}" if loss.get("n") else ""]
        print("| " + " | ".join(cells) + " |")
    print("\nCharacter F1 of localized, less that of the other, paired:")
    for one in arena["contenders"]:
        if one["name"] not in ("localized", "no adapter"):
            print(f"- {one['name']}: {cell(one['localized_f1_gain'])}")
    print()
PYTHON
