#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "patching/taps.h"

namespace glyphscope {

/// K and V of one prompt at each site and step, [1, heads, tokens, head dimension] each.
class KvRecord {
 public:
  /// The K and V of a site at a step. Where they do not depend on the step, one is kept for all. Throws a Failure if
  /// there is none.
  const KeyValue& at(int site, int step) const;
  void put(int site, int step, KeyValue kv) { entries_[{site, step}] = std::move(kv); }
  bool has(int site, int step) const { return entries_.contains({site, step}); }
  std::uint64_t bytes() const;

 private:
  std::map<std::pair<int, int>, KeyValue> entries_;
};

/// Records one row's prompt K and V while a run goes on, under a byte budget.
class KvRecorder : public Taps {
 public:
  struct Size {
    std::int64_t width_sum = 0;  ///< Sum over sites of heads x head dimension.
    std::int64_t tokens = 0;
    std::int64_t steps = 1;  ///< 1 where K and V do not depend on the step.
    std::int64_t element_bytes = 4;
    std::uint64_t bytes() const { return static_cast<std::uint64_t>(2 * width_sum * tokens * steps * element_bytes); }
  };

  /// Throws a Failure, before anything runs, if `size` exceeds `budget_bytes`. `row` is the batch row that is recorded.
  KvRecorder(const Size& size, std::uint64_t budget_bytes, std::int64_t row, bool depends_on_step);

  void begin_step(int step) { step_ = step; }
  KeyValue prompt_kv(int site, const PromptStates& prompt, const Project& project) override;
  const KvRecord& record() const { return record_; }

 private:
  KvRecord record_;
  std::int64_t row_;
  bool depends_on_step_;
  int step_ = 0;
};

}  // namespace glyphscope
