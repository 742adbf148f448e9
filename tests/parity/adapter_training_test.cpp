// Ten steps of training adapters of other methods than LoRA, and of text encoders', against PEFT's and LyCORIS': tests/golden/make_adapter_training.py.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>

#include "adapt/finetune.h"
#include "adapt/new_lora.h"
#include "adapt/training_state.h"
#include "core/random.h"
#include "io/weights.h"
#include "pipelines/clip_prompt.h"
#include "tests/support/any_denoiser.h"
#include "tests/support/golden.h"
#include "tests/support/small_denoiser.h"
#include "text/clip_text_model.h"
#include "text/t5_encoder.h"

namespace glyphscope {
namespace {
using testing::golden;

const std::string kEncoder = "text_encoder:";

// An adapter with the tensors that stand in a file under "start.".
Lora read_start(const SafetensorsFile& file, const nlohmann::json& scales, bool of_encoder) {
  std::map<std::string, std::map<std::string, torch::Tensor>> layers;
  for (const auto& [key, entry] : file.entries()) {
    if (!key.starts_with("start.")) continue;
    std::string path = key.substr(6, key.rfind('.') - 6);
    if (path.starts_with(kEncoder) != of_encoder) continue;
    layers[path][key.substr(key.rfind('.') + 1)] = file.tensor(key).to(testing::test_device()).clone();
  }
  Lora out;
  for (auto& [name, parts] : layers) {
    const double scale = scales.at(name);
    const std::string path = of_encoder ? name.substr(kEncoder.size()) : name;
    LayerChange change;
    change.scale = scale;
    if (parts.contains("magnitude")) {
      change.magnitude = parts.at("magnitude");
      change.peft = true;
      parts.erase("magnitude");
    }
    if (parts.contains("lora_up") && !change.magnitude.defined()) {
      const torch::Tensor down = parts.at("lora_down");
      out.layers[path] = {down, parts.at("lora_up"), scale * static_cast<double>(down.size(0))};
      continue;
    }
    change.method = parts.contains("lora_up")     ? LayerChange::Method::low_rank
                    : parts.contains("hada_w1_a") ? LayerChange::Method::hadamard
                                                  : LayerChange::Method::kronecker;
    change.parts = parts;
    out.changes[path] = change;
  }
  return out;
}

// Its tensors by the names of the file.
std::map<std::string, torch::Tensor> tensors_of(const Lora& lora, const std::string& before) {
  std::map<std::string, torch::Tensor> out;
  for (const auto& [path, layer] : lora.layers) {
    out[before + path + ".lora_down"] = layer.a;
    out[before + path + ".lora_up"] = layer.b;
  }
  for (const auto& [path, change] : lora.changes) {
    for (const auto& [part, tensor] : change.parts) out[before + path + "." + part] = tensor;
    if (change.magnitude.defined()) out[before + path + ".magnitude"] = change.magnitude;
  }
  return out;
}

class AdapterTraining : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    file_.emplace(golden("adapter_training") / (std::string(GetParam()) + ".safetensors"));
    settings_ = nlohmann::json::parse(file_->metadata().at("settings"));
    denoiser_ = read_start(*file_, settings_.at("scales"), false);
    encoder_ = read_start(*file_, settings_.at("scales"), true);
  }

  torch::Tensor there(const char* name) const { return file_->tensor(name).to(testing::test_device()); }
  TrainingBatch batch() const { return {there("clean").to(torch::kFloat64), there("noise").to(torch::kFloat64), file_->tensor("index"), Conditioning()}; }
  NoisePath path() const { return NoisePath::parse({settings_.at("scheduler"), "test"}); }

  // loss_of: of the modules with the adapters attached.
  void ten_steps(const std::function<torch::Tensor()>& loss_of, TrainingState& state) {
    const auto expect = [&](const std::string& prefix, double tolerance) {
      std::map<std::string, torch::Tensor> own = tensors_of(denoiser_, "");
      own.merge(tensors_of(encoder_, kEncoder));
      double largest = 0, worst = 0;
      for (const auto& [name, tensor] : own) {
        const torch::Tensor reference = there((prefix + "." + name).c_str());
        largest = std::max(largest, reference.abs().max().item<double>());
        worst = std::max(worst, ((prefix == "gradient" ? tensor.grad() : tensor.detach()) - reference).abs().max().item<double>());
      }
      EXPECT_LT(worst / largest, tolerance) << prefix << " of " << own.size() << " tensors";
    };
    // Of some models a part is fp32 whatever the dtype, and its last bits are the processor's: see TrainingParity.
    bool same_bits = true;
    for (int step = 0; step < 10; ++step) {
      const torch::Tensor loss = loss_of();
      loss.backward();
      const double own = loss.item<double>(), reference = there("losses")[step].item<double>();
      if (step == 0) same_bits = std::abs(own - reference) < 1e-12;
      if (step == 0) expect("gradient", same_bits ? 1e-9 : 1e-4);
      EXPECT_NEAR(own, reference, !same_bits ? 3e-5 : step == 0 ? 1e-9 : 1e-7);
      state.update(1e-2);
      if (step == 0) expect("after1", same_bits ? 1e-9 : 1e-4);
      if (step == 9) expect("after10", same_bits ? 1e-7 : 2e-4);
    }
  }

  std::optional<SafetensorsFile> file_;
  nlohmann::json settings_;
  Lora denoiser_, encoder_;
};

const TrainingState::Options kAdamW{.beta1 = 0.9, .beta2 = 0.999, .ema_decay = 0, .dtype = torch::kFloat64};

class DenoiserAdapterParity : public AdapterTraining {};
TEST_P(DenoiserAdapterParity, EqualsTheReferences) {
  testing::SmallDenoiser denoiser(settings_.at("denoiser").get<std::string>(), torch::kFloat64);
  LoraModule module(denoiser_);
  TrainingState state({{"lora", &module}}, kAdamW);
  ASSERT_GT(denoiser_.changes.size(), 5u);
  const AttachedLora attached(denoiser.module(), denoiser_);
  ten_steps(
      [&] {
        return training_loss(
            path(),
            [&](const torch::Tensor& x, const torch::Tensor& t, const Conditioning&) { return denoiser.call(x, t.to(x.device())).slice(1, 0, x.size(1)); },
            batch(), 0);
      },
      state);
}
INSTANTIATE_TEST_SUITE_P(Methods, DenoiserAdapterParity,
                         ::testing::Values("dora_unet_sd1", "loha_unet_sd1", "lokr_unet_sd1", "lokr_whole_unet_sd1", "dora_mmdit_sd3", "loha_mmdit_sd3",
                                           "lokr_mmdit_sd3"));

// What an encoder says is read by the denoiser, and both learn.
class EncoderAdapterParity : public AdapterTraining {};
TEST_P(EncoderAdapterParity, OfClipAndUNetEqualsTheReferences) {
  const auto denoiser = testing::AnyDenoiser::open(golden("pipeline") / "unet", torch::kFloat64, testing::test_device());
  ClipTextModel clip(ClipTextConfig::parse(Config::read(golden("pipeline") / "text_encoder/config.json")));
  load_weights(clip, Weights::find(golden("pipeline") / "text_encoder"), {.placement = {testing::test_device(), torch::kFloat64}, .rename = bare_clip_key});
  for (auto& parameter : clip.parameters()) parameter.set_requires_grad(false);
  LoraModule module(denoiser_);
  module.add(encoder_, "text_encoder.");
  TrainingState state({{"lora", &module}}, kAdamW);
  const AttachedLora unet_attached(*denoiser.module, denoiser_), clip_attached(clip, encoder_);
  ten_steps(
      [&] {
        const Conditioning prompts{.embedding = clip.forward(file_->tensor("ids")).embedding};
        return training_loss(
            path(),
            [&](const torch::Tensor& x, const torch::Tensor& t, const Conditioning&) { return denoiser.forward(x, t.to(x.device()), prompts, nullptr); },
            batch(), 0);
      },
      state);
}
INSTANTIATE_TEST_SUITE_P(Clip, EncoderAdapterParity, ::testing::Values("clip_and_unet"));

class T5AdapterParity : public AdapterTraining {};
TEST_P(T5AdapterParity, EqualsTheReferences) {
  T5Encoder t5(T5Config::parse(Config::read(golden("pipeline_sd3") / "text_encoder_3/config.json")));
  load_weights(t5, Weights::find(golden("pipeline_sd3") / "text_encoder_3"), {.placement = {testing::test_device(), torch::kFloat64}, .rename = t5_key});
  for (auto& parameter : t5.parameters()) parameter.set_requires_grad(false);
  LoraModule module(encoder_);
  TrainingState state({{"lora", &module}}, kAdamW);
  const AttachedLora attached(t5, encoder_);
  ten_steps([&] { return (t5.forward(file_->tensor("ids"), {}) - there("target").to(torch::kFloat64)).pow(2).mean(); }, state);
}
INSTANTIATE_TEST_SUITE_P(T5, T5AdapterParity, ::testing::Values("t5"));

// A new adapter is of the libraries' shapes, and changes nothing.
TEST(NewAdapter, IsOfTheLibrariesShapesAndChangesNothing) {
  torch::NoGradGuard no_grad;
  const std::map<AdapterMethod, std::string> names{
      {AdapterMethod::dora, "dora_unet_sd1"}, {AdapterMethod::loha, "loha_unet_sd1"}, {AdapterMethod::lokr, "lokr_unet_sd1"}};
  for (const auto& [method, file] : names) {
    testing::SmallDenoiser denoiser("unet_sd1");
    const torch::Tensor plain = denoiser.call();
    LoraPlan plan{.every_attention = true, .projections = {"paper"}, .method = method, .rank = method == AdapterMethod::lokr ? 1 : 3};
    Lora lora = make_lora(denoiser.module(), denoiser.table(), plan, make_generator(5));
    EXPECT_EQ(plan.parameters(attention_projections(denoiser.module())), lora.parameters());
    const SafetensorsFile expected(golden("adapter_training") / (file + ".safetensors"));
    const auto own = tensors_of(lora, "");
    for (const auto& [name, tensor] : own) {
      const torch::Tensor reference = expected.tensor("start." + name);
      EXPECT_EQ(tensor.sizes(), reference.sizes()) << name;
    }
    EXPECT_EQ(own.size() * 4, expected.entries().size() - 4);
    const AttachedLora attached(denoiser.module(), lora);
    EXPECT_LT(testing::relative_error(denoiser.call(), plain), 1e-5) << adapter_method_name(method);
  }
}

}  // namespace
}  // namespace glyphscope
