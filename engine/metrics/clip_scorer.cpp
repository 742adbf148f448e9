#include "metrics/clip_scorer.h"

#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "core/error.h"
#include "io/weights.h"
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

Config part_of(const Config& config, const char* name) {
  const auto& json = config.json();
  return {json.contains(name) && json[name].is_object() ? json[name] : nlohmann::json::object(), config.where() + ": " + name};
}

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
  std::int64_t size = 224, shortest = 224;
  torch::Tensor mean, deviation;
  fs::path folder;
  std::string hash;
};

ClipScorer::~ClipScorer() = default;

ClipScorer::ClipScorer(const fs::path& folder) : parts_(std::make_unique<Parts>()) {
  if (!fs::is_directory(folder)) reject("there is no such folder of a CLIP", folder.string(), "Name one with config.json and model.safetensors");
  const Config config = Config::read(folder / "config.json");
  const std::vector<std::string> classes = config.texts("architectures");
  const std::string kind = classes.empty() ? config.text("model_type", "") : classes[0];
  const bool whole = kind == "CLIPModel" || kind == "clip";
  if (!whole && kind != "CLIPVisionModelWithProjection")
    reject("this is a '" + kind + "'", config.where(), "Known are transformers' CLIPModel and CLIPVisionModelWithProjection");
  const std::int64_t projection = config.size("projection_dim", 512, 1, 65536);
  const ClipVisionConfig vision = ClipVisionConfig::parse(whole ? part_of(config, "vision_config") : config, projection);
  parts_->vision = std::make_shared<ClipVisionModel>(vision);
  const Weights weights = Weights::find(folder);
  parts_->folder = folder;
  for (const auto& file : weights.files()) parts_->hash += sha256_file(file);
  if (weights.files().size() > 1) parts_->hash = sha256_text(parts_->hash);
  load_weights(*parts_->vision, weights, {.rename = renaming("vision_model.", "visual_projection")});
  if (whole) {
    ClipTextConfig text = ClipTextConfig::parse(part_of(config, "text_config"));
    text.projection = projection;
    parts_->text = std::make_shared<ClipTextModel>(text);
    load_weights(*parts_->text, weights, {.rename = renaming("text_model.", "text_projection")});
    parts_->tokenizer = ClipTokenizer::load(folder);
  }
  parts_->size = parts_->shortest = vision.image_size;
  std::vector<double> mean{0.48145466, 0.4578275, 0.40821073}, deviation{0.26862954, 0.26130258, 0.27577711};
  if (const fs::path file = folder / "preprocessor_config.json"; fs::exists(file)) {
    const Config processor = Config::read(file);
    const auto numbers = [&](const char* key, std::vector<double>& out) {
      if (!processor.has(key)) return;
      const auto& list = processor.json()[key];
      if (!list.is_array() || list.size() != 3 || !std::all_of(list.begin(), list.end(), [](const auto& one) { return one.is_number(); }))
        reject(std::string(key) + " is no list of three numbers", file.string());
      out = list.get<std::vector<double>>();
    };
    numbers("image_mean", mean);
    numbers("image_std", deviation);
    // What is done otherwise than by these would not be what the model was trained on.
    for (const char* key : {"do_resize", "do_center_crop", "do_rescale", "do_normalize"}) processor.require(key, true);
    processor.require("resample", 3);  // bicubic
    if (std::abs(processor.number("rescale_factor", 1 / 255.0) * 255 - 1) > 1e-6) reject("rescale_factor is not 1 / 255", file.string());
    // One number, or the shorter side's; of the cut, one number, or both sides.
    const auto side = [&](const char* key, std::initializer_list<const char*> names) {
      if (!processor.has(key)) return parts_->size;
      if (processor.json()[key].is_number()) return processor.size(key, parts_->size, 1, 8192);
      const Config part = part_of(processor, key);
      std::int64_t out = 0;
      for (const char* name : names) {
        if (!part.has(name)) reject(std::string(key) + " has no " + name, file.string(), "Another way to scale pictures is not known");
        const std::int64_t one = part.size(name, 0, 1, 8192);
        if (out != 0 && one != out) reject(std::string(key) + " is no square", file.string());
        out = one;
      }
      return out;
    };
    parts_->shortest = side("size", {"shortest_edge"});
    if (side("crop_size", {"height", "width"}) != parts_->size) reject("crop_size is not the model's image_size", file.string());
    if (parts_->shortest < parts_->size) reject("pictures are scaled to fewer pixels than the model reads", file.string());
  }
  parts_->mean = torch::tensor(mean, torch::kFloat32).view({3, 1, 1});
  parts_->deviation = torch::tensor(deviation, torch::kFloat32).view({3, 1, 1});
}

torch::Tensor ClipScorer::prepare(const torch::Tensor& image) const {
  const std::int64_t height = image.size(1), width = image.size(2), shorter = std::min(height, width), size = parts_->size;
  // As transformers' `get_resize_output_image_size`: the longer side is cut to whole pixels.
  const auto scaled = [&](std::int64_t side) { return side == shorter ? parts_->shortest : parts_->shortest * side / shorter; };
  torch::Tensor x = image.to(torch::kFloat32).unsqueeze(0);
  x = at::_upsample_bicubic2d_aa(x, {scaled(height), scaled(width)}, /*align_corners=*/false).round().clamp(0, 255).squeeze(0);
  x = x.slice(1, (x.size(1) - size) / 2, (x.size(1) - size) / 2 + size).slice(2, (x.size(2) - size) / 2, (x.size(2) - size) / 2 + size);
  return (x / 255 - parts_->mean) / parts_->deviation;
}

torch::Tensor ClipScorer::image_features(const torch::Tensor& prepared) const {
  torch::NoGradGuard no_grad;
  return parts_->vision->forward(prepared);
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
  return parts_->text->forward(torch::tensor(parts_->tokenizer->tokenize(text, length).ids).unsqueeze(0)).pooled;
}

double ClipScorer::alignment(const torch::Tensor& image_features, const std::string& text) const {
  return torch::cosine_similarity(image_features.view({1, -1}), text_features(text)).item<double>();
}

const std::string& ClipScorer::hash() const { return parts_->hash; }
const fs::path& ClipScorer::folder() const { return parts_->folder; }

}  // namespace glyphscope
