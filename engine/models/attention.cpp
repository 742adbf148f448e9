#include "models/attention.h"

#include <torch/torch.h>

namespace glyphscope {

Attention::Attention(const Options& options) : options_(options) {
  const std::int64_t inner = options.heads * options.head_width;
  const std::int64_t context = options.context_width > 0 ? options.context_width : options.query_width;
  to_q = register_module("to_q", std::make_shared<Linear>(options.query_width, inner, options.qkv_bias));
  to_k = register_module("to_k", std::make_shared<Linear>(context, inner, options.qkv_bias));
  to_v = register_module("to_v", std::make_shared<Linear>(context, inner, options.qkv_bias));
  to_out = register_module("to_out", std::make_shared<List<Linear>>());
  to_out->add(inner, options.query_width);
}

torch::Tensor Attention::split_heads(const torch::Tensor& x) const {
  return x.view({x.size(0), x.size(1), options_.heads, options_.head_width}).transpose(1, 2);
}

KeyValue Attention::project(const torch::Tensor& context) const { return {split_heads(to_k->forward(context)), split_heads(to_v->forward(context))}; }

torch::Tensor Attention::forward(const torch::Tensor& hidden, const torch::Tensor& context, Taps* taps) const {
  if (taps) taps->enter_attention();
  torch::Tensor query = split_heads(to_q->forward(hidden));
  KeyValue kv = taps && site >= 0 ? taps->prompt_kv(site, context, [this](const torch::Tensor& embedding) { return project(embedding); })
                                  : project(context.defined() ? context : hidden);
  torch::Tensor attended;
  if (options_.upcast && query.scalar_type() != torch::kFloat32) {
    attended = at::scaled_dot_product_attention(query.to(torch::kFloat32), kv.key.to(torch::kFloat32), kv.value.to(torch::kFloat32)).to(query.scalar_type());
  } else {
    attended = at::scaled_dot_product_attention(query, kv.key, kv.value);
  }
  attended = attended.transpose(1, 2).reshape({hidden.size(0), hidden.size(1), options_.heads * options_.head_width});
  return (*to_out)[0].forward(attended);
}

std::int64_t Attention::kv_parameters() const {
  std::int64_t sum = 0;
  for (const auto& projection : {to_k, to_v})
    for (const auto& parameter : projection->parameters()) sum += parameter.numel();
  return sum;
}

}  // namespace glyphscope
