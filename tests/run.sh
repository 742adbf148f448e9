#!/usr/bin/env bash
# Sets up, builds, and passes the tests. Usage: tests/run.sh [ctest options]
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
"$root/packaging/setup.sh" --checks
cd "$root"
cmake --preset release -DGLYPHSCOPE_TESTS=ON
cmake --build --preset release
# Window tests run in a real X server without a screen.
xvfb-run --auto-servernum --server-args="-screen 0 1600x1200x24" ctest --preset release "$@"
