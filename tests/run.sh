#!/usr/bin/env bash
# Sets up, builds, and passes the tests. Usage: tests/run.sh [ctest options]
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
"$root/packaging/setup.sh" --checks
cd "$root"
cmake --preset release -DGLYPHSCOPE_TESTS=ON
cmake --build --preset release
# Beside another busy program, threads that wait for each other by spinning take several times as long.
export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-passive}
# Window tests run in a real X server without a screen.
xvfb-run --auto-servernum --server-args="-screen 0 1600x1200x24" ctest --preset release "$@"
