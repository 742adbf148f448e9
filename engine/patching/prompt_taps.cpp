#include "patching/prompt_taps.h"

#include <torch/types.h>

#include "cuda/select_heads.h"

namespace glyphscope {

namespace {

KeyValue stack(const std::vector<KeyValue>& prompts) {
  std::vector<torch::Tensor> keys, values, masks;
  for (const auto& one : prompts) {
    keys.push_back(one.key);
    values.push_back(one.value);
    if (one.mask.defined()) masks.push_back(one.mask);
  }
  return {torch::cat(keys), torch::cat(values), masks.empty() ? torch::Tensor() : torch::cat(masks)};
}

// own: the index a row's own prompt has; source: the index of what a row sees in place of it, by row and prompt.
template <class Rows, class Own, class Source>
HeadChoice choose(const Rows& rows, int site, int step, std::int64_t heads, const Own& own, const Source& source) {
  const auto count = static_cast<std::int64_t>(rows.size());
  const auto indices = [&] { return torch::empty({count, heads}, torch::kInt32); };
  HeadChoice out{indices(), indices(), indices(), torch::ones({count, heads}), torch::ones({count, heads})};
  auto keys = out.key.accessor<int, 2>(), values = out.value.accessor<int, 2>(), owns = out.own.accessor<int, 2>();
  auto key_strengths = out.key_strength.accessor<float, 2>(), value_strengths = out.value_strength.accessor<float, 2>();
  for (std::int64_t row = 0; row < count; ++row) {
    for (std::int64_t head = 0; head < heads; ++head) keys[row][head] = values[row][head] = owns[row][head] = own(row);
    const PatchPlan* plan = rows[static_cast<size_t>(row)].plan;
    if (!plan) continue;
    for (const auto& patch : plan->patches()) {
      if (patch.site != site || !patch.active(step)) continue;
      const int from = source(row, patch.prompt);
      out.patched = true;
      out.blended |= patch.strength != 1;
      const auto strength = static_cast<float>(patch.strength);
      auto give = [&](std::int64_t head) {
        if (patch.streams != Streams::value) keys[row][head] = from, key_strengths[row][head] = strength;
        if (patch.streams != Streams::key) values[row][head] = from, value_strengths[row][head] = strength;
      };
      for (int head : patch.heads) give(head);
      if (patch.heads.empty())
        for (std::int64_t head = 0; head < heads; ++head) give(head);
    }
  }
  return out;
}

torch::Tensor select(const torch::Tensor& from, const torch::Tensor& which, const torch::Tensor& own, const torch::Tensor& strength) {
  torch::Tensor seen = select_heads(from, which.to(from.device()));
  if (!strength.defined()) return seen;
  return torch::lerp(select_heads(from, own.to(from.device())), seen, strength.to(from.options()).unsqueeze(-1).unsqueeze(-1));
}

// What is padding follows the keys: of keys that are blended, what is padding in both.
torch::Tensor select_mask(const torch::Tensor& from, const HeadChoice& choice) {
  if (!from.defined()) return {};
  const torch::Tensor all = from.expand({-1, choice.key.size(1), -1});
  const auto of = [&](const torch::Tensor& which) {
    return all.index({which.to(torch::kLong).to(from.device()), torch::arange(which.size(1)).to(from.device())});
  };
  torch::Tensor seen = of(choice.key);
  if (!choice.blended) return seen;
  const torch::Tensor strength = choice.key_strength.to(from.device()).unsqueeze(-1);
  return (seen & (strength != 0)) | (of(choice.own) & (strength != 1));
}

KeyValue select(const KeyValue& from, const HeadChoice& choice) {
  const auto strength = [&](const torch::Tensor& all) { return choice.blended ? all : torch::Tensor(); };
  return {select(from.key, choice.key, choice.own, strength(choice.key_strength)),
          select(from.value, choice.value, choice.own, strength(choice.value_strength)), select_mask(from.mask, choice)};
}

}  // namespace

bool HeadChoice::operator==(const HeadChoice& other) const {
  return torch::equal(key, other.key) && torch::equal(value, other.value) && torch::equal(key_strength, other.key_strength) &&
         torch::equal(value_strength, other.value_strength);
}

PromptTaps::PromptTaps(std::vector<PromptStates> prompts, std::vector<Row> rows, CancelToken cancel, std::vector<const KvRecord*> records)
    : prompts_(std::move(prompts)), rows_(std::move(rows)), cancel_(std::move(cancel)), records_(std::move(records)) {
  records_.resize(prompts_.size(), nullptr);
}

KeyValue PromptTaps::prompt_kv(int site, const PromptStates&, const Project& project) {
  Cached& cached = cache_[site];
  if (!cached.prompts.key.defined()) {
    // One prompt at a time: a prompt's K and V then have the same bits in every run, whatever other prompts are in it.
    std::vector<KeyValue> projected;
    for (const auto& prompt : prompts_) projected.push_back(project(prompt));
    cached.prompts = stack(projected);
  }
  // What was recorded of a prompt has the prompt's index plus the number of prompts.
  bool recorded = false;
  HeadChoice choice = choose(
      rows_, site, step_, cached.prompts.key.size(1), [&](std::int64_t row) { return rows_[static_cast<size_t>(row)].prompt; },
      [&](std::int64_t, int prompt) {
        const bool here = records_[static_cast<size_t>(prompt)];
        recorded |= here;
        return prompt + (here ? static_cast<int>(prompts_.size()) : 0);
      });
  // Recorded K and V may change from step to step.
  if (cached.batch.key.defined() && !recorded && !cached.recorded && choice == cached.choice) return cached.batch;

  KeyValue from = cached.prompts;
  if (recorded) {
    std::vector<KeyValue> sources{cached.prompts};
    for (size_t prompt = 0; prompt < prompts_.size(); ++prompt) {
      const auto at = static_cast<std::int64_t>(prompt);
      const auto own = [&](const torch::Tensor& all) { return all.defined() ? all.slice(0, at, at + 1) : all; };
      sources.push_back(records_[prompt] ? records_[prompt]->at(site, step_) : KeyValue{own(from.key), own(from.value), own(from.mask)});
    }
    from = stack(sources);
  }
  cached.batch = select(from, choice);
  cached.choice = std::move(choice);
  cached.recorded = recorded;
  return cached.batch;
}

KeyValue LockstepTaps::prompt_kv(int site, const PromptStates& prompt, const Project& project) {
  const KeyValue own = project(prompt);
  const HeadChoice choice = choose(
      rows_, site, step_, own.key.size(1), [](std::int64_t row) { return static_cast<int>(row); },
      [&](std::int64_t row, int prompt) { return rows_[static_cast<size_t>(row)].sources.at(prompt); });
  return choice.patched ? select(own, choice) : own;
}

}  // namespace glyphscope
