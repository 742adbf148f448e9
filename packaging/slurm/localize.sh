#!/usr/bin/env bash
# A localization on a cluster, as an array job whose tasks fill one folder together:
#
#   sbatch --array=1-8 --gpus-per-task=1 --time=4:00:00 packaging/slurm/localize.sh MODEL --out RUN [options of localize]
#
# MODEL and RUN lie on a file system that all nodes see. Each task draws its share of the cells and goes on with what the others have drawn, until the run is whole. Before
# its time ends Slurm sends a task SIGTERM: it finishes the cell it is at, or gives it up after a minute, and is queued again. A task whose node or process was lost is
# queued again too. What was finished stays. A task that fails for another reason would fail again: it cancels the job, as the others would wait for its cells.
# GLYPHSCOPE names the program (default: glyphscope), GLYPHSCOPE_RESTARTS how often a task may be queued again (default: 50).
#SBATCH --job-name=glyphscope
#SBATCH --ntasks=1
#SBATCH --requeue
#SBATCH --signal=B:TERM@120
#SBATCH --open-mode=append
set -uo pipefail
[ -n "${SLURM_ARRAY_TASK_ID:-}" ] || { echo "localize.sh: start it by sbatch --array=1-N" >&2; exit 2; }
shard=$((SLURM_ARRAY_TASK_ID - SLURM_ARRAY_TASK_MIN + 1))/$SLURM_ARRAY_TASK_COUNT
"${GLYPHSCOPE:-glyphscope}" localize "$@" --shard "$shard" --wait &
program=$!
trap 'kill -TERM $program 2> /dev/null; (sleep 60; kill -TERM $program 2> /dev/null) &' TERM
wait $program
code=$?
# A trapped signal ends the wait, not the program.
while kill -0 $program 2> /dev/null; do wait $program; code=$?; done
# 3: it was told to stop. Over 128: it was killed. What else fails would fail again.
if [ $code = 3 ] || [ $code -gt 128 ]; then
  [ "${SLURM_RESTART_COUNT:-0}" -lt "${GLYPHSCOPE_RESTARTS:-50}" ] || { echo "localize.sh: shard $shard was queued again too often" >&2; exit $code; }
  echo "localize.sh: shard $shard ended with $code and is queued again" >&2
  scontrol requeue "${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID"
elif [ $code != 0 ]; then
  echo "localize.sh: shard $shard failed with $code; the job is cancelled" >&2
  scancel "$SLURM_ARRAY_JOB_ID"
fi
exit $code
