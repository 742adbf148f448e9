#!/usr/bin/env bash
# House rules that a compiler does not check (what a room of engine/ may include, it does: cmake/rooms.cmake). Usage: check_floors.sh SOURCE_DIR
set -euo pipefail
cd "$1"
bad=0
if grep -rnE '#include *[<"]Q[A-Za-z]' engine; then echo "engine/ must not include Qt"; bad=1; fi
if [ -d widgets ] && grep -rnE '#include *[<"](torch|ATen|c10)/' widgets; then echo "widgets/ must not include torch"; bad=1; fi
# The engine names an option by core/option.h: whoever asked words it.
if grep -rnE '"([^"]*[^-a-z"])?--[a-z]' engine --include=*.cpp --include=*.h | grep -v 'setup.sh --'; then echo "engine/ must not speak of the command line's options"; bad=1; fi
python3 tests/check_factories.py . || bad=1
exit $bad
