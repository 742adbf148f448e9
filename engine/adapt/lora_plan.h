#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

/// Where an adapter goes and how large it is, without a torch type: a window can include this.
namespace glyphscope {

/// How the first matrix of LoRA and DoRA starts; the second starts at zero, so that a new adapter changes nothing.
enum class LoraInit {
  gaussian,  ///< N(0, 1 / rank^2): PEFT's "gaussian", the paper's choice.
  kaiming,   ///< U(+-1 / sqrt(in)): PEFT's default.
};

/// What an adapter is of a layer.
enum class AdapterMethod {
  lora,  ///< A product of two matrices (arXiv 2106.09685).
  dora,  ///< The same, and the length of each row (arXiv 2402.09353), as PEFT trains it: the norm that it is divided by is taken as a constant.
  loha,  ///< Two products, multiplied number by number (arXiv 2108.06098), as LyCORIS trains it.
  lokr   ///< A Kronecker product, the larger factor of which is a product itself if that is smaller, as LyCORIS trains it.
};
/// Throws a Failure that lists the names.
AdapterMethod parse_adapter_method(const std::string& name);
const char* adapter_method_name(AdapterMethod method);
std::vector<std::string> adapter_method_names();

/// The sides of LoKr's two factors for a layer: [rows, columns] each. Source: LyCORIS 4.1.3 `factorization`, by its default factor.
struct KroneckerSides {
  std::int64_t small_rows, small_columns, large_rows, large_columns;
  /// Whether the larger one is a product of that rank.
  bool low_rank(std::int64_t rank) const { return 2 * rank < std::max(large_rows, large_columns); }
};
KroneckerSides kronecker_sides(std::int64_t outputs, std::int64_t inputs);

/// One linear layer of an attention layer.
struct AttentionProjection {
  std::string path;            ///< As diffusers spells it: "mid_block.attentions.0.transformer_blocks.0.attn2.to_k"
  std::string name;            ///< "to_k", as Attention::projections() has it.
  int site = -1;               ///< Negative: of an attention layer that reads no prompt.
  bool prompt_kv = false;      ///< It makes K or V of the prompt: what is patched at a site.
  bool own_prompt_kv = false;  ///< Of an attention layer that has projections of its own for the prompt (joint and added-KV attention).
  std::int64_t inputs = 0, outputs = 0;
};

/// Which layers get an adapter, and how large.
struct LoraPlan {
  std::vector<int> sites;        ///< Prompt-reading attention layers.
  bool every_attention = false;  ///< All attention layers, those that read no prompt too; `sites` is not read then.
  /// Linear layers of each, as Attention::projections() names them; what a layer does not have is passed over. "kv" stands for those that make
  /// the prompt's K and V; "paper" for to_q, to_k, to_v, to_out.0, which in joint and added-KV attention are the picture's and no part of the site;
  /// "auto" for "kv" in those, and "paper" in all others, whose to_k and to_v are the site.
  std::vector<std::string> projections{"auto"};
  AdapterMethod method = AdapterMethod::lora;
  std::int64_t rank = 4;
  double alpha = 0;                   ///< The adapter counts alpha / rank times; 0: once.
  double scale = 0;                   ///< In place of alpha: it counts so many times, whatever the rank; 0: alpha says.
  std::map<int, std::int64_t> ranks;  ///< Of single sites, in place of `rank`.
  LoraInit init = LoraInit::gaussian;

  /// Whether this linear layer gets an adapter.
  bool covers(const AttentionProjection& layer) const;
  std::int64_t rank_at(int site) const;
  double alpha_at(int site) const;
  /// Throws a Failure that names a layer whose rank is none that it can have.
  void check_ranks(const std::vector<AttentionProjection>& layers) const;
  /// How many parameters the adapter has at a layer.
  std::int64_t parameters(const AttentionProjection& layer) const;
  /// And over a model's linear layers.
  std::int64_t parameters(const std::vector<AttentionProjection>& layers) const;
};

}  // namespace glyphscope
