#include "patching/map_taps.h"

#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace glyphscope {

torch::Tensor attention_maps(const torch::Tensor& query, const torch::Tensor& key, const torch::Tensor& mask) {
  const torch::Tensor wide = query.to(torch::kFloat32);
  torch::Tensor scores = torch::matmul(wide, key.to(torch::kFloat32).transpose(-1, -2)).mul_(1 / std::sqrt(static_cast<double>(wide.size(-1))));
  if (mask.defined()) scores.masked_fill_(mask.logical_not(), -std::numeric_limits<double>::infinity());
  return scores.softmax(-1);
}

torch::Tensor MapTaps::attended(const AttentionCall& call, torch::Tensor out) {
  constexpr std::int64_t kMostNumbers = std::int64_t{1} << 26;  // of the maps of one row that are there at once
  const std::int64_t prompt = call.prompt_end - call.prompt, keys = call.key.size(2), heads = call.key.size(1);
  const std::int64_t tokens = call.picture_end - call.picture;
  out = beneath_.attended(call, std::move(out));
  bool copied = false;
  for (const auto& row : rows_) {
    const bool cross = prompt > 0 && step_ < row.cross_steps, self = prompt < keys && step_ < row.self_steps && tokens <= row.self_tokens;
    if (!cross && !self) continue;
    if (!copied) out = out.clone();
    copied = true;
    const std::int64_t part = std::clamp<std::int64_t>(kMostNumbers / std::max<std::int64_t>(1, tokens * keys), 1, heads);
    for (std::int64_t head = 0; head < heads; head += part) {
      const auto of = [&](const torch::Tensor& x, std::int64_t at) { return x[at].slice(0, head, std::min(head + part, heads)); };
      const auto picture = [&](const torch::Tensor& x, std::int64_t at) { return of(x, at).slice(1, call.picture, call.picture_end); };
      const auto mask = [&](std::int64_t at) { return !call.mask.defined() ? torch::Tensor() : call.mask.size(1) > 1 ? of(call.mask, at) : call.mask[at]; };
      const torch::Tensor source = attention_maps(picture(call.query, row.source), of(call.key, row.source), mask(row.source));
      torch::Tensor maps = attention_maps(picture(call.query, row.row), of(call.key, row.row), mask(row.row));
      if (self) {
        maps.slice(2, 0, call.prompt).copy_(source.slice(2, 0, call.prompt));
        maps.slice(2, call.prompt_end).copy_(source.slice(2, call.prompt_end));
      }
      if (cross) {
        torch::Tensor own = maps.slice(2, call.prompt, call.prompt_end);
        const torch::Tensor theirs = torch::matmul(source.slice(2, call.prompt, call.prompt_end), row.alignment.map);
        own.copy_(theirs * row.alignment.shared + own * (1 - row.alignment.shared));
      }
      picture(out, row.row).copy_(torch::matmul(maps, of(call.value, row.row).to(torch::kFloat32)));
    }
  }
  return out;
}

}  // namespace glyphscope
