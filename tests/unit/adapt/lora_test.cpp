// Laws of adapters, on the small denoisers of every class.
#include "adapt/lora.h"
#include "adapt/new_lora.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <set>
#include <tuple>

#include "adapt/adapters.h"
#include "adapt/lora_file.h"
#include "core/random.h"
#include "io/files.h"
#include "io/safetensors.h"
#include "models/attention.h"
#include "models/block.h"
#include "models/block_stream.h"
#include "registry/families.h"
#include "registry/open_model.h"
#include "tests/support/golden.h"
#include "tests/support/small_denoiser.h"
#include "tests/support/test_device.h"

namespace glyphscope {
namespace {
using testing::golden;
using ::testing::HasSubstr;
using testing::relative_error;
using testing::SmallDenoiser;

const std::vector<std::string> kAll{"to_q", "to_k", "to_v", "to_out.0", "add_q_proj", "add_k_proj", "add_v_proj", "to_add_out"};

// An adapter that matters, in this dtype.
Lora random_lora(SmallDenoiser& denoiser, std::int64_t rank, std::uint64_t seed, torch::ScalarType dtype = torch::kFloat32) {
  at::Generator generator = make_generator(seed);
  Lora lora = make_lora(denoiser.module(), denoiser.table(), {.every_attention = true, .projections = kAll, .rank = rank, .alpha = 1.5}, generator);
  for (auto& [path, layer] : lora.layers) {
    layer.b.copy_(torch::randn(layer.b.sizes(), generator) * 0.3);
    layer.a = layer.a.to(dtype);
    layer.b = layer.b.to(dtype);
  }
  return lora;
}

struct Adapters : ::testing::TestWithParam<const char*> {};

TEST_P(Adapters, ANewOneChangesNoBit) {
  torch::NoGradGuard no_grad;
  SmallDenoiser denoiser(GetParam());
  const torch::Tensor plain = denoiser.call();
  at::Generator generator = make_generator(1);
  const Lora lora = make_lora(denoiser.module(), denoiser.table(), {.sites = {0, 1}}, generator);
  const AttachedLora attached(denoiser.module(), lora);
  EXPECT_TRUE(torch::equal(denoiser.call(), plain));
}

// What adapters are meant to be: their products added to the layers' weights.
class Merged {
 public:
  Merged(const torch::nn::Module& denoiser, const std::vector<std::pair<const Lora*, double>>& loras) {
    const auto layers = adaptable_layers(denoiser);
    for (const auto& [lora, strength] : loras)
      for (const auto& [path, own] : lora->layers) {
        torch::Tensor& weight = layers.at(path)->weight;
        originals_.emplace(layers.at(path), weight.detach());
        const double scale = strength * own.alpha / static_cast<double>(own.a.size(0));
        weight.set_data(weight.detach() + (scale * at::mm(own.b, own.a)).to(weight.device()).view_as(weight));
      }
  }
  ~Merged() {
    for (const auto& [layer, original] : originals_) layer->weight.set_data(original);
  }
  Merged(const Merged&) = delete;
  Merged& operator=(const Merged&) = delete;

 private:
  std::map<WeightedLayer*, torch::Tensor> originals_;
};

TEST_P(Adapters, SeveralAddUpAndGoInAnyOrder) {
  torch::NoGradGuard no_grad;
  SmallDenoiser denoiser(GetParam());
  const torch::Tensor plain = denoiser.call();
  const Lora one = random_lora(denoiser, 2, 1), two = random_lora(denoiser, 3, 2);
  torch::Tensor first, second, both;
  {
    auto a = std::make_unique<AttachedLora>(denoiser.module(), one, 0.7);
    first = denoiser.call();
    const AttachedLora b(denoiser.module(), two, -0.4);
    both = denoiser.call();
    a.reset();
    second = denoiser.call();
  }
  {
    const AttachedLora b(denoiser.module(), two, -0.4);
    EXPECT_TRUE(torch::equal(denoiser.call(), second));
  }
  EXPECT_TRUE(torch::equal(denoiser.call(), plain));
  {
    const Merged merged(denoiser.module(), {{&one, 0.7}});
    EXPECT_LT(relative_error(denoiser.call(), first), 1e-4);
  }
  {
    const Merged merged(denoiser.module(), {{&one, 0.7}, {&two, -0.4}});
    EXPECT_LT(relative_error(denoiser.call(), both), 1e-4);
  }
  EXPECT_TRUE(torch::equal(denoiser.call(), plain));
  EXPECT_GT(relative_error(both, plain), 1e-2) << "the adapters must matter";
}

// Along a random direction in each projection, the gradient tells how the output changes. fp64.
TEST_P(Adapters, GradientsEqualFiniteDifferences) {
  SmallDenoiser denoiser(GetParam(), torch::kFloat64);
  Lora lora = random_lora(denoiser, 2, 3, torch::kFloat64);
  for (auto& [path, layer] : lora.layers) layer.a.set_requires_grad(true), layer.b.set_requires_grad(true);
  const AttachedLora attached(denoiser.module(), lora);
  at::Generator generator = make_generator(4);
  torch::Tensor weights;
  auto loss = [&] {
    const torch::Tensor out = denoiser.call();
    if (!weights.defined()) weights = torch::randn(out.sizes(), generator, torch::kFloat64).to(out.device());
    return (out * weights).sum();
  };
  loss().backward();
  torch::NoGradGuard no_grad;
  for (auto& [path, layer] : lora.layers) {
    for (torch::Tensor tensor : {layer.a, layer.b}) {
      // MM-DiT's and FLUX's last context output goes nowhere: PyTorch leaves its gradient undefined.
      const torch::Tensor gradient = tensor.grad().defined() ? tensor.grad() : torch::zeros_like(tensor);
      const torch::Tensor direction = torch::randn(tensor.sizes(), generator, torch::kFloat64).to(tensor.device());
      const double step = 1e-5;
      tensor.add_(direction, step);
      const double above = loss().item<double>();
      tensor.sub_(direction, 2 * step);
      const double below = loss().item<double>();
      tensor.add_(direction, step);
      const double told = (gradient * direction).sum().item<double>(), measured = (above - below) / (2 * step);
      EXPECT_NEAR(told, measured, 1e-6 * std::max(1.0, std::abs(measured))) << path;
    }
  }
}

// Blocks that are computed again on the way back give the same gradients, dropout too, from a smaller graph. Where a U-Net's skips meet, sums are
// taken in another order.
TEST_P(Adapters, CheckpointingChangesNoGradient) {
  SmallDenoiser denoiser(GetParam());
  Lora lora = random_lora(denoiser, 2, 3);
  for (auto& [path, layer] : lora.layers) layer.a.set_requires_grad(true), layer.b.set_requires_grad(true);
  const AttachedLora attached(denoiser.module(), lora, 1, /*dropout=*/0.3);
  auto gradients = [&](bool checkpointing, size_t& nodes) {
    const GradientCheckpointing scope(checkpointing);
    torch::manual_seed(5);
    const torch::Tensor loss = denoiser.call().pow(2).sum();
    std::set<torch::autograd::Node*> seen;
    std::vector<torch::autograd::Node*> todo{loss.grad_fn().get()};
    while (!todo.empty()) {
      torch::autograd::Node* node = todo.back();
      todo.pop_back();
      if (!node || !seen.insert(node).second) continue;
      for (const auto& edge : node->next_edges()) todo.push_back(edge.function.get());
    }
    nodes = seen.size();
    loss.backward();
    std::map<std::string, torch::Tensor> out;
    for (auto& [path, layer] : lora.layers)
      for (auto& [name, tensor] : {std::pair("a", &layer.a), std::pair("b", &layer.b)}) {
        if (tensor->grad().defined()) out[path + name] = tensor->grad().clone();
        tensor->mutable_grad() = torch::Tensor();
      }
    return out;
  };
  size_t whole = 0, less = 0;
  const auto expected = gradients(false, whole);
  const auto alike = [&](const std::map<std::string, torch::Tensor>& got) {
    for (const auto& [name, gradient] : expected) {
      ASSERT_TRUE(got.contains(name)) << name;
      EXPECT_LT(relative_error(got.at(name), gradient), 1e-5) << name;
    }
  };
  alike(gradients(true, less));
  EXPECT_LT(less, whole / 2);
  if (testing::test_device().is_cpu()) return;
  // So do blocks whose weights come from the host each time, on the way back too, where they are needed in another order.
  const BlockStream stream(denoiser.module(), testing::test_device(), 0);
  EXPECT_GT(stream.blocks(), 1u);
  for (int pass = 0; pass < 3; ++pass) alike(gradients(false, less));
  EXPECT_LT(less, whole / 2);
}

// What is written is read again, to the bit; in kohya's format too, where q, k and v are one layer.
TEST_P(Adapters, FilesGiveBackWhatWasWritten) {
  torch::NoGradGuard no_grad;
  SmallDenoiser denoiser(GetParam());
  const testing::TemporaryFolder folder;
  Lora lora = random_lora(denoiser, 2, 5);
  // Ranks and alphas differ.
  LoraLayer& odd = lora.layers.begin()->second;
  odd = {torch::cat({odd.a, odd.a * 2}), torch::cat({odd.b, odd.b * 3}, 1), 0.75};
  lora.metadata["sites"] = "0,1";
  const bool named = !denoiser.table().sites[0].kohya.empty();
  for (auto format : {LoraFormat::diffusers, LoraFormat::kohya}) {
    const auto file = folder / (format == LoraFormat::kohya ? "kohya.safetensors" : "diffusers.safetensors");
    if (format == LoraFormat::kohya && !named) {
      EXPECT_THAT(testing::failure_of([&] { write_lora(file, lora, format, denoiser.module(), denoiser.table()); }), HasSubstr("kohya's format has no name"));
      continue;
    }
    write_lora(file, lora, format, denoiser.module(), denoiser.table());
    std::vector<std::string> notes;
    const Lora read = read_lora(file, denoiser.module(), denoiser.table(), notes);
    EXPECT_EQ(read.metadata, lora.metadata);
    ASSERT_EQ(read.layers.size(), lora.layers.size());
    for (const auto& [path, layer] : lora.layers) {
      const LoraLayer& got = read.layers.at(path);
      auto product = [](const LoraLayer& one) { return one.alpha / static_cast<double>(one.rank()) * at::mm(one.b, one.a); };
      EXPECT_LT(relative_error(product(got), product(layer)), 1e-6) << path;
      if (format == LoraFormat::diffusers) EXPECT_TRUE(testing::same(got.a, layer.a) && testing::same(got.b, layer.b) && got.alpha == layer.alpha) << path;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Families, Adapters,
                         ::testing::Values("unet_sd1", "unet_sd2", "unet_sdxl", "unet_if1", "mmdit_sd3", "mmdit_sd35", "flux_dev", "z_image"));

TEST(LoraPlan, GivesWhatItNames) {
  SmallDenoiser denoiser("unet_sd1");
  at::Generator generator = make_generator(1);
  auto make = [&](const LoraPlan& plan) { return make_lora(denoiser.module(), denoiser.table(), plan, generator); };
  const Lora lora = make({.sites = {1, 2}, .projections = {"kv"}, .rank = 4, .ranks = {{2, 6}}});
  ASSERT_EQ(lora.layers.size(), 4u);
  std::int64_t expected = 0;
  for (int site : {1, 2}) {
    for (const char* name : {".to_k", ".to_v"}) {
      const LoraLayer& layer = lora.layers.at(denoiser.table().sites[static_cast<size_t>(site)].path + name);
      EXPECT_EQ(layer.rank(), site == 2 ? 6 : 4);
      EXPECT_EQ(layer.alpha, layer.rank());
      expected += layer.rank() * (layer.a.size(1) + layer.b.size(0));
    }
  }
  EXPECT_EQ(lora.parameters(), expected);
  // Self-attention too: of each site's block one more.
  EXPECT_EQ(make({.every_attention = true}).layers.size(), 8 * denoiser.table().sites.size());
  // Gaussian as PEFT's: a standard deviation of 1 / rank.
  EXPECT_NEAR(make({.every_attention = true, .rank = 4}).layers.begin()->second.a.std().item<double>(), 0.25, 0.12);
  const Lora kaiming = make({.every_attention = true, .init = LoraInit::kaiming});
  for (const auto& [path, layer] : kaiming.layers) EXPECT_LE(layer.a.abs().max().item<double>(), 1 / std::sqrt(static_cast<double>(layer.a.size(1))));

  auto error = [&](const LoraPlan& plan) { return testing::failure_of([&] { make(plan); }); };
  EXPECT_THAT(error({.sites = {99}}), HasSubstr("no site 99"));
  EXPECT_THAT(error({.sites = {0}, .projections = {"to_z"}}), HasSubstr("to_z"));
  EXPECT_THAT(error({.sites = {0}, .rank = 4096}), HasSubstr("rank of 4096"));
  EXPECT_THAT(error({.sites = {0}, .projections = {"add_k_proj"}}), HasSubstr("no layer"));
}

TEST(AdapterFiles, WhatIsWrongIsNamed) {
  torch::NoGradGuard no_grad;
  SmallDenoiser denoiser("unet_sd1"), other("mmdit_sd3");
  const testing::TemporaryFolder folder;
  const auto file = folder / "adapter.safetensors";
  auto read = [&](const std::map<std::string, torch::Tensor>& tensors) {
    write_safetensors(file, tensors);
    std::vector<std::string> notes;
    return testing::failure_of([&] { read_lora(file, denoiser.module(), denoiser.table(), notes); });
  };
  const std::string path = denoiser.table().sites[0].path + ".to_k";
  const torch::Tensor a = torch::ones({2, 12}), b = torch::ones({8, 2});
  EXPECT_THAT(read({{"unet.nonsense.lora_A.weight", a}, {"unet.nonsense.lora_B.weight", b}}), HasSubstr("1 of 1 layers"));
  EXPECT_THAT(read({{"unet." + path + "x.lora_A.weight", a}, {"unet." + path + "x.lora_B.weight", b}}), HasSubstr("nearest here is " + path));
  EXPECT_THAT(read({{"unet." + path + ".lora_A.weight", a}}), HasSubstr("no pair of matrices"));
  EXPECT_THAT(read({{"unet." + path + ".lora_A.weight", torch::full({2, 12}, NAN)}, {"unet." + path + ".lora_B.weight", b}}), HasSubstr("not finite"));
  EXPECT_THAT(read({{"unet." + path + ".hada_w1_a", a}}), HasSubstr("is no LoHa: hada_w1_b is missing"));
  EXPECT_THAT(read({{"unet." + path + ".lokr_w1", a}}), HasSubstr("is no LoKr"));
  EXPECT_THAT(read({{"unet." + path + ".on_input", torch::ones({})}}), HasSubstr("is no IA3"));
  EXPECT_THAT(read({{"unet." + path + ".oft_blocks", torch::ones({2, 4, 3})}}), HasSubstr("square ones were expected"));
  EXPECT_THAT(read({{"unet." + path + ".lora_A.weight", a}, {"unet." + path + ".lora_B.weight", b}, {"unet." + path + ".oft_blocks", torch::ones({2, 4, 4})}}),
              HasSubstr("has a part 'oft_blocks' of OFT beside those of LoRA"));
  EXPECT_THAT(read({{"unet." + path + ".oft_R.default.weight", a}}), HasSubstr("generators of [2, 12]"));
  EXPECT_THAT(read({{"unet." + path + ".lora_A.weight", torch::ones({3, 12})}, {"unet." + path + ".lora_B.weight", b}}),
              HasSubstr("they are [8, 2] and [3, 12]"));
  EXPECT_THAT(read({{"x", a}}), HasSubstr("the file holds 'x'"));
  EXPECT_THAT(read({{"text_encoder.x.lora_A.weight", a}}), HasSubstr("text encoder alone"));
  EXPECT_THAT(read({{"unet.conv_inn.lora_A.weight", torch::ones({2, 4, 3, 3})}, {"unet.conv_inn.lora_B.weight", torch::ones({8, 2, 1, 1})}}),
              HasSubstr("conv_inn: the nearest here is conv_in"));

  const Lora lora = random_lora(other, 2, 1);
  EXPECT_THAT(testing::failure_of([&] { const AttachedLora attached(denoiser.module(), lora); }),
              HasSubstr("transformer_blocks.0.attn.to_q: the model has no such layer"));
  Lora wide;
  wide.layers[path] = {torch::ones({2, 5}), b, 2};
  EXPECT_THAT(testing::failure_of([&] { const AttachedLora attached(denoiser.module(), wide); }), HasSubstr("[8, 2] x [2, 5], the layer [8, 12]"));
  Lora whole;
  whole.changes[path] = {.method = LayerChange::Method::difference, .parts = {{"diff", torch::ones({3, 3})}}};
  EXPECT_THAT(testing::failure_of([&] { const AttachedLora attached(denoiser.module(), whole); }),
              HasSubstr("a whole weight difference is [3, 3], the layer [8, 12]"));

  // A text encoder's part is passed over, and said so.
  write_safetensors(file, {{"unet." + path + ".lora_A.weight", a}, {"unet." + path + ".lora_B.weight", b}, {"text_encoder.x.lora_A.weight", a}});
  std::vector<std::string> notes;
  EXPECT_EQ(read_lora(file, denoiser.module(), denoiser.table(), notes).layers.size(), 1u);
  EXPECT_THAT(notes, ::testing::ElementsAre(HasSubstr("text encoder")));
}

// Names and rows as kohya-ss/sd-scripts has them, whose modules are those of the authors' own code.
TEST(KohyaNames, AreTheOriginalCodes) {
  auto expect = [](const char* name, const std::map<std::string, std::tuple<std::string, std::int64_t, std::int64_t>>& expected) {
    SmallDenoiser denoiser(name);
    const auto places = kohya_places(denoiser.module(), denoiser.table());
    for (const auto& [path, place] : expected) {
      ASSERT_TRUE(places.contains(path)) << path;
      const KohyaPlace& got = places.at(path);
      EXPECT_EQ(std::tuple(got.module, got.first_row, got.rows), place) << path;
    }
  };
  expect("unet_sd1",
         {{"down_blocks.0.attentions.1.transformer_blocks.0.attn2.to_k", {"lora_unet_down_blocks_0_attentions_1_transformer_blocks_0_attn2_to_k", 0, 0}},
          {"mid_block.attentions.0.proj_in", {"lora_unet_mid_block_attentions_0_proj_in", 0, 0}},
          {"up_blocks.1.attentions.2.transformer_blocks.0.ff.net.0.proj", {"lora_unet_up_blocks_1_attentions_2_transformer_blocks_0_ff_net_0_proj", 0, 0}}});
  // A layer a block: input_blocks 1 (resnet), 2 (downsampler), 3 (attention), ..
  expect("unet_sdxl", {{"down_blocks.1.attentions.0.transformer_blocks.1.attn1.to_q", {"lora_unet_input_blocks_3_1_transformer_blocks_1_attn1_to_q", 0, 0}},
                       {"mid_block.attentions.0.transformer_blocks.2.attn2.to_out.0", {"lora_unet_middle_block_1_transformer_blocks_2_attn2_to_out_0", 0, 0}},
                       {"up_blocks.0.attentions.1.proj_out", {"lora_unet_output_blocks_1_1_proj_out", 0, 0}}});
  SmallDenoiser sd3("mmdit_sd3"), flux("flux_dev");
  const auto rows = [](SmallDenoiser& one, const char* path) { return adaptable_layers(one.module()).at(path)->weight.size(0); };
  const std::int64_t w = rows(sd3, "transformer_blocks.0.attn.to_q"), f = rows(flux, "transformer_blocks.0.attn.to_q");
  expect("mmdit_sd3", {{"transformer_blocks.1.attn.to_q", {"lora_unet_joint_blocks_1_x_block_attn_qkv", 0, 3 * w}},
                       {"transformer_blocks.1.attn.to_v", {"lora_unet_joint_blocks_1_x_block_attn_qkv", 2 * w, 3 * w}},
                       {"transformer_blocks.0.attn.add_k_proj", {"lora_unet_joint_blocks_0_context_block_attn_qkv", w, 3 * w}},
                       {"transformer_blocks.0.attn.to_out.0", {"lora_unet_joint_blocks_0_x_block_attn_proj", 0, 0}},
                       {"transformer_blocks.0.attn.to_add_out", {"lora_unet_joint_blocks_0_context_block_attn_proj", 0, 0}},
                       {"transformer_blocks.0.norm1.linear", {"lora_unet_joint_blocks_0_x_block_adaLN_modulation_1", 0, 0}}});
  expect("flux_dev", {{"transformer_blocks.0.attn.to_k", {"lora_unet_double_blocks_0_img_attn_qkv", f, 3 * f}},
                      {"transformer_blocks.0.attn.add_v_proj", {"lora_unet_double_blocks_0_txt_attn_qkv", 2 * f, 3 * f}},
                      {"transformer_blocks.0.norm1_context.linear", {"lora_unet_double_blocks_0_txt_mod_lin", 0, 0}},
                      {"single_transformer_blocks.1.attn.to_v", {"lora_unet_single_blocks_1_linear1", 2 * f, 7 * f}},
                      {"single_transformer_blocks.1.proj_mlp", {"lora_unet_single_blocks_1_linear1", 3 * f, 7 * f}},
                      {"single_transformer_blocks.1.proj_out", {"lora_unet_single_blocks_1_linear2", 0, 0}},
                      {"single_transformer_blocks.1.norm.linear", {"lora_unet_single_blocks_1_modulation_lin", 0, 0}},
                      {"x_embedder", {"lora_unet_img_in", 0, 0}}});
  SmallDenoiser pixels("unet_if1");
  EXPECT_TRUE(kohya_places(pixels.module(), pixels.table()).empty());
  EXPECT_TRUE(
      kohya_places(sd3.module(), sd3.table()).at("transformer_blocks." + std::to_string(sd3.table().sites.size() - 1) + ".norm1_context.linear").swapped);
}

// What is no adapter that can act is named as what it is, whatever its tensors are called.
TEST(AdapterFiles, OtherMethodsAndLearnedWordsAreNamed) {
  SmallDenoiser unet("unet_sd1");
  const testing::TemporaryFolder folder;
  const auto error = [&](const std::map<std::string, torch::Tensor>& tensors, const std::string& type = "") {
    write_safetensors(folder / "adapter_model.safetensors", tensors);
    if (!type.empty()) write_text(folder / "adapter_config.json", nlohmann::json{{"peft_type", type}}.dump());
    std::vector<std::string> notes;
    return testing::failure_of([&] { read_lora(folder / "adapter_model.safetensors", unet.module(), unet.table(), notes); });
  };
  for (const auto& tensors : std::vector<std::map<std::string, torch::Tensor>>{{{"emb_params", torch::zeros({4, 768})}},
                                                                               {{"clip_l", torch::zeros({2, 768})}, {"clip_g", torch::zeros({2, 1280})}},
                                                                               {{"<cat-toy>", torch::zeros({1024})}}})
    EXPECT_THAT(error(tensors), HasSubstr("textual inversion"));
  EXPECT_THAT(error({{"something", torch::zeros({3})}}), HasSubstr("no part of an adapter"));
  const std::string layer = "base_model.model.mid_block.attentions.0.transformer_blocks.0.attn2.to_k.";
  for (const char* method : {"ADALORA", "VERA", "RANDLORA"})
    EXPECT_THAT(error({{layer + "lora_A", torch::zeros({2, 8})}}, method), HasSubstr("of " + std::string(method) + ", a method of PEFT's"));
  // Beside a foreign adapter's settings another's file is what it is.
  const torch::Tensor& weight = adaptable_layers(unet.module()).at("mid_block.attentions.0.proj_in")->weight;
  write_safetensors(folder / "style.safetensors", {{"unet.mid_block.attentions.0.proj_in.lora_A.weight", torch::zeros({2, weight.size(1)})},
                                                   {"unet.mid_block.attentions.0.proj_in.lora_B.weight", torch::zeros({weight.size(0), 2})}});
  std::vector<std::string> notes;
  EXPECT_EQ(read_lora(folder / "style.safetensors", unet.module(), unet.table(), notes).layers.size(), 1u);
}

// What other programs write: Stable Diffusion 1's projections are convolutions of one point; older spellings; the authors' names with dots; bf16.
TEST(AdapterFiles, SpellingsOfOthersAreRead) {
  torch::NoGradGuard no_grad;
  const testing::TemporaryFolder folder;
  const auto file = folder / "adapter.safetensors";
  auto read = [&](SmallDenoiser& denoiser, const std::map<std::string, torch::Tensor>& tensors, const std::map<std::string, std::string>& metadata = {}) {
    write_safetensors(file, tensors, metadata);
    std::vector<std::string> notes;
    return read_lora(file, denoiser.module(), denoiser.table(), notes);
  };
  SmallDenoiser unet("unet_sd1"), flux("flux_dev");
  const auto layers = adaptable_layers(unet.module());
  auto pair = [&](const std::string& path, SmallDenoiser& denoiser) {
    const torch::Tensor& weight = adaptable_layers(denoiser.module()).at(path)->weight;
    return std::pair{torch::randn({2, weight.size(1)}), torch::randn({weight.size(0), 2})};
  };
  const std::string projection = "mid_block.attentions.0.proj_in", key = unet.table().sites[0].path + ".to_k";
  const auto [a, b] = pair(projection, unet);
  const Lora one = read(unet, {{"lora_unet_mid_block_attentions_0_proj_in.lora_down.weight", a.unsqueeze(-1).unsqueeze(-1)},
                               {"lora_unet_mid_block_attentions_0_proj_in.lora_up.weight", b.unsqueeze(-1).unsqueeze(-1)},
                               {"lora_unet_mid_block_attentions_0_proj_in.alpha", torch::tensor(1.0)}});
  EXPECT_TRUE(torch::equal(one.layers.at(projection).a, a));
  // It is written as such a convolution again: diffusers takes no other shape.
  for (const auto& [format, name] : {std::pair(LoraFormat::diffusers, "unet.mid_block.attentions.0.proj_in.lora_A.weight"),
                                     std::pair(LoraFormat::kohya, "lora_unet_mid_block_attentions_0_proj_in.lora_down.weight")}) {
    write_lora(file, one, format, unet.module(), unet.table());
    EXPECT_EQ(SafetensorsFile(file).tensor(name).sizes(), (std::vector<std::int64_t>{2, a.size(1), 1, 1})) << name;
    std::vector<std::string> notes;
    EXPECT_TRUE(torch::equal(read_lora(file, unet.module(), unet.table(), notes).layers.at(projection).b, b));
  }
  const torch::Tensor plain = unet.call();
  torch::Tensor beside;
  {
    const AttachedLora attached(unet.module(), one);
    beside = unet.call();
  }
  const Merged merged(unet.module(), {{&one, 1.0}});
  EXPECT_LT(relative_error(unet.call(), beside), 1e-4);
  EXPECT_GT(relative_error(plain, beside), 1e-3);

  const auto [c, d] = pair(key, unet);
  for (const auto& [down, up] : std::vector<std::pair<std::string, std::string>>{
           {"unet." + key + ".lora.down.weight", "unet." + key + ".lora.up.weight"},
           {"unet." + key + ".lora_linear_layer.down.weight", "unet." + key + ".lora_linear_layer.up.weight"},
           {"base_model.model." + key + ".lora_A.default.weight", "base_model.model." + key + ".lora_B.default.weight"},
           {unet.table().sites[0].path + ".processor.to_k_lora.down.weight", unet.table().sites[0].path + ".processor.to_k_lora.up.weight"}}) {
    const Lora lora = read(unet, {{down, c.to(torch::kBFloat16)}, {up, d.to(torch::kFloat16)}});
    ASSERT_TRUE(lora.layers.contains(key)) << down;
    EXPECT_EQ(lora.layers.at(key).alpha, 2) << "alpha is the rank where nothing says another";
  }
  const auto [e, f] = pair("transformer_blocks.0.attn.to_q", flux);
  const torch::Tensor qkv = torch::cat({f, f * 2, f * 3});
  const Lora fused =
      read(flux, {{"diffusion_model.double_blocks.0.img_attn.qkv.lora_A.weight", e}, {"diffusion_model.double_blocks.0.img_attn.qkv.lora_B.weight", qkv}});
  ASSERT_EQ(fused.layers.size(), 3u);
  EXPECT_TRUE(torch::equal(fused.layers.at("transformer_blocks.0.attn.to_v").b, f * 3));
  EXPECT_TRUE(read(flux, {{"lora_transformer_transformer_blocks_0_attn_to_q.lora_down.weight", e},
                          {"lora_transformer_transformer_blocks_0_attn_to_q.lora_up.weight", f}})
                  .layers.contains("transformer_blocks.0.attn.to_q"));

  // Z-Image's, as diffusers' `_convert_non_diffusers_z_image_lora_to_diffusers` knows them; and its authors' layers, which make Q, K and V in one.
  SmallDenoiser z("z_image");
  const auto [g, h] = pair("layers.0.attention.to_q", z);
  for (const char* name :
       {"diffusion_model.layers.0.attention.to_q", "lora_unet_layers_0_attention_to_q", "layers.0.attention.to_q", "transformer.layers.0.attention.to_q"})
    EXPECT_TRUE(read(z, {{name + std::string(".lora_down.weight"), g}, {name + std::string(".lora_up.weight"), h}}).layers.contains("layers.0.attention.to_q"))
        << name;
  for (const auto& [name, path] : {std::pair{"lora_unet_layers_0_attention_out", "layers.0.attention.to_out.0"},
                                   {"diffusion_model.layers.0.attention.out", "layers.0.attention.to_out.0"},
                                   {"lora_unet_context_refiner_1_attention_to_v", "context_refiner.1.attention.to_v"}})
    EXPECT_TRUE(read(z, {{name + std::string(".lora_down.weight"), g}, {name + std::string(".lora_up.weight"), h}}).layers.contains(path)) << name;
  const Lora in_one =
      read(z, {{"lora_unet_layers_1_attention_qkv.lora_down.weight", g}, {"lora_unet_layers_1_attention_qkv.lora_up.weight", torch::cat({h, h * 2, h * 3})}});
  EXPECT_TRUE(torch::equal(in_one.layers.at("layers.1.attention.to_k").b, h * 2));
  const auto [i, j] = pair("layers.1.feed_forward.w1", z);
  EXPECT_TRUE(read(z, {{"lora_unet_layers_1_feed_forward_w1.lora_down.weight", i}, {"lora_unet_layers_1_feed_forward_w1.lora_up.weight", j}})
                  .layers.contains("layers.1.feed_forward.w1"));

  // PEFT's patterns are regular expressions; a single model's settings have no prefix; rank-stabilised; other methods.
  const std::map<std::string, torch::Tensor> tensors{{"unet." + key + ".lora_A.weight", c}, {"unet." + key + ".lora_B.weight", d}};
  auto alpha = [&](const nlohmann::json& settings) { return read(unet, tensors, {{"lora_adapter_metadata", settings.dump()}}).layers.at(key).alpha; };
  EXPECT_EQ(alpha({{"unet.lora_alpha", 16}}), 16);
  EXPECT_EQ(alpha({{"lora_alpha", 8}}), 8);
  EXPECT_EQ(alpha({{"lora_alpha", 8}, {"alpha_pattern", {{"attn2.to_[kv]", 5}}}}), 5);
  EXPECT_EQ(alpha({{"lora_alpha", 8}, {"alpha_pattern", {{"^" + key, 3}}}}), 3);
  EXPECT_EQ(alpha({{"lora_alpha", 8}, {"alpha_pattern", {{"to_q", 3}}}}), 8);
  EXPECT_NEAR(alpha({{"lora_alpha", 8}, {"use_rslora", true}}), 8 * std::sqrt(2.0), 1e-9);
  auto error = [&](const nlohmann::json& settings) { return testing::failure_of([&] { alpha(settings); }); };
  EXPECT_THAT(error({{"use_dora", true}}), HasSubstr("lacks the magnitudes of DoRA"));
  EXPECT_THAT(error({{"init_lora_weights", "pissa_niter_4"}}), HasSubstr("pissa"));
  EXPECT_THAT(error({{"alpha_pattern", {{"to_[", 3}}}}), HasSubstr("to_["));
  // One that would take longer than a life.
  EXPECT_THAT(error({{"alpha_pattern", {{"(a*)*(.*)*(.*)*(.*)*z", 3}}}}), HasSubstr("takes too long"));
  EXPECT_THAT(error({{"unet.lora_alpha", "8"}}), HasSubstr("'unet.lora_alpha' is \"8\", a number was expected"));
  EXPECT_THAT(error({{"alpha_pattern", {{"to_k", "x"}}}}), HasSubstr("alpha_pattern to_k"));
  EXPECT_THAT(error({{"alpha_pattern", 3}}), HasSubstr("patterns and numbers were expected"));
  EXPECT_THAT(error("damaged"), HasSubstr("no JSON object"));
}

// diffusers takes the most frequent alpha for attention layers of kohya files, and patterns of adapters match the ends of paths unless anchored.
TEST(AdapterFiles, ExportsCountTheSameInDiffusers) {
  torch::NoGradGuard no_grad;
  const testing::TemporaryFolder folder;
  const auto file = folder / "adapter.safetensors";
  SmallDenoiser unet("unet_sd1"), flux("flux_dev");
  Lora mixed = random_lora(unet, 4, 1);
  int i = 0;
  for (auto& [path, layer] : mixed.layers)
    if (++i % 3 == 0) {
      layer.a = torch::randn({7, layer.a.size(1)});
      layer.b = torch::randn({layer.b.size(0), 7});
      layer.alpha = 2.5;
    }
  write_lora(file, mixed, LoraFormat::kohya, unet.module(), unet.table());
  const SafetensorsFile written(file);
  std::set<double> alphas;
  for (const auto& [name, entry] : written.entries())
    if (name.ends_with(".alpha")) alphas.insert(written.tensor(name).item<double>());
  EXPECT_EQ(alphas.size(), 1u);
  std::vector<std::string> notes;
  const Lora back = read_lora(file, unet.module(), unet.table(), notes);
  for (const auto& [path, layer] : mixed.layers) {
    const auto product = [](const LoraLayer& one) { return torch::mm(one.b, one.a) * (one.alpha / static_cast<double>(one.rank())); };
    EXPECT_LT(relative_error(product(back.layers.at(path)), product(layer)), 1e-6) << path;
  }

  Lora ends;
  for (const auto& [path, rank] : {std::pair("context_embedder", 8), {"proj_out", 4}, {"single_transformer_blocks.0.proj_out", 8}}) {
    const torch::Tensor& weight = adaptable_layers(flux.module()).at(path)->weight;
    ends.layers[path] = {torch::randn({rank, weight.size(1)}), torch::randn({weight.size(0), rank}), rank == 4 ? 3.0 : 8.0};
  }
  write_lora(file, ends, LoraFormat::diffusers, flux.module(), flux.table());
  const auto settings = nlohmann::json::parse(SafetensorsFile(file).metadata().at("lora_adapter_metadata"));
  EXPECT_EQ(settings["transformer.rank_pattern"], nlohmann::json({{"^proj_out", 4}}));
  EXPECT_EQ(settings["transformer.alpha_pattern"], nlohmann::json({{"^proj_out", 3.0}}));
  EXPECT_EQ(read_lora(file, flux.module(), flux.table(), notes).layers.at("single_transformer_blocks.0.proj_out").alpha, 8);
}

// What stands in a file beside the matrices: alphas as keys of the header's own, alphas of two numbers, counters of types that nobody computes with.
TEST(AdapterFiles, WhatElseIsInAFileIsReadOrNamed) {
  const testing::TemporaryFolder folder;
  const auto file = folder / "adapter.safetensors";
  SmallDenoiser unet("unet_sd1");
  const std::string key = unet.table().sites[0].path + ".to_k";
  const torch::Tensor& weight = adaptable_layers(unet.module()).at(key)->weight;
  const std::map<std::string, torch::Tensor> tensors{{"unet." + key + ".lora_A.weight", torch::randn({2, weight.size(1)})},
                                                     {"unet." + key + ".lora_B.weight", torch::randn({weight.size(0), 2})}};
  std::vector<std::string> notes;
  const auto read = [&](const std::map<std::string, torch::Tensor>& all, const std::map<std::string, std::string>& metadata) {
    write_safetensors(file, all, metadata);
    notes.clear();
    return read_lora(file, unet.module(), unet.table(), notes).layers.at(key).alpha;
  };
  EXPECT_EQ(read(tensors, {{"unet.lora_alpha", "8"}, {"unet.r", "2"}}), 8);
  EXPECT_THAT(notes, ::testing::ElementsAre(HasSubstr("unet.lora_alpha of 8")));
  EXPECT_EQ(read(tensors, {{"lora_alpha", "6.5"}, {"rank", "2"}}), 6.5);
  EXPECT_NEAR(read(tensors, {{"lora_alpha", "4"}, {"use_rslora", "true"}}), 4 * std::sqrt(2.0), 1e-9);
  EXPECT_THAT(testing::failure_of([&] { read(tensors, {{"lora_alpha", "much"}}); }), HasSubstr("'much', which is no number"));
  EXPECT_THAT(testing::failure_of([&] { read(tensors, {{"lora_adapter_metadata", "{\"unet.init_lora_weights\": \"lora_ga\"}"}}); }), HasSubstr("lora_ga"));

  auto more = tensors;
  more["step"] = torch::zeros({2}, torch::kUInt64);
  EXPECT_EQ(read(more, {}), 2);
  EXPECT_THAT(notes, ::testing::ElementsAre(AllOf(HasSubstr("'step' (U64)"), HasSubstr("not used"))));
  more["step"] = torch::zeros({2});
  EXPECT_THAT(testing::failure_of([&] { read(more, {}); }), HasSubstr("'step', which is no part of an adapter"));
  auto two = tensors;
  auto other = tensors;
  other["unet." + key + ".alpha"] = torch::tensor(3);
  EXPECT_EQ(read(other, {}), 3) << "a whole number";
  other["unet." + key + ".alpha"] = torch::zeros({0});
  EXPECT_THAT(testing::failure_of([&] { read(other, {}); }), HasSubstr("is of 0 numbers"));
  other["unet." + key + ".alpha"] = torch::ones({1}, torch::kBool);
  EXPECT_THAT(testing::failure_of([&] { read(other, {}); }), AllOf(HasSubstr("BOOL"), HasSubstr("floating-point")));
  other = tensors;
  other["unet." + key + ".lora_A.weight"] = other.at("unet." + key + ".lora_A.weight").to(torch::kInt32);
  EXPECT_THAT(testing::failure_of([&] { read(other, {}); }), AllOf(HasSubstr("I32"), HasSubstr("floating-point")));
  other = tensors;
  for (const char* part : {".lora_A.weight", ".lora_B.weight"}) other[key + part] = tensors.at("unet." + key + part) * 5;
  EXPECT_THAT(testing::failure_of([&] { read(other, {}); }), AllOf(HasSubstr(key), HasSubstr("there twice")));
  two["unet." + key + ".alpha"] = torch::tensor({1.0f, 2.0f});
  EXPECT_THAT(testing::failure_of([&] { read(two, {}); }), HasSubstr("is of 2 numbers"));
}

// Parameters in fp32 beside weights in bf16, and dropout while gradients are recorded only.
// PEFT's OFT keeps its rotations in another form than LyCORIS' does.
TEST(AdapterFiles, PeftsRotationsAreNamed) {
  const testing::TemporaryFolder folder;
  SmallDenoiser unet("unet_sd1");
  const std::string layer = "base_model.model." + unet.table().sites[0].path + ".to_k";
  const auto failure = [&](const std::map<std::string, torch::Tensor>& tensors) {
    write_safetensors(folder / "oft.safetensors", tensors, {});
    std::vector<std::string> notes;
    return testing::failure_of([&] { read_lora(folder / "oft.safetensors", unet.module(), unet.table(), notes); });
  };
  EXPECT_THAT(failure({{layer + ".boft_R", torch::zeros({2, 3, 4, 4})}, {layer + ".boft_s", torch::ones({8, 1})}}), HasSubstr("BOFT of 2 butterfly factors"));
  EXPECT_THAT(failure({{layer + ".boft_R", torch::zeros({1, 3, 4, 4})}}), HasSubstr("its rows' scales are missing"));
  EXPECT_THAT(failure({{layer + ".oft_R.weight", torch::tensor(1.0F)}}), HasSubstr("generators of []"));
  // By a series or by an inverse: a guess would draw another picture in silence.
  EXPECT_THAT(failure({{layer + ".oft_R.weight", torch::zeros({4, 6})}}), AllOf(HasSubstr("how its rotations are formed"), HasSubstr("adapter_config.json")));
}

// Its own biases come along, by one setting or another; they are no layers of another model.
TEST(AdapterFiles, BiasesThatPeftTrainsAlongAreNamed) {
  const testing::TemporaryFolder folder;
  SmallDenoiser unet("unet_sd1");
  const std::string layer = "base_model.model." + unet.table().sites[0].path + ".to_out.0";
  for (const char* bias : {".base_layer.bias", ".bias"}) {
    write_safetensors(folder / "lora.safetensors", {{layer + bias, torch::zeros({8})}}, {});
    std::vector<std::string> notes;
    EXPECT_THAT(testing::failure_of([&] { read_lora(folder / "lora.safetensors", unet.module(), unet.table(), notes); }),
                HasSubstr("a bias of the model's own, which PEFT trained along"));
  }
}

// kohya's names go beyond transformers: LoCon has products of a residual block's time embedding.
TEST(AdapterFiles, LinearLayersOutsideTransformersHaveKohyasNames) {
  for (const char* name : {"unet_sd1", "unet_sdxl"}) {
    const testing::TemporaryFolder folder;
    SmallDenoiser unet(name);
    const auto layers = changeable_layers(unet.module());
    const auto found = std::ranges::find_if(layers, [](const auto& one) { return one.first.ends_with("time_emb_proj"); });
    ASSERT_NE(found, layers.end());
    const torch::Tensor& weight = found->second->weight;
    Lora lora;
    lora.layers[found->first] = {torch::randn({2, weight.size(1)}), torch::randn({weight.size(0), 2}), 2};
    write_lora(folder / "out.safetensors", lora, LoraFormat::kohya, unet.module(), unet.table());
    std::vector<std::string> notes;
    const Lora back = read_lora(folder / "out.safetensors", unet.module(), unet.table(), notes);
    ASSERT_TRUE(back.layers.contains(found->first)) << name;
    EXPECT_TRUE(torch::equal(back.layers.at(found->first).b, lora.layers[found->first].b));
  }
}

// As PEFT's `lora.Conv2d` has them: A with the kernel of the layer, B with one of 1 x 1.
TEST(AdapterFiles, ConvolutionsAreWrittenAsKernels) {
  const testing::TemporaryFolder folder;
  SmallDenoiser unet("unet_sd1");
  const auto layers = changeable_layers(unet.module());
  const auto found = std::ranges::find_if(layers, [](const auto& one) { return one.first.ends_with("conv1"); });
  ASSERT_NE(found, layers.end());
  const std::string key = found->first;
  const torch::Tensor& weight = found->second->weight;
  ASSERT_EQ(weight.dim(), 4);
  const torch::Tensor a = torch::randn({2, weight.size(1), weight.size(2), weight.size(3)}), b = torch::randn({weight.size(0), 2, 1, 1});
  write_safetensors(folder / "in.safetensors", {{"unet." + key + ".lora_A.weight", a}, {"unet." + key + ".lora_B.weight", b}}, {});
  std::vector<std::string> notes;
  const Lora lora = read_lora(folder / "in.safetensors", unet.module(), unet.table(), notes);
  for (const auto& [format, ends] : {std::pair(LoraFormat::diffusers, std::pair(".lora_A.weight", ".lora_B.weight")),
                                     {LoraFormat::kohya, std::pair(".lora_down.weight", ".lora_up.weight")}}) {
    write_lora(folder / "out.safetensors", lora, format, unet.module(), unet.table());
    const SafetensorsFile out(folder / "out.safetensors");
    int seen = 0;
    for (const auto& [name, _] : out.entries()) {
      if (!name.ends_with(ends.first) && !name.ends_with(ends.second)) continue;
      EXPECT_TRUE(torch::equal(out.tensor(name), name.ends_with(ends.first) ? a : b)) << name;
      ++seen;
    }
    EXPECT_EQ(seen, 2);
  }
}

TEST(AttachedLora, TrainsInItsOwnDtype) {
  SmallDenoiser denoiser("unet_sd1", torch::kBFloat16);
  Lora lora = random_lora(denoiser, 2, 1);
  for (auto& [path, layer] : lora.layers) layer.a.set_requires_grad(true), layer.b.set_requires_grad(true);
  const AttachedLora attached(denoiser.module(), lora, 1, 0.5);
  torch::Tensor quiet;
  {
    torch::NoGradGuard no_grad;
    quiet = denoiser.call();
    EXPECT_TRUE(torch::equal(denoiser.call(), quiet));
  }
  const torch::Tensor noisy = denoiser.call();
  EXPECT_FALSE(torch::equal(noisy.detach(), quiet));
  noisy.sum().backward();
  EXPECT_EQ(lora.layers.begin()->second.b.grad().scalar_type(), torch::kFloat32);
}

TEST(AttachAdapters, AreNotedForAsLongAsTheyAct) {
  const testing::TemporaryFolder folder;
  auto opened = open_model(golden("pipeline").string());
  std::shared_ptr<Pipeline> pipeline = *opened;
  at::Generator generator = make_generator(1);
  Lora lora = make_lora(pipeline->denoiser_module(), pipeline->info().table, {.sites = {0}}, generator);
  for (auto& [path, layer] : lora.layers) layer.b.copy_(torch::randn(layer.b.sizes(), generator));
  lora.metadata = {{"model", "another model"}, {"model_hash", "0"}};
  const std::string file = (folder / "a:b.safetensors").string();  // a colon may be part of the name
  write_lora(file, lora, LoraFormat::diffusers, pipeline->denoiser_module(), pipeline->info().table);
  Request request;
  request.prompts = {"a sign"};
  request.rows = {{0, 1, {}}};
  request.steps = 2;
  const torch::Tensor plain = pipeline->generate(request)->latents;
  std::vector<std::string> notes;
  torch::Tensor half, whole;
  {
    const auto adapted = attach_adapters(pipeline, {file + ":0.5"}, notes);
    EXPECT_THAT(notes, ::testing::ElementsAre(HasSubstr("trained on other weights than these: those of another model")));
    half = adapted->generate(request)->latents;
    const auto document = describe_image(adapted->info(), adapted->resolve(request), request.rows[0]);
    EXPECT_EQ(document["adapters"][0]["strength"], 0.5);
    EXPECT_EQ(document["adapters"][0]["file"], file);
  }
  EXPECT_TRUE(pipeline->info().adapters.empty());
  EXPECT_TRUE(torch::equal(pipeline->generate(request)->latents, plain));
  {
    const auto adapted = attach_adapters(pipeline, {file, file + ":-0.5"}, notes);
    whole = adapted->generate(request)->latents;
  }
  EXPECT_LT(relative_error(whole, half), 1e-4);
  EXPECT_GT(relative_error(plain, half), 1e-3);
  {
    // Of single sites: here the only ones that it changes.
    const auto adapted = attach_adapters(pipeline, {file + ":7,0=0.5,1-2=0"}, notes);
    EXPECT_TRUE(torch::equal(adapted->generate(request)->latents, half));
    const auto document = describe_image(adapted->info(), adapted->resolve(request), request.rows[0]);
    EXPECT_EQ(document["adapters"][0]["site_strengths"], nlohmann::ordered_json({{"0", 0.5}, {"1", 0.0}, {"2", 0.0}}));
  }
  EXPECT_THAT(testing::failure_of([&] { attach_adapters(pipeline, {file + ":99=1"}, notes); }), HasSubstr("'99' is not within the model's sites"));
  EXPECT_THAT(testing::failure_of([&] { attach_adapters(pipeline, {file + ":0=x"}, notes); }), HasSubstr("'x' is no strength"));
  EXPECT_THAT(testing::failure_of([&] { attach_adapters(pipeline, {file + ":"}, notes); }), HasSubstr("no strength"));
  EXPECT_THAT(testing::failure_of([&] { attach_adapters(pipeline, {file + ":much"}, notes); }), HasSubstr("no strength"));
  EXPECT_THAT(testing::failure_of([&] { attach_adapters(pipeline, {"/nowhere.safetensors"}, notes); }), HasSubstr("no such adapter"));
}

}  // namespace
}  // namespace glyphscope
