#include "adapt/stored_layer.h"

#include <torch/types.h>

#include <algorithm>
#include <cmath>

#include "core/error.h"

namespace glyphscope {

torch::Tensor StoredLayer::take(const std::string& part) {
  const auto found = parts.find(part);
  if (found == parts.end()) return {};
  torch::Tensor out = found->second;
  parts.erase(found);
  return out;
}

namespace {

using Method = LayerChange::Method;

// PEFT's rotations of what a layer reads. generators: [blocks, n (n - 1) / 2], the rows of what stands over the diagonal. Source: PEFT 0.21
// `OFTRotationModule`.
torch::Tensor oft_turns(const torch::Tensor& generators, const AdapterSettings& settings) {
  const auto size = static_cast<std::int64_t>(std::llround((1 + std::sqrt(1 + 8 * static_cast<double>(generators.size(1)))) / 2));
  const torch::Tensor at = torch::triu_indices(size, size, 1);
  torch::Tensor skew = torch::zeros({generators.size(0), size, size});
  skew.index_put_({torch::indexing::Slice(), at[0], at[1]}, generators);
  skew = skew - skew.transpose(1, 2);
  if (settings.largest_turn() > 0) {
    const double most = settings.largest_turn() / std::sqrt(static_cast<double>(generators.size(0)));
    const torch::Tensor norm = skew.norm(2, {1, 2}, /*keepdim=*/true);
    skew = torch::where(norm <= most, skew, most * skew / norm);
  }
  const torch::Tensor one = torch::eye(size).expand_as(skew);
  const int terms = settings.series_terms();
  if (terms == 0) return torch::linalg_solve(one + skew, one - skew, /*left=*/false);
  // Of the series 1 + 2 S + 2 S^2 + .. to a power the last term counts once; three terms are PEFT's four. One and two are its beginning.
  const int highest = terms < 3 ? terms - 1 : std::max(3, terms - 1);
  torch::Tensor out = one.clone(), power = one;
  for (int exponent = 1; exponent <= highest; ++exponent) {
    power = torch::bmm(power, skew);
    out = out + (exponent == highest && terms >= 3 ? 1 : 2) * power;
  }
  return out;
}

// The same of BOFT's, whose matrices are whole. Source: PEFT 0.21 `BOFTLayer.cayley_batch`.
torch::Tensor boft_turns(const torch::Tensor& generators) {
  const torch::Tensor skew = 0.5 * (generators - generators.transpose(1, 2)), one = torch::eye(generators.size(1)).expand_as(skew);
  return torch::linalg_solve(one + skew, one - skew, /*left=*/false);
}

// Reads one layer's parts; what is taken of them is used.
struct PartReader {
  StoredLayer& one;
  const std::string& name;
  const AdapterSettings& settings;
  const std::string& where;
  LayerPart out;
  LayerChange change;

  [[noreturn]] void wrong(const std::string& what, const std::string& hint = "The file is damaged") const { reject("'" + name + "' " + what, where, hint); }

  void check() const {
    const char* astray = "The file is damaged, or its training went astray";
    if (one.alphas.value_or(1) != 1)
      reject("the alpha of '" + name + "' is of " + std::to_string(*one.alphas) + " numbers, one was expected", where, "The file is damaged");
    for (const auto& [part, tensor] : one.parts) {
      if (!tensor.isfinite().all().item<bool>()) wrong("holds numbers that are not finite", astray);
      const bool matrix = part.starts_with("hada_") || part.starts_with("lokr_") || (part.starts_with("lora_") && part != "lora_bias");
      if (matrix && (tensor.dim() < 2 || tensor.numel() == 0)) wrong(c10::str("has a part '", part, "' of ", tensor.sizes(), ", a matrix was expected"));
    }
  }

  double alpha(std::int64_t rank) const {
    const double alpha = one.alpha.value_or(settings.alpha(name, rank));
    if (!std::isfinite(alpha)) wrong("holds numbers that are not finite", "The file is damaged, or its training went astray");
    return alpha;
  }

  void keep(std::initializer_list<const char*> parts) {
    for (const char* part : parts)
      if (one.has(part)) change.parts[part] = one.take(part);
  }

  void low_rank() {
    if (!one.has("lora_down") || !one.has("lora_up"))
      wrong(std::string("is no pair of matrices: its ") + (one.has("lora_up") ? "first" : "second") + " is missing");
    const torch::Tensor lora_bias = one.take("lora_bias");
    const torch::Tensor down = one.take("lora_down"), up = one.take("lora_up"), mid = one.take("lora_mid");
    const bool fit = down.dim() >= 2 && up.dim() >= 2 && down.size(0) >= 1 &&
                     (mid.defined() ? mid.dim() >= 2 && mid.size(0) == up.size(1) && mid.size(1) == down.size(0) : down.size(0) == up.size(1));
    if (settings.dora() && !change.magnitude.defined()) wrong("lacks the magnitudes of DoRA, which the adapter's settings say it is");
    if (!fit) wrong(c10::str("is no pair of matrices: they are ", up.sizes(), " and ", down.sizes()));
    const auto rank = down.size(0);
    change.scale = alpha(rank) / static_cast<double>(rank);
    if (!mid.defined() && down.dim() == 2 && up.dim() == 2 && !change.magnitude.defined()) {
      out.product = LoraLayer{down, up, alpha(rank)};
    } else {
      change.method = Method::low_rank;
      change.parts = {{"lora_down", down}, {"lora_up", up}};
      if (mid.defined()) change.parts["lora_mid"] = mid;
    }
    if (lora_bias.defined()) change.bias = lora_bias * change.scale;
  }

  void hadamard() {
    change.method = Method::hadamard;
    for (const char* part : {"hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b"})
      if (!one.has(part)) wrong(std::string("is no LoHa: ") + part + " is missing");
    const auto rank = one.parts["hada_w1_b"].size(0);
    change.scale = alpha(rank) / static_cast<double>(rank);
    keep({"hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b", "hada_t1", "hada_t2"});
  }

  void kronecker() {
    change.method = Method::kronecker;
    if (!(one.has("lokr_w1") || (one.has("lokr_w1_a") && one.has("lokr_w1_b"))) || !(one.has("lokr_w2") || (one.has("lokr_w2_a") && one.has("lokr_w2_b"))))
      wrong("is no LoKr: one of its two matrices is missing");
    // Two whole matrices have no rank to be scaled by.
    const std::int64_t rank = one.has("lokr_w1_b") ? one.parts["lokr_w1_b"].size(0) : one.has("lokr_w2_b") ? one.parts["lokr_w2_b"].size(0) : 0;
    const double own = rank > 0 ? static_cast<double>(rank) : settings.rank();
    change.scale = own > 0 ? alpha(static_cast<std::int64_t>(own)) / own : 1;
    keep({"lokr_w1", "lokr_w1_a", "lokr_w1_b", "lokr_w2", "lokr_w2_a", "lokr_w2_b", "lokr_t2"});
  }

  void lycoris_rotation() {
    const torch::Tensor blocks = one.take("oft_blocks");
    if ((blocks.dim() != 3 && blocks.dim() != 4) || blocks.size(-1) != blocks.size(-2))
      wrong(c10::str("has blocks of ", blocks.sizes(), ", square ones were expected"));
    change.method = blocks.dim() == 4 ? Method::butterfly : Method::orthogonal;
    change.constraint = one.alpha.value_or(0);
    change.parts["oft_blocks"] = blocks;
    if (one.has("rescale")) change.parts["rescale"] = one.take("rescale");
  }

  void oft() {
    const torch::Tensor generators = one.take("oft_R");
    const double size = generators.dim() == 2 ? (1 + std::sqrt(1 + 8 * static_cast<double>(generators.size(1)))) / 2 : 0.5;
    if (size != std::floor(size)) wrong(c10::str("has generators of ", generators.sizes(), ", blocks times what stands over a diagonal was expected"));
    if (!settings.of_rotations()) wrong("is of PEFT's OFT, and nothing says how its rotations are formed", "Copy adapter_config.json beside the file");
    change.method = Method::rotation;
    change.parts["turns"] = oft_turns(generators, settings);
  }

  void boft() {
    const torch::Tensor generators = one.take("boft_R");
    if (generators.dim() != 4 || generators.size(2) != generators.size(3) || !one.has("boft_s"))
      wrong(c10::str("is no BOFT: its generators are ", generators.sizes(), one.has("boft_s") ? "" : ", its rows' scales are missing"));
    if (generators.size(0) > 1)
      wrong("is BOFT of " + std::to_string(generators.size(0)) + " butterfly factors, as PEFT writes it with its CUDA extension",
            "One factor can be used; merge it into the model otherwise");
    change.method = Method::rotation;
    change.parts["turns"] = boft_turns(generators[0]);
    change.parts["rescale"] = one.take("boft_s");
  }

  void scaling() {
    change.method = Method::scaling;
    if (!one.has("ia3_l") && !one.has("weight")) wrong("is no IA3: its weight is missing");
    keep({"ia3_l", "weight", "on_input"});
  }

  void by_method() {
    const auto has_any = [&](const std::string& begin) {
      return std::any_of(one.parts.begin(), one.parts.end(), [&](const auto& part) { return part.first.starts_with(begin); });
    };
    if (one.has("lora_down") || one.has("lora_up") || one.has("lora_mid")) return low_rank();
    if (one.has("hada_w1_a") || one.has("hada_w1_b") || one.has("hada_w2_a") || one.has("hada_w2_b")) return hadamard();
    if (has_any("lokr_")) return kronecker();
    if (one.has("oft_blocks")) return lycoris_rotation();
    if (one.has("oft_R")) return oft();
    if (one.has("boft_R")) return boft();
    if (one.has("ia3_l") || one.has("on_input")) return scaling();
    if (one.has("bias") && !one.has("weight"))
      wrong("is a bias of the model's own, which PEFT trained along (its setting 'bias')", "Train with 'bias' none, or merge the adapter into the model");
    if (one.has("diff")) {
      change.method = Method::difference;
      keep({"diff"});
    } else if (one.has("weight")) {
      change.method = Method::replacement;
      keep({"weight"});
      change.bias = one.take("bias");
      change.replaces_bias = change.bias.defined();
    }
  }

  void read() {
    check();
    change.peft = one.has("magnitude");
    change.magnitude = one.has("magnitude") ? one.take("magnitude").flatten() : one.take("dora_scale");
    const torch::Tensor bias = one.take("diff_b");
    by_method();
    if (change.magnitude.defined() && change.method == Method::none) wrong("has DoRA's magnitudes, and no matrices that they are of");
    if (bias.defined()) change.bias = change.bias.defined() ? change.bias + bias : bias;
    if (!one.parts.empty()) {
      const std::string& extra = one.parts.begin()->first;
      const std::string other = extra == "oft_blocks" || extra == "oft_R" ? " of OFT"
                                : extra.starts_with("hada_")              ? " of LoHa"
                                : extra.starts_with("lokr_")              ? " of LoKr"
                                : extra == "ia3_l"                        ? " of IA3"
                                                                          : "";
      wrong("has a part '" + extra + "'" + other + " beside those of " + (out.product ? "LoRA" : change.name()), "The file mixes methods, or is damaged");
    }
    if (change.method != Method::none || change.magnitude.defined() || change.bias.defined()) out.change = change;
  }
};

}  // namespace

LayerPart make_part(StoredLayer stored, const std::string& name, const AdapterSettings& settings, const std::string& where) {
  PartReader reader{stored, name, settings, where, {}, {}};
  reader.read();
  return reader.out;
}

}  // namespace glyphscope
