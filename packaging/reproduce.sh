#!/usr/bin/env bash
# Makes the studies, edits, guard tables and arenas that are committed in resources/ again, from nothing, and compares them with what is there: every number,
# word and pixel must be the same, seconds aside. On another processor the last digits may differ; what differs is listed.
# Usage: [GLYPHSCOPE=PROGRAM] packaging/reproduce.sh OUT [NAME...]    NAME: studies/sign-unet, edits, guard/sign-mmdit, arena/sign-pixel-numbers ...; without
# any, all of them, the shortest first (hours on two cores). What OUT holds already is gone on with.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
[ $# -ge 1 ] || { sed -n '2,5s/^# //p' "$0" >&2; exit 2; }
program=$(realpath "${GLYPHSCOPE:-build/release/glyphscope}") out=$(realpath -m "$1")
shift
names=("$@")
[ ${#names[@]} -gt 0 ] || names=(edits studies/sign-unet studies/sign-mmdit-pooled studies/sign-mmdit guard/sign-unet guard/sign-mmdit guard/sign-pixel
  studies/sign-pixel arena/sign-pixel-numbers arena/sign-mmdit-numbers arena/sign-unet-numbers)

numbers() {  # the pictures that an arena's adapters learn from
  [ -e "$out/numbers-$1/metadata.jsonl" ] || "$program" draw-signs "demo:$1" --numbers --count 1500 --held-out 48 --out "$out/numbers-$1"
}

arena() {
  local model=$1
  shift
  numbers "$model"
  "$program" arena "demo:$model" --data "$out/numbers-$model" --rank 16 --batch 16 --rate 3e-3 --schedule cosine --warmup 50 --variety 2 --resume \
    --prompts "resources/arena/$model-numbers/prompts.txt" --out "$out/arena/$model-numbers" "$@"
}

# A localization, and a card of the same cells.
study() {
  local out=$1
  shift
  "$program" localize "$@" --noises 4 --out "$out" --resume
  "$program" localize "$@" --noises 4 --out "$out" --resume --certify
}

remake() {
  case $1 in
    edits) GLYPHSCOPE=$program packaging/edits.sh "$out/edits" ;;
    studies/sign-mmdit-pooled) study "$out/$1" demo:sign-mmdit --pooled target ;;
    studies/*) study "$out/$1" "demo:${1#studies/}" ;;
    guard/*) [ -e "$out/$1/guard.json" ] || "$program" guard "demo:${1#guard/}" --out "$out/$1" ;;
    arena/sign-pixel-numbers) arena sign-pixel --sites 3,4 --steps 300 --evaluate-every 300 --random-sets 1 --seeds 3 ;;
    arena/sign-mmdit-numbers) arena sign-mmdit --sites 4 --steps 500 --evaluate-every 250 --random-sets 1 --seeds 3 ;;
    arena/sign-unet-numbers) arena sign-unet --sites 8 --steps 1000 --evaluate-every 250 --random-sets 2 --seeds 2 ;;
    *) echo "reproduce: there is no $1" >&2; exit 2 ;;
  esac
}

failed=0
mkdir -p "$out"
for name in "${names[@]}"; do
  echo "reproduce: $name"
  remake "$name" > "$out/${name//\//-}.log" 2>&1 || { tail -5 "$out/${name//\//-}.log" >&2; exit 1; }
  python3 - "resources/$name" "$out/$name" << 'PYTHON' || failed=1
import csv, json, pathlib, struct, sys, zlib

committed, made = map(pathlib.Path, sys.argv[1:])


def without_seconds(value):
    if isinstance(value, dict):
        # A file that names no device was made on the CPU.
        return {key: without_seconds(one) for key, one in value.items() if key not in ("seconds", "peak_memory_bytes") and (key, one) != ("device", "cpu")}
    return [without_seconds(one) for one in value] if isinstance(value, list) else value


def differences(a, b, where=""):
    """(where, committed, made) for each leaf that differs."""
    if isinstance(a, dict) and isinstance(b, dict):
        for key in a.keys() | b.keys():
            yield from differences(a.get(key, "(nothing)"), b.get(key, "(nothing)"), f"{where}.{key}")
    elif isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        for index, pair in enumerate(zip(a, b)):
            yield from differences(*pair, f"{where}[{index}]")
    elif a != b:
        yield where, a, b


def number(value):
    try:
        return None if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        return None


def summary(a, b):
    """Numbers that differ, by how much; and each other difference."""
    numbers, others = [], []
    for where, one, two in sorted(differences(a, b), key=lambda difference: difference[0]):
        x, y = number(one), number(two)
        if x is None or y is None:
            others.append(f"{where}: {str(one)[:60]} is now {str(two)[:60]}")
        else:
            numbers.append((abs(x - y) / max(abs(x), abs(y)), where, one, two))
    out = []
    if numbers:
        share, where, one, two = max(numbers)
        out.append(f"{len(numbers)} numbers differ, most {where}: {one} is now {two} ({100 * share:.2g} %)")
    return out + others[:8] + ([f"and {len(others) - 8} more"] if len(others) > 8 else [])


def pixels(path):
    """A PNG's header, and its rows of bytes: metadata and compression do not count."""
    data, at, header, stream = path.read_bytes(), 8, b"", b""
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at:at + 8])
        if kind == b"IHDR":
            header = data[at + 8:at + 8 + length]
        if kind == b"IDAT":
            stream += data[at + 8:at + 8 + length]
        at += 12 + length
    width, height, depth, colours = struct.unpack(">IIBB", header[:10])
    size = max(1, {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colours] * depth // 8)
    raw, rows, before = zlib.decompress(stream), [], None
    line = len(raw) // height
    for row in range(height):
        kind, coded = raw[row * line], raw[row * line + 1:(row + 1) * line]
        before, out = rows[-1] if rows else bytes(line - 1), bytearray()
        for x, value in enumerate(coded):
            left = out[x - size] if x >= size else 0
            corner = before[x - size] if x >= size else 0
            guess = left + before[x] - corner
            nearest = min((left, before[x], corner), key=lambda one: abs(guess - one))
            out.append((value + (0, left, before[x], (left + before[x]) // 2, nearest)[kind]) & 255)
        rows.append(bytes(out))
    return header, b"".join(rows)


def picture_summary(a, b):
    if a[0] != b[0]:
        return ["another size or kind of picture"]
    apart = [abs(x - y) for x, y in zip(a[1], b[1])]
    return [f"{sum(one > 0 for one in apart)} of {len(apart)} bytes of pixels differ, by {max(apart)} of 255 at most"]


def content(path):
    if path.suffix == ".json":
        return without_seconds(json.loads(path.read_text()))
    if path.suffix == ".csv":
        return [{key: value for key, value in row.items() if key != "seconds"} for row in csv.DictReader(path.open())]
    return pixels(path) if path.suffix == ".png" else path.read_text()


count, differing = 0, 0
for path in sorted(committed.rglob("*")):
    again = made / path.relative_to(committed)
    if not path.is_file() or path.name == "prompts.txt":
        continue
    count += 1
    if not again.exists():
        found = ["was not made"]
    else:
        a, b = content(path), content(again)
        found = [] if a == b else picture_summary(a, b) if path.suffix == ".png" else summary(a, b)
    if found:
        differing += 1
        print(f"  {path}: " + "; ".join(found))
print(f"  {count - differing} of {count} files are the same, seconds aside")
sys.exit(differing > 0 or count == 0)
PYTHON
done
exit $failed
