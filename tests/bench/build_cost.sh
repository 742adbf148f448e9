#!/usr/bin/env bash
# Prints what compiling engine, command line and the engine's tests from nothing costs at some commits, in seconds of processor time, and each as a share of
# the first. (What has to do with the window is left out: its files wait for the engine, so that none can be compiled alone.)
# Usage: tests/bench/build_cost.sh COMMIT[:N]...   With N, each Nth file is compiled alone, and the sum taken N times: of a commit with hundreds of files of
# much the same cost, that saves an hour. Without ccache; packaging/setup.sh must have run.
set -euo pipefail
cd "$(dirname "$0")/../.."
[ $# -gt 0 ] || { echo "usage: $0 COMMIT[:N]..." >&2; exit 2; }

scratch=$(mktemp -d)
tree=$scratch/tree
trap 'git worktree remove --force "$tree" 2>/dev/null || true; rm -rf "$scratch"' EXIT

export CCACHE_DISABLE=1 TIMEFORMAT='%U %S'
# compile OBJECT...: adds what it took to `seconds`
compile() {
  { time ninja -C "$tree/build/release" -j2 "$@" > "$scratch/log" 2>&1 || { tail -50 "$scratch/log"; exit 1; }; } 2> "$scratch/time"
  seconds=$(awk '{print $1 + $2}' "$scratch/time")
}

first=
for commit in "$@"; do
  every=1
  [[ $commit == *:* ]] && every=${commit#*:}
  git worktree add --quiet --detach "$tree" "${commit%:*}"
  (cd "$tree" && cmake --preset release) > "$scratch/log" 2>&1 || { cat "$scratch/log" >&2; exit 1; }
  mapfile -t all < <(ninja -C "$tree/build/release" -t targets all | sed -n 's/: CXX_COMPILER__.*//p' |
    grep -E '[.]gch$|^engine/|/glyphscope_cli[.]dir/|/glyphscope_engine_tests[.]dir/')
  mapfile -t headers < <(printf '%s\n' "${all[@]}" | grep '[.]gch$')
  mapfile -t files < <(printf '%s\n' "${all[@]}" | grep -v '[.]gch$')
  compile "${headers[@]}"
  header=$seconds chosen=()
  for ((i = 0; i < ${#files[@]}; i += every)); do chosen+=("${files[$i]}"); done
  compile "${chosen[@]}"
  cost=$(awk "BEGIN {print $header + $seconds * ${#files[@]} / ${#chosen[@]}}")
  first=${first:-$cost}
  printf '%s  %.0f s of processor time for %d files, of which %d were compiled: %.2f of the first\n' "${commit%:*}" "$cost" "${#files[@]}" "${#chosen[@]}" \
    "$(awk "BEGIN {print $cost / $first}")"
  git worktree remove --force "$tree"
done
