#!/usr/bin/env bash
# A localization by an array job of four tasks on a real Slurm of one node, of which two are killed and one is stopped by its time limit's signal: the run is whole
# in the end, and equals the one of a single process to the last digit. Then a training by two processes that srun starts, against one process.
#
#   tests/slurm/trial.sh BUILD SCRATCH          as root; needs Debian's slurm-wlm and munge
#
# The training needs libopenmpi-dev and openmpi-bin too, before the build. Takes about ten minutes on two cores. Slurm runs in SCRATCH, and is stopped at the end.
set -euo pipefail
build=$(realpath "$1"); mkdir -p "$2"; scratch=$(realpath "$2")
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
for tool in slurmctld slurmd munged; do PATH=$PATH:/usr/sbin command -v $tool > /dev/null || { echo "trial: $tool is not here: apt-get install slurm-wlm munge" >&2; exit 2; }; done
[ "$(id -u)" = 0 ] || { echo "trial: run it as root" >&2; exit 2; }
host=$(hostname -s)
export SLURM_CONF=$scratch/slurm/slurm.conf
mkdir -p "$scratch/slurm/state" "$scratch/slurm/spool"
cat > "$SLURM_CONF" << CONF
ClusterName=glyphscope
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
StateSaveLocation=$scratch/slurm/state
SlurmdSpoolDir=$scratch/slurm/spool
SlurmctldPidFile=$scratch/slurm/slurmctld.pid
SlurmdPidFile=$scratch/slurm/slurmd.pid
SlurmctldLogFile=$scratch/slurm/slurmctld.log
SlurmdLogFile=$scratch/slurm/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
MpiDefault=none
ReturnToService=2
KillWait=10
# A task that is queued again begins at once, not after two minutes.
SchedulerParameters=requeue_delay=1,sched_interval=1,bf_interval=1
NodeName=$host NodeAddr=127.0.0.1 CPUs=4 RealMemory=8000
PartitionName=all Nodes=$host Default=YES MaxTime=INFINITE State=UP
CONF
stop() { for daemon in slurmd slurmctld; do [ ! -s "$scratch/slurm/$daemon.pid" ] || kill "$(cat "$scratch/slurm/$daemon.pid")" 2> /dev/null || true; done; }
trap stop EXIT
mkdir -p /run/munge
chown munge: /run/munge
[ -s /etc/munge/munge.key ] || { (umask 077; head -c 1024 /dev/urandom > /etc/munge/munge.key); chown munge: /etc/munge/munge.key; }
[ -e /run/munge/munge.socket.2 ] || runuser -u munge -- /usr/sbin/munged
/usr/sbin/slurmctld
/usr/sbin/slurmd
for _ in $(seq 60); do sinfo -h -o %T 2> /dev/null | grep -q idle && break; sleep 1; done
sinfo

export GLYPHSCOPE=$build/glyphscope
study=(demo:sign-unet --pairs 8 --steps 8 --noises 2 --random-sets 2 --threads 1)
rm -rf "$scratch/run" "$scratch/whole"
job=$(sbatch --parsable --array=1-4 --cpus-per-task=1 --output="$scratch/task-%a.log" "$root/packaging/slurm/localize.sh" "${study[@]}" --out "$scratch/run")
cells() { find "$scratch/run/cells" -name '*.json' 2> /dev/null | wc -l; }
shard() { pgrep -f " localize .*--out $scratch/run --shard $1/4" | head -1; }
until [ "$(cells)" -ge 2 ]; do sleep 0.2; done
kill -KILL "$(shard 2)"; echo "killed shard 2 after $(cells) cells"
until [ "$(cells)" -ge 4 ]; do sleep 0.2; done
kill -KILL "$(shard 3)"; echo "killed shard 3 after $(cells) cells"
scancel --signal=TERM --batch "${job}_4"; echo "told shard 4 that its time ends"
for _ in $(seq 900); do squeue -h -j "$job" 2> /dev/null | grep -q . || break; sleep 1; done
grep -h "queued again" "$scratch"/task-*.log || true
"$GLYPHSCOPE" localize "${study[@]}" --out "$scratch/whole" > /dev/null
python3 - "$scratch/run/run.json" "$scratch/whole/run.json" << 'PYTHON'
import json, sys
run, whole = (json.load(open(file)) for file in sys.argv[1:])
for one in (run, whole):
    del one["seconds"], one["peak_memory_bytes"]
assert run == whole, "the run of four tasks is another than the whole one"
print(f"equal to the last digit: {len(run['pairs'])} cells, {sum(len(pair['patched']) for pair in run['pairs'])} patched pictures, localized {run['localized']}")
PYTHON
cmp "$scratch/run/sites.csv" "$scratch/whole/sites.csv"
grep -q "shard 2/4 ended with 137" "$scratch/task-2.log" && grep -q "shard 3/4 ended with 137" "$scratch/task-3.log" && grep -q "shard 4/4 ended with 3" "$scratch/task-4.log"
echo "passed: two tasks were killed and one was stopped, and all went on"

if [ -e "$build/libglyphscope_mpi.so" ]; then
  export OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive
  rm -rf "$scratch/signs" "$scratch/one" "$scratch/two"
  "$GLYPHSCOPE" draw-signs demo:sign-unet --count 60 --held-out 8 --out "$scratch/signs" > /dev/null
  train() {  # FOLDER [COMMAND..]
    local out=$1
    shift
    "$@" "$GLYPHSCOPE" finetune demo:sign-unet --data "$scratch/signs" --sites 8 --rank 4 --batch 8 --steps 20 --rate 1e-3 --save-every 1000 --sample-every 0 \
      --evaluate-every 1000 --device cpu --dtype fp32 --out "$scratch/$out" "${more[@]}" > "$scratch/$out.log" 2>&1 || { tail -5 "$scratch/$out.log" >&2; exit 1; }
  }
  more=()
  train one
  more=(--mpi)
  train two srun --mpi=pmix --ntasks=2 --cpus-per-task=1
  grep -h "processes" "$scratch/two.log" || true
  python3 "$root/tests/mpi/compare_adapters.py" "$scratch/one/last.safetensors" "$scratch/two/last.safetensors"
  echo "passed: srun's two processes learn what one does"
else
  echo "trial: $build has no libglyphscope_mpi.so: the training by srun was left out"
fi
