#include "metrics/lpips.h"

#include <torch/types.h>

#include <algorithm>

#include "core/error.h"
#include "io/config.h"
#include "io/weights.h"
#include "models/layers.h"

namespace glyphscope {
namespace fs = std::filesystem;

namespace {

// A convolution of a slice, under the number that it has in torchvision's network.
struct LpipsConv {
  int number;
  std::int64_t in, out, kernel, stride, padding;
};
struct LpipsSlice {
  std::int64_t pool = 0;  // of the max pooling before it; 0: none
  std::vector<LpipsConv> convolutions;
};

const std::vector<LpipsSlice> kAlex{
    {0, {{0, 3, 64, 11, 4, 2}}}, {3, {{3, 64, 192, 5, 1, 2}}}, {3, {{6, 192, 384, 3, 1, 1}}}, {0, {{8, 384, 256, 3, 1, 1}}}, {0, {{10, 256, 256, 3, 1, 1}}}};
const std::vector<LpipsSlice> kVgg{{0, {{0, 3, 64, 3, 1, 1}, {2, 64, 64, 3, 1, 1}}},
                                   {2, {{5, 64, 128, 3, 1, 1}, {7, 128, 128, 3, 1, 1}}},
                                   {2, {{10, 128, 256, 3, 1, 1}, {12, 256, 256, 3, 1, 1}, {14, 256, 256, 3, 1, 1}}},
                                   {2, {{17, 256, 512, 3, 1, 1}, {19, 512, 512, 3, 1, 1}, {21, 512, 512, 3, 1, 1}}},
                                   {2, {{24, 512, 512, 3, 1, 1}, {26, 512, 512, 3, 1, 1}, {28, 512, 512, 3, 1, 1}}}};
constexpr std::int64_t kFewestPixels = 32;

class LpipsNetwork : public torch::nn::Module {
 public:
  explicit LpipsNetwork(const std::vector<LpipsSlice>& slices) : slices_(slices) {
    auto net = register_module("net", std::make_shared<Names>());
    for (size_t i = 0; i < slices.size(); ++i) {
      auto slice = net->register_module("slice" + std::to_string(i + 1), std::make_shared<Names>());
      for (const auto& one : slices[i].convolutions)
        convolutions_.push_back(
            slice->register_module(std::to_string(one.number), std::make_shared<Conv2d>(one.in, one.out, one.kernel, one.stride, one.padding)));
      auto linear = register_module("lin" + std::to_string(i), std::make_shared<Names>())->register_module("model", std::make_shared<Names>());
      weights.push_back(
          linear->register_module("1", std::make_shared<Names>())->register_parameter("weight", torch::empty({1, slices[i].convolutions.back().out, 1, 1})));
    }
  }

  // x: [1, 3, H, W], normalized -> the features after each slice, of length 1 along the channels
  std::vector<torch::Tensor> features(torch::Tensor x) const {
    constexpr double kEpsilon = 1e-10;
    std::vector<torch::Tensor> out;
    auto convolution = convolutions_.begin();
    for (const auto& slice : slices_) {
      if (slice.pool > 0) x = torch::max_pool2d(x, slice.pool, 2);
      for (size_t i = 0; i < slice.convolutions.size(); ++i) x = torch::relu((*convolution++)->forward(x));
      out.push_back(x / (x.square().sum(1, /*keepdim=*/true).sqrt() + kEpsilon));
    }
    return out;
  }

  std::vector<torch::Tensor> weights;  // of each slice's channels, [1, C, 1, 1]

 private:
  std::vector<LpipsSlice> slices_;
  std::vector<std::shared_ptr<Conv2d>> convolutions_;
};

}  // namespace

struct Lpips::Parts {
  std::shared_ptr<LpipsNetwork> network;
  torch::Device device = torch::kCPU;
  std::string hash;
};

Lpips::~Lpips() = default;

Lpips::Lpips(const fs::path& folder, torch::Device device) : parts_(std::make_unique<Parts>()) {
  if (!fs::is_directory(folder)) reject("there is no such folder of LPIPS", folder.string(), "Name one with config.json and model.safetensors");
  const Config config = Config::read(folder / "config.json");
  config.require("architectures", nlohmann::json::array({"LPIPS"}));
  const std::string net = config.text("net", "alex");
  if (net != "alex" && net != "vgg") reject("net is '" + net + "'", config.where(), "Known are alex and vgg");
  parts_->device = device;
  const auto& slices = net == "alex" ? kAlex : kVgg;
  parts_->network = std::make_shared<LpipsNetwork>(slices);
  const Weights weights = Weights::find(folder);
  parts_->hash = weights.hash({folder / "config.json"});
  // The package's module has its linear layers a second time, and constants.
  const auto rename = [](const std::string& key) -> std::string { return key.starts_with("lins.") || key.starts_with("scaling_layer.") ? "" : key; };
  load_weights(*parts_->network, weights, {.placement = {device, torch::kFloat32}, .rename = rename});
}

std::vector<torch::Tensor> Lpips::features(const torch::Tensor& image) const {
  if (std::min(image.size(1), image.size(2)) < kFewestPixels)
    reject("LPIPS reads pictures of " + std::to_string(kFewestPixels) + " pixels a side and more",
           std::to_string(image.size(2)) + "x" + std::to_string(image.size(1)));
  torch::NoGradGuard no_grad;
  const auto column = [](double red, double green, double blue) { return torch::tensor({red, green, blue}, torch::kFloat32).view({3, 1, 1}); };
  // From [-1, 1]; the package's constants.
  const torch::Tensor x = (image.to(torch::kFloat32) / 127.5 - 1 - column(-.030, -.088, -.188)) / column(.458, .448, .450);
  return parts_->network->features(x.unsqueeze(0).to(parts_->device));
}

double Lpips::distance(const std::vector<torch::Tensor>& a, const std::vector<torch::Tensor>& b) const {
  torch::NoGradGuard no_grad;
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += ((a[i] - b[i]).square() * parts_->network->weights[i]).sum(1).mean().item<double>();
  return sum;
}

const std::string& Lpips::hash() const { return parts_->hash; }

}  // namespace glyphscope
