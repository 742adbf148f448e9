#include "patching/prompt_taps.h"

#include <torch/torch.h>

#include "cuda/select_heads.h"

namespace glyphscope {

namespace {

KeyValue stack(const std::vector<KeyValue>& prompts) {
  std::vector<torch::Tensor> keys, values;
  for (const auto& one : prompts) keys.push_back(one.key), values.push_back(one.value);
  return {torch::cat(keys), torch::cat(values)};
}

}  // namespace

PromptTaps::PromptTaps(std::vector<torch::Tensor> prompts, std::vector<Row> rows, CancelToken cancel, std::vector<const KvRecord*> records)
    : prompts_(std::move(prompts)), rows_(std::move(rows)), cancel_(std::move(cancel)), records_(std::move(records)) {
  records_.resize(prompts_.size(), nullptr);
}

// Whose K and V each row's heads get: prompts by their index, what was recorded of them by that plus the number of prompts.
PromptTaps::Choice PromptTaps::choose(int site, std::int64_t heads) const {
  Choice out{torch::empty({static_cast<std::int64_t>(rows_.size()), heads}, torch::kInt32), {}, false};
  for (size_t row = 0; row < rows_.size(); ++row) out.key[static_cast<std::int64_t>(row)].fill_(rows_[row].prompt);
  out.value = out.key.clone();
  auto keys = out.key.accessor<int, 2>(), values = out.value.accessor<int, 2>();
  for (size_t row = 0; row < rows_.size(); ++row) {
    if (!rows_[row].plan) continue;
    for (const auto& patch : rows_[row].plan->patches()) {
      if (patch.site != site || !patch.active(step_)) continue;
      const bool recorded = records_[static_cast<size_t>(patch.prompt)];
      const int from = patch.prompt + (recorded ? static_cast<int>(prompts_.size()) : 0);
      out.recorded |= recorded;
      auto give = [&](std::int64_t head) {
        if (patch.streams != Streams::value) keys[static_cast<std::int64_t>(row)][head] = from;
        if (patch.streams != Streams::key) values[static_cast<std::int64_t>(row)][head] = from;
      };
      for (int head : patch.heads) give(head);
      if (patch.heads.empty())
        for (std::int64_t head = 0; head < heads; ++head) give(head);
    }
  }
  return out;
}

KeyValue PromptTaps::prompt_kv(int site, const torch::Tensor&, const Project& project) {
  Cached& cached = cache_[site];
  if (!cached.prompts.key.defined()) {
    // One prompt at a time: a prompt's K and V then have the same bits in every run, whatever other prompts are in it.
    std::vector<KeyValue> projected;
    for (const auto& prompt : prompts_) projected.push_back(project(prompt));
    cached.prompts = stack(projected);
  }
  Choice choice = choose(site, cached.prompts.key.size(1));
  if (cached.batch.key.defined() && !choice.recorded && torch::equal(choice.key, cached.choice.key) && torch::equal(choice.value, cached.choice.value))
    return cached.batch;

  KeyValue from = cached.prompts;
  if (choice.recorded) {
    std::vector<KeyValue> sources{cached.prompts};
    for (size_t prompt = 0; prompt < prompts_.size(); ++prompt) {
      const auto at = static_cast<std::int64_t>(prompt);
      sources.push_back(records_[prompt] ? records_[prompt]->at(site, step_) : KeyValue{from.key.slice(0, at, at + 1), from.value.slice(0, at, at + 1)});
    }
    from = stack(sources);
  }
  cached.batch = {select_heads(from.key, choice.key.to(from.key.device())), select_heads(from.value, choice.value.to(from.value.device()))};
  cached.choice = std::move(choice);
  return cached.batch;
}

}  // namespace glyphscope
