#include "metrics/ctc_reader.h"

#include <torch/types.h>

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "core/random.h"
#include "core/unicode.h"
#include "io/config.h"
#include "io/files.h"
#include "io/json.h"
#include "io/safetensors.h"
#include "io/weights.h"
#include "models/layers.h"

namespace glyphscope {
namespace fs = std::filesystem;

namespace {

// Label 0 is the blank.
constexpr std::u32string_view kAlphabet = U"abcdefghijklmnopqrstuvwxyz0123456789 .,!?'\"&-+%$#@/:()";
constexpr std::int64_t kColumn = 4;  // pixels of a column of labels
constexpr std::int64_t kNarrowest = 32, kWidest = 1024;

std::string alphabet() { return encode_utf8({kAlphabet.begin(), kAlphabet.end()}); }

// Two convolutions with a shortcut.
class ReaderBlock : public torch::nn::Module {
 public:
  ReaderBlock(std::int64_t in, std::int64_t out) {
    conv1 = register_module("conv1", std::make_shared<Conv2d>(in, out, 3, 1, 1));
    norm1 = register_module("norm1", std::make_shared<GroupNorm>(8, out, 1e-5));
    conv2 = register_module("conv2", std::make_shared<Conv2d>(out, out, 3, 1, 1));
    norm2 = register_module("norm2", std::make_shared<GroupNorm>(8, out, 1e-5));
    if (in != out) shortcut = register_module("shortcut", std::make_shared<Conv2d>(in, out, 1));
  }
  torch::Tensor forward(const torch::Tensor& x) const {
    const torch::Tensor inner = norm2->forward(conv2->forward(torch::silu(norm1->forward(conv1->forward(x)))));
    return torch::silu(inner + (shortcut ? shortcut->forward(x) : x));
  }

 private:
  std::shared_ptr<Conv2d> conv1, conv2, shortcut;
  std::shared_ptr<GroupNorm> norm1, norm2;
};

class ReaderNetwork : public torch::nn::Module {
 public:
  ReaderNetwork() {
    block1 = register_module("block1", std::make_shared<ReaderBlock>(3, 16));
    block2 = register_module("block2", std::make_shared<ReaderBlock>(16, 48));
    block3 = register_module("block3", std::make_shared<ReaderBlock>(48, 96));
    block4 = register_module("block4", std::make_shared<ReaderBlock>(96, 128));
    context1 = register_module("context1", std::make_shared<Linear>(5 * 128 * 2, 192));
    context2 = register_module("context2", std::make_shared<Linear>(5 * 192, 192));
    head = register_module("head", std::make_shared<Linear>(192, CtcReader::classes()));
  }

  torch::Tensor forward(const torch::Tensor& lines) const {
    // Each line by its own mean and spread: colours and light say nothing of what is written.
    const torch::Tensor mean = lines.mean({1, 2, 3}, /*keepdim=*/true), deviation = lines.std(torch::IntArrayRef{1, 2, 3}, /*unbiased=*/true, /*keepdim=*/true);
    torch::Tensor x = (lines - mean) / (deviation + 8);
    x = torch::max_pool2d(block1->forward(x), {2, 2});
    x = torch::max_pool2d(block2->forward(x), {2, 2});
    x = torch::max_pool2d(block3->forward(x), {2, 1});
    x = torch::max_pool2d(block4->forward(x), {2, 1});           // [N, 128, 2, W / 4]
    torch::Tensor columns = x.permute({0, 3, 1, 2}).flatten(2);  // [N, W / 4, 256]
    columns = torch::silu(context1->forward(neighbours(columns)));
    columns = columns + torch::silu(context2->forward(neighbours(columns)));
    return torch::log_softmax(head->forward(columns), -1).transpose(0, 1);
  }

 private:
  // Of each column, two on either side beside it.
  static torch::Tensor neighbours(const torch::Tensor& columns) {
    const torch::Tensor padded = torch::constant_pad_nd(columns, {0, 0, 2, 2});
    std::vector<torch::Tensor> shifted;
    for (std::int64_t i = 0; i < 5; ++i) shifted.push_back(padded.slice(1, i, i + columns.size(1)));
    return torch::cat(shifted, -1);
  }

  std::shared_ptr<ReaderBlock> block1, block2, block3, block4;
  std::shared_ptr<Linear> context1, context2, head;
};

}  // namespace

struct CtcReader::Parts {
  std::shared_ptr<ReaderNetwork> network = std::make_shared<ReaderNetwork>();
  std::string hash;
};

CtcReader::~CtcReader() = default;

CtcReader::CtcReader(std::uint64_t seed) : parts_(std::make_unique<Parts>()) { initialize(*parts_->network, make_generator(seed)); }

CtcReader::CtcReader(const fs::path& folder, torch::Device device) : parts_(std::make_unique<Parts>()) {
  const Config config = Config::read(folder / "config.json");
  config.require("architectures", nlohmann::json::array({"CtcReader"}));
  config.require("alphabet", alphabet());
  const Weights weights = Weights::find(folder);
  parts_->hash = weights.hash();
  load_weights(*parts_->network, weights, {.placement = {device, torch::kFloat32}});
}

std::int64_t CtcReader::classes() { return static_cast<std::int64_t>(kAlphabet.size()) + 1; }

std::optional<std::vector<std::int64_t>> CtcReader::labels(const std::string& text) {
  std::vector<std::int64_t> out;
  for (const char32_t code : decode_utf8(fold_case(normalize_nfc(text)))) {
    const size_t at = kAlphabet.find(is_space(code) ? U' ' : code);
    if (at == std::u32string_view::npos) return std::nullopt;
    out.push_back(static_cast<std::int64_t>(at) + 1);
  }
  if (out.empty()) return std::nullopt;
  return out;
}

torch::Tensor CtcReader::log_probabilities(const torch::Tensor& lines) const { return parts_->network->forward(lines); }

torch::Tensor CtcReader::line(const torch::Tensor& image, const Box& box, std::int64_t fixed_width) {
  const int height = static_cast<int>(image.size(1)), width = static_cast<int>(image.size(2));
  // Letters touch the edge of a box; lines that it was trained on have some room about them.
  const int margin = std::max(1, (box.bottom - box.top) / 6);
  const int left = std::clamp(box.left - margin, 0, width - 1), top = std::clamp(box.top - margin, 0, height - 1);
  const int right = std::clamp(box.right + margin, left + 1, width), bottom = std::clamp(box.bottom + margin, top + 1, height);
  const torch::Tensor cut = image.slice(1, top, bottom).slice(2, left, right).to(torch::kFloat32).unsqueeze(0);
  const double scaled = static_cast<double>(cut.size(3)) * kHeight / static_cast<double>(cut.size(2));
  const std::int64_t wide = std::clamp((static_cast<std::int64_t>(std::lround(scaled)) + kColumn - 1) / kColumn * kColumn, kNarrowest, kWidest);
  return at::_upsample_bilinear2d_aa(cut, {kHeight, fixed_width > 0 ? fixed_width : wide}, /*align_corners=*/false);
}

torch::Tensor CtcReader::log_likelihood(const torch::Tensor& line, const std::string& text) const {
  return log_likelihood_of(log_probabilities(line), *labels(text));
}

torch::Tensor CtcReader::log_likelihood_of(const torch::Tensor& columns, const std::vector<std::int64_t>& labels) {
  return -torch::ctc_loss(columns, torch::tensor(labels).unsqueeze(0), torch::tensor({columns.size(0)}),
                          torch::tensor({static_cast<std::int64_t>(labels.size())}),
                          /*blank=*/0, at::Reduction::None)[0];
}

std::string CtcReader::read(const torch::Tensor& line) const {
  const torch::NoGradGuard no_grad;
  const torch::Tensor best = log_probabilities(line).select(1, 0).argmax(-1).to(torch::kCPU);
  std::vector<char32_t> out;
  std::int64_t last = 0;
  for (std::int64_t i = 0; i < best.size(0); ++i) {
    const auto label = best[i].item<std::int64_t>();
    if (label != 0 && label != last) out.push_back(kAlphabet[static_cast<size_t>(label - 1)]);
    last = label;
  }
  return encode_utf8(out);
}

torch::nn::Module& CtcReader::module() const { return *parts_->network; }
const std::string& CtcReader::hash() const { return parts_->hash; }

void CtcReader::write(const fs::path& folder, const nlohmann::ordered_json& about) const {
  fs::create_directories(folder);
  std::map<std::string, torch::Tensor> tensors;
  for (const auto& [name, value] : parameter_map(*parts_->network)) tensors[name] = value.detach().to(torch::kFloat16);
  write_safetensors(folder / "model.safetensors", tensors, {{"format", "pt"}});
  nlohmann::ordered_json config{{"architectures", {"CtcReader"}}, {"alphabet", alphabet()}};
  add_keys(config, about);
  write_json(folder / "config.json", config);
}

Box box_about(const std::vector<Box>& boxes, std::int64_t height, std::int64_t width) {
  if (boxes.empty()) return {0, 0, static_cast<int>(width), static_cast<int>(height)};
  Box out = boxes.front();
  for (const Box& one : boxes)
    out = {std::min(out.left, one.left), std::min(out.top, one.top), std::max(out.right, one.right), std::max(out.bottom, one.bottom)};
  return out;
}

}  // namespace glyphscope
