#!/bin/bash
# Builds the CUDA tests and their benchmark with the PyTorch of `python3` and the nvcc on PATH, and runs them: for a machine with a GPU on which
# packaging/setup.sh cannot download; last, speed.py. Needs g++, and GoogleTest's, nlohmann-json's and OpenSSL's headers and libraries, which CPATH and
# LIBRARY_PATH may point to. BUILD_ONLY=1 runs nothing.
set -euo pipefail
cd "$(dirname "$0")/../.."
out=${1:-build/cuda-pytorch}
mkdir -p "$out"
torch=$(python3 -c 'import os, torch; print(os.path.dirname(torch.__file__))')
nvcc=$(command -v nvcc || echo /usr/local/cuda/bin/nvcc)
cuda_libraries=$(python3 -c 'import glob, os, sys; print(":".join(sorted(glob.glob(os.path.dirname(sys.argv[1]) + "/nvidia/*/lib"))))' "$torch")

sources=(engine/core/{error,memory,option,progress,random,side_by_side}.cpp engine/io/{config,files,gguf,mapped_files,safetensors,weights}.cpp
  engine/device/{placement,devices,cuda,kernels,quantization,select_heads}.cpp engine/models/*.cpp
  engine/patching/*.cpp engine/adapt/{lora,lora_plan,prompt_kv_cache,training_state}.cpp
  tests/support/{any_denoiser,golden,small_denoiser}.cpp tests/cuda/*.cpp tests/bench/finetune_steps.cpp)
flags=(-std=c++20 -O2 -DNDEBUG "-DGLYPHSCOPE_GOLDEN=\"$PWD/tests/golden/data\"" -Iengine -I.
  -isystem "$torch/include" -isystem "$torch/include/torch/csrc/api/include")
echo '#include <torch/types.h>' > "$out/all.h"
g++ "${flags[@]}" -x c++-header "$out/all.h" -o "$out/all.h.gch" &
"$nvcc" -std=c++17 -O2 -gencode arch=compute_80,code=sm_80 -gencode arch=compute_90,code=sm_90 -Xcompiler -fPIC -Iengine -shared engine/device/*.cu -o "$out/libglyphscope_kernels.so"
wait $!
compile() { g++ "${@:2}" $([[ $1 != *side_by_side* ]] || echo -fopenmp) -I"$out" -include all.h -c "$1" -o "$out/$(echo "${1%.cpp}" | tr / _).o"; }
export -f compile
export out
printf '%s\n' "${sources[@]}" | xargs -P "$(nproc)" -I{} bash -c 'compile "$@"' - {} "${flags[@]}"

libraries=(-L"$torch/lib" -Wl,--no-as-needed -ltorch_cuda -lc10_cuda -ltorch_cpu -lc10 -Wl,-rpath,"$torch/lib"
  -Wl,--allow-shlib-undefined -L"$(dirname "$nvcc")/../lib64" -lcudart -lcrypto -lgomp -lpthread)
engine=("$out"/engine_*.o)
g++ "$out/tests_cuda_select_heads_cuda_test.o" "${engine[@]}" "${libraries[@]}" -lgtest_main -lgtest -o "$out/glyphscope_cuda_test"
g++ "$out/tests_cuda_denoisers_cuda_test.o" "$out/tests_cuda_quantization_cuda_test.o" "$out"/tests_support_*.o "${engine[@]}" "${libraries[@]}" -lgtest_main -lgtest -o "$out/glyphscope_cuda_denoisers"
g++ "$out/tests_cuda_select_heads_cuda_bench.o" "${engine[@]}" "${libraries[@]}" -o "$out/glyphscope_cuda_bench"
g++ "$out/tests_cuda_denoiser_speed_cuda_bench.o" "$out/tests_support_any_denoiser.o" "${engine[@]}" "${libraries[@]}" -o "$out/glyphscope_cuda_speed"
# Run by tests/bench/finetune_bench.py --cuda.
g++ "$out/tests_bench_finetune_steps.o" "$out/tests_support_any_denoiser.o" "${engine[@]}" "${libraries[@]}" -o "$out/glyphscope_finetune_steps"
[ -z "${BUILD_ONLY:-}" ] || exit 0

export LD_LIBRARY_PATH=$cuda_libraries${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
nvidia-smi --query-gpu=name,driver_version --format=csv,noheader
python3 -c 'import torch; print("PyTorch", torch.__version__)'
failed=0
"$out/glyphscope_cuda_test" || failed=1
"$out/glyphscope_cuda_denoisers" || failed=1
"$out/glyphscope_cuda_bench" || failed=1
python3 tests/cuda/speed.py "$out" "$out/scratch" || failed=1
exit $failed
