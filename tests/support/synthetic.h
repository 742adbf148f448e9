#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "experiments/certificate.h"
#include "metrics/ocr.h"
#include "pipelines/pipeline.h"

namespace glyphscope::testing {

/// A model without a denoiser, whose right answer is known: a picture says the text of its own prompt, or of the one that its plan sees, as a rule has it.
class SyntheticPipeline : public Pipeline {
 public:
  /// How likely it is that a picture patched by this plan says the seen prompt's text; by chance over texts and seeds, the same for the same row.
  using Rule = std::function<double(const PatchPlan& plan)>;
  SyntheticPipeline(int sites, int heads, Rule rule);

  torch::nn::Module& denoiser_module() override;
  std::int64_t denoiser_rows(const Request& request) const override;

  std::int64_t pictures = 0;               ///< That were drawn so far.
  std::optional<std::uint64_t> only_seed;  ///< Plans do nothing to pictures of other noises.
  double gradient_noise = 0.3;
  bool graded = false;  ///< The rule says what share of the letters, from the first on, are the seen prompt's: of texts of equal length.

 protected:
  /// What the rule gives at a site alone, and what it loses without it: half of each. And, by chance, up to `gradient_noise` of that more or less.
  Attribution run_attribution(const Request& request, const AttributionOptions& options, const CancelToken& cancel) override;
  Result run(const Request& request, const Observer& observer, const CancelToken& cancel) override;

 private:
  Rule rule_;
};

/// Reads what a SyntheticPipeline wrote.
class SyntheticReader : public TextReader {
 public:
  std::vector<TextPiece> read(const torch::Tensor& image) override;
  std::string name() const override { return "synthetic"; }
};

bool has_site(const PatchPlan& plan, int site);

/// Words of three letters, as a certificate asks for them, two a pair.
CertifySettings certify_settings(const Pipeline& pipeline, size_t pairs = 16, int noises = 4);

}  // namespace glyphscope::testing
