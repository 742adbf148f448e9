#include "metrics/clip_scorer.h"

#include <torch/types.h>

#include <algorithm>
#include <optional>

#include "core/error.h"
#include "io/weights.h"
#include "metrics/image_processor.h"
#include "text/clip_text_model.h"
#include "text/clip_tokenizer.h"

namespace glyphscope {
namespace fs = std::filesystem;

namespace {

struct ClipVisionConfig : ClipLayersConfig {
  std::int64_t image_size = 224, patch_size = 32, projection = 512;

  static ClipVisionConfig parse(const Config& config, std::int64_t projection) {
    ClipVisionConfig out;
    out.hidden_size = 768, out.intermediate_size = 3072, out.heads = 12;
    out.read(config);
    out.image_size = config.size("image_size", 224, 1, 8192);
    out.patch_size = config.size("patch_size", 32, 1, 8192);
    out.projection = projection;
    config.require("num_channels", 3);
    if (out.image_size % out.patch_size != 0) reject("image_size does not divide into patches of patch_size", config.where());
    return out;
  }
};

// transformers' `CLIPVisionTransformer` and its projection. Keys are those without the prefix `vision_model.`.
class ClipVisionModel : public torch::nn::Module {
 public:
  explicit ClipVisionModel(const ClipVisionConfig& c) {
    const std::int64_t patches = c.image_size / c.patch_size * (c.image_size / c.patch_size);
    embeddings = register_module("embeddings", std::make_shared<Names>());
    class_embedding = embeddings->register_parameter("class_embedding", torch::empty({c.hidden_size}));
    patch_embedding = embeddings->register_module("patch_embedding", std::make_shared<Names>());
    patch_weight = patch_embedding->register_parameter("weight", torch::empty({c.hidden_size, 3, c.patch_size, c.patch_size}));
    position_embedding = embeddings->register_module("position_embedding", std::make_shared<Embedding>(patches + 1, c.hidden_size));
    pre_layrnorm = register_module("pre_layrnorm", std::make_shared<LayerNorm>(c.hidden_size, c.norm_eps));  // so spelled in checkpoints
    encoder = register_module("encoder", std::make_shared<ClipEncoder>(c, /*causal=*/false));
    post_layernorm = register_module("post_layernorm", std::make_shared<LayerNorm>(c.hidden_size, c.norm_eps));
    visual_projection = register_module("visual_projection", std::make_shared<Linear>(c.hidden_size, c.projection, false));
  }

  torch::Tensor forward(const torch::Tensor& pixels) const {
    const torch::Tensor patches = torch::conv2d(pixels, patch_weight, {}, patch_weight.size(2)).flatten(2).transpose(1, 2);
    torch::Tensor x = torch::cat({class_embedding.expand({pixels.size(0), 1, -1}), patches}, 1) + position_embedding->weight;
    x = pre_layrnorm->forward(x);
    for (const auto& layer : *encoder->layers) x = layer->forward(x);
    return visual_projection->forward(post_layernorm->forward(x.select(1, 0)));
  }

 private:
  std::shared_ptr<torch::nn::Module> embeddings, patch_embedding;
  torch::Tensor class_embedding, patch_weight;
  std::shared_ptr<Embedding> position_embedding;
  std::shared_ptr<LayerNorm> pre_layrnorm, post_layernorm;
  std::shared_ptr<ClipEncoder> encoder;
  std::shared_ptr<Linear> visual_projection;
};

// Parameters whose keys start so, under what is left of them; "" leaves a key out.
std::function<std::string(const std::string&)> renaming(const std::string& prefix, const std::string& projection) {
  return [=](const std::string& key) -> std::string {
    if (key == projection + ".weight") return key;
    if (!key.starts_with(prefix) || key.ends_with("position_ids")) return "";
    return key.substr(prefix.size());
  };
}

}  // namespace

struct ClipScorer::Parts {
  std::shared_ptr<ClipVisionModel> vision;
  std::shared_ptr<ClipTextModel> text;  // or null
  std::optional<ClipTokenizer> tokenizer;
  ImageProcessor processor;
  torch::Device device = torch::kCPU;
  fs::path folder;
  std::string hash;
};

ClipScorer::~ClipScorer() = default;

ClipScorer::ClipScorer(const fs::path& folder, torch::Device device) : parts_(std::make_unique<Parts>()) {
  parts_->device = device;
  if (!fs::is_directory(folder)) reject("there is no such folder of a CLIP", folder.string(), "Name one with config.json and model.safetensors");
  const Config config = Config::read(folder / "config.json");
  const std::vector<std::string> classes = config.texts("architectures");
  const std::string kind = classes.empty() ? config.text("model_type", "") : classes[0];
  const bool whole = kind == "CLIPModel" || kind == "clip";
  if (!whole && kind != "CLIPVisionModelWithProjection")
    reject("this is a '" + kind + "'", config.where(), "Known are transformers' CLIPModel and CLIPVisionModelWithProjection");
  const std::int64_t projection = config.size("projection_dim", 512, 1, 65536);
  const ClipVisionConfig vision = ClipVisionConfig::parse(whole ? config.part("vision_config") : config, projection);
  parts_->vision = std::make_shared<ClipVisionModel>(vision);
  const Weights weights = Weights::find(folder);
  parts_->folder = folder;
  parts_->hash =
      weights.hash({folder / "config.json", folder / "preprocessor_config.json", folder / "tokenizer.json", folder / "vocab.json", folder / "merges.txt"});
  load_weights(*parts_->vision, weights, {.placement = {device, torch::kFloat32}, .rename = renaming("vision_model.", "visual_projection")});
  if (whole) {
    ClipTextConfig text = ClipTextConfig::parse(config.part("text_config"));
    text.projection = projection;
    parts_->text = std::make_shared<ClipTextModel>(text);
    load_weights(*parts_->text, weights, {.placement = {device, torch::kFloat32}, .rename = renaming("text_model.", "text_projection")});
    parts_->tokenizer = ClipTokenizer::load(folder);
  }
  parts_->processor = {.shortest = vision.image_size, .crop = vision.image_size, .mean = kClipMean, .deviation = kClipDeviation};
  parts_->processor.read(folder);
  if (parts_->processor.crop != vision.image_size) reject("crop_size is not the model's image_size", (folder / "preprocessor_config.json").string());
}

torch::Tensor ClipScorer::prepare(const torch::Tensor& image) const { return parts_->processor.prepare(image); }

torch::Tensor ClipScorer::image_features(const torch::Tensor& prepared) const {
  torch::NoGradGuard no_grad;
  return parts_->vision->forward(prepared.to(parts_->device)).to(torch::kCPU);
}

torch::Tensor ClipScorer::features(const std::vector<torch::Tensor>& images) const {
  constexpr size_t kAtOnce = 16;
  std::vector<torch::Tensor> rows;
  for (size_t first = 0; first < images.size(); first += kAtOnce) {
    std::vector<torch::Tensor> batch;
    for (size_t i = first; i < std::min(images.size(), first + kAtOnce); ++i) batch.push_back(prepare(images[i]));
    rows.push_back(image_features(torch::stack(batch)));
  }
  return torch::cat(rows);
}

bool ClipScorer::reads_text() const { return parts_->text != nullptr; }

torch::Tensor ClipScorer::text_features(const std::string& text) const {
  if (!parts_->text) reject("this CLIP reads no text", parts_->folder.string(), "Name the folder of a whole CLIPModel");
  torch::NoGradGuard no_grad;
  const std::int64_t length = std::min(parts_->tokenizer->max_length(), parts_->text->config().max_positions);
  return parts_->text->forward(torch::tensor(parts_->tokenizer->tokenize(text, length).ids).unsqueeze(0).to(parts_->device)).pooled.to(torch::kCPU);
}

double ClipScorer::alignment(const torch::Tensor& image_features, const std::string& text) const {
  return torch::cosine_similarity(image_features.view({1, -1}), text_features(text)).item<double>();
}

const std::string& ClipScorer::hash() const { return parts_->hash; }
const fs::path& ClipScorer::folder() const { return parts_->folder; }

}  // namespace glyphscope
