#include "io/gguf.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "device/quantization.h"
#include "io/files.h"
#include "io/weights.h"
#include "models/layers.h"
#include "registry/model_needs.h"
#include "registry/open_model.h"
#include "tests/support/golden.h"
#include "text/decoder_text_model.h"
#include "text/t5_encoder.h"

namespace glyphscope {
namespace {
namespace fs = std::filesystem;
using testing::failure_of;
using testing::golden;
using ::testing::HasSubstr;

// Every type of blocks, of random bytes, has the numbers that the gguf package forms of it, to the bit; and in 16 bits those rounded.
TEST(Gguf, BlocksAreTheirNumbersToTheBit) {
  const GgufFile file(golden("gguf") / "types.gguf");
  const auto expected = Weights(golden("gguf") / "types.safetensors").tensors();
  ASSERT_EQ(file.entries().size(), expected.size());
  ASSERT_EQ(expected.size(), 14u);
  for (const auto& [name, entry] : file.entries()) {
    EXPECT_EQ(entry.type, name);
    const torch::Tensor numbers = file.tensor(name), right = expected.at(name);
    ASSERT_EQ(numbers.sizes(), right.sizes()) << name;
    EXPECT_TRUE(torch::equal(numbers.to(torch::kFloat32).view(torch::kInt32), right.view(torch::kInt32))) << name;
    if (!entry.quantized) continue;
    const QuantizedTensor kept = file.quantized(name);
    for (const auto dtype : {torch::kBFloat16, torch::kFloat16, torch::kFloat64})
      EXPECT_TRUE(torch::equal(kept.dequantized(dtype), right.to(dtype))) << name << dtype;
    // Any rows of it are a weight too.
    EXPECT_TRUE(torch::equal(kept.rows(1, 2).dequantized(torch::kFloat32), right.narrow(0, 1, 2))) << name;
    EXPECT_TRUE(torch::equal(joined_rows(kept.rows(2, 1), kept.rows(0, 2)).dequantized(torch::kFloat32), right.roll(1, 0))) << name;
    const torch::Tensor some = torch::tensor({2, 0, 2, 1}, torch::kInt64);
    EXPECT_TRUE(torch::equal(dequantize_rows(kept.stored, kept.how, some, torch::kFloat32), right.index_select(0, some))) << name;
  }
}

// fp8 is what torch has of it, with and without scales.
TEST(Quantization, Fp8IsTorchs) {
  const torch::Tensor bytes = torch::arange(256, torch::kInt32).to(torch::kUInt8).view({16, 16}), scale = torch::linspace(0.1, 3, 16);
  for (const auto fp8 : {torch::kFloat8_e4m3fn, torch::kFloat8_e5m2}) {
    const QuantizedTensor plain{bytes.view(fp8), {}}, rows{bytes.view(fp8), {QuantizedType::fp8, 0, scale}},
        one{bytes.view(fp8), {QuantizedType::fp8, 0, scale.narrow(0, 3, 1)}};
    const torch::Tensor wide = bytes.view(fp8).to(torch::kFloat32);
    for (const auto dtype : {torch::kFloat32, torch::kBFloat16, torch::kFloat16}) {
      EXPECT_TRUE(torch::equal(plain.dequantized(dtype).nan_to_num(7), wide.to(dtype).nan_to_num(7)));
      EXPECT_TRUE(torch::equal(rows.dequantized(dtype).nan_to_num(7), (wide * scale.unsqueeze(1)).to(dtype).nan_to_num(7)));
      EXPECT_TRUE(torch::equal(one.dequantized(dtype).nan_to_num(7), (wide * scale[3]).to(dtype).nan_to_num(7)));
    }
    EXPECT_TRUE(torch::equal(rows.rows(4, 5).dequantized(torch::kFloat32).nan_to_num(7), (wide * scale.unsqueeze(1)).narrow(0, 4, 5).nan_to_num(7)));
  }
}

std::uint64_t parameter_bytes(const torch::nn::Module& module) {
  std::uint64_t out = 0;
  for (const auto& one : module.parameters()) out += one.nbytes();
  return out;
}

std::shared_ptr<Pipeline> opened(const fs::path& file, const std::string& dtype = "fp32", const char* beside = "pipeline_flux") {
  OpenOptions options;
  if (!fs::is_directory(file)) options.config = golden(beside);
  options.dtype = dtype;
  auto model = open_model(file.string(), options);
  EXPECT_TRUE(model) << model.error().message();
  return model ? *model : nullptr;
}

torch::Tensor picture(Pipeline& pipeline) {
  Request request;
  request.prompts = {"a red sign"};
  request.rows = {{0, 1, {}}};
  request.steps = 2;
  const auto drawn = pipeline.generate(request);
  EXPECT_TRUE(drawn) << drawn.error().message();
  return drawn->latents;
}

// A GGUF of FLUX.1's transformer stays as it is: its layers have the numbers that diffusers' conversion gives them, to the bit, and it draws what these draw.
TEST(Gguf, AFluxTransformerIsKeptAndDrawsWithItsNumbers) {
  const fs::path file = golden("gguf") / "flux.gguf";
  const auto kept = opened(file);
  ASSERT_TRUE(kept);
  const auto expected = Weights(golden("gguf") / "flux_gguf_converted.safetensors").tensors();
  size_t quantized = 0;
  for (const auto& [path, layer] : changeable_layers(kept->denoiser_module())) {
    EXPECT_TRUE(torch::equal(layer->numbers(), expected.at(path + ".weight"))) << path;
    quantized += layer->quantization().has_value() ? 1 : 0;
  }
  EXPECT_GT(quantized, 20u);
  EXPECT_EQ(count_parameters(kept->denoiser_module()), count_parameters(opened(golden("gguf") / "flux.safetensors")->denoiser_module()));

  const testing::TemporaryFolder folder;
  fs::copy_file(golden("gguf") / "flux_gguf_converted.safetensors", folder / "numbers.safetensors");
  for (const std::string dtype : {"fp32", "bf16"}) {
    const auto numbers = opened(folder / "numbers.safetensors", dtype), blocks = opened(file, dtype);
    // Their last bits depend on where in memory numbers lie, on some processors: those of a file are mapped, others are not.
    const torch::Tensor a = picture(*blocks).to(torch::kFloat64), b = picture(*numbers).to(torch::kFloat64);
    EXPECT_LE((a - b).abs().max().item<double>(), (dtype == "fp32" ? 1e-5 : 1e-2) * b.abs().max().item<double>()) << dtype;
  }

  // What the plan says it takes is what it takes.
  OpenOptions options;
  options.config = golden("pipeline_flux");
  const auto needs = model_needs(file.string(), options);
  ASSERT_TRUE(needs) << needs.error().message();
  for (const auto& one : needs->components)
    if (one.name == "transformer") {
      EXPECT_EQ(one.parameters.bytes(torch::kFloat32, torch::kCPU), parameter_bytes(kept->denoiser_module()));
      EXPECT_EQ(one.parameters.numbers, count_parameters(kept->denoiser_module()));
      EXPECT_GT(one.block_parameters.blocks.bytes, 0u);
      // Where no kernel forms the numbers, all are loaded as such.
      EXPECT_EQ(one.parameters.bytes(torch::kBFloat16, torch::kXPU), 2 * static_cast<std::uint64_t>(one.parameters.numbers));
    }
}

// Z-Image's, whose authors' layers make Q, K and V in one.
TEST(Gguf, AZImageTransformerIsKeptAndDrawsWithItsNumbers) {
  const fs::path file = golden("gguf") / "z_image.gguf", numbers = golden("gguf") / "z_image_gguf_converted.safetensors";
  const auto kept = opened(file, "fp32", "pipeline_z_image");
  ASSERT_TRUE(kept);
  const auto expected = Weights(numbers).tensors();
  size_t quantized = 0;
  for (const auto& [path, layer] : changeable_layers(kept->denoiser_module())) {
    EXPECT_TRUE(torch::equal(layer->numbers(), expected.at(path + ".weight"))) << path;
    quantized += layer->quantization().has_value() ? 1 : 0;
  }
  EXPECT_GE(quantized, 8u);
  for (const char* token : {"x_pad_token", "cap_pad_token"}) EXPECT_TRUE(torch::equal(kept->denoiser_module().named_parameters()[token], expected.at(token)));
  for (const std::string dtype : {"fp32", "bf16"})
    EXPECT_TRUE(torch::equal(picture(*opened(file, dtype, "pipeline_z_image")), picture(*opened(numbers, dtype, "pipeline_z_image")))) << dtype;
}

TEST(Gguf, ALanguageModelIsReadInLlamaCppsNames) {
  const fs::path folder = golden("gguf") / "qwen3";
  DecoderTextModel model(DecoderTextConfig::parse(Config::read(folder / "config.json")));
  const auto key = [&](const std::string& its) { return decoder_text_key(its, model.config().states); };
  load_weights(model, Weights::find(folder), {.rename = key, .keep_quantized = quantized_keeper(model, torch::kCPU, torch::kFloat32)});
  const auto expected = Weights(folder / "expected.safetensors").tensors();
  torch::NoGradGuard no_grad;
  EXPECT_LT((model.forward(expected.at("ids")) - expected.at("states")).abs().max().item<double>(), 1e-5);
  EXPECT_LT(parameter_bytes(model), static_cast<std::uint64_t>(count_parameters(model)) * 3 / 2);
}

// T5 in llama.cpp's names writes what transformers writes with its numbers.
TEST(Gguf, T5IsReadInLlamaCppsNames) {
  const fs::path folder = golden("gguf") / "t5";
  T5Encoder model(T5Config::parse(Config::read(folder / "config.json")));
  load_weights(model, Weights::find(folder), {.rename = t5_key, .keep_quantized = quantized_keeper(model, torch::kCPU, torch::kFloat32)});
  const auto expected = Weights(folder / "expected.safetensors").tensors();
  torch::NoGradGuard no_grad;
  const torch::Tensor states = model.forward(expected.at("ids"), {});
  EXPECT_LT((states - expected.at("states")).abs().max().item<double>(), 1e-5);
  EXPECT_LT(parameter_bytes(model), static_cast<std::uint64_t>(count_parameters(model)) * 3 / 2);
}

// Gradients through a quantized layer are those of its numbers.
TEST(Quantization, GradientsAreThoseOfTheNumbers) {
  const GgufFile file(golden("gguf") / "types.gguf");
  Linear plain(512, 3), kept(512, 3);
  const torch::Tensor bias = torch::tensor({0.5F, -1.0F, 2.0F});
  for (Linear* one : {&plain, &kept}) one->bias.set_data(bias);
  plain.weight.set_requires_grad(false);
  plain.weight.set_data(file.tensor("Q5_K"));
  kept.keep_quantized(file.quantized("Q5_K"), torch::kFloat32);
  torch::Tensor x = torch::randn({2, 4, 512}), y = x.clone();
  x.set_requires_grad(true);
  y.set_requires_grad(true);
  plain.forward(x).pow(2).sum().backward();
  kept.forward(y).pow(2).sum().backward();
  EXPECT_TRUE(torch::allclose(x.grad(), y.grad()));
  EXPECT_TRUE(torch::equal(plain.forward(x), kept.forward(y)));
}

// A damaged file is named with what is wrong in it, at whatever byte it was cut; nothing is believed that is not there.
TEST(Gguf, DamagedFilesAreNamed) {
  const testing::TemporaryFolder folder;
  const std::string whole = read_text(golden("gguf") / "flux.gguf");
  const fs::path file = folder / "a.gguf";
  const auto error = [&](const std::string& bytes) {
    write_text(file, bytes);
    return failure_of([&] { GgufFile opened(file); });
  };
  EXPECT_EQ(error(whole), "");
  for (size_t size = 0; size < whole.size(); size += size < 6000 ? 37 : 997) EXPECT_THAT(error(whole.substr(0, size)), HasSubstr("a.gguf")) << size;
  const auto with = [&](size_t at, auto value) {
    std::string bytes = whole;
    std::memcpy(bytes.data() + at, &value, sizeof(value));
    return error(bytes);
  };
  EXPECT_THAT(with(4, std::uint32_t{4}), HasSubstr("version 4 of GGUF; 2 and 3 are known"));
  EXPECT_THAT(with(4, std::uint32_t{0x03000000}), HasSubstr("other order of bytes"));
  EXPECT_THAT(with(8, std::uint64_t{1} << 60), HasSubstr("tensors, and has"));
  EXPECT_THAT(with(16, std::uint64_t{1} << 60), HasSubstr("keys, and has"));
  EXPECT_THAT(with(24, std::uint64_t{1} << 60), HasSubstr("ends within the name of key 0"));
  // The first tensor's description: its name, sides, type and place.
  const size_t name = whole.find("img_in.weight"), sides = name + 13;
  ASSERT_NE(name, std::string::npos);
  EXPECT_THAT(with(sides, std::uint32_t{9}), HasSubstr("has 9 sides"));
  EXPECT_THAT(with(sides + 4, std::uint64_t{1} << 60), ::testing::AnyOf(HasSubstr("overflows"), HasSubstr("outside")));
  EXPECT_THAT(with(sides + 4, std::uint64_t{0}), HasSubstr("is empty"));
  EXPECT_THAT(with(sides + 20, std::uint32_t{77}), ::testing::AllOf(HasSubstr("img_in.weight"), HasSubstr("type 77"), HasSubstr("Get the model in")));
  EXPECT_THAT(with(sides + 20, std::uint32_t{12}), HasSubstr("no whole number of Q4_K's blocks"));
  EXPECT_THAT(with(sides + 24, std::uint64_t{7}), HasSubstr("no multiple of 32"));
  EXPECT_THAT(with(sides + 24, std::uint64_t{1} << 40), HasSubstr("outside the file"));
  EXPECT_THAT(with(sides + 24, std::uint64_t{64}), HasSubstr("overlaps"));
  EXPECT_THAT(error("<!DOCTYPE html><html>"), HasSubstr("web page"));
}

}  // namespace
}  // namespace glyphscope
