#include "adapt/new_lora.h"

#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "core/error.h"
#include "core/option.h"
#include "device/placement.h"
#include "models/attention.h"

namespace glyphscope {

namespace {

bool is_prompt_kv(const Attention& attention, const std::string& name) {
  if (attention.site < 0) return false;
  return attention.add_k_proj ? name == "add_k_proj" || name == "add_v_proj" : name == "to_k" || name == "to_v";
}

// What PyTorch calls Kaiming's with a gain of 1 / sqrt(3).
torch::Tensor uniform(std::int64_t rows, std::int64_t columns, torch::Generator& generator) {
  const double bound = 1.0 / std::sqrt(static_cast<double>(columns));
  return torch::empty({rows, columns}, on_host(torch::kFloat32)).uniform_(-bound, bound, generator);
}
torch::Tensor normal(std::int64_t rows, std::int64_t columns, double deviation, torch::Generator& generator) {
  return torch::empty({rows, columns}, on_host(torch::kFloat32)).normal_(0, deviation, generator);
}
torch::Tensor nothing(std::int64_t rows, std::int64_t columns) { return torch::zeros({rows, columns}, on_host(torch::kFloat32)); }

// The starts are those of the libraries that the methods are of: PEFT's LoRA and DoRA, LyCORIS' LoHa and LoKr.
void add_layer(Lora& out, const AttentionProjection& layer, const WeightedLayer& module, const LoraPlan& plan, torch::Generator& generator) {
  const std::int64_t rank = plan.rank_at(layer.site), rows = layer.outputs, columns = layer.inputs;
  const double scale = plan.alpha_at(layer.site) / static_cast<double>(rank);
  const auto first = [&] {
    return plan.init == LoraInit::gaussian ? normal(rank, columns, 1.0 / static_cast<double>(rank), generator) : uniform(rank, columns, generator);
  };
  const torch::Device device = module.weight.device();
  LayerChange change;
  change.scale = scale;
  switch (plan.method) {
    case AdapterMethod::lora:
      out.layers[layer.path] = {first().to(device), nothing(rows, rank).to(device), plan.alpha_at(layer.site)};
      return;
    case AdapterMethod::dora:
      change.method = LayerChange::Method::low_rank;
      change.parts = {{"lora_down", first()}, {"lora_up", nothing(rows, rank)}};
      change.magnitude = module.numbers().to(torch::kFloat32).norm(2, 1);
      change.peft = true;
      break;
    case AdapterMethod::loha:
      change.method = LayerChange::Method::hadamard;
      change.parts["hada_w1_b"] = normal(rank, columns, 1, generator);
      change.parts["hada_w1_a"] = normal(rows, rank, 0.1, generator);
      change.parts["hada_w2_b"] = normal(rank, columns, 1, generator);
      change.parts["hada_w2_a"] = nothing(rows, rank);
      break;
    case AdapterMethod::lokr: {
      const KroneckerSides sides = kronecker_sides(rows, columns);
      change.method = LayerChange::Method::kronecker;
      if (sides.low_rank(rank)) {
        change.parts["lokr_w2_a"] = uniform(sides.large_rows, rank, generator);
        change.parts["lokr_w2_b"] = nothing(rank, sides.large_columns);
      } else {
        // Of whole factors LyCORIS counts none.
        change.parts["lokr_w2"] = nothing(sides.large_rows, sides.large_columns);
        change.scale = 1;
      }
      change.parts["lokr_w1"] = uniform(sides.small_rows, sides.small_columns, generator);
      break;
    }
  }
  out.changes[layer.path] = change.to(device);
}

Lora make(const torch::nn::Module& network, const std::vector<AttentionProjection>& layers, const LoraPlan& plan, torch::Generator& generator) {
  torch::NoGradGuard no_grad;
  Lora out;
  const auto modules = adaptable_layers(network);
  for (const auto& layer : layers) add_layer(out, layer, *modules.at(layer.path), plan, generator);
  return out;
}

}  // namespace

std::vector<AttentionProjection> attention_projections(const torch::nn::Module& denoiser) {
  std::vector<AttentionProjection> out;
  for (const auto& item : denoiser.named_modules(/*name_prefix=*/"", /*include_self=*/false)) {
    const auto* attention = dynamic_cast<const Attention*>(item.value().get());
    if (!attention) continue;
    for (const auto& [name, layer] : attention->projections())
      out.push_back({item.key() + "." + name, name, attention->site, is_prompt_kv(*attention, name), attention->site >= 0 && attention->add_k_proj,
                     layer->shape()[1], layer->shape()[0]});
  }
  return out;
}

std::vector<AttentionProjection> encoder_projections(const torch::nn::Module& encoder) {
  static const std::set<std::string> wanted{"q_proj", "k_proj", "v_proj", "out_proj", "q", "k", "v", "o"};
  std::vector<AttentionProjection> out;
  for (const auto& [path, layer] : adaptable_layers(encoder)) {
    const std::string name = path.substr(path.rfind('.') + 1);
    if (!wanted.contains(name)) continue;
    const auto shape = layer->shape();
    out.push_back({.path = path, .name = name, .inputs = shape[1], .outputs = shape[0]});
  }
  return out;
}

Lora make_lora(const torch::nn::Module& denoiser, const SiteTable& table, const LoraPlan& plan, torch::Generator generator) {
  static const std::vector<std::string> known{"to_q",       "to_k",       "to_v", "to_out.0", "add_q_proj", "add_k_proj",
                                              "add_v_proj", "to_add_out", "kv",   "paper",    "auto"};
  for (const auto& name : plan.projections)
    if (std::find(known.begin(), known.end(), name) == known.end())
      reject("there is no projection '" + name + "'", option(Option::projections),
             "Known are to_q, to_k, to_v, to_out.0, add_q_proj, add_k_proj, add_v_proj, to_add_out; kv for those that make the prompt's K and V, paper for the "
             "first four, and auto for what was localized");
  for (int site : plan.sites)
    if (site < 0 || site >= static_cast<int>(table.sites.size()))
      reject("there is no site " + std::to_string(site), option(Option::sites), "The model has " + std::to_string(table.sites.size()) + ", from 0");
  std::vector<AttentionProjection> layers = attention_projections(denoiser);
  std::erase_if(layers, [&](const AttentionProjection& layer) { return !plan.covers(layer); });
  plan.check_ranks(layers);
  if (layers.empty()) reject("no layer of the model gets an adapter", option(Option::sites), "Name sites, and projections that they have");
  return make(denoiser, layers, plan, generator);
}

Lora make_encoder_lora(const torch::nn::Module& encoder, const LoraPlan& plan, torch::Generator generator) {
  LoraPlan everywhere = plan;
  everywhere.every_attention = true;
  everywhere.ranks.clear();
  const std::vector<AttentionProjection> layers = encoder_projections(encoder);
  everywhere.projections = {"q_proj", "k_proj", "v_proj", "out_proj", "q", "k", "v", "o"};
  everywhere.check_ranks(layers);
  return make(encoder, layers, everywhere, generator);
}

}  // namespace glyphscope
