#include "adapt/prompt_kv_cache.h"

#include <torch/torch.h>

#include <algorithm>
#include <map>

#include "core/error.h"

namespace glyphscope {

PromptKvCache::PromptKvCache(const SiteTable& table, const Lora& trained, std::uint64_t budget) : budget_(budget) {
  for (const auto& site : table.sites) {
    const auto has = [&](const char* name) { return trained.layers.contains(site.path + "." + name); };
    frozen_.push_back(!has("to_k") && !has("to_v") && !has("add_k_proj") && !has("add_v_proj"));
  }
}

KeyValue PromptKvCache::prompt_kv(int site, const torch::Tensor& embedding, const Project& project) {
  if (!frozen_.at(static_cast<size_t>(site))) return project(embedding);
  if (static_cast<std::int64_t>(rows_.size()) != embedding.size(0)) throw Failure({ErrorCode::internal, "the captions of the rows are not known"});
  torch::NoGradGuard no_grad;
  std::vector<torch::Tensor> keys, values;
  std::map<std::string, KeyValue> fresh;  // of this call, where the budget is spent
  for (size_t i = 0; i < rows_.size(); ++i) {
    const auto found = kept_.find({site, rows_[i]});
    KeyValue one = found != kept_.end() ? found->second : KeyValue();
    if (found == kept_.end()) {
      KeyValue& made = fresh[rows_[i]];
      if (!made.key.defined()) made = project(embedding.slice(0, static_cast<std::int64_t>(i), static_cast<std::int64_t>(i) + 1));
      one = made;
      const std::uint64_t size = one.key.nbytes() + one.value.nbytes();
      if (bytes_ + size <= budget_) {
        kept_[{site, rows_[i]}] = one;
        bytes_ += size;
      }
    }
    keys.push_back(one.key);
    values.push_back(one.value);
  }
  return {at::cat(keys), at::cat(values)};
}

}  // namespace glyphscope
