#!/usr/bin/env bash
# Draws docs/studies.md's edits again into resources/edits, and prints its table of them and what inversion reaches at 200 steps.
# Usage: [GLYPHSCOPE=PROGRAM] packaging/edits.sh [INTO]    (after tests/run.sh or packaging/demo.sh, which build the program)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
program=${GLYPHSCOPE:-build/release/glyphscope} out=${1:-resources/edits} scratch=out/demo/edits
rm -rf "$scratch" && mkdir -p "$scratch"

# A picture that no model drew, with what it shows.
"$program" draw-signs --count 2 --out "$scratch/signs"
picture=$scratch/signs/00001.png
caption=$(sed -n 2p "$scratch/signs/metadata.jsonl" | python3 -c 'import json, sys; print(json.load(sys.stdin)["text"])')
"$program" draw-signs --count 2 --longest 3 --out "$scratch/short"
short=$scratch/short/00001.png
short_caption=$(sed -n 2p "$scratch/short/metadata.jsonl" | python3 -c 'import json, sys; print(json.load(sys.stdin)["text"])')

edit() {
  local name=$1
  shift
  "$program" edit demo:sign-unet --out "$scratch/$name" "$@"
  rm -rf "${out:?}/$name" && mkdir -p "$out/$name"
  cp "$scratch/$name"/* "$out/$name/"
}
love='a round red sign that says "LOVE" on a blue wall'
edit same-scene --source "$love" --target 'a round red sign that says "TIME" on a blue wall'
edit other-scene --source "$love" --target 'a square yellow sign that says "TIME" on a black wall'
edit several-words --source "$love" --target 'a round red sign that says "GO HOME" on a blue wall'
edit removal --source "$love" --target 'a round red sign on a blue wall'
edit real --image "$picture" --caption "$caption" --target "$(sed 's/"[^"]*"/"HOUSE"/' <<< "$caption")" --refinements 3

invert() {
  local model=$1 picture=$2 caption=$3 refinements
  for refinements in 0 3; do
    "$program" edit "demo:$model" --image "$picture" --caption "$caption" --target "$caption" --steps 200 --guidance 1 --refinements "$refinements" --self-share 0 \
      --cross-share 0 --out "$scratch/$model-$refinements" > /dev/null
  done
}
invert sign-unet "$picture" "$caption"
invert sign-mmdit "$picture" "$caption"
invert sign-pixel "$short" "$short_caption"

python3 - "$out" "$scratch" << 'PYTHON'
import json, pathlib, sys

out, scratch = map(pathlib.Path, sys.argv[1:])
print("| edit | way | OCR reads | word accuracy | F1 | SSIM to the source | outside the text's box | inside | denoiser rows | seconds |")
print("| --- " * 10 + "|")
for folder in ("same-scene", "other-scene", "several-words", "removal", "real"):
    edit = json.load(open(out / folder / "edit.json"))
    for name, image in edit["images"].items():
        s = image["scores"]

        def cell(where):
            return f"{s['ssim' + where]:.2f}, {s['psnr' + where]:.1f} dB" if s.get("ssim" + where) is not None else ""

        print(f"| {folder} | {name} | {image['read']} | {s['word_accuracy']:.0f} | {s['target_f1']:.2f} | {s['ssim']:.2f} | {cell('_outside_box')} | {cell('_inside_box')} | {image['denoiser_rows']} | {image['seconds']:.2f} |")
print()
print("Inverted at 200 steps and drawn again without guidance, SSIM to the autoencoder's round trip:")
for model in ("sign-unet", "sign-mmdit", "sign-pixel"):
    for refinements in (0, 3):
        edit = json.load(open(scratch / f"{model}-{refinements}" / "edit.json"))
        print(f"{model}, {refinements} refinements: {edit['inversion']['to_round_trip']['ssim']:.4f}")
PYTHON
