#!/usr/bin/env bash
# Prints what a cold build costs at some commits, in seconds of processor time, one after the other on this machine, and each as a share of the first.
# Usage: tests/bench/build_cost.sh COMMIT...   (about an hour for two; packaging/setup.sh must have run)
set -euo pipefail
cd "$(dirname "$0")/../.."
[ $# -gt 0 ] || { echo "usage: $0 COMMIT..." >&2; exit 2; }

scratch=$(mktemp -d)
tree=$scratch/tree
trap 'git worktree remove --force "$tree" 2>/dev/null || true; rm -rf "$scratch"' EXIT

export CCACHE_DISABLE=1
first=
for commit in "$@"; do
  git worktree add --quiet --detach "$tree" "$commit"
  (cd "$tree" && cmake --preset release) >"$scratch/log" 2>&1 || { cat "$scratch/log" >&2; exit 1; }
  TIMEFORMAT='%U %S %R'
  { time (cd "$tree" && cmake --build --preset release -j2) >"$scratch/log" 2>&1; } 2>"$scratch/time" || { tail -50 "$scratch/log" >&2; exit 1; }
  read -r user system wall <"$scratch/time"
  cost=$(awk "BEGIN {print $user + $system}")
  first=${first:-$cost}
  printf '%s  %.0f s of processor time, %.0f s on the clock, %.2f of the first\n' "$commit" "$cost" "$wall" "$(awk "BEGIN {print $cost / $first}")"
  git worktree remove --force "$tree"
done
