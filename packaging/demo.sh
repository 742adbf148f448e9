#!/usr/bin/env bash
# Sets up, builds, and opens the workbench on the demo model. Without a display, or with --headless, it runs the demo's study
# instead: which layers write the text, and one edited sign.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
headless=
for argument; do
  case $argument in
    --headless) headless=yes ;;
    *) echo "usage: packaging/demo.sh [--headless]" >&2; exit 2 ;;
  esac
done
"$root/packaging/setup.sh"
cd "$root"
cmake --preset release > build-release.log 2>&1 || { cat build-release.log >&2; exit 1; }
rm -f build-release.log
cmake --build --preset release --target glyphscope
program=$root/build/release/glyphscope
if [ -z "$headless" ] && [ -n "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ]; then exec "$program"; fi

out=$root/out/demo
mkdir -p "$out"
resume=()
[ ! -e "$out/study/settings.json" ] || resume=(--resume)
# A study of an older demo model cannot be gone on with (exit code 2): it is moved aside. One that was stopped goes on.
"$program" localize demo:sign-unet --noises 4 --out "$out/study" --keep-images "${resume[@]}" || {
  code=$?
  [ $code = 2 ] && [ ${#resume[@]} -gt 0 ] || exit $code
  mv "$out/study" "$out/study-$(date +%Y%m%d-%H%M%S)"
  "$program" localize demo:sign-unet --noises 4 --out "$out/study" --keep-images
}
# The smallest set that keeps B's text; where there is none, the site that moves most.
sites=$(python3 - "$out/study/run.json" << 'PYTHON'
import json, sys
run = json.load(open(sys.argv[1]))
moved = lambda site: site["scores"]["target_f1"]["mean"] - site["scores"]["source_f1"]["mean"]
print(",".join(map(str, run["smallest_set_found"] or [max(run["sites"], key=moved)["index"]])))
PYTHON
)
"$program" patch demo:sign-unet --sites "$sites" --out "$out/edit" \
  --source 'a round red sign that says "LOVE" on a blue wall' --target 'a round red sign that says "TIME" on a blue wall'
echo
echo "Which layer writes the text:  $out/study/heatmap.png"
echo "An edited sign (sites $sites): $out/edit/source.png -> $out/edit/patched.png"
echo "On a machine with a display, packaging/demo.sh opens the window."
