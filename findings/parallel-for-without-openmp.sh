#!/usr/bin/env bash
# LibTorch's header offers at::parallel_for, which shares a loop among LibTorch's own threads.
#
# The guess: a program that links LibTorch gets LibTorch's threads, as its matrix products do. at::get_num_threads() says how many there are.
# What happens (PyTorch 2.15.0 from PyPI, g++): parallel_for is a template, and is compiled into the program. Compiled without -fopenmp it is a plain loop on
# the caller's thread, whatever at::get_num_threads() says; the library's own operators go on using all threads beside it. Neither the compiler nor the
# library says a word, and torch's CMake package does not ask for -fopenmp. With -fopenmp the same source runs on as many threads as there are.
#
# Usage: findings/parallel-for-without-openmp.sh    (g++; some 5 GB in a temporary folder). Fails if the behaviour changes.
set -euo pipefail
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
python3 -m venv "$scratch/env"
"$scratch/env/bin/pip" install --quiet torch==2.15.0 numpy==2.4.6
torch=$("$scratch/env/bin/python" -c 'import os, torch; print(os.path.dirname(torch.__file__))' 2> /dev/null)
libraries=$(find "$torch/.." -path '*nvidia*' -name 'lib*.so*' -printf '%h\n' 2> /dev/null | sort -u | paste -sd: || true)
cat > "$scratch/at_once.cpp" << 'CPP'
#include <ATen/Parallel.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <thread>

// Each of two turns waits for the other, for three seconds at most.
int main() {
  at::set_num_threads(2);
  std::atomic<int> there = 0, met = 0;
  at::parallel_for(0, 2, 1, [&](std::int64_t begin, std::int64_t end) {
    for (auto i = begin; i < end; ++i) {
      ++there;
      const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(3);
      while (there < 2 && std::chrono::steady_clock::now() < until) std::this_thread::yield();
      met += i == 0 && there == 2;
    }
  });
  std::printf("threads %d, the first turn met the second: %s\n", at::get_num_threads(), met ? "yes" : "no");
}
CPP
said=""
for flag in -fno-openmp -fopenmp; do
  g++ -std=c++20 -O1 "$flag" -isystem "$torch/include" "$scratch/at_once.cpp" -o "$scratch/at_once" -L"$torch/lib" -ltorch_cpu -lc10 -lgomp \
    -Wl,-rpath,"$torch/lib" -Wl,--allow-shlib-undefined
  line="$flag: $(LD_LIBRARY_PATH=$torch/lib:$libraries "$scratch/at_once")"
  echo "$line"
  said+="$line;"
done
[ "$said" = "-fno-openmp: threads 2, the first turn met the second: no;-fopenmp: threads 2, the first turn met the second: yes;" ] ||
  { echo "the behaviour has changed" >&2; exit 1; }
echo "as described: without -fopenmp one turn follows the other"
