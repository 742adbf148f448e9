#include "tests/support/synthetic.h"

#include <torch/nn/module.h>
#include <torch/types.h>

#include <algorithm>
#include <cmath>

#include "core/random.h"
#include "device/placement.h"
#include "experiments/prompt_set.h"
#include "io/weights.h"

namespace glyphscope::testing {

namespace {

constexpr std::int64_t kSide = 16;

// The same for the same text, wherever it is computed; in [0, 1).
double chance_of(const std::string& text) { return static_cast<double>(std::stoull(sha256_text(text).substr(0, 13), nullptr, 16)) / 0x1p52; }

}  // namespace

SyntheticPipeline::SyntheticPipeline(int sites, int heads, Rule rule) : rule_(std::move(rule)) {
  info_.family = "synthetic";
  info_.source = "synthetic";
  info_.hash = std::string("0");
  info_.dtype = "fp32";
  info_.scheduler = "none";
  info_.default_steps = 10;
  info_.default_guidance = 1;
  info_.default_width = info_.default_height = kSide;
  info_.table.denoiser_parameters = 1000 * sites;
  info_.encoders = {TokenEncoder::clip, TokenEncoder::t5};
  for (int site = 0; site < sites; ++site) {
    Site one;
    one.index = site;
    one.path = one.kohya = "site" + std::to_string(site);
    one.block = "block";
    one.heads = heads;
    one.kv_parameters = 10;
    info_.table.sites.push_back(std::move(one));
  }
}

torch::nn::Module& SyntheticPipeline::denoiser_module() {
  static torch::nn::Module none;
  return none;
}

std::int64_t SyntheticPipeline::denoiser_rows(const Request& request) const { return static_cast<std::int64_t>(request.rows.size()) * resolve(request).steps; }

Attribution SyntheticPipeline::run_attribution(const Request& request, const AttributionOptions&, const CancelToken&) {
  std::vector<int> all;
  for (const auto& site : info_.table.sites) all.push_back(site.index);
  const int other = 1 - request.rows.front().prompt;
  const auto value = [&](const std::vector<int>& sites) { return sites.empty() ? 0.0 : rule_(PatchPlan::at_sites(sites, other)); };
  Choice choice(request.rows.front().seed);
  Attribution out;
  out.effects = torch::zeros({static_cast<std::int64_t>(all.size()), 1}, on_host(torch::kFloat64));
  for (const int site : all) {
    std::vector<int> rest = all;
    std::erase(rest, site);
    const double effect = (value({site}) + value(all) - value(rest)) / 2;
    out.effects[site][0] = effect + gradient_noise * (choice.fraction() - 0.5);
  }
  out.denoiser_rows = resolve(request).steps + 24;
  return out;
}

Result SyntheticPipeline::run(const Request& request, const Observer&, const CancelToken&) {
  Result out;
  std::vector<torch::Tensor> images;
  for (const auto& row : request.rows) {
    ++pictures;
    const std::string& own = request.prompts[static_cast<size_t>(row.prompt)];
    std::string text = quoted_text(own);
    if (!row.plan.empty() && row.seed == only_seed.value_or(row.seed)) {
      const std::string& seen = request.prompts[static_cast<size_t>(row.plan.patches().front().prompt)];
      if (graded) {
        const std::string other = quoted_text(seen);
        const auto letters = static_cast<size_t>(std::lround(rule_(row.plan) * static_cast<double>(text.size())));
        text = other.substr(0, letters) + text.substr(letters);
      } else if (chance_of(own + "|" + seen + "|" + std::to_string(row.seed) + "|" + row.plan.to_json().dump()) < rule_(row.plan))
        text = quoted_text(seen);
    }
    torch::Tensor image = torch::zeros({3, kSide, kSide}, on_host(torch::kUInt8));
    for (size_t i = 0; i < text.size() && i < kSide; ++i) image[0][0][static_cast<std::int64_t>(i)] = static_cast<std::uint8_t>(text[i]);
    image[1].fill_(static_cast<int>(row.seed % 251));  // the background
    images.push_back(image);
  }
  out.images = torch::stack(images);
  out.denoiser_rows = denoiser_rows(request);
  return out;
}

std::vector<TextPiece> SyntheticReader::read(const torch::Tensor& image) {
  std::string text;
  for (std::int64_t i = 0; i < kSide; ++i)
    if (const int letter = image[0][0][i].item<int>(); letter != 0) text += static_cast<char>(letter);
  if (text.empty()) return {};
  return {{text, 1, {0, 0, static_cast<int>(kSide), 1}}};
}

bool has_site(const PatchPlan& plan, int site) {
  const std::vector<int> sites = sites_of(plan);
  return std::find(sites.begin(), sites.end(), site) != sites.end();
}

CertifySettings certify_settings(const Pipeline& pipeline, size_t pairs, int noises) {
  static const std::vector<std::string> words{"one", "two", "six", "ten", "red", "cat", "sun", "fox", "hat", "ice", "jam", "owl", "pen", "arm", "bed", "cup",
                                              "dog", "egg", "fig", "gum", "hen", "ink", "jar", "key", "log", "map", "net", "oak", "pig", "rug", "saw", "tie"};
  CertifySettings out;
  out.pairs = make_pairs({"says \"<text>\""}, words, pairs);
  out.seeds.clear();
  for (int noise = 0; noise < noises; ++noise) out.seeds.push_back(42 + static_cast<std::uint64_t>(noise));
  out.sampling = pipeline.resolve(Request{});
  return out;
}

}  // namespace glyphscope::testing
