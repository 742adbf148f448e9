#!/usr/bin/env bash
# Prints the README's table of localization cards from the card.json files of `glyphscope localize demo:NAME --certify` in resources/studies.
# Usage: packaging/card-table.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python3 - resources/studies/*/card.json << 'PYTHON'
import json, sys

def score(one):
    text = f"{one['mean']:.2f}"
    return text if one.get("low") is None else f"{text} [{one['low']:.2f}, {one['high']:.2f}]"

def f1(scores):
    return score(scores["target_f1"])

def numbers(sites):
    return ", ".join(map(str, sites)) or "none"

print("| model | sites chosen | share of parameters | sufficiency: A's picture, they see B, reads as B | of B's own | necessity: B's picture, they see A, reads as B "
      "| complement: A's picture, all others see B | controls of its size: reads as B | verdict | discovered alone |")
print("| --- " * 10 + "|")
for path in sorted(sys.argv[1:], key=lambda path: path.split("/")):
    card = json.load(open(path))
    sets = card["evidence"]["sets"]
    role = lambda name: next((one["scores"] for one in sets if one["role"] == name), None)
    cell = lambda name: f1(role(name)) if role(name) else ""
    controls = "; ".join(f"{numbers(one['sites'])}: {f1(one['scores'])}" for one in sets if one["role"] == "control")
    verdict = card["verdict"]
    words = [word if verdict[key] else f"not shown to be {word}" for key, word in (("sufficient", "sufficient"), ("necessary", "necessary"))]
    if controls:
        words.append("better than controls" if verdict["beats_controls"] else "not shown to be better than controls")
    name = f"`{card['model']['source']}`" + (", pooled prompt of B" if card["settings"]["pooled"] == "target" else "")
    sites = [one["index"] for one in card["sites"]]
    print("| " + " | ".join([name, numbers(sites), f"{100 * card['share']:.2f} %", cell("sufficiency"), f1(card["target"]), cell("necessity"), cell("complement"),
                             controls or "none can be drawn", ", ".join(words) if sites else "no set keeps B's text", numbers(card["discovered"])]) + " |")
PYTHON
