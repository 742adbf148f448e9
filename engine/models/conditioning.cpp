#include "models/conditioning.h"

#include <torch/types.h>

#include <algorithm>
#include <cmath>

namespace glyphscope {

namespace {

constexpr auto kFields = {&Conditioning::embedding,   &Conditioning::prompt_mask, &Conditioning::pooled, &Conditioning::sizes,
                          &Conditioning::noise_level, &Conditioning::guidance,    &Conditioning::picture};

}  // namespace

Conditioning Conditioning::to(torch::Device device) const {
  Conditioning out;
  for (const auto field : kFields)
    if ((this->*field).defined()) out.*field = (this->*field).to(device);
  return out;
}

void pad_prompts(const std::vector<std::pair<torch::Tensor*, torch::Tensor*>>& prompts) {
  std::int64_t longest = 0;
  for (const auto& [embedding, mask] : prompts) longest = std::max(longest, embedding->size(1));
  for (const auto& [embedding, mask] : prompts) {
    const std::int64_t missing = longest - embedding->size(1);
    if (missing == 0 || !mask->defined()) continue;
    *embedding = torch::constant_pad_nd(*embedding, {0, 0, 0, missing});
    *mask = torch::constant_pad_nd(*mask, {0, missing});
  }
}

Conditioning joined(const std::vector<Conditioning>& given) {
  std::vector<Conditioning> rows = given;
  std::vector<std::pair<torch::Tensor*, torch::Tensor*>> prompts;
  for (auto& row : rows)
    if (row.embedding.defined()) prompts.emplace_back(&row.embedding, &row.prompt_mask);
  pad_prompts(prompts);
  Conditioning out;
  for (const auto field : kFields) {
    if (rows.empty() || !(rows.front().*field).defined()) continue;
    std::vector<torch::Tensor> parts;
    for (const auto& row : rows) parts.push_back(row.*field);
    out.*field = torch::cat(parts);
  }
  return out;
}

torch::Tensor timestep_embedding(const torch::Tensor& timestep, std::int64_t width, bool flip_sin_to_cos, double freq_shift) {
  const std::int64_t half = width / 2;
  torch::Tensor exponent = -std::log(10000.0) * torch::arange(0, half, timestep.options().dtype(torch::kFloat32));
  exponent = exponent / (static_cast<double>(half) - freq_shift);
  torch::Tensor angles = timestep.to(torch::kFloat32).unsqueeze(1) * exponent.exp().unsqueeze(0);
  torch::Tensor out = flip_sin_to_cos ? torch::cat({angles.cos(), angles.sin()}, -1) : torch::cat({angles.sin(), angles.cos()}, -1);
  return width % 2 == 1 ? torch::constant_pad_nd(out, {0, 1}) : out;
}

}  // namespace glyphscope
