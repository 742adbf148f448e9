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
cmake --preset release -DGLYPHSCOPE_TESTS=OFF > build-release.log 2>&1 || { cat build-release.log >&2; exit 1; }
rm -f build-release.log
cmake --build --preset release --target glyphscope
program=$root/build/release/glyphscope
if [ -z "$headless" ] && [ -n "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ]; then exec "$program"; fi

out=$root/out/demo
mkdir -p "$out"
resume=()
[ ! -e "$out/study/settings.json" ] || resume=(--resume)
"$program" localize demo:sign-unet --out "$out/study" --keep-images "${resume[@]}"
sites=$(sed -n '/"smallest_set": \[/,/\]/p' "$out/study/run.json" | tr -dc '0-9,\n' | tr -d '\n' | sed 's/,$//')
"$program" patch demo:sign-unet --sites "${sites:-0}" --out "$out/edit" \
  --source 'a round red sign that says "LOVE" on a blue wall' --target 'a round red sign that says "TIME" on a blue wall'
echo
echo "Which layer writes the text:  $out/study/heatmap.png"
echo "An edited sign:               $out/edit/source.png -> $out/edit/patched.png"
echo "On a machine with a display, packaging/demo.sh opens the window."
