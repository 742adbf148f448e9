#!/usr/bin/env bash
# clang-tidy on every .cpp file that was changed since a commit, committed or not: engine, widgets and app. A file takes 10 to 20 s.
# Usage: tests/tidy.sh [--minutes N] [COMMIT]   (default: the commit before the last ten). With --minutes, files that there was no time for are named.
set -euo pipefail
cd "$(dirname "$0")/.."
minutes=0
if [ "${1:-}" = --minutes ]; then
  minutes=$2
  shift 2
fi
git() { command git -c safe.directory='*' "$@"; }
base=${1:-$(git rev-list --max-count=11 HEAD | tail -1)}

mapfile -t files < <({ git diff --name-only --diff-filter=AM "$base" -- 'engine/*.cpp' 'widgets/*.cpp' 'app/*.cpp'
                       git ls-files --others --exclude-standard -- 'engine/*.cpp' 'widgets/*.cpp' 'app/*.cpp'; } | sort -u)
[ ${#files[@]} -gt 0 ] || { echo "no file was changed since $base"; exit 0; }
window=$(pkg-config --exists Qt6Widgets 2>/dev/null || [ -d /usr/include/x86_64-linux-gnu/qt6 ] && echo ON || echo OFF)
cmake -S . -B build/tidy -G Ninja -DCMAKE_BUILD_TYPE=Release -DCMAKE_DISABLE_PRECOMPILE_HEADERS=ON -DGLYPHSCOPE_UNITY=OFF -DGLYPHSCOPE_TESTS=OFF \
  -DGLYPHSCOPE_WINDOW="$window" > /dev/null

# What is not built here (our MPI library without MPI) cannot be looked at.
mapfile -t files < <(for file in "${files[@]}"; do grep -qF "/$file\"" build/tidy/compile_commands.json && echo "$file" || echo "not built here: $file" >&2; done)

# The newest first: if time is short, these are what nobody has looked at.
mapfile -t files < <(for file in "${files[@]}"; do echo "$(git log -1 --format=%ct -- "$file" | sed 's/^$/9999999999/') $file"; done | sort -rn | cut -d' ' -f2-)
export deadline=$((minutes > 0 ? SECONDS + 60 * minutes : 0)) begun=$(date +%s)
tidy_one() {
  if [ "$deadline" -gt 0 ] && [ $(($(date +%s) - begun)) -ge "$deadline" ]; then
    echo "no time was left for $1"
    return 0
  fi
  clang-tidy -p build/tidy --quiet --extra-arg=-Wno-unknown-warning-option "$1" 2>/dev/null || { echo "FAILED: $1"; return 1; }
}
export -f tidy_one
printf '%s\n' "${files[@]}" | xargs -P 2 -I{} bash -c 'tidy_one "$1"' - {}
echo "${#files[@]} files"
