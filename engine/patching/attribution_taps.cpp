#include "patching/attribution_taps.h"

#include <torch/types.h>

namespace glyphscope {

KeyValue AttributionTaps::prompt_kv(int site, const PromptStates& prompt, const Project& project) {
  const bool joint = states_.empty();
  const KeyValue both = joint ? project(prompt) : KeyValue{};
  const auto part = [](const torch::Tensor& all, std::int64_t row) { return all.defined() ? all.narrow(0, row, 1) : all; };
  const KeyValue own = joint ? KeyValue{part(both.key, 0), part(both.value, 0), part(both.mask, 0)} : project(states_[0]);
  const KeyValue other = joint ? KeyValue{part(both.key, 1).detach(), part(both.value, 1).detach(), part(both.mask, 1)} : project(states_[1]);
  const torch::Tensor strength = strengths_[site].narrow(0, 0, table_.sites[static_cast<size_t>(site)].heads).view({1, -1, 1, 1}).to(own.key.scalar_type());
  KeyValue out{own.key + strength * (other.key - own.key), own.value + strength * (other.value - own.value), {}};
  // Padding follows the keys; of keys that are on their way it is what is padding in both.
  if (own.mask.defined()) {
    const torch::Tensor far = strengths_[site].narrow(0, 0, table_.sites[static_cast<size_t>(site)].heads).detach().view({1, -1, 1});
    out.mask = (own.mask & (far != 1)) | (other.mask & (far != 0));
  }
  if (!joint) return out;
  // The second row goes on as it is.
  return {torch::cat({out.key, both.key.narrow(0, 1, 1)}), torch::cat({out.value, both.value.narrow(0, 1, 1)}),
          both.mask.defined() ? torch::cat({out.mask, both.mask.narrow(0, 1, 1).expand({-1, out.mask.size(1), -1})}) : torch::Tensor()};
}

}  // namespace glyphscope
