#!/usr/bin/env bash
# House rules that a compiler does not check: engine/ is a house of floors, and each includes only those below it; no Qt in
# engine/, no torch in widgets/. Usage: check_floors.sh SOURCE_DIR
set -euo pipefail
cd "$1"
floors=(core cuda io schedulers patching models text metrics pipelines families registry localization adapt editing demo tasks runtime)
bad=0
for i in "${!floors[@]}"; do
  [ -d "engine/${floors[$i]}" ] || continue
  for ((j = i + 1; j < ${#floors[@]}; ++j)); do
    if grep -rnE "#include \"${floors[$j]}/" "engine/${floors[$i]}"; then
      echo "engine/${floors[$i]} must not include from the floor above it, ${floors[$j]}/"
      bad=1
    fi
  done
done
if grep -rnE '#include *[<"]Q[A-Za-z]' engine; then echo "engine/ must not include Qt"; bad=1; fi
if [ -d widgets ] && grep -rnE '#include *[<"](torch|ATen|c10)/' widgets; then echo "widgets/ must not include torch"; bad=1; fi
exit $bad
