// How fast a denoiser of FLUX.1's width draws while its weights are kept quantized, beside the same in bf16, in one run: seconds a step, and how often as fast
// as bf16 it is; and the bytes of its weights. Usage: glyphscope_quantized_steps [SIDE] [TYPE ..]    SIDE: pixels of a square picture (512). TYPE: fp8, Q4_K ..
// (all that the field uses). One block of two streams and two of one; random weights, prompts of 512 tokens. Turns alternate, so that all see the same machine.
#include <torch/types.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "core/side_by_side.h"
#include "device/placement.h"
#include "models/flux.h"
#include "models/layers.h"

using namespace glyphscope;  // NOLINT(google-build-using-namespace)

namespace {

constexpr QuantizedType kTypes[] = {QuantizedType::fp8,  QuantizedType::q8_0, QuantizedType::q4_0, QuantizedType::q2_k,  QuantizedType::q3_k,
                                    QuantizedType::q4_k, QuantizedType::q5_k, QuantizedType::q6_k, QuantizedType::iq4_xs};

// So many numbers or bytes of few random ones: what they are does not matter to the time.
torch::Tensor filled(const torch::Tensor& few, at::IntArrayRef shape) {
  const std::int64_t count = c10::multiply_integers(shape);
  return few.repeat({(count + few.numel() - 1) / few.numel()}).narrow(0, 0, count).view(shape).clone();
}

// Blocks whose scales are small numbers of half precision.
QuantizedTensor random_blocks(QuantizedType type, std::int64_t rows, std::int64_t columns) {
  if (type == QuantizedType::fp8)
    return {filled((torch::randn({1 << 16}, on_host()) * 0.02).to(torch::kFloat8_e4m3fn).view(torch::kUInt8), {rows, columns}).view(torch::kFloat8_e4m3fn), {}};
  const BlockSize block = block_size(type);
  return {filled(torch::randint(0, 20, {1 << 16}, on_host(torch::kUInt8)), {rows, columns / block.numbers * block.bytes}), {type, columns, {}}};
}

struct Contender {
  const char* name;
  std::shared_ptr<Flux> model;
  std::vector<double> seconds = {};
};

Contender make(const FluxConfig& config, const QuantizedType* type) {
  const torch::NoGradGuard no_grad;
  Contender out{type ? quantized_name(*type) : "bf16", std::make_shared<Flux>(config)};
  for (auto& parameter : out.model->parameters()) {
    parameter.set_requires_grad(false);
    parameter.set_data(filled((torch::randn({1 << 16}, on_host()) * 0.02).to(torch::kBFloat16), parameter.sizes()));
  }
  if (!type) return out;
  for (const auto& [path, layer] : changeable_layers(*out.model))
    if (const auto shape = layer->shape(); shape.size() == 2 && shape[1] % 256 == 0)
      layer->keep_quantized(random_blocks(*type, shape[0], shape[1]), torch::kBFloat16);
  return out;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

}  // namespace

int main(int argc, char** argv) {
  const torch::InferenceMode inference;
  settle_compute_threads();
  const std::int64_t side = argc > 1 ? std::atol(argv[1]) : 512;
  FluxConfig config;
  config.layers = 1;
  config.single_layers = 2;
  std::vector<Contender> contenders{make(config, nullptr)};
  for (const auto& type : kTypes)
    if (argc < 3 || std::any_of(argv + 2, argv + argc, [&](const char* wanted) { return std::string(wanted) == quantized_name(type); }))
      contenders.push_back(make(config, &type));
  const auto bf16 = on_host(torch::kBFloat16);
  const torch::Tensor sample = torch::randn({1, 16, side / 8, side / 8}, bf16), timestep = torch::full({1}, 500, on_host());
  const Conditioning conditioning{.embedding = torch::randn({1, 512, config.joint_attention_dim}, bf16),
                                  .pooled = torch::randn({1, config.pooled_projection_dim}, bf16)};
  constexpr int kTurns = 3;
  for (int turn = 0; turn <= kTurns; ++turn)
    for (auto& one : contenders) {
      const auto start = std::chrono::steady_clock::now();
      one.model->forward(sample, timestep, conditioning);
      if (turn > 0) one.seconds.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());  // the first warms up
    }
  const double own = median(contenders.front().seconds);
  for (const auto& one : contenders) {
    std::uint64_t bytes = 0;
    for (const auto& parameter : one.model->parameters()) bytes += parameter.nbytes();
    std::printf("%-7s %8.3f s a step, %4.2f of bf16's speed, weights %7.1f MB\n", one.name, median(one.seconds), own / median(one.seconds),
                static_cast<double>(bytes) / 1e6);
  }
  return 0;
}
