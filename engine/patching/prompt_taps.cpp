#include "patching/prompt_taps.h"

#include <torch/torch.h>

namespace glyphscope {

PromptTaps::PromptTaps(std::vector<torch::Tensor> prompts, std::vector<Row> rows, CancelToken cancel, std::vector<const KvRecord*> records)
    : prompts_(std::move(prompts)), rows_(std::move(rows)), cancel_(std::move(cancel)), records_(std::move(records)) {
  records_.resize(prompts_.size(), nullptr);
}

KeyValue PromptTaps::prompt_kv(int site, const torch::Tensor&, const Project& project) {
  Cached& cached = cache_[site];
  // One prompt at a time: a prompt's K and V then have the same bits in every run, whatever other prompts are in it.
  if (cached.prompts.empty())
    for (const auto& prompt : prompts_) cached.prompts.push_back(project(prompt));

  std::vector<char> active;
  bool from_record = false;
  for (const auto& row : rows_) {
    if (!row.plan) continue;
    for (const auto& patch : row.plan->patches()) {
      if (patch.site != site) continue;
      active.push_back(patch.active(step_));
      from_record |= patch.active(step_) && records_[static_cast<size_t>(patch.prompt)];
    }
  }
  if (cached.batch.key.defined() && cached.active == active && !from_record) return cached.batch;

  std::vector<torch::Tensor> keys, values;
  for (const auto& row : rows_) {
    const KeyValue& own = cached.prompts.at(static_cast<size_t>(row.prompt));
    torch::Tensor key = own.key, value = own.value;
    bool copied = false;
    static const PatchPlan kNothing;
    for (const auto& patch : (row.plan ? row.plan : &kNothing)->patches()) {
      if (patch.site != site || !patch.active(step_)) continue;
      const auto prompt = static_cast<size_t>(patch.prompt);
      const KeyValue& other = records_[prompt] ? records_[prompt]->at(site, step_) : cached.prompts.at(prompt);
      if (!copied) key = key.clone(), value = value.clone(), copied = true;
      auto replace = [&](torch::Tensor& stream, const torch::Tensor& by) {
        if (patch.heads.empty()) {
          stream.copy_(by);
        } else {
          for (int head : patch.heads) stream.select(1, head).copy_(by.select(1, head));
        }
      };
      if (patch.streams != Streams::value) replace(key, other.key);
      if (patch.streams != Streams::key) replace(value, other.value);
    }
    keys.push_back(key);
    values.push_back(value);
  }
  cached.batch = {torch::cat(keys), torch::cat(values)};
  cached.active = std::move(active);
  return cached.batch;
}

}  // namespace glyphscope
