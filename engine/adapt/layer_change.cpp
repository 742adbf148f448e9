#include "adapt/layer_change.h"

#include <torch/torch.h>

#include <array>
#include <limits>

#include "core/error.h"

namespace glyphscope {
namespace {

// Two factors and a core. core: [i, j, k, l]; left: [i, out]; right: [j, in] -> [out, in, k, l]. Source: LyCORIS `rebuild_tucker`.
torch::Tensor tucker(const torch::Tensor& core, const torch::Tensor& left, const torch::Tensor& right) {
  return torch::einsum("ij...,jr->ir...", {core, right}).movedim(0, -1).matmul(left).movedim(-1, 0);
}

// Rotations from the skew parts of blocks [.., n, n] by Cayley's transform.
torch::Tensor rotations(const torch::Tensor& blocks, double constraint) {
  torch::Tensor skew = blocks - blocks.transpose(-1, -2);
  if (constraint > 0) {
    const torch::Tensor norm = skew.norm() + 1e-8;
    if (norm.item<double>() > constraint) skew = skew * (constraint / norm);
  }
  const torch::Tensor one = torch::eye(blocks.size(-1), blocks.options());
  return (one + skew).matmul(torch::linalg_inv(one - skew));
}

torch::Tensor beside(const torch::Tensor& vector, std::int64_t dims) {
  std::vector<std::int64_t> sizes(static_cast<size_t>(dims), 1);
  sizes[0] = vector.numel();
  return vector.reshape(sizes);
}

}  // namespace

torch::Tensor swapped_halves(const torch::Tensor& rows) {
  const auto halves = rows.chunk(2, 0);
  return torch::cat({halves[1], halves[0]});
}

std::string LayerChange::name() const {
  if (magnitude.defined()) return "DoRA";
  switch (method) {
    case Method::low_rank:
      return "LoRA of a convolution";
    case Method::hadamard:
      return "LoHa";
    case Method::kronecker:
      return "LoKr";
    case Method::difference:
      return "a whole weight difference";
    case Method::replacement:
      return "a whole weight (modules_to_save)";
    case Method::orthogonal:
      return "OFT";
    case Method::rotation:
      return "OFT as PEFT has it";
    case Method::butterfly:
      return "BOFT";
    case Method::scaling:
      return "IA3";
    default:
      return "a bias";
  }
}

std::int64_t LayerChange::parameters() const {
  std::int64_t sum = (magnitude.defined() ? magnitude.numel() : 0) + (bias.defined() ? bias.numel() : 0);
  for (const auto& [name, part] : parts) sum += part.numel();
  return sum;
}

LayerChange LayerChange::prepared(std::int64_t rows_of_layer) const {
  LayerChange out = *this;
  if (method == Method::orthogonal || method == Method::butterfly)
    out.parts["turns"] = rotations(widened(parts.at("oft_blocks")), constraint * static_cast<double>(rows_of_layer));
  return out;
}

LayerChange LayerChange::to(torch::Device device) const {
  LayerChange out = *this;
  for (auto& [name, part] : out.parts) part = part.to(device);
  if (magnitude.defined()) out.magnitude = magnitude.to(device);
  if (bias.defined()) out.bias = bias.to(device);
  return out;
}

namespace {

using Method = LayerChange::Method;

// A layer's weight as a change makes it.
struct ChangedWeight {
  const LayerChange& change;
  const torch::Tensor& before;
  double strength;

  bool has(const char* part) const { return change.parts.contains(part); }
  torch::Tensor part(const char* wanted) const {
    const auto found = change.parts.find(wanted);
    if (found == change.parts.end()) reject(change.name() + " lacks its part '" + wanted + "'");
    return found->second.to(before.scalar_type());
  }
  void check_rows(std::int64_t count) const {
    if (count != before.size(0)) reject(c10::str(change.name(), " is of ", count, " rows, the layer of ", before.size(0)));
  }
  // In the layer's shape: of a fused layer's rows the own ones.
  torch::Tensor fitted(const torch::Tensor& changes) const {
    torch::Tensor out = changes;
    if (change.rows > 0) {
      if (out.size(0) != change.rows) reject(change.name() + c10::str(" is of ", out.size(0), " rows, the fused layer has ", change.rows));
      out = out.narrow(0, change.first_row, before.size(0));
    }
    if (out.dim() == 0 || out.size(0) != before.size(0) || out.numel() != before.numel())
      reject(change.name() + c10::str(" is ", changes.sizes(), ", the layer ", before.sizes()));
    out = out.reshape(before.sizes());
    return change.swapped ? swapped_halves(out) : out;
  }

  torch::Tensor low_rank() const {
    const torch::Tensor up = part("lora_up").flatten(1), down = part("lora_down");
    return has("lora_mid") ? tucker(part("lora_mid"), up.t(), down.flatten(1)) : up.matmul(down.flatten(1));
  }

  torch::Tensor hadamard() const {
    return has("hada_t1") ? tucker(part("hada_t1"), part("hada_w1_a"), part("hada_w1_b")) * tucker(part("hada_t2"), part("hada_w2_a"), part("hada_w2_b"))
                          : part("hada_w1_a").matmul(part("hada_w1_b").flatten(1)) * part("hada_w2_a").matmul(part("hada_w2_b").flatten(1));
  }

  torch::Tensor kronecker() const {
    torch::Tensor first = has("lokr_w1") ? part("lokr_w1") : part("lokr_w1_a").matmul(part("lokr_w1_b")), second;
    if (has("lokr_w2"))
      second = part("lokr_w2");
    else if (has("lokr_t2"))
      second = tucker(part("lokr_t2"), part("lokr_w2_a"), part("lokr_w2_b"));
    else
      second = part("lokr_w2_a").matmul(part("lokr_w2_b").flatten(1)).reshape([&] {
        std::vector<std::int64_t> sizes = part("lokr_w2_b").sizes().vec();
        sizes[0] = part("lokr_w2_a").size(0);
        return sizes;
      }());
    while (first.dim() < second.dim()) first = first.unsqueeze(-1);
    return torch::kron(first, second.contiguous());
  }

  torch::Tensor scaled() const {
    torch::Tensor factor;
    if (has("ia3_l")) {
      // Of convolutions both sides have the same shape.
      const torch::Tensor vector = part("ia3_l");
      if (before.dim() != 2) reject("IA3 of a convolution, as PEFT writes it, cannot be used");
      const bool by_row = vector.size(0) == before.size(0);
      if (vector.numel() != before.size(by_row ? 0 : 1)) reject(c10::str("IA3 is ", vector.sizes(), ", the layer ", before.sizes()));
      factor = by_row ? vector.reshape({-1, 1}) - 1 : vector.reshape({1, -1}) - 1;
    } else {
      factor = beside(part("weight").flatten(), before.dim());
      const bool on_input = has("on_input") && part("on_input").item<double>() != 0;
      if (factor.numel() != before.size(on_input ? 1 : 0)) reject(c10::str("IA3 is of ", factor.numel(), " numbers, the layer ", before.sizes()));
      if (on_input) factor = factor.transpose(0, 1);
    }
    return before * (1 + strength * factor);
  }

  torch::Tensor orthogonal() const {
    const torch::Tensor turn = has("turns") ? part("turns") : rotations(part("oft_blocks"), change.constraint * static_cast<double>(before.size(0))),
                        one = torch::eye(turn.size(-1), turn.options());
    check_rows(turn.size(0) * turn.size(1));
    if (has("rescale")) check_rows(part("rescale").numel());
    const torch::Tensor grouped = before.reshape({turn.size(0), turn.size(1), -1});
    torch::Tensor out = torch::einsum("knm,knr->kmr", {(turn - one) * strength, grouped}).reshape(before.sizes());
    if (has("rescale")) {
      const torch::Tensor times = beside(part("rescale").flatten(), before.dim());
      out = times * out + (times - 1) * before;
    }
    return before + out;
  }

  torch::Tensor rotated() const {
    // Kernels of more points would read what is rotated at each of them, which is no weight of the layer's.
    if (before.dim() != 2 && before[0][0].numel() != 1) reject("OFT of a convolution, as PEFT writes it, cannot be used");
    const torch::Tensor turns = part("turns");
    const std::int64_t size = turns.size(-1), blocks = before.size(1) / size;
    if (before.size(1) != blocks * size || (turns.size(0) != 1 && turns.size(0) != blocks))
      reject(c10::str(change.name(), " has ", turns.size(0), " blocks of ", size, ", the layer reads ", before.size(1)));
    torch::Tensor out = torch::matmul(before.reshape({before.size(0), blocks, 1, size}), turns.transpose(1, 2)).reshape(before.sizes());
    if (has("rescale")) {
      check_rows(part("rescale").numel());
      out = out * beside(part("rescale").flatten(), before.dim());
    }
    return before + strength * (out - before);
  }

  torch::Tensor butterfly() const {
    const torch::Tensor turns = has("turns") ? part("turns") : rotations(part("oft_blocks"), change.constraint * static_cast<double>(before.size(0))),
                        one = torch::eye(turns.size(-1), turns.options());
    const std::int64_t size = turns.size(-1);
    check_rows(turns.size(1) * size);
    if (has("rescale")) check_rows(part("rescale").numel());
    torch::Tensor x = before;
    for (std::int64_t stage = 0; stage < turns.size(0); ++stage) {
      const torch::Tensor turn = turns[stage] * strength + (1 - strength) * one;
      const std::int64_t apart = (std::int64_t{1} << stage) * (size / 2);
      x = x.unflatten(0, {-1, 2, apart}).transpose(1, 2).flatten(0, 2).unflatten(0, {-1, size});
      x = torch::einsum("bij,bj...->bi...", {turn, x});
      x = x.flatten(0, 1).unflatten(0, {-1, apart, 2}).transpose(1, 2).flatten(0, 2);
    }
    if (has("rescale")) x = x * beside(part("rescale").flatten(), before.dim());
    return x;
  }

  // term: what the change adds to the weight.
  torch::Tensor with_magnitude(const torch::Tensor& term) const {
    // The direction is the changed weight's, the length is learned apart: of each row, or of each column.
    torch::Tensor length = change.magnitude.to(before.scalar_type());
    if (length.dim() == 1) length = length.unsqueeze(1);
    const bool by_column = length.size(0) == 1 && before.size(0) != 1;
    if (!by_column && change.rows > 0 && length.size(0) == change.rows) length = length.narrow(0, change.first_row, before.size(0));
    if (length.numel() != (by_column ? before.size(1) : before.size(0)))
      reject(c10::str("DoRA's magnitudes are ", change.magnitude.sizes(), ", the layer ", before.sizes()));
    if (!by_column && change.swapped) length = swapped_halves(length);
    length = by_column ? beside(length.flatten(), before.dim()).transpose(0, 1) : beside(length.flatten(), before.dim());
    const auto norms = [&](const torch::Tensor& of) {
      if (by_column) return beside(of.transpose(0, 1).flatten(1).norm(2, 1), before.dim()).transpose(0, 1);
      return beside(of.flatten(1).norm(2, 1), before.dim());
    };
    const torch::Tensor whole = before + (change.peft ? strength : 1) * term;
    const double tiny = change.peft ? 0 : std::numeric_limits<float>::epsilon();
    // Of PEFT's the norm is a constant to the gradient (the paper's section 4.3); to LyCORIS' it is not.
    const torch::Tensor norm = change.peft ? norms(whole).detach() : norms(whole);
    const torch::Tensor ratio = length / (norm + tiny);
    return change.peft ? whole * ratio : whole * (strength * (ratio - 1) + 1);
  }

  // What is added to the weight; undefined: nothing is.
  torch::Tensor added() const {
    switch (change.method) {
      case Method::low_rank:
        return low_rank();
      case Method::hadamard:
        return hadamard();
      case Method::kronecker:
        return kronecker();
      case Method::difference:
        return part("diff");
      default:
        return {};
    }
  }

  torch::Tensor whole() const {
    switch (change.method) {
      case Method::replacement:
        return before + strength * (fitted(part("weight")) - before);
      case Method::scaling:
        return scaled();
      case Method::orthogonal:
        return orthogonal();
      case Method::rotation:
        return rotated();
      case Method::butterfly:
        return butterfly();
      default:
        break;
    }
    const torch::Tensor sum = added();
    const torch::Tensor term = sum.defined() ? fitted(sum) * change.scale : torch::zeros_like(before);
    return change.magnitude.defined() ? with_magnitude(term) : before + strength * term;
  }
};

}  // namespace

torch::Tensor LayerChange::weight(const torch::Tensor& own, double strength) const {
  if (method == Method::none && !magnitude.defined()) return own;
  const torch::Tensor before = widened(own);
  return ChangedWeight{*this, before, strength}.whole().to(own.scalar_type());
}

torch::Tensor LayerChange::changed_bias(const torch::Tensor& own, const torch::Tensor& weight, double strength) const {
  // PEFT's IA3 multiplies what comes out of a layer, its bias too; of feed-forward layers what goes in.
  if (parts.contains("ia3_l") && own.defined() && parts.at("ia3_l").size(0) == weight.size(0)) {
    const torch::Tensor wide = widened(own);
    return (wide * (1 + strength * (parts.at("ia3_l").flatten().to(wide.scalar_type()) - 1))).to(own.scalar_type());
  }
  if (!bias.defined()) return own;
  torch::Tensor change = bias.flatten();
  if (rows > 0 && change.size(0) == rows) change = change.narrow(0, first_row, weight.size(0));
  if (change.size(0) != weight.size(0)) reject(c10::str("the bias is of ", bias.numel(), " numbers, the layer has ", weight.size(0), " rows"));
  if (swapped) change = swapped_halves(change);
  if (!own.defined()) return strength * change;
  const torch::Tensor wide = widened(own), added = change.to(wide.scalar_type());
  return (wide + strength * (replaces_bias ? added - wide : added)).to(own.scalar_type());
}

}  // namespace glyphscope
