#include "patching/kv_recorder.h"

#include <torch/types.h>

#include "core/error.h"

namespace glyphscope {

const KeyValue& KvRecord::at(int site, int step) const {
  auto found = entries_.find({site, step});
  if (found == entries_.end()) found = entries_.find({site, 0});
  if (found == entries_.end()) reject("nothing was recorded at site " + std::to_string(site) + ", step " + std::to_string(step));
  return found->second;
}

std::uint64_t KvRecord::bytes() const {
  std::uint64_t sum = 0;
  for (const auto& [where, kv] : entries_) sum += kv.key.nbytes() + kv.value.nbytes();
  return sum;
}

KvRecorder::KvRecorder(const Size& size, std::uint64_t budget_bytes, std::int64_t row, bool depends_on_step) : row_(row), depends_on_step_(depends_on_step) {
  if (size.bytes() > budget_bytes)
    throw Failure(
        {ErrorCode::out_of_memory,
         "a record of the prompt's K and V needs " + std::to_string(size.bytes() >> 20) + " MiB, the budget is " + std::to_string(budget_bytes >> 20) + " MiB",
         "", "Raise the budget, record fewer steps, or let the sites read the prompt directly (injection), which needs no record"});
}

KeyValue KvRecorder::prompt_kv(int site, const PromptStates& prompt, const Project& project) {
  KeyValue kv = project(prompt);
  const int step = depends_on_step_ ? step_ : 0;
  const auto row = [&](const torch::Tensor& all) { return all.defined() ? all.narrow(0, row_, 1).clone() : all; };
  if (!record_.has(site, step)) record_.put(site, step, {row(kv.key), row(kv.value), row(kv.mask)});
  return kv;
}

}  // namespace glyphscope
