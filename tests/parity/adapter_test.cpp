// Adapters that PEFT made, in the files of diffusers, PEFT and kohya, against what the reference's models say with them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "adapt/adapters.h"
#include "adapt/finetune.h"
#include "adapt/lora_file.h"
#include "adapt/training_state.h"
#include "core/random.h"
#include "io/files.h"
#include "io/safetensors.h"
#include "pipelines/adaptable_encoder.h"
#include "registry/open_model.h"
#include "tests/support/golden.h"
#include "tests/support/small_denoiser.h"
#include "text/clip_text_model.h"
#include "text/t5_encoder.h"

namespace glyphscope {
namespace {
using ::testing::AllOf;
using testing::golden;
using ::testing::HasSubstr;
using testing::kTolerance;
using testing::relative_error;
using testing::SmallDenoiser;

struct AdapterParity : ::testing::TestWithParam<const char*> {
  torch::NoGradGuard no_grad;
};

TEST_P(AdapterParity, OutputEqualsTheReference) {
  SmallDenoiser denoiser(GetParam());
  const std::string name = GetParam();
  std::vector<std::string> notes;
  const Lora lora = read_lora(golden("adapters") / (name + ".safetensors"), denoiser.module(), denoiser.table(), notes);
  const SafetensorsFile expected(golden("adapters") / (name + ".expected.safetensors"));
  EXPECT_THAT(notes, ::testing::IsEmpty());
  const torch::Tensor plain = denoiser.call();
  {
    AttachedLora attached(denoiser.module(), lora);
    EXPECT_LT(relative_error(denoiser.call(), expected.tensor("output")), kTolerance);
    attached.set_strength(0.5);
    EXPECT_LT(relative_error(denoiser.call(), expected.tensor("half")), kTolerance);
  }
  EXPECT_TRUE(torch::equal(denoiser.call(), plain)) << "an adapter left a trace";
}

INSTANTIATE_TEST_SUITE_P(Families, AdapterParity,
                         ::testing::Values("unet_sd1", "unet_sd2", "unet_sdxl", "unet_if1", "mmdit_sd3", "mmdit_sd35", "flux_dev", "z_image"));

TEST(AdapterFiles, PeftsFolderAndKohyasFileAreRead) {
  torch::NoGradGuard no_grad;
  SmallDenoiser denoiser("unet_sd1");
  for (const auto& [file, expected] :
       {std::pair{"peft/adapter_model.safetensors", "peft.expected.safetensors"}, {"kohya.safetensors", "kohya.expected.safetensors"}}) {
    std::vector<std::string> notes;
    const Lora lora = read_lora(golden("adapters") / file, denoiser.module(), denoiser.table(), notes);
    const AttachedLora attached(denoiser.module(), lora);
    EXPECT_LT(relative_error(denoiser.call(), SafetensorsFile(golden("adapters") / expected).tensor("output")), kTolerance) << file;
  }
}

// Ten steps on one batch, against PyTorch's AdamW and PEFT's layers: gradients, losses and weights.
struct TrainingParity : ::testing::TestWithParam<const char*> {};

TEST_P(TrainingParity, GradientsAndStepsEqualTheReferences) {
  const std::string name = GetParam();
  const SafetensorsFile expected(golden("adapters") / ("training_" + name + ".safetensors"));
  const nlohmann::json settings = nlohmann::json::parse(expected.metadata().at("settings"));
  const NoisePath path = NoisePath::parse({settings.at("scheduler"), "test"});
  const double snr_gamma = settings.at("snr_gamma");
  for (const auto dtype : {torch::kFloat64, torch::kFloat32}) {
    SmallDenoiser denoiser(name, dtype);
    const bool exact = dtype == torch::kFloat64;
    auto stored = [&](const std::string& prefix, const std::string& layer, char which) {
      return expected.tensor(prefix + "." + layer + (which == 'a' ? ".lora_A.weight" : ".lora_B.weight")).to(testing::test_device());
    };
    Lora lora;
    for (const auto& [key, entry] : expected.entries()) {
      if (!key.starts_with("start.") || !key.ends_with(".lora_A.weight")) continue;
      const std::string layer = key.substr(6, key.size() - 6 - 14);
      lora.layers[layer] = {stored("start", layer, 'a').to(dtype).clone(), stored("start", layer, 'b').to(dtype).clone(), 6};
    }
    ASSERT_FALSE(lora.layers.empty());
    LoraModule module(lora);
    TrainingState state({{"lora", &module}}, {.beta1 = 0.9, .beta2 = 0.999, .ema_decay = 0, .dtype = dtype});
    const AttachedLora attached(denoiser.module(), lora);
    auto expect = [&](const std::string& prefix, double tolerance, bool gradient) {
      double largest = 0, worst = 0;
      for (const auto& [layer, own] : lora.layers) {
        for (const char which : {'a', 'b'}) {
          const torch::Tensor& tensor = which == 'a' ? own.a : own.b;
          const torch::Tensor reference = stored(prefix, layer, which);
          largest = std::max(largest, reference.abs().max().item<double>());
          worst = std::max(worst, ((gradient ? tensor.grad() : tensor.detach()).to(reference.dtype()) - reference).abs().max().item<double>());
        }
      }
      EXPECT_LT(worst / largest, tolerance) << name << " " << prefix;
    };
    const TrainingBatch batch{expected.tensor("clean").to(testing::test_device(), dtype), expected.tensor("noise").to(testing::test_device(), dtype),
                              expected.tensor("index"), torch::Tensor()};
    // Some of the reference is fp32 whatever the dtype, and its last bits are the processor's: the exponentials of the timestep's embedding (by
    // MKL_CBWR=COMPATIBLE the last three have the references' bits everywhere), and something in the noise schedule of Stable Diffusion's. Elsewhere PyTorch
    // itself comes to other numbers, by up to 5e-5 of the largest. Where the first loss is the references', all that follows must be.
    bool same_bits = true;
    for (int step = 0; step < 10; ++step) {
      const torch::Tensor loss = training_loss(
          path, [&](const torch::Tensor& x, const torch::Tensor& t, const Conditioning&) { return denoiser.call(x, t.to(x.device())).slice(1, 0, x.size(1)); },
          batch, snr_gamma);
      loss.backward();
      const double own = loss.item<double>(), reference = expected.tensor("losses")[step].item<double>();
      if (step == 0) same_bits = std::abs(own - reference) < 1e-12;
      if (step == 0) expect(exact ? "gradient" : "gradient32", !exact ? 1e-4 : same_bits ? 1e-9 : 1e-4, true);
      if (exact) EXPECT_NEAR(own, reference, !same_bits ? 3e-5 : step == 0 ? 1e-9 : 1e-7);
      state.update(1e-2);
      if (exact && step == 0) expect("after1", same_bits ? 1e-9 : 1e-4, false);
      if (exact && step == 9) expect("after10", same_bits ? 1e-7 : 2e-4, false);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Objectives, TrainingParity, ::testing::Values("unet_sd1", "unet_sd2", "unet_sdxl", "unet_if1", "mmdit_sd3", "flux_dev", "z_image"));

// Every method as its own library computes it: tests/golden/make_adapter_methods.py.
TEST(AdapterParity, EveryMethodActsAsItsLibraryHasIt) {
  torch::NoGradGuard no_grad;
  const auto folder = golden("adapter_methods");
  int count = 0;
  const nlohmann::json places = read_json(folder / "methods.json");
  for (const auto& [file, name] : places.items()) {
    SCOPED_TRACE(file);
    SmallDenoiser denoiser(name.get<std::string>());
    const torch::Tensor plain = denoiser.call();
    const std::string stem = std::filesystem::path(file).stem().string();
    const SafetensorsFile expected(folder / (stem + ".expected.safetensors"));
    std::vector<std::string> notes;
    const Lora lora = read_lora(folder / file, denoiser.module(), denoiser.table(), notes);
    {
      AttachedLora attached(denoiser.module(), lora);
      EXPECT_LT(relative_error(denoiser.call(), expected.tensor("output")), 3e-5);
      if (expected.entries().contains("half")) {
        attached.set_strength(0.5);
        EXPECT_LT(relative_error(denoiser.call(), expected.tensor("half")), 3e-5);
      }
    }
    EXPECT_TRUE(torch::equal(denoiser.call(), plain)) << "nothing is left behind";
    ++count;
  }
  EXPECT_EQ(count, 32);
}

// What is written again, in kohya's names of all methods and in diffusers' of those it has, says the same.
TEST(AdapterParity, EveryMethodIsWrittenAgain) {
  torch::NoGradGuard no_grad;
  const auto folder = golden("adapter_methods");
  const testing::TemporaryFolder scratch;
  const nlohmann::json places = read_json(folder / "methods.json");
  int kohya = 0, diffusers = 0;
  for (const auto& [file, name] : places.items()) {
    SmallDenoiser denoiser(name.get<std::string>());
    const SafetensorsFile expected(folder / (std::filesystem::path(file).stem().string() + ".expected.safetensors"));
    std::vector<std::string> notes;
    const Lora lora = read_lora(folder / file, denoiser.module(), denoiser.table(), notes);
    for (const auto& [format, count] : {std::pair(LoraFormat::kohya, &kohya), std::pair(LoraFormat::diffusers, &diffusers)}) {
      SCOPED_TRACE(file + (format == LoraFormat::kohya ? " as kohya" : " as diffusers"));
      const auto written = attempt([&] {
        write_lora(scratch / "again.safetensors", lora, format, denoiser.module(), denoiser.table());
        return true;
      });
      if (!written) {
        EXPECT_THAT(written.error().what, ::testing::AnyOf(HasSubstr("format has no name"), HasSubstr("within a larger layer")));
        continue;
      }
      const Lora again = read_lora(scratch / "again.safetensors", denoiser.module(), denoiser.table(), notes);
      const AttachedLora attached(denoiser.module(), again);
      EXPECT_LT(relative_error(denoiser.call(), expected.tensor("output")), 3e-5);
      ++*count;
    }
  }
  EXPECT_EQ(kohya, 22);
  EXPECT_EQ(diffusers, 4);
}

// Text encoders' adapters, in both namings, act on whatever network is loaded, and leave nothing behind.
// kohya's names of every layer of Stable Diffusion 3: what is written by them and read again says the same.
TEST(AdapterParity, KohyasNamesHoldEveryLayerOfTheMmdit) {
  torch::NoGradGuard no_grad;
  SmallDenoiser denoiser("mmdit_sd3");
  const testing::TemporaryFolder scratch;
  Lora lora;
  const auto generator = make_generator(3);
  for (const auto& [path, layer] : adaptable_layers(denoiser.module())) {
    const auto shape = layer->shape();
    lora.layers[path] = {torch::randn({2, shape[1]}, generator), torch::randn({shape[0], 2}, generator) * 0.1, 2};
  }
  ASSERT_TRUE(lora.layers.contains("norm_out.linear") && lora.layers.contains("time_text_embed.text_embedder.linear_2"));
  write_lora(scratch / "kohya.safetensors", lora, LoraFormat::kohya, denoiser.module(), denoiser.table());
  EXPECT_TRUE(SafetensorsFile(scratch / "kohya.safetensors").entries().contains("lora_unet_final_layer_adaLN_modulation_1.lora_up.weight"));
  std::vector<std::string> notes;
  const Lora again = read_lora(scratch / "kohya.safetensors", denoiser.module(), denoiser.table(), notes);
  torch::Tensor expected;
  {
    const AttachedLora attached(denoiser.module(), lora);
    expected = denoiser.call();
  }
  const AttachedLora attached(denoiser.module(), again);
  EXPECT_LT(relative_error(denoiser.call(), expected), 1e-5);
}

// PEFT's own folder of a text encoder, as its DreamBooth example writes one: it says what class it is of.
TEST(AdapterParity, PeftsFolderOfATextEncoderIsRead) {
  torch::NoGradGuard no_grad;
  const testing::TemporaryFolder scratch;
  const auto pipeline = *open_model(golden("pipeline").string());
  std::vector<std::string> notes;
  const std::string written = (golden("adapter_methods") / "text_clip.safetensors").string();
  const Adapter known = read_adapter(written, adapter_target(*pipeline, written), notes);
  std::map<std::string, torch::Tensor> tensors;
  for (const auto& [path, layer] : known.encoders.at("text_encoder").layers) {
    tensors["base_model.model.text_model." + path + ".lora_A.weight"] = layer.a;
    tensors["base_model.model.text_model." + path + ".lora_B.weight"] = layer.b;
  }
  const auto folder = scratch / "out/text_encoder";
  std::filesystem::create_directories(folder);
  write_safetensors(folder / "adapter_model.safetensors", tensors);
  write_text(folder / "adapter_config.json",
             R"({"peft_type": "LORA", "r": 2, "lora_alpha": 3, "auto_mapping": {"base_model_class": "CLIPTextModel", "parent_library": "transformers"}})");
  const Adapter read = read_adapter(folder, adapter_target(*pipeline, folder.string()), notes);
  ASSERT_TRUE(read.encoders.contains("text_encoder"));
  EXPECT_TRUE(read.denoiser.layers.empty());
  for (const auto& [path, layer] : known.encoders.at("text_encoder").layers) {
    const LoraLayer& own = read.encoders.at("text_encoder").layers.at(path);
    EXPECT_TRUE(torch::equal(own.a, layer.a) && torch::equal(own.b, layer.b)) << path;
    EXPECT_EQ(own.alpha, 3);
  }
  EXPECT_THAT(testing::failure_of([&] { adapter_target(*pipeline, (scratch / "out").string()); }), HasSubstr("below it are adapters: text_encoder"));
}

// Half of a layer says so.
TEST(AdapterFiles, MagnitudesAloneAreRefused) {
  const testing::TemporaryFolder scratch;
  SmallDenoiser denoiser("unet_sd1");
  const std::string layer = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k";
  std::vector<std::string> notes;
  write_safetensors(scratch / "a.safetensors", {{layer + ".dora_scale", torch::ones({8, 1})}});
  EXPECT_THAT(testing::failure_of([&] { read_lora(scratch / "a.safetensors", denoiser.module(), denoiser.table(), notes); }),
              AllOf(HasSubstr(layer), HasSubstr("DoRA's magnitudes, and no matrices")));
  write_safetensors(scratch / "a.safetensors", {{layer + ".alpha", torch::ones({1})}});
  (void)testing::failure_of([&] { read_lora(scratch / "a.safetensors", denoiser.module(), denoiser.table(), notes); });
  EXPECT_THAT(notes, ::testing::Contains(AllOf(HasSubstr(layer), HasSubstr("no matrices"))));
}

TEST(AdapterParity, TextEncodersEqualTheReference) {
  torch::NoGradGuard no_grad;
  const auto folder = golden("adapter_methods");
  const SafetensorsFile expected(folder / "text.expected.safetensors");
  const torch::Tensor ids = expected.tensor("ids");
  for (const auto& [name, model, component] : {std::tuple("clip", "pipeline", "text_encoder"), {"t5", "pipeline_sd3", "text_encoder_3"}}) {
    auto pipeline = *open_model(golden(model).string(), {});
    const auto states = [&, &wanted = component](Pipeline& one) {
      for (AdaptableEncoder* encoder : one.text_encoders())
        if (encoder->component() == wanted) {
          auto* clip = dynamic_cast<ClipTextModel*>(&encoder->network());
          return clip ? clip->forward(ids).embedding : dynamic_cast<T5Encoder&>(encoder->network()).forward(ids);
        }
      return torch::Tensor();
    };
    const std::string stem = std::string("text_") + name;
    EXPECT_LT(relative_error(states(*pipeline), expected.tensor(std::string(name) + ".plain")), kTolerance);
    for (const char* end : {".safetensors", "_kohya.safetensors"}) {
      std::vector<std::string> notes;
      {
        const auto adapted = attach_adapters(pipeline, {(folder / (stem + end)).string()}, notes);
        EXPECT_LT(relative_error(states(*adapted), expected.tensor(std::string(name) + ".output")), kTolerance) << stem << end;
      }
      EXPECT_LT(relative_error(states(*pipeline), expected.tensor(std::string(name) + ".plain")), kTolerance) << "nothing is left behind";
      EXPECT_THAT(notes, ::testing::IsEmpty());
    }
    // Written again in the other naming, and read.
    AdapterTarget target{pipeline->denoiser_module(), pipeline->info().table};
    for (AdaptableEncoder* encoder : pipeline->text_encoders()) target.encoders.push_back({encoder->component(), encoder->is_t5(), &encoder->network()});
    const testing::TemporaryFolder scratch;
    std::vector<std::string> notes;
    for (const auto& [from, format] : {std::pair("_kohya.safetensors", LoraFormat::diffusers), {".safetensors", LoraFormat::kohya}}) {
      write_adapter(scratch / "again.safetensors", read_adapter(folder / (stem + from), target, notes), format, target);
      const auto adapted = attach_adapters(pipeline, {(scratch / "again.safetensors").string()}, notes);
      EXPECT_LT(relative_error(states(*adapted), expected.tensor(std::string(name) + ".output")), kTolerance) << stem << from;
    }
  }
}

}  // namespace
}  // namespace glyphscope
