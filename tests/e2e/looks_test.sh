#!/usr/bin/env bash
# Whether the window's pages look as they are committed: looks_test.sh PROGRAM DATA REFERENCES OUT, in an X server of at least 1920 x 1200.
# After a change that is meant, OUT's pictures (made with "none" for REFERENCES) take the place of those committed: see golden/README.md.
set -euo pipefail
program=$1 data=$2 references=$3 out=$4
model=/tmp/glyphscope-looks-models/sdxl-70-sites
rm -rf "$model" && mkdir -p "$(dirname "$model")"
cp -r "$data/pipeline_sdxl" "$model"
rm -r "$model/unet" && cp -r "$data/unet_70_sites" "$model/unet"
code=0
"$program" "$references" "$out" demo:sign-unet demo:sign-mmdit demo:sign-pixel "$model" || code=1
QT_SCALE_FACTOR=2 "$program" "$references" "$out" demo:sign-unet "$model" || code=1
exit $code
