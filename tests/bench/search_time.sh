#!/usr/bin/env bash
# What `localize --certify --search adaptive` takes of the time of a plain `localize` (16 pairs, 4 noises): both run at once, a thread and a core each, until the
# card is there; by then the plain one has measured so many of the pictures that the study in resources/studies holds.
#
#   tests/bench/search_time.sh BUILD SCRATCH sign-unet|sign-mmdit|sign-pixel [CORE CORE]
set -euo pipefail
program=$(realpath "$1/glyphscope") scratch=$2/$3 name=$3 first=${4:-0} second=${5:-1}
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
rm -rf "$scratch"
mkdir -p "$scratch"
taskset -c "$second" "$program" localize "demo:$name" --threads 1 --noises 4 --out "$scratch/plain" > "$scratch/plain.log" 2>&1 &
plain=$!
trap 'kill $plain 2> /dev/null || true' EXIT
SECONDS=0
taskset -c "$first" "$program" localize "demo:$name" --threads 1 --noises 4 --certify --search adaptive --out "$scratch/card" > "$scratch/card.log" 2>&1
took=$SECONDS
python3 - "$scratch/plain" "$root/resources/studies/$name" "$took" "$name" << 'PYTHON'
import json, pathlib, sys

def pictures(run):
    return sum(len(json.loads(file.read_text())["measured"]) for file in pathlib.Path(run).glob("cells/*/*.json") if not file.name.startswith(("certify", "adaptive")))

done, all_of_them = pictures(sys.argv[1]), pictures(sys.argv[2])
print(f"{sys.argv[4]}: a card by adaptive search in {sys.argv[3]} s, by when the plain study has measured {done} of {all_of_them} pictures: {done / all_of_them:.2f} of its time")
PYTHON
tail -1 "$scratch/card.log"
