#include "patching/look_taps.h"

#include <torch/types.h>

#include <algorithm>
#include <cmath>

#include "device/placement.h"
#include "patching/map_taps.h"

namespace glyphscope {

namespace {

// How many rows of points there are: of what divides them, what is nearest to the picture's shape.
std::int64_t rows_of_points(std::int64_t points, double aspect) {
  const double wanted = std::sqrt(static_cast<double>(points) * aspect);
  std::int64_t best = 1;
  for (std::int64_t rows = 1; rows <= points; ++rows)
    if (points % rows == 0 && std::abs(std::log(static_cast<double>(rows) / wanted)) < std::abs(std::log(static_cast<double>(best) / wanted))) best = rows;
  return best;
}

}  // namespace

torch::Tensor AttentionRecord::Site::mean(size_t range) const { return ranges[range].defined() ? ranges[range] / std::max(1, calls[range]) : torch::Tensor(); }

torch::Tensor tokens_of_words(const std::vector<WordTokens>& encoders, std::int64_t tokens) {
  size_t words = 0;
  for (const auto& encoder : encoders) words = std::max(words, encoder.words.size());
  torch::Tensor out = torch::zeros({tokens, static_cast<std::int64_t>(words)}, on_host());
  for (const auto& encoder : encoders)
    for (size_t word = 0; word + 1 < encoder.first.size() && word < words; ++word) {
      // A word that does not fit has no tokens, or not all of them.
      const std::int64_t first = std::clamp<std::int64_t>(encoder.begin + encoder.first[word], 0, tokens),
                         end = std::clamp<std::int64_t>(encoder.begin + std::min(encoder.first[word + 1], encoder.length), first, tokens);
      out.slice(0, first, end).slice(1, static_cast<std::int64_t>(word), static_cast<std::int64_t>(word) + 1).fill_(1);
    }
  return out;
}

torch::Tensor LookTaps::attended(const AttentionCall& call, torch::Tensor out) {
  constexpr std::int64_t kMostNumbers = std::int64_t{1} << 26, kLargestSide = 64;
  out = beneath_.attended(call, std::move(out));
  const std::int64_t prompt = call.prompt_end - call.prompt, all = call.picture_end - call.picture, keys = call.key.size(2);
  if (call.site < 0 || prompt <= 0 || all <= 0) return out;
  for (const auto& row : rows_) {
    AttentionRecord& record = *row.record;
    const std::int64_t points = row.points > 0 ? std::min(row.points, all) : all;
    if (!record.sites.empty() && std::find(record.sites.begin(), record.sites.end(), call.site) == record.sites.end()) continue;
    std::vector<int> heads;
    if (const auto some = record.heads.find(call.site); some != record.heads.end())
      heads = some->second;
    else
      for (int head = 0; head < call.key.size(1); ++head) heads.push_back(head);
    const torch::Tensor tokens = row.tokens.slice(0, 0, prompt);
    torch::Tensor sum = torch::zeros({points, tokens.size(1)}, call.query.options().dtype(torch::kFloat32));
    const std::int64_t part = std::clamp<std::int64_t>(kMostNumbers / keys, 1, points);
    for (const int head : heads)
      for (std::int64_t first = 0; first < points; first += part) {
        beneath_.enter_attention();  // where it can be cancelled
        const std::int64_t end = std::min(first + part, points);
        const torch::Tensor query = call.query[row.row][head].slice(0, call.picture + first, call.picture + end);
        const torch::Tensor mask = !call.mask.defined() ? torch::Tensor() : call.mask[row.row][call.mask.size(1) > 1 ? head : 0];
        const torch::Tensor maps = attention_maps(query, call.key[row.row][head], mask);
        sum.slice(0, first, end).add_(torch::matmul(maps.slice(1, call.prompt, call.prompt_end), tokens));
      }
    const std::int64_t height = rows_of_points(points, row.aspect), width = points / height;
    torch::Tensor maps = (sum / static_cast<double>(heads.size())).t().reshape({-1, height, width});
    if (const std::int64_t larger = (std::max(height, width) + kLargestSide - 1) / kLargestSide; larger > 1)
      maps = at::adaptive_avg_pool2d(maps, {(height + larger - 1) / larger, (width + larger - 1) / larger});
    maps = maps.to(torch::kCPU);
    auto& site = record.found[call.site];
    if (site.ranges.empty()) {
      site.height = maps.size(1), site.width = maps.size(2);
      site.ranges.resize(static_cast<size_t>(record.ranges));
      site.calls.resize(static_cast<size_t>(record.ranges));
    }
    const auto range = static_cast<size_t>(std::clamp(step_ * record.ranges / std::max(1, record.steps), 0, record.ranges - 1));
    site.ranges[range] = site.ranges[range].defined() ? site.ranges[range] + maps : maps;
    ++site.calls[range];
  }
  return out;
}

}  // namespace glyphscope
