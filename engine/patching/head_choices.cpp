#include "patching/head_choices.h"

#include <torch/types.h>

#include <algorithm>
#include <tuple>
#include <utility>

#include "device/placement.h"

namespace glyphscope {

HeadChoices::HeadChoices(const SiteTable& table, std::vector<Row> rows) : rows_(std::move(rows)) {
  for (const auto& site : table.sites) heads_.push_back(site.heads);
  begin_step(0);
}

void HeadChoices::begin_step(int step) {
  std::vector<std::vector<bool>> active(rows_.size());
  for (size_t row = 0; row < rows_.size(); ++row)
    if (const PatchPlan* plan = rows_[row].plan)
      for (const auto& patch : plan->patches()) active[row].push_back(patch.active(step));
  if (version_ > 0 && active == active_) return;
  active_ = std::move(active);
  ++version_;
}

bool HeadChoices::sees(int site, int prompt) const {
  for (size_t row = 0; row < rows_.size(); ++row) {
    if (!rows_[row].plan) continue;
    const auto& patches = rows_[row].plan->patches();
    for (size_t i = 0; i < patches.size(); ++i)
      if (active_[row][i] && patches[i].part == BlockPart::prompt && patches[i].site == site && patches[i].prompt == prompt) return true;
  }
  return false;
}

const HeadChoice& HeadChoices::at(int site, torch::Device device) {
  if (built_ != version_) build(device);
  return choices_.at(static_cast<size_t>(site));
}

void HeadChoices::build(torch::Device device) {
  const auto count = static_cast<std::int64_t>(rows_.size());
  std::vector<bool> patched(heads_.size()), blended(heads_.size()), parted(heads_.size());
  const auto each_patch = [&](const auto& visit) {
    for (size_t row = 0; row < rows_.size(); ++row) {
      if (!rows_[row].plan) continue;
      const auto& patches = rows_[row].plan->patches();
      for (size_t i = 0; i < patches.size(); ++i)
        if (active_[row][i] && patches[i].part == BlockPart::prompt) visit(row, patches[i]);
    }
  };
  each_patch([&](size_t, const SitePatch& patch) {
    patched[static_cast<size_t>(patch.site)] = true;
    blended[static_cast<size_t>(patch.site)] = blended[static_cast<size_t>(patch.site)] || patch.strength != 1;
    parted[static_cast<size_t>(patch.site)] = parted[static_cast<size_t>(patch.site)] || !patch.all_tokens();
  });
  // Masks of tokens that rows' patches have in common are made once.
  std::map<std::tuple<size_t, int, std::vector<TokenGroup>, std::vector<TokenEncoder>>, torch::Tensor> masks;
  std::int64_t tokens = 0;
  const auto mask_of = [&](size_t row, const SitePatch& patch) -> const torch::Tensor& {
    torch::Tensor& mask = masks[{row, patch.prompt, patch.tokens, patch.encoders}];
    if (mask.defined()) return mask;
    const std::vector<bool> which = rows_[row].tokens(patch);
    tokens = static_cast<std::int64_t>(which.size());
    mask = torch::empty({tokens}, on_host(torch::kBool));
    for (std::int64_t i = 0; i < tokens; ++i) mask.data_ptr<bool>()[i] = which[static_cast<size_t>(i)];
    return mask;
  };
  each_patch([&](size_t row, const SitePatch& patch) {
    if (!patch.all_tokens()) mask_of(row, patch);
  });

  // Where each site's numbers begin; those of sites that no patch is at work at are the same.
  std::vector<std::int64_t> begin;
  std::map<std::int64_t, std::int64_t> plain;  // by heads
  std::int64_t total = 0;
  for (size_t site = 0; site < heads_.size(); ++site) {
    const auto [found, fresh] = patched[site] ? std::pair(plain.end(), true) : plain.try_emplace(heads_[site], total);
    begin.push_back(fresh ? total : found->second);
    if (fresh) total += count * heads_[site];
  }
  const torch::Tensor indices = torch::empty({3, total}, on_host(torch::kInt32)), strengths = torch::ones({2, total}, on_host());
  // Of sites where some tokens are not replaced.
  std::vector<std::int64_t> parted_at(heads_.size());
  std::int64_t parted_total = 0;
  for (size_t site = 0; site < heads_.size(); ++site)
    if (parted[site]) parted_at[site] = std::exchange(parted_total, parted_total + count * heads_[site]);
  const torch::Tensor replaced = torch::ones({2, parted_total, tokens}, on_host(torch::kBool));
  auto index = indices.accessor<int, 2>();
  auto strength = strengths.accessor<float, 2>();
  enum { kKey, kValue, kOwn };
  for (size_t site = 0; site < heads_.size(); ++site)
    for (std::int64_t row = 0; row < count; ++row)
      for (std::int64_t head = 0; head < heads_[site]; ++head)
        for (const auto of : {kKey, kValue, kOwn}) index[of][begin[site] + row * heads_[site] + head] = rows_[static_cast<size_t>(row)].own;
  each_patch([&](size_t row, const SitePatch& patch) {
    const auto site = static_cast<size_t>(patch.site);
    const int from = rows_[row].source(patch.prompt);
    const auto give = [&](std::int64_t head) {
      const std::int64_t at = begin[site] + static_cast<std::int64_t>(row) * heads_[site] + head;
      const auto far = static_cast<float>(patch.strength);
      if (patch.streams != Streams::value) index[kKey][at] = from, strength[kKey][at] = far;
      if (patch.streams != Streams::key) index[kValue][at] = from, strength[kValue][at] = far;
      if (!parted[site]) return;
      const std::int64_t place = parted_at[site] + static_cast<std::int64_t>(row) * heads_[site] + head;
      const auto part = [&](std::int64_t of) {
        if (patch.all_tokens())
          replaced[of][place].fill_(true);
        else
          replaced[of][place].copy_(mask_of(row, patch));
      };
      if (patch.streams != Streams::value) part(kKey);
      if (patch.streams != Streams::key) part(kValue);
    };
    for (const int head : patch.heads) give(head);
    if (patch.heads.empty())
      for (std::int64_t head = 0; head < heads_[site]; ++head) give(head);
  });

  const bool any_blended = std::find(blended.begin(), blended.end(), true) != blended.end();
  const torch::Tensor replaced_there = parted_total > 0 ? replaced.to(device) : torch::Tensor();
  const torch::Tensor there = indices.to(device), far = any_blended ? strengths.to(device) : torch::Tensor();
  choices_.assign(heads_.size(), {});
  for (size_t site = 0; site < heads_.size(); ++site) {
    const auto part = [&](const torch::Tensor& all, std::int64_t of) {
      return all[of].narrow(0, begin[site], count * heads_[site]).view({count, heads_[site]});
    };
    HeadChoice& out = choices_[site];
    out.key = part(there, kKey);
    out.value = part(there, kValue);
    out.own = part(there, kOwn);
    out.patched = patched[site];
    if (parted[site]) {
      const auto which = [&](std::int64_t of) {
        return replaced_there[of].narrow(0, parted_at[site], count * heads_[site]).view({count, heads_[site], tokens});
      };
      out.key_tokens = which(kKey);
      out.value_tokens = which(kValue);
    }
    if (!blended[site]) continue;
    out.key_strength = part(far, kKey);
    out.value_strength = part(far, kValue);
  }
  built_ = version_;
}

}  // namespace glyphscope
