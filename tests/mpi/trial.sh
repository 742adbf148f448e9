#!/usr/bin/env bash
# Trains with two processes of MPI what one process trains with the same batch, compares the adapters, and kills a process on the way.
# Usage: tests/mpi/trial.sh BUILD SCRATCH      BUILD: build/release, built where libopenmpi-dev and openmpi-bin are installed
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
[ $# -eq 2 ] || { sed -n '2,3s/^# //p' "$0" >&2; exit 2; }
program=$(realpath "$1/glyphscope") scratch=$(realpath -m "$2")
export OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
rm -rf "$scratch"
mkdir -p "$scratch"

[ -e "$1/libglyphscope_mpi.so" ] || { echo "trial: $1 has no libglyphscope_mpi.so: install libopenmpi-dev and openmpi-bin, and build again" >&2; exit 1; }
"$program" draw-signs demo:sign-unet --count 60 --held-out 8 --out "$scratch/signs" > /dev/null

train() {  # FOLDER STEPS [COMMAND..]
  local out=$1 steps=$2
  shift 2
  "$@" "$program" finetune demo:sign-unet --data "$scratch/signs" --sites 8 --rank 4 --batch 8 --steps "$steps" --rate 1e-3 --save-every 1000 --sample-every 0 \
    --evaluate-every 1000 --device cpu --dtype fp32 --out "$scratch/$out" "${more[@]}"
}
compare() { python3 tests/mpi/compare_adapters.py "$scratch/$1/last.safetensors" "$scratch/$2/last.safetensors"; }

more=()
echo "one process, and two with the same batch:"
train one 20 > "$scratch/one.log" 2>&1
more=(--mpi)
train two 20 mpirun -np 2 > "$scratch/two.log" 2>&1
compare one two
[ "$(grep -c "^trained" "$scratch/two.log")" = 1 ] || { echo "trial: not one process alone spoke" >&2; exit 1; }

echo "two of which one is killed:"
train lost 4000 mpirun -np 2 > "$scratch/lost.log" 2>&1 &
training=$!
for ((i = 0; i < 600; ++i)); do
  processes=$(pgrep -P "$(pgrep -f "^mpirun .*$scratch/lost" | head -1)" 2> /dev/null || true)
  grep -q "^step [1-9]" "$scratch/lost.log" && [ "$(wc -w <<< "$processes")" = 2 ] && break
  sleep 0.1
done
kill -KILL "$(tail -1 <<< "$processes")"
wait "$training" && { echo "trial: the training ended well without a process" >&2; exit 1; }
grep -h -i "lost, or someone stopped it" "$scratch/lost.log" || { cat "$scratch/lost.log"; echo "trial: nobody said that a process is lost" >&2; exit 1; }
[ -e "$scratch/lost/checkpoint/state.safetensors" ] || { echo "trial: no checkpoint was left" >&2; exit 1; }
more=(--mpi --resume)
step=$(python3 -c "
import json, struct, sys
data = open('$scratch/lost/last.safetensors', 'rb').read()
print(json.loads(json.loads(data[8:8 + struct.unpack('<Q', data[:8])[0]])['__metadata__']['glyphscope'])['step'])")
train lost $((step + 2)) mpirun -np 2 > "$scratch/resumed.log" 2>&1
grep -q "step $((step + 2))/" "$scratch/resumed.log" || { cat "$scratch/resumed.log"; echo "trial: it did not go on" >&2; exit 1; }
echo "saved at step $step, and gone on with"
echo "passed"
