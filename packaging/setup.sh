#!/usr/bin/env bash
# Sets up what Glyphscope is built from on Debian 12: Debian packages, LibTorch, OpenVINO and the OCR models.
# Idempotent: what is there is left alone, and a run with nothing to do takes under a second.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$here/dependencies.sh"

usage() {
  cat <<TEXT
usage: packaging/setup.sh [--engine-only] [--checks] [--gpu] [--cuda] [--no-apt]
  --engine-only   no Qt: enough for the preset engine-only
  --checks        also what the tests and CI need (Xvfb, clang-format, clang-tidy)
  --gpu           also what computing on an NVIDIA GPU needs at run time (2.2 GB to download): not needed where CUDA 13, cuDNN 9 and NCCL are installed
  --cuda          also the CUDA compiler, where no nvcc 13 is installed: for the preset cuda
  --no-apt        leave Debian packages alone (they are installed already, or by someone else)
Unpacked libraries go to \$GLYPHSCOPE_DEPS (now: ${GLYPHSCOPE_DEPS:-$HOME/.cache/glyphscope/deps}).
TEXT
}
engine_only= checks= gpu= cuda= apt=yes
for argument; do
  case $argument in
    --engine-only) engine_only=yes ;;
    --checks) checks=yes ;;
    --gpu) gpu=yes ;;
    --cuda) cuda=yes ;;
    --no-apt) apt= ;;
    -h | --help) usage; exit 0 ;;
    *) echo "setup: unknown option '$argument'" >&2; usage >&2; exit 2 ;;
  esac
done

say() { printf 'setup: %s\n' "$*"; }
fail() { printf 'setup: %s\n' "$*" >&2; exit 1; }

[ "$(uname -s)-$(uname -m)" = Linux-x86_64 ] || fail "Glyphscope's libraries are pinned for Linux on x86-64; this machine is $(uname -s) on $(uname -m)."
deps=${GLYPHSCOPE_DEPS:-$HOME/.cache/glyphscope/deps}
mkdir -p "$deps" 2>/dev/null || fail "cannot create $deps. Set GLYPHSCOPE_DEPS to a folder you may write to."

# --- Debian packages -----------------------------------------------------------------------------
install_packages() {
  local wanted="$packages_build $packages_engine" missing=() package
  [ -n "$engine_only" ] || wanted="$wanted $packages_window"
  [ -z "$checks" ] || wanted="$wanted $packages_checks"
  for package in $wanted; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  command -v apt-get >/dev/null || fail "apt-get is not here; on another system install the counterparts of: ${missing[*]}, then pass --no-apt."
  local root=()
  if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || fail "Debian packages are missing (${missing[*]}) and there is no sudo. Run as root: apt-get install ${missing[*]}"
    root=(sudo)
  fi
  "${root[@]}" apt-get update -qq || fail "apt-get update failed; is there a network?"
  local size
  size=$(${root[@]+"${root[@]}"} apt-get install --no-install-recommends --assume-no "${missing[@]}" 2>/dev/null | grep -E '^Need to get' || true)
  say "installing ${#missing[@]} Debian packages. ${size:-}"
  "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" \
    > "$deps/apt.log" 2>&1 || { tail -5 "$deps/apt.log" >&2; fail "apt-get failed; its whole output is in $deps/apt.log."; }
}

# --- Wheels --------------------------------------------------------------------------------------
# unpack NAME VERSION WHEEL HASH: the wheel's files under $deps/NAME-VERSION, complete or not there at all.
fetch() {
  local name=$1 version=$2 megabytes=$3 file=$4 hash=$5 target="$deps/$1-$2"
  [ ! -d "$target" ] || return 0
  local need=$((megabytes * 4)) free
  free=$(df -Pm "$deps" | awk 'NR==2{print $4}')
  [ "$free" -gt "$need" ] || fail "$deps has $free MB free; $name needs $need MB. Free some, or set GLYPHSCOPE_DEPS to another disk."
  mkdir -p "$deps/wheels"
  if ! echo "$hash  $deps/wheels/$file" | sha256sum --check --status 2>/dev/null; then
    say "downloading $name $version ($megabytes MB)"
    rm -rf "$deps/wheels/partial" && mkdir "$deps/wheels/partial"
    echo "$name==$version --hash=sha256:$hash" > "$deps/wheels/partial/requirements.txt"
    local runner=(python3 -m pip) retries=()
    if [ "$name" != pip ]; then
      runner=(env PYTHONPATH="$deps/pip-${wheel_version[pip]}" python3 -m pip)
      retries=(--resume-retries 20)
    fi
    local pip=("${runner[@]}" download "${retries[@]}" --quiet --disable-pip-version-check --no-deps --require-hashes --only-binary=:all:
      --python-version 3.11 --implementation cp --abi cp311 --abi none --abi abi3)
    local platform
    for platform in manylinux_2_28 manylinux_2_27 manylinux_2_25 manylinux_2_18 manylinux_2_17 manylinux2014 manylinux1; do
      pip+=(--platform "${platform}_x86_64")
    done
    "${pip[@]}" -d "$deps/wheels/partial" -r "$deps/wheels/partial/requirements.txt" ||
      fail "could not download $name $version from PyPI. What is there already is kept; run this again when the network is back."
    mv "$deps/wheels/partial/$file" "$deps/wheels/$file"
    rm -rf "$deps/wheels/partial"
  fi
  say "unpacking $name $version"
  rm -rf "$target.partial"
  unpack "$name" "$deps/wheels/$file" "$target.partial" ||
    fail "could not unpack $file into $deps. Is the disk full?"
  mv "$target.partial" "$target"
  rm -f "$deps/wheels/$file"
}

unpack() {
  local name=$1 wheel=$2 to=$3
  case $name in
    torch) unzip -q "$wheel" 'torch/include/*' 'torch/share/*' 'torch/lib/*' 'torch-*/licenses/*' -x 'torch/lib/libtorch_python.so' -d "$to" ;;
    rapidocr-onnxruntime) unzip -q "$wheel" '*.onnx' '*.dist-info/METADATA' -d "$to" && python3 "$here/ocr_alphabet.py" "$to/rapidocr_onnxruntime/models/ch_PP-OCRv4_rec_infer.onnx" "$to/rapidocr_onnxruntime/models/alphabet.txt" ;;
    *) unzip -q "$wheel" -d "$to" ;;
  esac
}

[ -z "$apt" ] || install_packages
for tool in python3 unzip sha256sum; do
  command -v $tool >/dev/null || fail "$tool is not here; install it (Debian: apt-get install $tool), or run without --no-apt."
done
python3 -m pip --version >/dev/null 2>&1 || fail "python3 has no pip; install it (Debian: apt-get install python3-pip)."

if [ -n "$cuda" ] && ! PATH=$PATH:/usr/local/cuda/bin nvcc --version 2>/dev/null | grep -q 'release 13'; then
  wheels+=("${wheels_cuda[@]}")
fi
[ -z "$gpu" ] || wheels+=("${wheels_gpu[@]}")
declare -A wheel_version
for wheel in "${wheels[@]}"; do
  read -r name version _ <<< "$wheel"
  wheel_version[$name]=$version
done

total=0 count=0
for wheel in "${wheels[@]}"; do
  read -r name version megabytes _ <<< "$wheel"
  [ -d "$deps/$name-$version" ] || { total=$((total + megabytes)); count=$((count + 1)); }
done
if [ $count -gt 0 ]; then say "$count libraries to get, $total MB to download, into $deps"; fi
for wheel in "${wheels[@]}"; do
  read -r -a fields <<< "$wheel"
  fetch "${fields[@]}"
done

# One stable name for each, so that CMake presets need no version numbers.
for wheel in "${wheels[@]}"; do
  read -r name version _ <<< "$wheel"
  ln -sfn "$name-$version" "$deps/$name"
done
# nvcc looks for its parts beside itself: one folder of links to all of them.
if [ -n "${wheel_version[nvidia-cuda-nvcc]:-}" ] && [ ! -d "$deps/cuda-${wheel_version[nvidia-cuda-nvcc]}" ]; then
  toolkit=$deps/cuda-${wheel_version[nvidia-cuda-nvcc]}
  rm -rf "$toolkit.partial" && mkdir "$toolkit.partial"
  for name in nvidia-cuda-nvcc nvidia-nvvm nvidia-cuda-crt nvidia-cuda-cccl nvidia-cuda-runtime; do
    cp -rl "$deps/$name-${wheel_version[$name]}/nvidia/cu13/." "$toolkit.partial/" || fail "could not put the CUDA toolkit together in $toolkit. Is the disk full?"
  done
  chmod +x "$toolkit.partial"/bin/* "$toolkit.partial"/nvvm/bin/*
  ln -s libcudart.so.13 "$toolkit.partial/lib/libcudart.so"
  ln -s lib "$toolkit.partial/lib64"
  mv "$toolkit.partial" "$toolkit"
  ln -sfn "$(basename "$toolkit")" "$deps/cuda"
fi
# LibTorch's CUDA half looks for its libraries beside the folder that it lies in.
wanted=$(printf '%s\n' "${wheels_gpu[@]}" | cut -d' ' -f1,2)
if [ -n "$gpu" ] && [ "$(cat "$deps/torch/nvidia/versions" 2>/dev/null)" != "$wanted" ]; then
  libraries=$deps/torch-${wheel_version[torch]}/nvidia
  rm -rf "$libraries.partial" && mkdir "$libraries.partial"
  for wheel in "${wheels_gpu[@]}"; do
    read -r name version _ <<< "$wheel"
    cp -rl "$deps/$name-$version/nvidia/." "$libraries.partial/" || fail "could not put the CUDA libraries together in $libraries. Is the disk full?"
  done
  echo "$wanted" > "$libraries.partial/versions"
  rm -rf "$libraries" && mv "$libraries.partial" "$libraries"
fi
say "ready ($deps)"
