#include "adapt/prompt_kv_cache.h"

#include <torch/types.h>

#include "core/error.h"

namespace glyphscope {

namespace {

bool is_frozen(const Site& site, const Lora& trained) {
  const auto has = [&](const char* name) { return trained.layers.contains(site.path + "." + name) || trained.changes.contains(site.path + "." + name); };
  return !has("to_k") && !has("to_v") && !has("add_k_proj") && !has("add_v_proj");
}

}  // namespace

PromptKvCache::PromptKvCache(const SiteTable& table, const Lora& trained) {
  for (const auto& site : table.sites) frozen_.push_back(is_frozen(site, trained));
}

std::uint64_t PromptKvCache::bytes_needed(const SiteTable& table, const Lora& trained, std::int64_t captions, std::int64_t tokens) {
  std::uint64_t width = 0;
  for (const auto& site : table.sites)
    if (is_frozen(site, trained)) width += static_cast<std::uint64_t>(site.heads) * static_cast<std::uint64_t>(site.head_width);
  return 2 * sizeof(float) * width * static_cast<std::uint64_t>(captions) * static_cast<std::uint64_t>(tokens);
}

KeyValue PromptKvCache::prompt_kv(int site, const PromptStates& prompt, const Project& project) {
  if (!frozen_.at(static_cast<size_t>(site))) return project(prompt);
  if (static_cast<std::int64_t>(rows_.size()) != prompt.embedding.size(0)) throw Failure({ErrorCode::internal, "the captions of the rows are not known"});
  torch::NoGradGuard no_grad;
  std::vector<torch::Tensor> keys, values, masks;
  for (size_t i = 0; i < rows_.size(); ++i) {
    const auto [found, fresh] = kept_.try_emplace({site, rows_[i]});
    KeyValue& one = found->second;
    if (fresh) {
      const auto row = [&](const torch::Tensor& all) { return all.defined() ? all.narrow(0, static_cast<std::int64_t>(i), 1) : all; };
      one = project({row(prompt.embedding), row(prompt.mask)});
      bytes_ += one.key.nbytes() + one.value.nbytes();
    }
    keys.push_back(one.key);
    values.push_back(one.value);
    if (one.mask.defined()) masks.push_back(one.mask);
  }
  return {at::cat(keys), at::cat(values), masks.empty() ? torch::Tensor() : at::cat(masks)};
}

}  // namespace glyphscope
