// One call of a full-size denoiser, for tests/full_size/full_size.py: what it computes, how long it takes, and how much memory
// loading it took. Usage: glyphscope_denoiser_step FOLDER fp32|bf16 INPUTS.safetensors OUTPUT.safetensors
// FOLDER: of a UNet2DConditionModel, SD3Transformer2DModel or ZImageTransformer2DModel. INPUTS: sample, timestep, embedding and, where the model reads them,
// pooled and time_ids.
#include <torch/types.h>

#include <chrono>
#include <cstdio>
#include <iostream>

#include "core/error.h"
#include "io/safetensors.h"
#include "tests/support/any_denoiser.h"
#include "tests/support/process_memory.h"

using namespace glyphscope;  // NOLINT(google-build-using-namespace)

namespace {
using testing::AnyDenoiser;
using testing::process_bytes;

double seconds_since(std::chrono::steady_clock::time_point start) { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(); }

int run(const std::filesystem::path& folder, const std::string& dtype_name, const std::filesystem::path& in, const std::filesystem::path& out) {
  torch::InferenceMode inference;
  const auto dtype = dtype_name == "bf16" ? torch::kBFloat16 : torch::kFloat32;
  const std::int64_t before = process_bytes("VmHWM");
  const auto start = std::chrono::steady_clock::now();
  const AnyDenoiser denoiser = AnyDenoiser::open(folder, dtype);
  // Pages of a mapped file count once they are touched.
  double sum = 0;
  std::int64_t weights = 0;
  for (const auto& parameter : denoiser.module->parameters()) {
    sum += parameter.sum().item<double>();
    weights += parameter.numel() * static_cast<std::int64_t>(parameter.element_size());
  }
  const double load = seconds_since(start);
  const std::int64_t loaded = process_bytes("VmHWM") - before;

  const SafetensorsFile inputs(in);
  auto input = [&](const char* name) { return inputs.entries().contains(name) ? inputs.tensor(name) : torch::Tensor(); };
  auto cast = [&](const torch::Tensor& tensor) { return tensor.defined() ? tensor.to(dtype) : tensor; };
  const auto begin = std::chrono::steady_clock::now();
  const torch::Tensor output = denoiser.forward(
      cast(input("sample")), input("timestep"),
      {.embedding = cast(input("embedding")), .pooled = cast(input("pooled")), .sizes = input("time_ids"), .guidance = input("time_ids")}, nullptr);
  const double seconds = seconds_since(begin);
  write_safetensors(out, {{"output", output.to(torch::kFloat32).contiguous()}});
  const nlohmann::json printed{
      {"sites", denoiser.table.sites.size()}, {"weight_bytes", weights}, {"load_peak_bytes", loaded}, {"load_seconds", load}, {"step_seconds", seconds},
      {"peak_bytes", process_bytes("VmHWM")}, {"checksum", sum}};
  std::cout << printed.dump() << "\n";
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) {
    std::fprintf(stderr, "usage: %s FOLDER fp32|bf16 INPUTS.safetensors OUTPUT.safetensors\n", argv[0]);
    return 2;
  }
  try {
    return run(argv[1], argv[2], argv[3], argv[4]);
  } catch (const Failure& failure) {
    std::fprintf(stderr, "%s\n", failure.error().message().c_str());
    return 2;
  }
}
