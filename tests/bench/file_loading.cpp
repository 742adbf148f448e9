// Opening a model and attaching an adapter, for tests/bench/file_loading.py: how long each takes, and how much memory.
// Usage: glyphscope_file_loading SOURCE DTYPE ["" | CONFIG [ADAPTER]]
// Prints a line of JSON: `open_seconds`, with every weight read once, as a mapped file's pages come when they are touched; `open_bytes`, the most memory that
// this took beyond what the program held before; `attach_seconds`.
#include <torch/types.h>

#include <chrono>
#include <cstdio>
#include <iostream>
#include <numeric>

#include "adapt/adapters.h"
#include "core/error.h"
#include "core/memory.h"
#include "registry/open_model.h"
#include "tests/support/process_memory.h"

using namespace glyphscope;  // NOLINT(google-build-using-namespace)

namespace {

using Clock = std::chrono::steady_clock;
double since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

// What is kept quantized is bytes here, whose sum torch would form of a copy in int64.
double touch(const torch::nn::Module& module) {
  double sum = 0;
  for (const auto& parameter : module.parameters()) {
    if (parameter.is_floating_point() && parameter.element_size() > 1) {
      sum += parameter.sum().item<double>();
      continue;
    }
    const auto* bytes = static_cast<const std::uint8_t*>(parameter.data_ptr());
    sum += static_cast<double>(std::accumulate(bytes, bytes + parameter.nbytes(), std::uint64_t{0}));
  }
  return sum;
}

int run(const std::string& source, const std::string& dtype, const std::string& config, const std::string& adapter) {
  const torch::NoGradGuard no_grad;
  OpenOptions options;
  options.dtype = dtype;
  options.config = config;
  touch(*std::make_shared<Linear>(8, 8));  // the kernels of the sum are there
  const std::int64_t held = testing::process_bytes("VmRSS");
  testing::forget_peak();
  auto start = Clock::now();
  const auto opened = open_model(source, options);
  if (!opened) throw Failure(opened.error());
  const double sum = touch((*opened)->denoiser_module());
  nlohmann::json out{{"open_seconds", since(start)}, {"open_bytes", testing::process_bytes("VmHWM") - held}, {"checksum", sum}};
  if (!adapter.empty()) {
    std::vector<std::string> notes;
    start = Clock::now();
    const auto attached = attach_adapters(*opened, {adapter}, notes);
    out["attach_seconds"] = since(start);
    out["notes"] = notes;
  }
  std::cout << out.dump() << std::endl;
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3 || argc > 5) {
    std::fprintf(stderr, "usage: %s SOURCE DTYPE [CONFIG [ADAPTER]]\n", argv[0]);
    return 2;
  }
  set_up_memory();  // as the program does
  try {
    return run(argv[1], argv[2], argc > 3 ? argv[3] : "", argc > 4 ? argv[4] : "");
  } catch (const Failure& failure) {
    std::fprintf(stderr, "%s\n", failure.error().message().c_str());
    return 2;
  }
}
