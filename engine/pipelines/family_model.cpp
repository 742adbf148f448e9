#include "pipelines/family_model.h"

#include <torch/types.h>

namespace glyphscope {

Conditioning FamilyModel::conditioned(const Prompt& prompt, const Request& request, bool negative) const {
  Conditioning out = beside_prompt(request, negative);
  out.embedding = prompt.embedding;
  out.prompt_mask = prompt.mask;
  out.pooled = prompt.pooled;
  return out;
}

}  // namespace glyphscope
