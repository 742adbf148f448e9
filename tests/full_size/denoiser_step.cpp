// One call of a full-size denoiser, for tests/full_size/full_size.py: what it computes, how long it takes, and how much memory
// loading it took. Usage: glyphscope_denoiser_step FOLDER fp32|bf16 INPUTS.safetensors OUTPUT.safetensors
// FOLDER: of a UNet2DConditionModel or SD3Transformer2DModel. INPUTS: sample, timestep, embedding and, where the model reads them,
// pooled and time_ids.
#include <torch/torch.h>

#include <chrono>
#include <cstdio>
#include <fstream>
#include <functional>
#include <iostream>

#include "core/error.h"
#include "io/weights.h"
#include "models/mmdit.h"
#include "models/unet.h"

using namespace glyphscope;  // NOLINT(google-build-using-namespace)

namespace {

double seconds_since(std::chrono::steady_clock::time_point start) { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(); }

// Largest memory of this process so far. getrusage() would also tell what the process that started this one had taken.
std::int64_t peak_bytes() {
  std::ifstream file("/proc/self/status");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with("VmHWM:")) return std::stoll(line.substr(6)) * 1024;
  return 0;
}

int run(const std::filesystem::path& folder, const std::string& dtype_name, const std::filesystem::path& in, const std::filesystem::path& out) {
  torch::InferenceMode inference;
  const auto dtype = dtype_name == "bf16" ? torch::kBFloat16 : torch::kFloat32;
  const Config config = Config::read(folder / "config.json");
  const std::int64_t before = peak_bytes();
  const auto start = std::chrono::steady_clock::now();
  std::shared_ptr<torch::nn::Module> module;
  std::function<torch::Tensor(const torch::Tensor&, const torch::Tensor&, const Conditioning&)> forward;
  SiteTable sites;
  auto take = [&](auto model) {
    sites = model->sites();
    forward = [model](const torch::Tensor& x, const torch::Tensor& t, const Conditioning& c) { return model->forward(x, t, c); };
    module = model;
  };
  if (config.text("_class_name", "") == "SD3Transformer2DModel")
    take(std::make_shared<MmDit>(MmDitConfig::parse(config)));
  else
    take(std::make_shared<UNet>(UNetConfig::parse(config)));
  load_weights(*module, Weights::find(folder), {.dtype = dtype});
  // Pages of a mapped file count once they are touched.
  double sum = 0;
  std::int64_t weights = 0;
  for (const auto& parameter : module->parameters()) {
    sum += parameter.sum().item<double>();
    weights += parameter.numel() * static_cast<std::int64_t>(parameter.element_size());
  }
  const double load = seconds_since(start);
  const std::int64_t loaded = peak_bytes() - before;

  const SafetensorsFile inputs(in);
  auto input = [&](const char* name) { return inputs.entries().contains(name) ? inputs.tensor(name) : torch::Tensor(); };
  auto cast = [&](const torch::Tensor& tensor) { return tensor.defined() ? tensor.to(dtype) : tensor; };
  const auto begin = std::chrono::steady_clock::now();
  const torch::Tensor output = forward(cast(input("sample")), input("timestep"), {cast(input("embedding")), cast(input("pooled")), input("time_ids")});
  const double seconds = seconds_since(begin);
  write_safetensors(out, {{"output", output.to(torch::kFloat32).contiguous()}});
  const nlohmann::json printed{
      {"sites", sites.sites.size()}, {"weight_bytes", weights}, {"load_peak_bytes", loaded}, {"load_seconds", load}, {"step_seconds", seconds},
      {"peak_bytes", peak_bytes()},  {"checksum", sum}};
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
