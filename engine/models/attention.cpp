#include "models/attention.h"

#include <torch/types.h>

#include <optional>

#include "models/block.h"

namespace glyphscope {

Attention::Attention(const Options& options) : options_(options) {
  const std::int64_t inner = options.heads * options.head_width;
  const std::int64_t context = options.context_width > 0 ? options.context_width : options.query_width;
  to_q = register_module("to_q", std::make_shared<Linear>(options.query_width, inner, options.qkv_bias));
  if (!options.added_only) {
    to_k = register_module("to_k", std::make_shared<Linear>(context, inner, options.qkv_bias));
    to_v = register_module("to_v", std::make_shared<Linear>(context, inner, options.qkv_bias));
  }
  if (!options.no_output) {
    to_out = register_module("to_out", std::make_shared<List<Linear>>());
    to_out->add(inner, options.query_width, options.out_bias);
  }
  auto norm = [&](const char* name) {
    return options.qk_norm ? register_module(name, std::make_shared<RmsNorm>(options.head_width, options.qk_norm_eps)) : nullptr;
  };
  norm_q = norm("norm_q");
  norm_k = norm("norm_k");
  const std::int64_t width = options.joint_width + options.added_width;  // one of them is 0
  auto added = [&](const char* name) { return register_module(name, std::make_shared<Linear>(width, inner)); };
  if (width > 0) {
    add_k_proj = added("add_k_proj");
    add_v_proj = added("add_v_proj");
  }
  if (options.groups > 0) group_norm = register_module("group_norm", std::make_shared<GroupNorm>(options.groups, options.query_width, 1e-5));
  // diffusers' cross_attention_norm_num_groups; no configuration sets another.
  if (options.context_norm) norm_cross = register_module("norm_cross", std::make_shared<GroupNorm>(32, width, 1e-5));
  if (options.joint_width == 0) return;
  add_q_proj = added("add_q_proj");
  norm_added_q = norm("norm_added_q");
  norm_added_k = norm("norm_added_k");
  if (!options.context_ends) to_add_out = register_module("to_add_out", std::make_shared<Linear>(inner, options.joint_width));
}

namespace {

torch::Tensor normed(const std::shared_ptr<RmsNorm>& norm, const torch::Tensor& x) { return norm ? norm->forward(x) : x; }
torch::Tensor turned(const Rotary* rotary, const torch::Tensor& x) { return rotary ? rotary->turn(x) : x; }

}  // namespace

torch::Tensor Rotary::turn(const torch::Tensor& x) const {
  const torch::Tensor wide = widened(x), pairs = wide.unflatten(-1, {-1, 2});
  const torch::Tensor quarter = torch::stack({-pairs.select(-1, 1), pairs.select(-1, 0)}, -1).flatten(3);
  return (wide * cosine + quarter * sine).to(x.dtype());
}

torch::Tensor Attention::split_heads(const torch::Tensor& x) const {
  return x.view({x.size(0), x.size(1), options_.heads, options_.head_width}).transpose(1, 2);
}

torch::Tensor Attention::merge_heads(const torch::Tensor& x) const {
  return x.transpose(1, 2).reshape({x.size(0), x.size(2), options_.heads * options_.head_width});
}

KeyValue Attention::project(const PromptStates& context) const {
  const torch::Tensor mask = context.mask.defined() ? context.mask.unsqueeze(1) : torch::Tensor();
  if (add_k_proj) {
    const torch::Tensor x = norm_cross ? norm_cross->forward(context.embedding.transpose(1, 2)).transpose(1, 2) : context.embedding;
    return {normed(norm_added_k, split_heads(add_k_proj->forward(x))), split_heads(add_v_proj->forward(x)), mask};
  }
  return {normed(norm_k, split_heads(to_k->forward(context.embedding))), split_heads(to_v->forward(context.embedding)), mask};
}

KeyValue Attention::prompt_kv(const PromptStates& context, Taps* taps, const Rotary* rotary) const {
  const auto projected = [&](const PromptStates& prompt) {
    KeyValue out = project(prompt);
    out.key = turned(rotary, out.key);
    return out;
  };
  return taps && site >= 0 ? taps->prompt_kv(site, context, projected) : projected(context);
}

// Of a layer that reads the prompt too, of its own block.
KeyValue Attention::picture_kv(KeyValue own, Taps* taps) const {
  const int block = site >= 0 ? site : beside;
  return taps && block >= 0 ? taps->picture_kv(block, std::move(own)) : own;
}

namespace {

// Of all keys: what is not the prompt's is attended to. prompt: its mask, [B, heads or 1, T], or undefined.
torch::Tensor mask_of_keys(const torch::Tensor& prompt, std::int64_t before, std::int64_t after) {
  return prompt.defined() ? at::constant_pad_nd(prompt, {before, after}, 1).unsqueeze(2) : prompt;
}

}  // namespace

torch::Tensor Attention::attend(const AttentionCall& call, Taps* taps) const {
  const std::optional<torch::Tensor> mask = call.mask.defined() ? std::optional(call.mask) : std::nullopt;
  const auto attended = [&](const torch::Tensor& query) {
    return options_.upcast ? at::scaled_dot_product_attention(widened(query), widened(call.key), widened(call.value), mask).to(query.scalar_type())
                           : at::scaled_dot_product_attention(query, call.key, call.value, mask);
  };
  // On a CPU one call of a large picture would take minutes, in which nobody could stop it: so much at once takes a tenth of a second or two on one core. A
  // score costs its multiplications, and an exponential that is worth some 64 of them.
  constexpr double kAtOnce = 6e9;
  constexpr std::int64_t kBlock = 256;  // of queries, as LibTorch takes them: whole ones are faster
  const double a_query = static_cast<double>(call.query.size(0) * call.query.size(1) * call.key.size(2) * (call.query.size(3) + 64));
  auto queries = std::max<std::int64_t>(1, static_cast<std::int64_t>(kAtOnce / a_query));
  if (queries > kBlock) queries -= queries % kBlock;
  torch::Tensor out;
  if (!taps || queries >= call.query.size(2) || at::GradMode::is_enabled() || !call.query.is_cpu()) {
    out = attended(call.query);
  } else {
    std::vector<torch::Tensor> parts;
    for (const auto& part : call.query.split(queries, 2)) {
      taps->enter_attention();
      parts.push_back(attended(part));
    }
    out = at::cat(parts, 2);
  }
  if (!taps) return merge_heads(out);
  AttentionCall told = call;
  told.site = site;
  return merge_heads(taps->attended(told, std::move(out)));
}

torch::Tensor Attention::forward(const torch::Tensor& hidden, const PromptStates& context, Taps* taps) const {
  if (taps) taps->enter_attention();
  const torch::Tensor query = normed(norm_q, split_heads(to_q->forward(hidden)));
  const bool crosses = context.embedding.defined();
  const KeyValue kv = crosses ? prompt_kv(context, taps) : picture_kv(project({hidden}), taps);
  return (*to_out)[0].forward(
      attend({query, kv.key, kv.value, 0, crosses ? context.embedding.size(1) : 0, 0, hidden.size(1), mask_of_keys(kv.mask, 0, 0)}, taps));
}

Attention::Streams Attention::forward_joint(const torch::Tensor& hidden, const PromptStates& context, const Rotary* rotary, Taps* taps) const {
  if (taps) taps->enter_attention();
  const KeyValue prompt = prompt_kv(context, taps);
  // diffusers' order: hidden states first, context after them.
  const torch::Tensor query = at::cat(
      {turned(rotary, normed(norm_q, split_heads(to_q->forward(hidden)))), normed(norm_added_q, split_heads(add_q_proj->forward(context.embedding)))}, 2);
  const std::int64_t own = hidden.size(1);
  const KeyValue picture = picture_kv({normed(norm_k, split_heads(to_k->forward(hidden))), split_heads(to_v->forward(hidden)), {}}, taps);
  const torch::Tensor attended = attend({query, at::cat({turned(rotary, picture.key), prompt.key}, 2), at::cat({picture.value, prompt.value}, 2), own,
                                         own + context.embedding.size(1), 0, own, mask_of_keys(prompt.mask, own, 0)},
                                        taps);
  return {(*to_out)[0].forward(attended.slice(1, 0, own)), to_add_out ? to_add_out->forward(attended.slice(1, own)) : torch::Tensor()};
}

torch::Tensor Attention::forward_single(const PromptStates& context, const Rotary* context_rotary, const torch::Tensor& hidden, const Rotary* rotary,
                                        Taps* taps) const {
  if (taps) taps->enter_attention();
  const std::int64_t tokens = context.embedding.defined() ? context.embedding.size(1) : 0, points = hidden.defined() ? hidden.size(1) : 0;
  const KeyValue prompt = tokens > 0 ? prompt_kv(context, taps, context_rotary) : KeyValue{};
  const KeyValue own = points > 0 ? picture_kv(project({hidden}), taps) : KeyValue{};
  const auto query = [&](const torch::Tensor& x, const Rotary* turn) { return turned(turn, normed(norm_q, split_heads(to_q->forward(x)))); };
  // The prompt's, then the picture's.
  const auto both = [&](auto&& of_prompt, auto&& of_picture) {
    if (tokens == 0) return of_picture();
    return points == 0 ? of_prompt() : at::cat({of_prompt(), of_picture()}, 2);
  };
  return attend({both([&] { return query(context.embedding, context_rotary); }, [&] { return query(hidden, rotary); }),
                 both([&] { return prompt.key; }, [&] { return turned(rotary, own.key); }), both([&] { return prompt.value; }, [&] { return own.value; }), 0,
                 tokens, tokens, tokens + points, mask_of_keys(prompt.mask, 0, points)},
                taps);
}

torch::Tensor Attention::forward_added(const torch::Tensor& x, const PromptStates& context, Taps* taps) const {
  if (taps) taps->enter_attention();
  return run({x, context.embedding}, [this, mask = context.mask, taps](const Tensors& in) -> Tensors {
    const torch::Tensor hidden = group_norm->forward(in[0]).flatten(2).transpose(1, 2);
    KeyValue kv = prompt_kv({in[1], mask}, taps);
    const std::int64_t points = to_k ? hidden.size(1) : 0;
    if (to_k) {
      const KeyValue own = picture_kv({split_heads(to_k->forward(hidden)), split_heads(to_v->forward(hidden)), {}}, taps);
      kv = {at::cat({kv.key, own.key}, 2), at::cat({kv.value, own.value}, 2), kv.mask};
    }
    const torch::Tensor out = (*to_out)[0].forward(
        attend({split_heads(to_q->forward(hidden)), kv.key, kv.value, 0, in[1].size(1), 0, hidden.size(1), mask_of_keys(kv.mask, 0, points)}, taps));
    return {in[0] + out.transpose(1, 2).reshape(in[0].sizes())};
  })[0];
}

std::vector<std::pair<std::string, Linear*>> Attention::projections() const {
  std::vector<std::pair<std::string, Linear*>> out;
  auto add = [&](const char* name, Linear* layer) {
    if (layer) out.emplace_back(name, layer);
  };
  add("to_q", to_q.get());
  add("to_k", to_k.get());
  add("to_v", to_v.get());
  add("to_out.0", to_out ? &(*to_out)[0] : nullptr);
  add("add_q_proj", add_q_proj.get());
  add("add_k_proj", add_k_proj.get());
  add("add_v_proj", add_v_proj.get());
  add("to_add_out", to_add_out.get());
  return out;
}

std::int64_t Attention::kv_parameters() const {
  std::int64_t sum = 0;
  const bool added = add_k_proj != nullptr;
  for (const auto& projection : {added ? add_k_proj : to_k, added ? add_v_proj : to_v})
    for (const auto& parameter : projection->parameters()) sum += parameter.numel();
  return sum;
}

void add_site(SiteTable& table, Attention& attention, Site site) {
  attention.site = static_cast<int>(table.sites.size());
  site.index = attention.site;
  site.heads = attention.heads();
  site.head_width = attention.head_width();
  site.kv_parameters = attention.kv_parameters();
  site.projections = attention.add_k_proj ? std::vector<std::string>{"add_k_proj", "add_v_proj"} : std::vector<std::string>{"to_k", "to_v"};
  table.sites.push_back(std::move(site));
}

}  // namespace glyphscope
