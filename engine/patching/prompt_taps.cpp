#include "patching/prompt_taps.h"

#include <torch/types.h>

#include <utility>

#include "device/placement.h"
#include "device/select_heads.h"

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

torch::Tensor select(const torch::Tensor& from, const torch::Tensor& which, const torch::Tensor& own, const torch::Tensor& strength,
                     const torch::Tensor& tokens) {
  torch::Tensor seen = select_heads(from, which);
  if (!strength.defined() && !tokens.defined()) return seen;
  const torch::Tensor kept = select_heads(from, own);
  if (strength.defined()) seen = torch::lerp(kept, seen, strength.to(from.options()).unsqueeze(-1).unsqueeze(-1));
  return tokens.defined() ? torch::where(tokens.unsqueeze(-1), seen, kept) : seen;
}

// What is padding follows the keys: of keys that are blended, what is padding in both.
torch::Tensor select_mask(const torch::Tensor& from, const HeadChoice& choice) {
  if (!from.defined()) return {};
  const torch::Tensor all = from.expand({-1, choice.key.size(1), -1}), heads = torch::arange(choice.key.size(1), choice.key.options().dtype(torch::kLong));
  const auto of = [&](const torch::Tensor& which) { return all.index({which.to(torch::kLong), heads}); };
  torch::Tensor seen = of(choice.key);
  if (choice.key_strength.defined()) {
    const torch::Tensor strength = choice.key_strength.unsqueeze(-1);
    seen = (seen & (strength != 0)) | (of(choice.own) & (strength != 1));
  }
  return choice.key_tokens.defined() ? torch::where(choice.key_tokens, seen, of(choice.own)) : seen;
}

KeyValue select(const KeyValue& from, const HeadChoice& choice) {
  return {select(from.key, choice.key, choice.own, choice.key_strength, choice.key_tokens),
          select(from.value, choice.value, choice.own, choice.value_strength, choice.value_tokens), select_mask(from.mask, choice)};
}

// What was recorded of a prompt has the prompt's index plus the number of prompts.
std::vector<HeadChoices::Row> rows_of(const std::vector<PromptTaps::Row>& rows, int prompts, const std::vector<const KvRecord*>& records) {
  std::vector<HeadChoices::Row> out;
  for (const auto& row : rows)
    out.push_back({row.prompt, row.plan, [=](int prompt) { return prompt + (records[static_cast<size_t>(prompt)] ? prompts : 0); }, row.tokens});
  return out;
}

std::vector<HeadChoices::Row> rows_of(const std::vector<LockstepTaps::Row>& rows) {
  std::vector<HeadChoices::Row> out;
  for (size_t i = 0; i < rows.size(); ++i)
    out.push_back({static_cast<int>(i), rows[i].plan, [sources = rows[i].sources](int prompt) { return sources.at(prompt); }, rows[i].tokens});
  return out;
}

std::vector<const KvRecord*> as_many(std::vector<const KvRecord*> records, size_t prompts) {
  records.resize(prompts, nullptr);
  return records;
}

}  // namespace

PromptTaps::PromptTaps(const SiteTable& table, std::vector<PromptStates> prompts, const std::vector<Row>& rows, CancelToken cancel,
                       std::vector<const KvRecord*> records)
    : prompts_(std::move(prompts)),
      records_(as_many(std::move(records), prompts_.size())),
      cancel_(std::move(cancel)),
      choices_(table, rows_of(rows, static_cast<int>(prompts_.size()), records_)) {}

void PromptTaps::begin_step(int step) {
  step_ = step;
  choices_.begin_step(step);
}

KeyValue PromptTaps::prompt_kv(int site, const PromptStates&, const Project& project) {
  Cached& cached = cache_[site];
  if (!cached.prompts.key.defined()) {
    // One prompt at a time: a prompt's K and V then have the same bits in every run, whatever other prompts are in it.
    std::vector<KeyValue> projected;
    for (const auto& prompt : prompts_) projected.push_back(project(prompt));
    cached.prompts = stack(projected);
  }
  // Recorded K and V may change from step to step.
  if (cached.version == choices_.version() && !cached.recorded) return cached.batch;
  cached.version = choices_.version();
  cached.recorded = false;
  for (size_t prompt = 0; prompt < prompts_.size(); ++prompt) cached.recorded |= records_[prompt] && choices_.sees(site, static_cast<int>(prompt));

  KeyValue from = cached.prompts;
  if (cached.recorded) {
    std::vector<KeyValue> sources{cached.prompts};
    for (size_t prompt = 0; prompt < prompts_.size(); ++prompt) {
      const auto at = static_cast<std::int64_t>(prompt);
      const auto own = [&](const torch::Tensor& all) { return all.defined() ? all.slice(0, at, at + 1) : all; };
      sources.push_back(records_[prompt] ? records_[prompt]->at(site, step_) : KeyValue{own(from.key), own(from.value), own(from.mask)});
    }
    from = stack(sources);
  }
  cached.batch = select(from, choices_.at(site, from.key.device()));
  return cached.batch;
}

LockstepTaps::LockstepTaps(const SiteTable& table, const std::vector<Row>& rows, CancelToken cancel)
    : rows_(rows), cancel_(std::move(cancel)), choices_(table, rows_of(rows)) {}

torch::Tensor LockstepTaps::rows_for(int site, BlockPart part, torch::Device device) {
  std::vector<std::int64_t> from(rows_.size());
  bool patched = false;
  for (size_t row = 0; row < rows_.size(); ++row) {
    from[row] = static_cast<std::int64_t>(row);
    if (!rows_[row].plan) continue;
    for (const auto& patch : rows_[row].plan->patches())
      if (patch.part == part && patch.site == site && patch.active(step_)) {
        from[row] = rows_[row].sources.at(patch.prompt);
        patched = true;
      }
  }
  if (!patched) return {};
  auto& [rows, there] = sent_[{site, part}];
  if (rows != from) {
    there = torch::tensor(from, on_host(torch::kLong)).to(device);
    rows = std::move(from);
  }
  return there;
}

KeyValue LockstepTaps::picture_kv(int site, KeyValue own) {
  const torch::Tensor rows = rows_for(site, BlockPart::picture, own.key.device());
  return rows.defined() ? KeyValue{own.key.index_select(0, rows), own.value.index_select(0, rows), own.mask} : own;
}

torch::Tensor LockstepTaps::mlp(int site, torch::Tensor out) {
  const torch::Tensor rows = rows_for(site, BlockPart::mlp, out.device());
  return rows.defined() ? out.index_select(0, rows) : out;
}

KeyValue LockstepTaps::prompt_kv(int site, const PromptStates& prompt, const Project& project) {
  const KeyValue own = project(prompt);
  const HeadChoice& choice = choices_.at(site, own.key.device());
  return choice.patched ? select(own, choice) : own;
}

}  // namespace glyphscope
