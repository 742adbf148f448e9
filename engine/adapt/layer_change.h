#pragma once

#include <torch/types.h>

#include <map>
#include <memory>
#include <string>

#include "models/layers.h"

namespace glyphscope {

/// Its rows' halves in the other order: where a file has shift before scale, and we scale before shift.
torch::Tensor swapped_halves(const torch::Tensor& rows);

/// What an adapter of any method but a plain low-rank product makes of one layer. Its parts have the names of LyCORIS, whose formulas these are, but for
/// those that PEFT alone has. Sources: LyCORIS 4.1.3 (`lycoris/modules`), PEFT 0.21 (`peft/tuners`).
struct LayerChange {
  enum class Method {
    none,         ///< The bias alone, or the magnitude alone.
    low_rank,     ///< lora_up, lora_down, and of Tucker's kind lora_mid.
    hadamard,     ///< LoHa (arXiv 2108.06098): hada_w1_a, .. and of Tucker's kind hada_t1, hada_t2.
    kronecker,    ///< LoKr: lokr_w1 or its two factors, lokr_w2 or its two factors, lokr_t2.
    difference,   ///< diff, what is added to the weight; of a norm w_norm.
    replacement,  ///< weight, what takes the weight's place (PEFT's modules_to_save).
    orthogonal,   ///< OFT (arXiv 2306.07280): oft_blocks [blocks, size, size], rescale.
    rotation,     ///< OFT and BOFT as PEFT has them, of what the layer reads: turns [blocks, size, size], or one for all; rescale, of its rows.
    butterfly,    ///< BOFT (arXiv 2311.06243): oft_blocks [stages, blocks, size, size], rescale.
    scaling       ///< IA3 (arXiv 2205.05638): weight, on_input; of PEFT ia3_l.
  };
  Method method = Method::none;
  std::map<std::string, torch::Tensor> parts;
  double scale = 1;                      ///< Of what is added: alpha / rank.
  double constraint = 0;                 ///< Of OFT and BOFT: the largest norm of the rotations' generator, over the layer's rows; 0: none.
  torch::Tensor magnitude;               ///< DoRA (arXiv 2402.09353): of each row [out, 1..], or of each column [1, in..]; undefined: none.
  bool peft = false;                     ///< DoRA at other strengths than 1 as PEFT has it, else as LyCORIS does.
  torch::Tensor bias;                    ///< [out], added to the bias; undefined: none.
  bool replaces_bias = false;            ///< It takes the bias' place.
  std::int64_t first_row = 0, rows = 0;  ///< The layer's rows of a fused one's; rows 0: it is no fused layer.
  bool swapped = false;                  ///< The change's output rows' halves stand the other way round.

  /// own: the layer's weight -> what it becomes, of the same shape and dtype. Computed in fp32 where weights are of 16 bits. Throws a Failure for parts
  /// that do not make a weight of that shape.
  torch::Tensor weight(const torch::Tensor& own, double strength) const;
  /// own: undefined if the layer has none. weight: the layer's, whose rows the bias is of. Throws a Failure for one of another size.
  torch::Tensor changed_bias(const torch::Tensor& own, const torch::Tensor& weight, double strength) const;
  LayerChange to(torch::Device device) const;
  /// The same with what does not depend on the weight's numbers formed once: rotations, which take an inverse. rows: the layer's.
  LayerChange prepared(std::int64_t rows) const;
  std::int64_t parameters() const;
  /// "LoHa", as people call it.
  std::string name() const;
};

/// A change at work in a layer.
struct ActiveChange : WeightChange {
  ActiveChange(LayerChange change, double strength) : change(std::move(change)), strength(strength) {}
  torch::Tensor weight(const torch::Tensor& own) const override { return change.weight(own, strength); }
  torch::Tensor bias(const torch::Tensor& own, const torch::Tensor& weight) const override { return change.changed_bias(own, weight, strength); }
  LayerChange change;
  double strength;
};

}  // namespace glyphscope
