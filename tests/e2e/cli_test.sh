#!/usr/bin/env bash
# The command line from outside: exit codes, messages, documents. Usage: cli_test.sh GLYPHSCOPE
set -uo pipefail
program=$1
work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
failed=0
export CUDA_VISIBLE_DEVICES=  # what is compared is the CPU's, or the stand-in's
# On the stand-in device: GLYPHSCOPE_STAND_IN is its library.
if [ -n "${GLYPHSCOPE_STAND_IN:-}" ]; then
  printf '#!/bin/sh\nGLYPHSCOPE_TEST_DEVICE=standin LD_PRELOAD=%s exec %s "$@"\n' "$GLYPHSCOPE_STAND_IN" "$program" > "$work/glyphscope"
  chmod +x "$work/glyphscope"
  program=$work/glyphscope
fi
# expect CODE PATTERN COMMAND..: the command exits with CODE and what it prints on standard error matches PATTERN
expect() {
  local code=$1 pattern=$2
  shift 2
  "$@" > "$work/stdout" 2> "$work/stderr"
  local got=$?
  if [ $got != "$code" ] || ! grep -qE -- "$pattern" "$work/stderr" "$work/stdout"; then
    echo "FAILED: $*"
    echo "  exit code $got, expected $code; looked for: $pattern"
    sed 's/^/  | /' "$work/stderr" "$work/stdout" | head -20
    failed=1
  fi
}
# A PNG's pixels as they are compressed, without its metadata.
pixels() {
  python3 - "$1" <<'PYTHON'
import hashlib, sys
data, at, kept = open(sys.argv[1], "rb").read(), 8, b""
while at < len(data):
    size = int.from_bytes(data[at:at + 4], "big")
    if data[at + 4:at + 8] == b"IDAT":
        kept += data[at + 8:at + 8 + size]
    at += 12 + size
print(hashlib.sha256(kept).hexdigest())
PYTHON
}
field() { python3 -c "import json,sys; d=json.load(open(sys.argv[1])); print(eval('d'+sys.argv[2]))" "$1" "$2"; }

expect 0 'localize' "$program" --help
expect 0 'glyphscope 0' "$program" --version
expect 2 'not-a-verb|subcommand' "$program" not-a-verb
expect 2 'there is no such model' "$program" inspect "$work/nowhere"
expect 2 'There are: demo:sign-unet' "$program" inspect demo:nothing
touch "$work/model.ckpt"
expect 2 'pickle.*Convert' "$program" inspect "$work/model.ckpt"

expect 0 '' "$program" train-demo sign-unet --tiny --out "$work/tiny"
model=$work/tiny/model
expect 2 '--resume' "$program" train-demo sign-unet --tiny --out "$work/tiny"
expect 0 'up_blocks.1.attentions.2' "$program" inspect "$model"
expect 0 '"schema": "glyphscope.inspect/1"' "$program" inspect "$model" --json
[ "$(field "$work/stdout" '["sites"][10]["index"]')" = 10 ] || { echo "FAILED: inspect --json"; failed=1; }

expect 0 '' "$program" generate "$model" --prompt 'a sign that says "HI"' --steps 2 --out "$work/a.png"
cp "$work/a.png" "$work/before.png"
expect 0 '' "$program" generate "$model" --prompt 'a sign that says "HI"' --steps 2 --out "$work/a.png"
cmp -s "$work/a.png" "$work/before.png" || { echo "FAILED: the same command gives other bytes"; failed=1; }
expect 0 'note:.*cut off' "$program" generate "$model" --prompt "$(printf 'sign %.0s' {1..60})" --steps 1 --out "$work/long.png"
expect 0 '' "$program" generate "$model" --prompt '' --steps 1 --out "$work/empty.png"
expect 0 '' "$program" generate "$model" --prompt $'\xff\xfe\xf0 \u202e' --steps 1 --out "$work/hostile.png"
expect 2 '--size' "$program" generate "$model" --prompt a --size 64x --steps 1 --out "$work/b.png"
expect 2 'multiples of 16' "$program" generate "$model" --prompt a --size 60x64 --steps 1 --out "$work/b.png"
expect 2 'unknown scheduler' "$program" generate "$model" --prompt a --scheduler magic --steps 1 --out "$work/b.png"
expect 2 'no such folder' "$program" generate "$model" --prompt a --steps 1 --out "$work/none/b.png"
expect 2 'ends in .png' "$program" generate "$model" --prompt a --steps 1 --out "$work/b.jpg"
expect 2 'at most 16384' "$program" generate "$model" --prompt "$(head -c 100000 /dev/zero | tr '\0' a)" --steps 1 --out "$work/b.png"
mkfifo "$work/pipe"
expect 2 'a pipe' timeout 20 "$program" evaluate "$model" --prompts "$work/pipe" --steps 1
mkfifo "$work/pipe.safetensors"
expect 2 'a pipe' timeout 20 "$program" generate "$work/pipe.safetensors" --prompt a --steps 1 --out "$work/b.png"
# The stand-in device's memory is a file, and an address space of 128 GiB.
[ -n "${GLYPHSCOPE_STAND_IN:-}" ] || expect 2 'ulimit -f' bash -c 'ulimit -f 1; "$@"' - "$program" generate "$model" --prompt a --steps 1 --out "$work/b.png"
ls -A "$work" | grep -q part && { echo "FAILED: a limit on the size of files left a part"; failed=1; }
[ ! -e "$work/b.png" ] || { echo "FAILED: a failed run left a file"; failed=1; }
# What OCR cannot be trusted to read is said before it scores.
printf 'a sign that says "5 \u20ac"\n' > "$work/euro.txt"
expect 0 'note: .*does not know all letters of "5 ' "$program" evaluate "$model" --prompts "$work/euro.txt" --steps 1
if [ -z "${GLYPHSCOPE_STAND_IN:-}" ]; then
# Where memory ends, every verb says so, whatever was being made then.
for limit in 1000000 1200000 1500000; do
  expect 4 'memory' bash -c 'ulimit -v $1; shift; "$@"' - $limit "$program" generate "$model" --prompt a --steps 1 --size 8192x8192 --threads 1 --out "$work/b.png"
done
# Reading text wants room of its own, and says how much.
expect 4 'MiB of address space' bash -c 'ulimit -v 1200000; "$@"' - "$program" evaluate "$model" --count 2 --steps 1
limited=(bash -c 'ulimit -v 2500000; "$@"' - "$program")
expect 4 'memory' "${limited[@]}" patch "$model" --source 'says "A"' --target 'says "B"' --sites 5 --steps 1 --size 8192x8192 --threads 1 --out "$work/memory1"
expect 4 'memory' "${limited[@]}" edit "$model" --source 'says "A"' --target 'says "B"' --sites 5 --steps 1 --size 8192x8192 --threads 1 --out "$work/memory2"
expect 4 'memory' "${limited[@]}" localize "$model" --pairs 1 --steps 1 --size 8192x8192 --threads 1 --out "$work/memory3"
# With 2500000 there is now and then room for the next tensor, and minutes of attention after it.
expect 4 'memory' bash -c 'ulimit -v 2200000; "$@"' - "$program" evaluate "$model" --count 2 --steps 1 --size 8192x8192 --threads 1
else
  # There a device's memory ends; or the device is lost, and what was finished is gone on with.
  expect 0 'note: Computing on standin:0' "$program" generate "$model" --prompt a --steps 1 --out "$work/b.png"
  rm "$work/b.png"
  expect 4 'does not fit into the memory of standin:0' env GLYPHSCOPE_STAND_IN_MEMORY=400000000 "$program" generate "$model" --prompt a --steps 1 --size 1024x1024 --out "$work/b.png"
  expect 4 'needs at least .* of standin:0, which has 95 MiB to give' "$program" generate "$model" --prompt a --steps 1 --device standin --memory 100000000 --out "$work/b.png"
  expect 0 'note: Computing on the CPU' "$program" generate "$model" --prompt a --steps 1 --memory 100000000 --out "$work/b.png"
  rm "$work/b.png"
  # Lost once a pair is done, however many operators that takes.
  for operators in $(seq 800 100 4000); do
    rm -rf "$work/lost"
    GLYPHSCOPE_STAND_IN_LOST_AFTER=$operators "$program" localize "$model" --pairs 2 --steps 1 --random-sets 1 --out "$work/lost" > /dev/null 2>&1 || true
    [ -z "$(ls "$work/lost/cells" 2> /dev/null)" ] || break
  done
  rm -rf "$work/lost"
  expect 5 'the device failed.*What was finished is kept' env GLYPHSCOPE_STAND_IN_LOST_AFTER=$operators "$program" localize "$model" --pairs 2 --steps 1 --random-sets 1 --out "$work/lost"
  [ -n "$(ls "$work/lost/cells")" ] || { echo "FAILED: nothing was kept of a run whose device was lost"; failed=1; }
  expect 2 'device' "$program" localize "$model" --pairs 2 --steps 1 --random-sets 1 --device cpu --resume --out "$work/lost"
  expect 0 'localized:' "$program" localize "$model" --pairs 2 --steps 1 --random-sets 1 --resume --out "$work/lost"
fi
expect 2 "there is no device 'tpu'.*There are: cpu" "$program" inspect "$model" --device tpu
expect 2 'no NVIDIA driver|sees no GPU|too old|cannot be loaded|no device .cuda:7' "$program" inspect "$model" --device cuda:7
# The program's threads do not wait for each other by spinning.
OMP_DISPLAY_ENV=verbose "$program" --version 2>&1 | grep "GOMP_SPINCOUNT = '0'" > /dev/null || { echo "FAILED: it spins"; failed=1; }

expect 2 'not within the model' "$program" patch "$model" --source 'says "A"' --target 'says "B"' --sites 99 --out "$work/p"
expect 2 'no head|not within' "$program" patch "$model" --source 'says "A"' --target 'says "B"' --sites 5 --heads 5:9 --out "$work/p"
expect 2 'unknown method' "$program" patch "$model" --source 'says "A"' --target 'says "B"' --sites 5 --method magic --out "$work/p"
expect 2 'multiples of 16' "$program" patch "$model" --source 'says "A"' --target 'says "B"' --sites 5 --size 60x64 --out "$work/p"
expect 2 'multiples of 16' "$program" localize "$model" --pairs 1 --steps 1 --size 60x64 --out "$work/p"
expect 2 'unknown scheduler' "$program" localize "$model" --pairs 1 --steps 1 --scheduler magic --out "$work/p"
[ ! -e "$work/p" ] || { echo "FAILED: a rejected patch left its folder"; failed=1; }
expect 0 'patched.png reads' "$program" patch "$model" --source 'says "A"' --target 'says "B"' --sites 5,7-8 --heads 5:0,2 --from-step 1 --steps 2 --out "$work/p"
[ -s "$work/p/source.png" ] && [ -s "$work/p/target.png" ] && [ "$(field "$work/p/patch.json" '["sites"]')" = "[5, 7, 8]" ] || { echo "FAILED: patch's files"; failed=1; }

expect 0 'localized:' "$program" localize "$model" --pairs 2 --steps 1 --random-sets 1 --out "$work/run"
for file in run.json sites.csv heatmap.png; do [ -s "$work/run/$file" ] || { echo "FAILED: localize wrote no $file"; failed=1; }; done
expect 2 '--resume' "$program" localize "$model" --pairs 2 --steps 1 --out "$work/run"
expect 2 'other settings' "$program" localize "$model" --pairs 2 --steps 2 --random-sets 1 --resume --out "$work/run"
expect 0 'localized:' "$program" localize "$model" --pairs 2 --steps 1 --random-sets 1 --resume --out "$work/run"
# A map of effects; two shards of it are, merged, what one run is.
expect 0 'denoiser rows' "$program" localize "$model" --pairs 2 --steps 2 --plan --out "$work/planned"
[ ! -e "$work/planned" ] || { echo "FAILED: --plan left a folder"; failed=1; }
expect 2 'no axis' "$program" localize "$model" --pairs 2 --steps 2 --by layers --out "$work/map"
expect 2 'no shard' "$program" localize "$model" --pairs 2 --steps 2 --by site --shard 3/2 --out "$work/map"
expect 0 'reads as B' "$program" localize "$model" --pairs 2 --steps 2 --by site-direction --sites 5-8 --out "$work/map"
for shard in 1 2; do expect 0 "shard $shard of 2" "$program" localize "$model" --pairs 2 --steps 2 --by site-direction --sites 5-8 --shard $shard/2 --out "$work/shard$shard"; done
expect 0 '1 cells are missing' "$program" merge "$work/shard1" --out "$work/merged"
expect 0 'map-site-direction-sites-5-8.png' "$program" merge "$work/shard1" "$work/shard2" --out "$work/merged"
cmp "$work/map/map-site-direction-sites-5-8.csv" "$work/merged/map-site-direction-sites-5-8.csv" || { echo "FAILED: the merged map is another"; failed=1; }
expect 2 'no run' "$program" merge "$work" --out "$work/merged2"
# Two runs beside each other, and two pictures; a shard has but a part of the cells.
expect 0 'second less first' "$program" compare "$work/map" "$work/shard1" --out "$work/compared"
[ -s "$work/compared/compare.json" ] && [ -s "$work/compared/compare.csv" ] || { echo "FAILED: a comparison without its files"; failed=1; }
picture=$(ls "$work"/map/pictures/*.png | head -1)
expect 0 'the same to the bit' "$program" compare "$picture" "$picture"
expect 2 'one is a folder' "$program" compare "$work/map" "$picture"
expect 2 'no run' "$program" compare "$work/map" "$work"
expect 2 'no such file' "$program" compare "$work/map" "$work/nowhere"
# A session that is none; one whose run is there, in a plain folder.
# Figures are drawn again from their PNG, and put together with pictures.
figure=$(ls "$work"/map/map-*.png | head -1)
expect 0 'narrow.svg' "$program" figure "$figure" --width 85 --colours cividis --out "$work/narrow.svg"
python3 -c "import sys, xml.etree.ElementTree as tree; root = tree.parse(sys.argv[1]).getroot(); assert root.get('width').startswith('240.9'), root.attrib" "$work/narrow.svg" ||
  { echo "FAILED: an SVG of 85 mm"; failed=1; }
head -1 "$work/narrow.svg.csv" | grep -qx 'part,row,column,mean,low,high' || { echo "FAILED: a figure's table"; failed=1; }
expect 0 'both.png' "$program" figure "$figure" "$picture" --lettered --titles first --dark --out "$work/both.png"
expect 0 '"parts": 4' "$program" figure "$work/both.png" --out "$work/both.pdf" --json
expect 0 'colour-blind' "$program" figure "$figure" --colours turbo --out "$work/turbo.png"
expect 2 'written over' "$program" figure "$figure" --out "$figure"
expect 2 'ends in .png, .svg or .pdf' "$program" figure "$figure" --out "$work/none.gif"
expect 2 'titles for' "$program" figure "$picture" --titles a --titles b --out "$work/none.png"
# Where a picture looks.
expect 0 'most at sites' "$program" look "$model" --prompt 'a sign that says "HI"' --steps 2 --out "$work/look"
python3 - "$work/look/look.json" <<'PYTHON' || { echo "FAILED: look.json"; failed=1; }
import json, sys
look = json.load(open(sys.argv[1]))
assert [one["word"] for one in look["words"]] == ["a", "sign", "that", "says", '"HI"'], look["words"]
assert look["step_ranges"] == ["0", "1"], look["step_ranges"]
for one in look["words"]:
    assert len(one["by_site"]) == 11 and 0 < one["share"] < 1, one
    assert abs(sum(one["by_steps"]) / 2 - one["share"]) < 1e-6, one
PYTHON
for name in picture words sites steps; do [ -s "$work/look/$name.png" ] || { echo "FAILED: look's $name.png"; failed=1; }; done
expect 0 '' "$program" generate "$model" --prompt 'a sign that says "HI"' --steps 2 --out "$work/plain.png"
[ "$(pixels "$work/plain.png")" = "$(pixels "$work/look/picture.png")" ] || { echo "FAILED: looking changes the picture"; failed=1; }
expect 2 "no word 'bye'.*a, sign, that, says, HI" "$program" look "$model" --prompt 'a sign that says "HI"' --words bye --steps 2 --out "$work/look2"
# Weights are no part of words; where the guard acts, nothing is shown.
expect 0 'most at sites' "$program" look "$model" --prompt 'a (red:1.3) sign that says "HI"' --words red --steps 2 --out "$work/look4"
printf 'hi => yo\n' > "$work/hi.txt"
expect 2 'the guard changed what this prompt draws' "$program" --guard "$work/hi.txt" --guard-sites 8 look "$model" --prompt 'a sign that says "HI"' --steps 2 --out "$work/look5"
[ -z "$(ls "$work/look5" 2> /dev/null)" ] || { echo "FAILED: where a picture under the guard looks was written"; failed=1; }
expect 2 '99' "$program" look "$model" --prompt 'a sign' --sites 99 --steps 2 --out "$work/look3"
# What packages have of it.
expect 0 'TH GLYPHSCOPE 1' "$program" describe man
expect 0 'complete -o default -F _glyphscope' "$program" describe bash
bash -c "source '$work/stdout'; COMP_WORDS=(glyphscope figure --colours c); COMP_CWORD=3; _glyphscope; [ \"\${COMPREPLY[*]}\" = cividis ]" || { echo "FAILED: completion"; failed=1; }

expect 2 'no such file' "$program" replay "$work/nowhere.glyph" --out "$work/replayed"
printf 'no archive' > "$work/text.glyph"
expect 2 'no zip archive' "$program" replay "$work/text.glyph" --out "$work/replayed"
mkdir "$work/plain.glyph"
printf '{"schema": "glyphscope.session/1", "runs": [{"folder": "%s", "settings_sha256": "%s"}]}' "$work/map" "$(sha256sum "$work/map/settings.json" | cut -d' ' -f1)" > "$work/plain.glyph/session.json"
expect 0 'the same' "$program" replay "$work/plain.glyph" --check --out "$work/replayed"
sed -i 's/settings_sha256": "./settings_sha256": "x/' "$work/plain.glyph/session.json"
expect 2 '1 of 1 are others' "$program" replay "$work/plain.glyph" --check --out "$work/replayed2"
# Attributes, parts of a block, models that judge, and cards.
goldens=$(cd "$(dirname "$0")/../golden/data" && pwd)
expect 0 'sign-colour +shape' "$program" localize "$model" --attributes sign-colour,shape --pairs 1 --steps 1 --sites 8 --out "$work/attributes"
expect 2 'unknown attribute .smell.' "$program" localize "$model" --attributes smell --pairs 1 --steps 1 --out "$work/attributes2"
expect 2 '--attributes' "$program" localize "$model" --by site-attribute --pairs 1 --steps 1 --out "$work/attributes2"
expect 2 'not certified' "$program" localize "$model" --attributes shape --certify --by step --pairs 1 --steps 1 --out "$work/attributes2"
expect 0 'patched.png reads' "$program" patch "$model" --source 'a "ON"' --target 'a "UP"' --sites 8 --tokens text,marks --steps 1 --out "$work/tokens"
expect 2 'not of the mlp' "$program" patch "$model" --source 'a "ON"' --target 'a "UP"' --sites 8 --tokens text --part mlp --steps 1 --out "$work/tokens2"
expect 0 'mlp' "$program" localize "$model" --by site-part --sites 8 --pairs 1 --steps 1 --out "$work/parts"
judges=(--clip-model "$goldens/clip_scores" --dino-model "$goldens/dino/dinov2")
expect 0 'CLIPScore of B.s prompt' "$program" localize "$model" --pairs 1 --steps 1 --random-sets 0 "${judges[@]}" --paper-compatible --out "$work/judged"
expect 0 'the code of arXiv 2502.09935' "$program" localize "$model" --pairs 1 --steps 1 --random-sets 0 "${judges[@]}" --paper-compatible --resume --out "$work/judged"
expect 2 'settings/judges' "$program" localize "$model" --pairs 1 --steps 1 --random-sets 0 --resume --out "$work/judged"
[ "$(field "$work/judged/run.json" '["settings"]["judges"].keys()')" = "dict_keys(['clip', 'dino', 'reader'])" ] || { echo "FAILED: run.json does not say what judged"; failed=1; }
expect 2 'no such folder of a DINO' "$program" patch "$model" --source 'a "A"' --target 'a "B"' --sites 8 --steps 1 --dino-model "$work/nowhere" --out "$work/p"
expect 2 'by sites' "$program" localize "$model" --by step --paper-compatible --pairs 1 --steps 1 --out "$work/p"
expect 2 'no localization card' "$program" export-card "$work/judged/run.json" --out "$work/exported"
expect 0 'card.png' "$program" localize "$model" --certify --pairs 1 --steps 1 --random-sets 0 --out "$work/card"
# One step writes nothing: a site is named by hand.
python3 - "$work/card/card.json" "$work/named.json" "$work/card/settings.json" << 'PYTHON'
import json, sys
card, settings = json.load(open(sys.argv[1])), json.load(open(sys.argv[3]))
card["sites"] = [settings["sites"][8]]
json.dump(card, open(sys.argv[2], "w"))
PYTHON
expect 0 'lycoris.toml' "$program" export-card "$work/named.json" --out "$work/exported"
for file in peft.json onetrainer.json lycoris.toml comfyui.json; do grep -q 'attn2' "$work/exported/$file" || { echo "FAILED: export-card wrote no $file"; failed=1; }; done
expect 0 'sites of the card of' "$program" transfer "$work/named.json" "$model" --dtype bf16 --out "$work/transferred"
expect 2 'has no layer' "$program" transfer "$work/named.json" "$goldens/pipeline_sd3" --out "$work/transferred2"
# Ctrl-C is a clean stop.
"$program" localize "$model" --pairs 16 --steps 30 --out "$work/stopped" > "$work/stdout" 2> "$work/stderr" &
pid=$!
while [ ! -e "$work/stopped/cells" ] && kill -0 $pid 2> /dev/null; do sleep 0.1; done
sleep 1
kill -INT $pid
wait $pid
[ $? = 3 ] && [ ! -e "$work/stopped/run.json" ] || { echo "FAILED: Ctrl-C"; cat "$work/stderr"; failed=1; }

# So is one that comes before the program has been loaded.
"$program" localize "$model" --pairs 16 --steps 30 --out "$work/stopped2" > "$work/stdout" 2> "$work/stderr" &
pid=$!
until [ "$(basename "$(readlink /proc/$pid/exe)")" = glyphscope-main ] || ! kill -0 $pid 2> /dev/null; do :; done
kill -TERM $pid
wait $pid
[ $? = 3 ] && grep -q cancelled "$work/stderr" || { echo "FAILED: SIGTERM while the program is loaded"; cat "$work/stderr"; failed=1; }

expect 0 'words read exactly' "$program" evaluate "$model" --count 4 --steps 1 --out "$work/eval"
[ -s "$work/eval/evaluate.json" ] && [ -s "$work/eval/samples.png" ] || { echo "FAILED: evaluate's files"; failed=1; }

stages=$(cd "$(dirname "$0")/../golden/data" && pwd)

# Fine-tuning: pictures with captions in, an adapter out; a faulty picture is named; killed and resumed it gives the same bytes.
mkdir "$work/data"
for i in 1 2 3 4 5 6; do
  "$program" generate "$model" --prompt "sign $i" --steps 1 --seed $i --out "$work/data/$i.png" > /dev/null 2>&1
  echo "a sign that says \"$i\"" > "$work/data/$i.txt"
done
head -c 200 "$work/data/1.png" > "$work/data/cut.png"; echo cut > "$work/data/cut.txt"
endless=("$program" finetune "$model" --data "$work/data" --sites 5,8 --rank 2 --batch 2 --evaluate-every 20 --rate 1e-3)
tune=("${endless[@]}" --steps 40)
expect 0 'left out: .*cut.png' "${tune[@]}" --out "$work/tuned"
[ -s "$work/tuned/last.safetensors" ] && [ "$(field "$work/tuned/finetune.json" '["steps"]')" = 40 ] || { echo "FAILED: finetune's files"; failed=1; }
[ "$(field "$work/tuned/finetune.json" '["trained_parameters_all_sites"]')" -gt "$(field "$work/tuned/finetune.json" '["trained_parameters"]')" ] || { echo "FAILED: share"; failed=1; }
# Killed twice, at moments that nobody chose; each time while it learned.
resume=()
for kill in 1 2; do
  touch "$work/mark"
  "${tune[@]}" --save-every 3 "${resume[@]}" --out "$work/killed" > "$work/stdout" 2>&1 &
  pid=$!
  while [ ! "$work/killed/checkpoint/state.safetensors" -nt "$work/mark" ] && kill -0 $pid 2> /dev/null; do sleep 0.02; done
  sleep "0.$((RANDOM % 5))$((RANDOM % 10))"
  kill -KILL $pid 2> /dev/null || { echo "FAILED: the training had ended before it was killed"; cat "$work/stdout"; failed=1; }
  wait $pid 2> /dev/null
  [ ! -e "$work/killed/finetune.json" ] || { echo "FAILED: the training had ended when it was killed"; failed=1; }
  expect 2 '--resume' "${tune[@]}" --save-every 3 --out "$work/killed"
  resume=(--resume)
done
expect 0 'trained' "${tune[@]}" --save-every 3 --resume --out "$work/killed"
python3 - "$work/killed/last.safetensors" "$work/tuned/last.safetensors" <<'PYTHON' || { echo "FAILED: a killed and resumed training gives other numbers"; failed=1; }
import json, sys
def tensors(path):
    data = open(path, "rb").read()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8:8 + size])
    return {k: data[8 + size:][slice(*v["data_offsets"])] for k, v in header.items() if k != "__metadata__"}
sys.exit(tensors(sys.argv[1]) != tensors(sys.argv[2]))
PYTHON
for format in kohya diffusers lycoris; do
  expect 0 'at 2 of [0-9]+ sites' "$program" convert-adapter "$model" "$work/tuned/last.safetensors" --format $format --out "$work/$format.safetensors"
  expect 0 "$format.png" "$program" generate "$model" --adapter "$work/$format.safetensors" --prompt 'a red sign' --steps 2 --out "$work/$format.png"
done
[ "$(pixels "$work/kohya.png")" = "$(pixels "$work/diffusers.png")" ] && [ "$(pixels "$work/lycoris.png")" = "$(pixels "$work/diffusers.png")" ] || { echo "FAILED: one adapter in three formats gives other pictures"; failed=1; }
expect 2 'would be written over' "$program" convert-adapter "$model" "$work/tuned/last.safetensors" --format kohya --out "$work/tuned/last.safetensors"
expect 2 'unknown adapter format' "$program" convert-adapter "$model" "$work/tuned/last.safetensors" --format peft --out "$work/never.safetensors"
expect 0 'trained' "${tune[@]}" --method loha --text-encoders all --out "$work/loha"
expect 0 'loha.png' "$program" generate "$model" --adapter "$work/loha/last.safetensors" --prompt 'a red sign' --steps 2 --out "$work/loha.png"
expect 2 'no text encoder .decoder.' "${tune[@]}" --text-encoders decoder --out "$work/n"
printf 'a sign that says "%s"\n' ONE TWO > "$work/autopsy.txt"
autopsy=("$program" autopsy "$model" "$work/tuned/last.safetensors" --prompts "$work/autopsy.txt" --noises 1 --steps 2)
expect 0 'F1 .* with the whole adapter' "${autopsy[@]}" --out "$work/autopsy"
[ -s "$work/autopsy/autopsy.csv" ] && [ -s "$work/autopsy/autopsy.png" ] && [ -s "$work/autopsy/variants/whole.png" ] || { echo "FAILED: autopsy's files"; failed=1; }
expect 2 '--resume' "${autopsy[@]}" --out "$work/autopsy"
expect 0 'F1 .* with the whole adapter' "${autopsy[@]}" --resume --out "$work/autopsy"
expect 2 'named after the model' "${autopsy[@]}" --adapter "$work/loha/last.safetensors" --out "$work/n"
[ -s "$work/tuned/samples/000000.png" ] && [ -s "$work/tuned/training.png" ] || { echo "FAILED: finetune's samples"; failed=1; }
expect 2 'sample-prompts|no such|cannot' "${tune[@]}" --sample-prompts "$work/none.txt" --out "$work/n"
expect 0 'metadata.jsonl' "$program" draw-signs "$model" --numbers --count 12 --held-out 2 --out "$work/numbers"
arena=("$program" arena "$model" --data "$work/numbers" --prompts "$work/numbers/prompts.txt" --sites 5 --rank 2 --steps 2 --batch 2 --seeds 1 --random-sets 1 --variety 3 --sample-steps 2)
expect 0 'localized' "${arena[@]}" --out "$work/arena"
[ "$(field "$work/arena/arena.json" '["contenders"][1]["name"]')" = localized ] && [ -s "$work/arena/arena.csv" ] && [ -s "$work/arena/arena.png" ] || { echo "FAILED: arena's files"; failed=1; }
expect 2 '--resume' "${arena[@]}" --out "$work/arena"
expect 0 'every attention' "${arena[@]}" --resume --out "$work/arena"
# Ranks of single sites; without samples no OCR model need be there.
expect 2 'ranks' "${tune[@]}" --ranks 5 --out "$work/n"
expect 2 'ranks' "${tune[@]}" --ranks 5:x --out "$work/n"
expect 2 '--ranks names site 7' "${tune[@]}" --ranks 7:4 --out "$work/n"
GLYPHSCOPE_OCR_MODELS=/nowhere expect 0 'trained' "${endless[@]}" --ranks 8:3 --steps 2 --sample-every 0 --out "$work/ranks"
[ "$(field "$work/ranks/finetune.json" '["settings"]["ranks"]')" = '[[8, 3]]' ] || { echo "FAILED: ranks of single sites"; failed=1; }
# Ctrl-C keeps what was learned.
"${endless[@]}" --steps 100000 --save-every 10 --sample-every 0 --out "$work/interrupted" > "$work/stdout" 2> "$work/stderr" &
pid=$!
while [ ! -e "$work/interrupted/checkpoint/state.safetensors" ] && kill -0 $pid 2> /dev/null; do sleep 0.1; done
kill -INT $pid
wait $pid
[ $? = 3 ] && [ -s "$work/interrupted/last.safetensors" ] && [ ! -e "$work/interrupted/finetune.json" ] || { echo "FAILED: Ctrl-C of a training"; cat "$work/stderr"; failed=1; }
expect 2 'no layer is named' "$program" finetune "$model" --data "$work/data" --out "$work/n"
expect 2 'no picture with a caption' "$program" finetune "$model" --data "$work/tuned" --sites 5 --out "$work/n"
expect 2 'There is no projection|no projection' "$program" finetune "$model" --data "$work/data" --sites 5 --projections to_z --out "$work/n"
expect 2 'no such adapter' "$program" generate --adapter "$work/none.safetensors" "$model" --prompt a --steps 1 --out "$work/b.png"
expect 2 'not in the model|no LoRA' "$program" generate --adapter "$stages/adapters/unet_sdxl.safetensors" "$model" --prompt a --steps 1 --out "$work/b.png"

# Editing: drawn images and real pictures.
edit=("$program" edit "$model" --target 'a sign that says "B"' --sites 5 --steps 4)
expect 0 'target prompt reads' "${edit[@]}" --source 'a sign that says "A"' --from-step 2 --mask 8,8,40,24 --out "$work/edit"
for file in source.png edit.png target.png prompt-to-prompt.png edit.json; do [ -s "$work/edit/$file" ] || { echo "FAILED: edit wrote no $file"; failed=1; }; done
[ "$(field "$work/edit/edit.json" '["images"]["edit"]["denoiser_rows"]')" = 4 ] || { echo "FAILED: an edit from step 2 of 4 asks the denoiser for more"; failed=1; }
expect 0 'reconstruction.png, .*SSIM' "${edit[@]}" --image "$work/edit/source.png" --caption 'a sign that says "A"' --refinements 1 --out "$work/edit-real"
[ -s "$work/edit-real/reconstruction.png" ] || { echo "FAILED: edit wrote no reconstruction.png"; failed=1; }
# A second edit into the folder leaves nothing of the first; one that fails leaves all of it.
expect 2 'outside the image' "${edit[@]}" --source 'says "A"' --mask 8,8,9001,24 --out "$work/edit-real"
[ -s "$work/edit-real/reconstruction.png" ] || { echo "FAILED: an edit that was refused took a file away"; failed=1; }
expect 0 'target prompt reads' "${edit[@]}" --source 'a sign that says "A"' --out "$work/edit-real"
[ ! -e "$work/edit-real/reconstruction.png" ] || { echo "FAILED: the reconstruction of an earlier edit is left"; failed=1; }
expect 2 'both --image and --caption' "${edit[@]}" --image "$work/edit/source.png" --out "$work/edit-no"
expect 2 'what is to be edited' "${edit[@]}" --out "$work/edit-no"
expect 2 'is no box' "${edit[@]}" --source 'says "A"' --mask 9,9,3,3 --out "$work/edit-no"
expect 2 'outside the image' "${edit[@]}" --source 'says "A"' --mask 8,8,9001,24 --out "$work/edit-no"
expect 2 'requires --mask' "${edit[@]}" --source 'says "A"' --feather 3 --out "$work/edit-no"
before=$(pixels "$work/edit/source.png")
expect 2 'would be written over' "${edit[@]}" --image "$work/edit/source.png" --caption 'says "A"' --out "$work/edit"
[ "$(pixels "$work/edit/source.png")" = "$before" ] || { echo "FAILED: edit wrote over the picture it was given"; failed=1; }
expect 2 'outside the image' "${edit[@]}" --source 'says "A"' --mask 9000,9000,9001,9001 --out "$work/edit-no"
expect 2 'cannot be gone back' "${edit[@]}" --image "$work/edit/source.png" --caption 'says "A"' --scheduler euler --out "$work/edit-no"

# The guard: no verb that makes images goes round it. Each writes what it did into the log, and says in its files that it was there.
printf 'hate => love\n# mild\n' > "$work/words.txt"
log=$work/audit.jsonl
guard=(--guard "$work/words.txt" --guard-sites 5 --guard-log "$log")
logged() { python3 -c 'import json,sys; print(sum(len(json.loads(line)["images"]) for line in open(sys.argv[1])))' "$log" 2> /dev/null || echo 0; }
# guarded IMAGES VERB..: the verb makes so many images, and the log tells of every one
guarded() {
  local before after
  before=$(logged)
  expect 0 '' "$program" "${@:2}" "${guard[@]}"
  after=$(logged)
  [ $((after - before)) = "$1" ] || { echo "FAILED: the guard's log tells of $((after - before)) images, not of $1: ${*:2}"; failed=1; }
}
hate='a sign that says "H A T E"'
guarded 1 generate "$model" --prompt "$hate" --steps 1 --out "$work/guarded.png"
grep -q 'terms_sha256' "$work/guarded.png" || { echo "FAILED: a guarded image does not say so"; failed=1; }
expect 0 'the guard replaced listed words in 1 of 1 images' "$program" generate "$model" --prompt "$hate" --steps 1 --out "$work/guarded.png" "${guard[@]}"
guarded 3 patch "$model" --source 'says "A"' --target "$hate" --sites 5 --steps 1 --out "$work/guarded-patch"
guarded 4 edit "$model" --source 'says "A"' --target "$hate" --sites 5 --steps 2 --out "$work/guarded-edit"
guarded 6 edit "$model" --image "$work/guarded.png" --caption 'says "A"' --target "$hate" --sites 5 --steps 2 --out "$work/guarded-edit2"
# A, B, each of 11 sites, and all of them; and more sets only where B's text can be read. Its document tells of every row that was drawn.
before=$(logged)
expect 0 '' "$program" localize "$model" --pairs 1 --steps 1 --random-sets 0 --out "$work/guarded-run" "${guard[@]}"
rows=$(python3 -c 'import json,sys; print(sum(2 + len(pair["patched"]) for pair in json.load(open(sys.argv[1]))["pairs"]))' "$work/guarded-run/run.json")
[ "$rows" -ge 14 ] && [ $(($(logged) - before)) = "$rows" ] || { echo "FAILED: the guard's log does not tell of $rows images of localize"; failed=1; }
guarded 2 evaluate "$model" --count 2 --steps 1 --out "$work/guarded-eval"
[ "$(field "$work/guarded-eval/evaluate.json" '["guard"]["sites"]')" = "[5]" ] || { echo "FAILED: evaluate does not tell of the guard"; failed=1; }
# Four prompts, two of them without text, which the base model draws first; at the start and at the end.
guarded $((2 + 2 * 4)) finetune "$model" --data "$work/data" --sites 5 --rank 2 --steps 2 --batch 2 --evaluate-every 2 --sample-prompts "$work/numbers/prompts.txt" \
  --out "$work/guarded-tuned"
# Two prompts with text and three pictures of two without, for the base model and six adapters; and twice those without, to compare with.
guarded $((7 * 8 + 2 * 6)) "${arena[@]:1}" --out "$work/guarded-arena"
guarded 1 generate "$stages/pipeline_if" --prompt "$hate" --steps 2 --upscale "$stages/pipeline_if2" --out "$work/guarded-large.png"
[ "$(head -1 "$log" | python3 -c 'import json,sys; one=json.loads(sys.stdin.readline())["images"][0]; print(one["done"], len(one["matched"]))')" = "sites 5 1" ] || { echo "FAILED: what the log tells"; failed=1; }
grep -qi 'hate\|H A T E' "$log" && { echo "FAILED: the log names terms"; failed=1; }
expect 0 'each follows the one before' "$program" guard --verify-log "$log"
last=$("$program" guard --verify-log "$log" --json | python3 -c 'import json,sys; print(json.load(sys.stdin)["last"])')
expect 0 "$last" "$program" guard --verify-log "$log" --expect-last "$last"
head -n -1 "$log" > "$work/cut.jsonl"
expect 2 'no guard to write a log' "$program" draw-signs "$model" --out "$work/never" --guard-log "$log"
expect 2 'ends otherwise' "$program" guard --verify-log "$work/cut.jsonl" --expect-last "$last"
sed '2s/"seed":/"seed": /' "$log" > "$work/changed.jsonl"
expect 2 'after line 1' "$program" guard --verify-log "$work/changed.jsonl"
for verb in draw-signs train-demo; do
  arguments=("$model"); [ $verb = draw-signs ] || arguments=(sign-unet --tiny)
  expect 2 'no guard for this verb' "$program" $verb "${arguments[@]}" --out "$work/never" "${guard[@]}"
done
expect 2 'no guard to set up' "$program" generate "$model" --prompt a --steps 1 --guard-sites 5 --out "$work/never.png"
printf '1234\n' > "$work/bad-words.txt"
expect 2 'bad-words.txt, line 1' "$program" generate "$model" --prompt a --steps 1 --guard "$work/bad-words.txt" --out "$work/never.png"
expect 0 'nothing done' "$program" guard "$model" --sites 5 --count 16 --steps 2 --out "$work/guard"
for file in guard.json guard.csv samples.png audit.jsonl; do [ -s "$work/guard/$file" ] || { echo "FAILED: guard wrote no $file"; failed=1; }; done
[ "$(field "$work/guard/guard.json" '["methods"].__len__()')" = 7 ] || { echo "FAILED: guard's methods"; failed=1; }
expect 2 'needs MODEL and --out' "$program" guard
expect 2 'asks for no listed term' "$program" guard "$model" --sites 5 --prompts "$work/numbers/prompts.txt" --steps 1 --out "$work/guard2"

# A second stage enlarges what a first drew; what is wrong with it is said before anything is drawn.
expect 0 'large.png' "$program" generate "$stages/pipeline_if" --prompt 'a sign' --steps 2 --upscale "$stages/pipeline_if2" --out "$work/large.png"
expect 0 'patched.png reads' "$program" patch "$stages/pipeline_if" --source 'says "A"' --target 'says "B"' --sites 0 --steps 2 --size 16x16 --upscale "$stages/pipeline_if2" --upscale-steps 2 --out "$work/large"
expect 0 'upscaler .*pipeline_if2' "$program" inspect "$stages/pipeline_if" --upscale "$stages/pipeline_if2"
expect 2 'upscale-steps' "$program" generate "$stages/pipeline_if" --prompt 'a sign' --upscale-steps 2 --out "$work/never.png"
expect 2 'does not enlarge' "$program" generate "$stages/pipeline_if" --prompt 'a sign' --steps 2 --upscale "$stages/pipeline" --out "$work/never.png"
expect 2 'has none \(--image\)' "$program" generate "$stages/pipeline_if2" --prompt 'a sign' --out "$work/never.png"
expect 0 'single.png' "$program" generate "$stages/single_file/pipeline.safetensors" --config "$stages/pipeline" --prompt 'a (sign:1.2)' --steps 2 --out "$work/single.png"
[ ! -e "$work/never.png" ] || { echo "FAILED: an image of a refused request"; failed=1; }

# Damaged models: each named, exit code 2, nothing half-written.
damage() { rm -rf "$work/bad"; cp -r "$model" "$work/bad"; }
damage; rm "$work/bad/tokenizer/merges.txt"
expect 2 'merges.txt' "$program" inspect "$work/bad"
damage; rm -r "$work/bad/vae" "$work/bad/scheduler"
expect 2 'scheduler/scheduler_config.json is missing' "$program" inspect "$work/bad"
expect 2 'vae/config.json is missing' "$program" inspect "$work/bad"
expect 2 'vae/config.json is missing' "$program" generate "$work/bad" --prompt x --out "$work/never.png"
damage; truncate -s -1000 "$work/bad/unet/diffusion_pytorch_model.safetensors"
expect 2 'cut off' "$program" inspect "$work/bad"
damage; sed -i 's/"cross_attention_dim": 16/"cross_attention_dim": 24/' "$work/bad/unet/config.json"
expect 2 'U-Net reads 24' "$program" inspect "$work/bad"
damage; sed -i 's/"layers_per_block": 2/"layers_per_block": 3/' "$work/bad/unet/config.json"
expect 2 'missing [0-9]+:' "$program" inspect "$work/bad"
damage; sed -i 's/"layers_per_block": 2/"layers_per_block": 99999/' "$work/bad/unet/config.json"
expect 2 'layers_per_block' "$program" inspect "$work/bad"
# A weight that is no number: the file and its tensor are named.
damage
python3 - "$work/bad/unet/diffusion_pytorch_model.safetensors" << 'PYTHON'
import json, struct, sys
file = open(sys.argv[1], "r+b")
length = struct.unpack("<Q", file.read(8))[0]
entry = json.loads(file.read(length))["mid_block.resnets.0.conv1.weight"]
size = {"F16": "e", "F32": "f"}[entry["dtype"]]
file.seek(8 + length + entry["data_offsets"][0])
file.write(struct.pack("<" + size, float("nan")))
PYTHON
expect 2 'not finite.*diffusion_pytorch_model.safetensors, tensor mid_block.resnets.0.conv1.weight' "$program" generate "$work/bad" --prompt x --steps 1 --out "$work/never.png"
damage; echo '{' > "$work/bad/model_index.json"
expect 2 'malformed JSON' "$program" inspect "$work/bad"

# What the format forbids, written by hand into the U-Net's weights.
weights=$work/bad/unet/diffusion_pytorch_model.safetensors
# craft HEADER-EXPRESSION [LENGTH]: a file with this header (header: the file's own), all data kept
craft() {
  damage
  python3 - "$weights" "$@" << 'PYTHON'
import json, struct, sys
file, change = sys.argv[1], sys.argv[2]
raw = open(file, "rb").read()
length = struct.unpack("<Q", raw[:8])[0]
header, data = json.loads(raw[8:8 + length]), raw[8 + length:]
first, second = [key for key in header if key != "__metadata__"][:2]
exec(change)
text = json.dumps(header).encode()
open(file, "wb").write(struct.pack("<Q", int(sys.argv[3]) if len(sys.argv) > 3 else len(text)) + text + data)
PYTHON
}
craft 'pass' 1152921504606846976
expect 2 'header claims.*diffusion_pytorch_model.safetensors' "$program" inspect "$work/bad"
craft 'header[second]["data_offsets"][0] -= 2'
expect 2 'diffusion_pytorch_model.safetensors' "$program" inspect "$work/bad"
craft 'header[first]["dtype"] = "F7"'
expect 2 'F7' "$program" inspect "$work/bad"
craft 'header[first]["dtype"] = "F32"'
expect 2 'diffusion_pytorch_model.safetensors' "$program" inspect "$work/bad"
craft 'header[first]["shape"] = [2 ** 40, 2 ** 40]'
expect 2 'diffusion_pytorch_model.safetensors' "$program" inspect "$work/bad"

# A second process on the same output folder.
mkdir "$work/busy"
flock "$work/busy/.glyphscope.lock" sleep 60 &
holder=$!
sleep 0.3
expect 2 'another Glyphscope is writing' "$program" localize "$model" --pairs 1 --steps 1 --out "$work/busy"
expect 2 'another Glyphscope is writing' "$program" patch "$model" --source 'says "A"' --target 'says "B"' --sites 5 --steps 1 --out "$work/busy"
pkill -P $holder; kill $holder 2> /dev/null
[ "$(ls -A "$work/busy")" = .glyphscope.lock ] || { echo "FAILED: the second process wrote into a folder that is in use"; failed=1; }

# A folder that may not be written to. Root may write anywhere, unless it is run without that capability.
as_user=()
[ "$(id -u)" != 0 ] || as_user=(setpriv --bounding-set=-dac_override,-dac_read_search)
mkdir "$work/readonly"; chmod a-w "$work/readonly"
if "${as_user[@]}" touch "$work/readonly/x" 2> /dev/null; then
  echo "skipped: read-only folder (this user may write to it all the same)"
else
  expect 2 'not writable' "${as_user[@]}" "$program" localize "$model" --pairs 1 --steps 1 --out "$work/readonly/x"
  expect 2 'not writable' "${as_user[@]}" "$program" generate "$model" --prompt a --steps 1 --out "$work/readonly/a.png"
fi
expect 2 '/proc/glyphscope' "$program" localize "$model" --pairs 1 --steps 1 --out /proc/glyphscope

# A full disk: a small file system of memory in a mount namespace of its own.
mkdir "$work/full"
namespace=(unshare --mount)
[ "$(id -u)" = 0 ] || namespace+=(--map-root-user)
if "${namespace[@]}" mount -t tmpfs -o size=64k none "$work/full" 2> /dev/null; then
  expect 2 'disk is full|No space' "${namespace[@]}" bash -c 'mount -t tmpfs -o size=64k none "$1/full"
    "$2" evaluate "$3" --count 40 --steps 1 --out "$1/full/out"; code=$?
    ls -A "$1/full/out" | grep -q part && echo "half-written files are left" && exit 1
    exit $code' - "$work" "$program" "$model"
else
  echo "skipped: full disk (no mount namespaces here)"
fi
[ $failed = 0 ] && echo "command line: all as expected"
exit $failed
