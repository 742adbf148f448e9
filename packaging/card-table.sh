#!/usr/bin/env bash
# Prints docs/studies.md's tables of localization cards from the card.json files of `glyphscope localize demo:NAME --certify` in resources/studies: a line a card, or the
# lines of one.
# Usage: packaging/card-table.sh [NAME]        NAME: sign-unet ..
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python3 - "$@" << 'PYTHON'
import json, pathlib, sys

SHOWN = ("target_f1", "source_f1", "ssim_outside_text")

def score(one):
    text = f"{one['mean']:.2f}"
    return text if one.get("low") is None else f"{text} [{one['low']:.2f}, {one['high']:.2f}]"

def numbers(sites):
    return ", ".join(map(str, sites)) or "none"

def line(*cells):
    print("| " + " | ".join(cells) + " |")

def table_of(card):
    """What each set did on the cells that report."""
    line("picture", "reads as B (F1)", "reads as A (F1)", "background kept (SSIM)")
    line(*["---"] * 4)
    show = lambda name, scores: line(name, *(score(scores[key]) for key in SHOWN))
    show("A's own", card["source"])
    names = {"sufficiency": "**A's, site{} see{} B** (sufficiency)", "necessity": "**B's, site{} see{} A** (necessity)", "complement": "A's, all but site{} see B (complement)",
             "control": "A's, site{} see{} B (a control of its size)", "control_necessity": "B's, site{} see{} A (the same control)", "single": "A's, site{} see{} B (discovered alone)", "all_sites": "A's, all sites see B"}
    chosen = [one["index"] for one in card["sites"]]
    for one in card["evidence"]["sets"]:
        if one["role"] in names and not (one["role"] == "single" and one["sites"] == chosen):
            many = len(one["sites"]) > 1
            which = ("s " if many else " ") + numbers(one["sites"])
            show(names[one["role"]].format(*([which, "" if many else "s"])), one["scores"])
    show("B's own", card["target"])

def table_of_all(paths):
    line("model", "sites chosen", "share of parameters", "sufficiency: A's picture, they see B: reads as B", "of B's own", "necessity: B's picture, they see A: reads as B",
         "complement: A's picture, all others see B", "controls of its size: read as B", "verdict", "discovered alone")
    line(*["---"] * 10)
    for path in paths:
        card = json.loads(path.read_text())
        sets = card["evidence"]["sets"]
        def f1(role):
            found = [one["scores"]["target_f1"] for one in sets if one["role"] == role]
            return score(found[0]) if found else ""
        controls = "; ".join(f"{numbers(one['sites'])}: {score(one['scores']['target_f1'])}" for one in sets if one["role"] == "control")
        verdict, sites = card["verdict"], [one["index"] for one in card["sites"]]
        words = [word if verdict[key] else f"not shown to be {word}" for key, word in (("sufficient", "sufficient"), ("necessary", "necessary"))]
        if controls:
            words.append("better than controls" if verdict["beats_controls"] else "not shown to be better than controls")
        name = f"`{card['model']['source']}`" + (", pooled prompt of B" if card["settings"]["pooled"] == "target" else "")
        line(name, numbers(sites), f"{100 * card['share']:.2f} %", f1("sufficiency"), score(card["target"]["target_f1"]), f1("necessity"), f1("complement"),
             controls or "none can be drawn", ", ".join(words) if sites else "no set keeps B's text", numbers(card["discovered"]))

studies = pathlib.Path("resources/studies")
if len(sys.argv) > 1:
    table_of(json.loads((studies / sys.argv[1] / "card.json").read_text()))
else:
    table_of_all(sorted(studies.glob("*/card.json"), key=lambda path: str(path).split("/")))
PYTHON
