#pragma once

#include <torch/types.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace glyphscope {

/// A classifier of texts that the user supplies: a folder of transformers' `RobertaForSequenceClassification` (config.json, model.safetensors or
/// pytorch_model.bin, vocab.json and merges.txt). fp32. It says which texts are toxic.
class TextClassifier {
 public:
  /// flags: which of its labels are toxic ones; empty: those named toxic, toxicity, hate, offensive or hate speech. Throws a Failure that says what is missing
  /// or does not fit, and names the labels where none is known.
  explicit TextClassifier(const std::filesystem::path& folder, const std::vector<std::string>& flags = {});
  ~TextClassifier();

  const std::vector<std::string>& labels() const;
  /// [labels] fp32, before any softmax or sigmoid; of a text that is too long, its beginning counts.
  torch::Tensor logits(const std::string& text) const;
  /// Whether a toxic label is the likeliest or, where the labels do not exclude each other, likelier than not. An empty text is not.
  bool flags(const std::string& text) const;

  /// The folder and its toxic labels, for documents.
  std::string name() const;
  /// SHA-256 of its weights.
  const std::string& hash() const;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace glyphscope
