#!/usr/bin/env bash
# Draws the pictures of README.md and docs/ again with the demo model: the heatmap of its study, three edited signs, the window.
# Usage: packaging/pictures.sh    (after packaging/demo.sh --headless, whose study it shows, and tests/run.sh, which builds the rest)
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
study=out/demo/study pictures=resources/pictures program=build/release/glyphscope
[ -e "$study/run.json" ] || { echo "pictures: there is no study; run packaging/demo.sh --headless first" >&2; exit 2; }
sites=$(python3 -c 'import json, sys; print(",".join(map(str, json.load(open(sys.argv[1]))["smallest_set_found"])))' "$study/run.json")
[ -n "$sites" ] || { echo "pictures: no set of sites keeps B's text" >&2; exit 2; }
cp "$study/heatmap.png" "$pictures/heatmap.png"
number=0
while read -r source target; do
  number=$((number + 1))
  "$program" patch demo:sign-unet --sites "$sites" --out "out/demo/edit$number" --source "${source//_/ }" --target "${target//_/ }"
  for name in source patched target; do cp "out/demo/edit$number/$name.png" "$pictures/edit$number-$name.png"; done
done << 'PROMPTS'
a_round_red_sign_that_says_"LOVE"_on_a_blue_wall a_round_red_sign_that_says_"TIME"_on_a_blue_wall
a_square_yellow_sign_that_says_"OPEN"_on_a_black_wall a_square_yellow_sign_that_says_"SHUT"_on_a_black_wall
a_round_white_sign_that_says_"BREAD"_on_a_green_wall a_round_white_sign_that_says_"APPLE"_on_a_green_wall
PROMPTS
rm -rf out/demo/window out/demo/numbers && mkdir -p out/demo/window
"$program" draw-signs --numbers --count 500 --held-out 8 --out out/demo/numbers
xvfb-run --auto-servernum --server-args="-screen 0 1400x950x24" build/release/glyphscope_window_bench demo:sign-unet 16 out/demo/window \
  out/demo/numbers out/demo/numbers/prompts.txt
cp out/demo/window/edit.png out/demo/window/guard.png "$pictures/"
cp out/demo/window/window.png "$pictures/window.png"
cp out/demo/window/finetune.png "$pictures/finetune.png"
echo "pictures: in $pictures"
