#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "adapt/lora.h"
#include "patching/site.h"
#include "patching/taps.h"

namespace glyphscope {

/// K and V of captions at sites whose projections of the prompt stay as they are in a training: computed once a caption, one at a time, so that what a
/// step computes does not depend on what has been kept. For models whose sites make K and V from the prompt alone (PatchMethod::injection).
class PromptKvCache : public Taps {
 public:
  /// trained: whose sites with an adapter at K or V are left alone.
  PromptKvCache(const SiteTable& table, const Lora& trained);
  /// What so many captions take in fp32. Where that is too much, no cache at all is faster than one that keeps a part: rows that it does not have are
  /// projected one by one.
  static std::uint64_t bytes_needed(const SiteTable& table, const Lora& trained, std::int64_t captions, std::int64_t tokens);

  /// Names the captions of the rows of the next calls.
  void set_rows(std::vector<std::string> captions) { rows_ = std::move(captions); }
  KeyValue prompt_kv(int site, const PromptStates& prompt, const Project& project) override;
  /// What is kept.
  std::uint64_t bytes() const { return bytes_; }

 private:
  std::vector<bool> frozen_;  // by site
  std::uint64_t bytes_ = 0;
  std::vector<std::string> rows_;
  std::map<std::pair<int, std::string>, KeyValue> kept_;  // [1, heads, tokens, head width] each
};

}  // namespace glyphscope
