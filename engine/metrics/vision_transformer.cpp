#include "metrics/vision_transformer.h"

#include <torch/types.h>

#include "core/error.h"
#include "io/config.h"
#include "io/weights.h"
#include "metrics/image_processor.h"
#include "models/layers.h"

namespace glyphscope {
namespace fs = std::filesystem;

namespace {

/// Names are those of transformers' `Dinov2Config` and `ViTConfig`.
struct VitConfig {
  bool dinov2 = false;
  std::int64_t hidden_size = 768, layers = 12, heads = 12, intermediate_size = 3072, image_size = 224, patch_size = 16;
  double norm_eps = 1e-12;
  bool qkv_bias = true, swiglu = false;

  static VitConfig parse(const Config& config) {
    VitConfig out;
    const std::vector<std::string> classes = config.texts("architectures");
    const std::string kind = classes.empty() ? config.text("model_type", "") : classes[0];
    out.dinov2 = kind == "Dinov2Model" || kind == "dinov2";
    if (!out.dinov2 && kind != "ViTModel" && kind != "vit")
      reject("this is a '" + kind + "'", config.where(), "Known are transformers' Dinov2Model and ViTModel");
    out.hidden_size = config.size("hidden_size", 768, 1, 65536);
    out.layers = config.size("num_hidden_layers", 12, 1, 1024);
    out.heads = config.size("num_attention_heads", 12, 1, 4096);
    if (out.hidden_size % out.heads != 0) reject("hidden_size does not divide into num_attention_heads", config.where());
    out.image_size = config.size("image_size", 224, 1, 8192);
    out.patch_size = config.size("patch_size", 16, 1, 8192);
    if (out.image_size % out.patch_size != 0) reject("image_size does not divide into patches of patch_size", config.where());
    out.norm_eps = config.number("layer_norm_eps", out.dinov2 ? 1e-6 : 1e-12, 0, 1);
    out.qkv_bias = config.boolean("qkv_bias", true);
    config.require("num_channels", 3);
    config.require("hidden_act", "gelu");
    if (out.dinov2) {
      out.swiglu = config.boolean("use_swiglu_ffn", false);
      out.intermediate_size = out.hidden_size * config.size("mlp_ratio", 4, 1, 64);
      // As `Dinov2SwiGLUFFN`: two thirds, in whole eights.
      if (out.swiglu) out.intermediate_size = (out.intermediate_size * 2 / 3 + 7) / 8 * 8;
    } else {
      out.intermediate_size = config.size("intermediate_size", 3072, 1, 1 << 20);
    }
    return out;
  }
};

// A layer with either model's names. Source: transformers `Dinov2Layer` and `ViTLayer`.
class VitLayer : public torch::nn::Module {
 public:
  explicit VitLayer(const VitConfig& c) : heads_(c.heads), swiglu_(c.swiglu) {
    const std::int64_t width = c.hidden_size;
    norm1 = register_module(c.dinov2 ? "norm1" : "layernorm_before", std::make_shared<LayerNorm>(width, c.norm_eps));
    auto attention = register_module("attention", std::make_shared<Names>());
    auto inner = attention->register_module("attention", std::make_shared<Names>());
    query = inner->register_module("query", std::make_shared<Linear>(width, width, c.qkv_bias));
    key = inner->register_module("key", std::make_shared<Linear>(width, width, c.qkv_bias));
    value = inner->register_module("value", std::make_shared<Linear>(width, width, c.qkv_bias));
    out = attention->register_module("output", std::make_shared<Names>())->register_module("dense", std::make_shared<Linear>(width, width));
    norm2 = register_module(c.dinov2 ? "norm2" : "layernorm_after", std::make_shared<LayerNorm>(width, c.norm_eps));
    if (c.dinov2) {
      auto mlp = register_module("mlp", std::make_shared<Names>());
      fc1 = mlp->register_module(swiglu_ ? "weights_in" : "fc1", std::make_shared<Linear>(width, c.intermediate_size * (swiglu_ ? 2 : 1)));
      fc2 = mlp->register_module(swiglu_ ? "weights_out" : "fc2", std::make_shared<Linear>(c.intermediate_size, width));
      scale1 = register_module("layer_scale1", std::make_shared<Names>())->register_parameter("lambda1", torch::empty({width}));
      scale2 = register_module("layer_scale2", std::make_shared<Names>())->register_parameter("lambda1", torch::empty({width}));
    } else {
      fc1 = register_module("intermediate", std::make_shared<Names>())->register_module("dense", std::make_shared<Linear>(width, c.intermediate_size));
      fc2 = register_module("output", std::make_shared<Names>())->register_module("dense", std::make_shared<Linear>(c.intermediate_size, width));
    }
  }

  torch::Tensor forward(torch::Tensor x) const {
    const torch::Tensor normed = norm1->forward(x);
    const auto split = [&](const torch::Tensor& y) { return y.view({y.size(0), y.size(1), heads_, -1}).transpose(1, 2); };
    const torch::Tensor attended = at::scaled_dot_product_attention(split(query->forward(normed)), split(key->forward(normed)), split(value->forward(normed)));
    x = x + scaled(out->forward(attended.transpose(1, 2).flatten(2)), scale1);
    return x + scaled(feed_forward(norm2->forward(x)), scale2);
  }

 private:
  static torch::Tensor scaled(const torch::Tensor& x, const torch::Tensor& by) { return by.defined() ? x * by : x; }
  torch::Tensor feed_forward(const torch::Tensor& x) const {
    const torch::Tensor hidden = fc1->forward(x);
    if (!swiglu_) return fc2->forward(torch::gelu(hidden));
    const auto halves = hidden.chunk(2, -1);
    return fc2->forward(torch::silu(halves[0]) * halves[1]);
  }

  std::int64_t heads_;
  bool swiglu_;
  std::shared_ptr<LayerNorm> norm1, norm2;
  std::shared_ptr<Linear> query, key, value, out, fc1, fc2;
  torch::Tensor scale1, scale2;
};

class VitModel : public torch::nn::Module {
 public:
  explicit VitModel(const VitConfig& c) : config_(c) {
    const std::int64_t patches = c.image_size / c.patch_size * (c.image_size / c.patch_size), width = c.hidden_size;
    auto embeddings = register_module("embeddings", std::make_shared<Names>());
    class_token_ = embeddings->register_parameter("cls_token", torch::empty({1, 1, width}));
    positions_ = embeddings->register_parameter("position_embeddings", torch::empty({1, patches + 1, width}));
    projection_ = embeddings->register_module("patch_embeddings", std::make_shared<Names>())
                      ->register_module("projection", std::make_shared<Conv2d>(3, width, c.patch_size, c.patch_size));
    layers_ = register_module("encoder", std::make_shared<Names>())->register_module("layer", std::make_shared<List<VitLayer>>());
    for (std::int64_t i = 0; i < c.layers; ++i) layers_->add(c);
    layernorm_ = register_module("layernorm", std::make_shared<LayerNorm>(width, c.norm_eps));
  }

  // pixels: [N, 3, h, w] -> [N, hidden]
  torch::Tensor forward(const torch::Tensor& pixels) const {
    const torch::Tensor patches = projection_->forward(pixels);
    const torch::Tensor tokens = patches.flatten(2).transpose(1, 2);
    torch::Tensor x = torch::cat({class_token_.expand({pixels.size(0), -1, -1}), tokens}, 1) + positions(patches.size(2), patches.size(3));
    for (const auto& layer : *layers_) x = layer->forward(x);
    return layernorm_->forward(x).select(1, 0);
  }

 private:
  // Of another size than the table's, positions are interpolated: `interpolate_pos_encoding`.
  torch::Tensor positions(std::int64_t rows, std::int64_t columns) const {
    const std::int64_t side = config_.image_size / config_.patch_size;
    if (rows == side && columns == side) return positions_;
    const torch::Tensor grid = positions_.slice(1, 1).view({1, side, side, -1}).permute({0, 3, 1, 2});
    const torch::Tensor scaled = torch::upsample_bicubic2d(grid, {rows, columns}, /*align_corners=*/false);
    return torch::cat({positions_.slice(1, 0, 1), scaled.flatten(2).transpose(1, 2)}, 1);
  }

  VitConfig config_;
  torch::Tensor class_token_, positions_;
  std::shared_ptr<Conv2d> projection_;
  std::shared_ptr<List<VitLayer>> layers_;
  std::shared_ptr<LayerNorm> layernorm_;
};

}  // namespace

struct VisionTransformer::Parts {
  std::shared_ptr<VitModel> model;
  ImageProcessor processor;
  torch::Device device = torch::kCPU;
  std::string hash;
};

VisionTransformer::~VisionTransformer() = default;

VisionTransformer::VisionTransformer(const fs::path& folder, torch::Device device) : parts_(std::make_unique<Parts>()) {
  if (!fs::is_directory(folder)) reject("there is no such folder of a DINO", folder.string(), "Name one with config.json and model.safetensors");
  const VitConfig config = VitConfig::parse(Config::read(folder / "config.json"));
  parts_->device = device;
  parts_->model = std::make_shared<VitModel>(config);
  const Weights weights = Weights::find(folder);
  parts_->hash = weights.hash({folder / "config.json", folder / "preprocessor_config.json"});
  // A whole model's file may hold what classifies or masks beside it.
  const auto rename = [](const std::string& key) -> std::string {
    std::string name = key;
    for (const char* prefix : {"vit.", "dinov2."})
      if (name.starts_with(prefix)) name = name.substr(std::string(prefix).size());
    for (const char* other : {"pooler.", "classifier.", "embeddings.mask_token"})
      if (name.starts_with(other)) return "";
    return name;
  };
  load_weights(*parts_->model, weights, {.placement = {device, torch::kFloat32}, .rename = rename});
  parts_->processor = {.mean = kImageNetMean, .deviation = kImageNetDeviation};
  if (config.dinov2) {
    parts_->processor.shortest = 256;
    parts_->processor.crop = 224;
  } else {
    parts_->processor.height = parts_->processor.width = config.image_size;
  }
  parts_->processor.read(folder);
  const std::int64_t read = config.dinov2 ? parts_->processor.crop : parts_->processor.height;
  if (read < config.patch_size) reject("pictures are made smaller than one patch", folder.string());
}

torch::Tensor VisionTransformer::prepare(const torch::Tensor& image) const { return parts_->processor.prepare(image); }

torch::Tensor VisionTransformer::features(const torch::Tensor& prepared) const {
  torch::NoGradGuard no_grad;
  return parts_->model->forward(prepared.to(parts_->device)).to(torch::kCPU);
}

const std::string& VisionTransformer::hash() const { return parts_->hash; }

}  // namespace glyphscope
