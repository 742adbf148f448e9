#include "pipelines/model_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>

#include "device/devices.h"
#include "io/files.h"
#include "models/block_stream.h"
#include "pipelines/clip_prompt.h"
#include "pipelines/pipeline.h"
#include "pipelines/t5_prompt.h"
#include "registry/model_needs.h"
#include "registry/open_model.h"
#include "tests/support/golden.h"
#include "text/decoder_text_model.h"

namespace glyphscope {
namespace {
using testing::golden;

// Two models that draw other pictures must not share a hash: resumed runs and metadata rely on it.
TEST(ModelHash, CoversConfigurationsAndVocabulary) {
  testing::TemporaryFolder folder;
  const auto model = folder / "model";
  std::filesystem::copy(testing::tiny_model(), model, std::filesystem::copy_options::recursive);
  auto hash = [&] {
    auto opened = open_model(model.string());
    EXPECT_TRUE(opened);
    return (*opened)->info().hash;
  };
  const std::string before = hash();
  EXPECT_EQ(before.size(), 64u);
  write_text(model / "README.md", "no part of the model");
  EXPECT_EQ(hash(), before);
  auto scheduler = read_json(model / "scheduler" / "scheduler_config.json");
  scheduler["beta_end"] = 0.013;
  write_json(model / "scheduler" / "scheduler_config.json", scheduler);
  const std::string other = hash();
  EXPECT_NE(other, before);
  const std::string merges = read_text(model / "tokenizer" / "merges.txt");
  write_text(model / "tokenizer" / "merges.txt", merges.substr(0, merges.rfind('\n', merges.size() - 2) + 1));
  EXPECT_NE(hash(), other);
}

// Nobody reads the files beside who loads the weights from them.
TEST(ModelHash, IsFormedOnceAndNotBeforeItIsWanted) {
  std::atomic<int> formed{0};
  const ModelHash hash([&](const CancelToken&) {
    ++formed;
    return std::string("x");
  });
  const ModelHash copy = hash;
  EXPECT_FALSE(hash.ready());
  EXPECT_EQ(formed, 0);
  hash.begin();
  copy.begin();
  EXPECT_EQ(copy.text(), "x");
  EXPECT_EQ(formed, 1);
  EXPECT_TRUE(hash.ready());
}

// Seen on folders where a token was added to the tokenizer, and the encoder was left as it is.
TEST(ClipPrompt, ATokenThatTheEncoderDoesNotKnowIsNamed) {
  testing::TemporaryFolder folder;
  const auto model = folder / "model";
  std::filesystem::copy(golden("pipeline_sdxl"), model, std::filesystem::copy_options::recursive);
  const auto known = read_json(model / "text_encoder_2" / "config.json").at("vocab_size").get<std::int64_t>();
  write_text(model / "tokenizer_2" / "added_tokens.json", nlohmann::json{{"<cat-toy>", known}}.dump());
  const auto opened = open_model(model.string());
  ASSERT_TRUE(opened) << opened.error().message();
  Request request;
  request.prompts = {"a <cat-toy>"};
  request.rows = {{0, 7, {}}};
  request.steps = 1;
  const auto drawn = (*opened)->generate(request);
  ASSERT_FALSE(drawn);
  EXPECT_THAT(drawn.error().message(),
              ::testing::AllOf(::testing::HasSubstr("'<cat-toy>'"), ::testing::HasSubstr("text_encoder_2"), ::testing::HasSubstr("resize_token_embeddings")));
}

// The first of two encoders' tokenizers is read by another thread, and so is the second: what is wrong with either is an error of opening.
TEST(ClipPrompt, DamagedTokenizersAreNamedAtOpening) {
  testing::TemporaryFolder folder;
  for (const char* name : {"tokenizer", "tokenizer_2"}) {
    const auto model = folder / name;
    std::filesystem::copy(golden("pipeline_sdxl"), model, std::filesystem::copy_options::recursive);
    for (const auto& entry : std::filesystem::directory_iterator(model / name))
      if (const auto file = entry.path().filename(); file == "vocab.json" || file == "tokenizer.json") write_text(entry.path(), "{");
    const auto opened = open_model(model.string());
    ASSERT_FALSE(opened) << name;
    EXPECT_THAT(opened.error().message(), ::testing::HasSubstr((std::filesystem::path(name) / "").string()));
  }
}

// Numbers of the modules that are then loaded; nothing is loaded to know them.
TEST(ModelNeeds, AreWhatTheLoadedModelHas) {
  for (const auto& source : {golden("pipeline"), golden("pipeline_sdxl"), golden("pipeline_if"), golden("pipeline_sd3")}) {
    const auto needs = model_needs(source.string());
    ASSERT_TRUE(needs) << needs.error().message();
    EXPECT_TRUE(needs->missing.empty()) << needs->missing.front();
    const auto opened = open_model(source.string());
    ASSERT_TRUE(opened) << opened.error().message();
    std::map<std::string, std::int64_t> expected, told;
    std::int64_t sum = 0;
    for (const auto& [name, count] : (*opened)->info().parameters) expected[name] = count, sum += count;
    for (const auto& component : needs->components) told[component.name] = component.parameters.numbers;
    EXPECT_EQ(told, expected) << source;
    EXPECT_EQ(plan_memory(needs->components, {.device = "cpu"}).reading_bytes(), 4 * sum);
    EXPECT_EQ(plan_memory(needs->components, {.device = "cpu", .dtype = "bf16"}).reading_bytes(), 2 * sum);
  }
  EXPECT_GT(device_memory(torch::kCPU).free, 1u << 20);
}

// The plan of a model that is larger than its device is made from names of tensors alone.
TEST(ModelNeeds, KnowTheBlocksOfTheNetworks) {
  for (const char* name :
       {"pipeline", "pipeline_sdxl", "pipeline_if", "pipeline_if2", "pipeline_sd3", "pipeline_flux", "pipeline_z_image", "pipeline_ldm/kl"}) {
    const auto needs = model_needs(golden(name).string());
    ASSERT_TRUE(needs) << needs.error().message();
    const auto opened = open_model(golden(name).string());
    ASSERT_TRUE(opened) << opened.error().message();
    const BlockSizes denoiser = block_sizes((*opened)->denoiser_module());
    EXPECT_GT(denoiser.parameters, 0);
    for (const auto& component : needs->components) {
      BlockSizes expected;
      const auto config = Config::read(golden(name) / component.name / "config.json");
      if (component.name == "unet" || component.name == "transformer") expected = denoiser;
      const std::string type = config.text("model_type", "");
      if (type == "t5") expected = block_sizes(T5Encoder(T5Config::parse(config)));
      if (type == "clip_text_model") expected = block_sizes(ClipTextModel(ClipTextConfig::parse(config)));
      if (type == "qwen3") {
        DecoderTextConfig whole = DecoderTextConfig::parse(config);
        whole.states = whole.layers;  // the last is in the file, and is not read
        expected = block_sizes(DecoderTextModel(whole));
      }
      EXPECT_EQ(component.block_parameters.numbers, expected.parameters) << name << " " << component.name;
      EXPECT_EQ(component.largest_block.numbers, expected.largest) << name << " " << component.name;
      EXPECT_LE(component.block_parameters.numbers, component.parameters.numbers);
    }
  }
}

// All that is missing, at once.
TEST(ModelNeeds, EverythingMissingIsListed) {
  testing::TemporaryFolder folder;
  const auto model = folder / "model";
  std::filesystem::copy(golden("pipeline"), model, std::filesystem::copy_options::recursive);
  std::filesystem::remove(model / "unet" / "diffusion_pytorch_model.safetensors");
  std::filesystem::remove(model / "vae" / "config.json");
  std::filesystem::remove_all(model / "tokenizer");
  const auto needs = model_needs(model.string());
  ASSERT_TRUE(needs);
  ASSERT_EQ(needs->missing.size(), 3u);
  EXPECT_THAT(needs->missing, ::testing::UnorderedElementsAre(::testing::HasSubstr("no weights"), "vae/config.json is missing", "tokenizer is missing"));
  EXPECT_THAT(model_needs((folder / "nowhere").string()).error().message(), ::testing::HasSubstr("no such model"));
}

// As some systems write them.
TEST(ModelFolder, EndingsMayBeCapitals) {
  const testing::TemporaryFolder folder;
  const auto lower = golden("gguf") / "flux.safetensors", file = folder / "FLUX.SAFETENSORS", gguf = folder / "FLUX.GGUF";
  std::filesystem::copy_file(lower, file);
  std::filesystem::copy_file(golden("gguf") / "flux.gguf", gguf);
  OpenOptions options;
  options.config = golden("pipeline_flux");
  for (const auto& one : {file, gguf}) EXPECT_TRUE(open_model(one.string(), options)) << one;
}

// A T5 or a language model whose weights come and go draws what one does that stays, and says again what it cut.
TEST(LargeEncoders, AreReleasedWithoutATrace) {
  for (const char* name : {"pipeline_sd3", "pipeline_if", "pipeline_flux", "pipeline_z_image"}) {
    const auto staying = open_model(golden(name).string()), passing = open_model(golden(name).string(), {.held_encoder_bytes = 0});
    ASSERT_TRUE(passing) << passing.error().message();
    EXPECT_EQ((*passing)->info().hash, (*staying)->info().hash);
    EXPECT_EQ((*passing)->info().parameters, (*staying)->info().parameters);
    std::string prompt = "a sign";
    for (int i = 0; i < 600; ++i) prompt += " word";
    Request request;
    request.prompts = {prompt, name == std::string("pipeline_z_image") ? "a cat" : "a (cat:1.3)"};
    request.rows = {{0, 1, {}}, {1, 1, {}}};
    request.steps = 1;
    request.width = request.height = 16;
    const auto expected = (*staying)->generate(request);
    ASSERT_TRUE(expected) << expected.error().message();
    EXPECT_FALSE(expected->notes.empty());
    for (int time = 0; time < 2; ++time) {
      const auto got = (*passing)->generate(request);
      ASSERT_TRUE(got) << got.error().message();
      EXPECT_TRUE(torch::equal(got->images, expected->images)) << name;
      EXPECT_EQ(got->notes, expected->notes);
    }
  }
}

TEST(LargeEncoders, AreLoadedForNewPromptsOnly) {
  torch::NoGradGuard no_grad;
  const ModelFolder model = find_model(golden("pipeline_sd3").string());
  T5Prompt t5(model, "_3", {.plan = {}, .held_encoder_bytes = 0}), held(model, "_3", {});
  std::vector<std::string> notes;
  EXPECT_FALSE(t5.encoder().loaded());
  const torch::Tensor first = t5.encode("a sign", {}, notes);
  EXPECT_TRUE(t5.encoder().loaded());
  t5.encoder().release();
  EXPECT_FALSE(t5.encoder().loaded());
  EXPECT_TRUE(torch::equal(t5.encode("a sign", {}, notes), first));
  EXPECT_FALSE(t5.encoder().loaded()) << "remembered";
  EXPECT_FALSE(torch::equal(t5.encode("a sign", {.masks_padding = true}, notes), first));
  EXPECT_TRUE(t5.encoder().loaded());
  held.encode("a sign", {}, notes);
  held.encoder().release();
  EXPECT_TRUE(held.encoder().loaded()) << "a small one stays";
}

// What people have in a file's place is named, with the way out.
TEST(ModelFolders, WhatStandsInAFilesPlaceIsNamed) {
  const testing::TemporaryFolder folder;
  const auto model = folder / "model";
  std::filesystem::copy(testing::tiny_model(), model, std::filesystem::copy_options::recursive);
  const auto weights = Weights::find(model / "unet").files().front();
  const auto message = [&](const std::filesystem::path& file, const std::string& text) {
    const std::string before = read_text(file);
    write_text(file, text);
    const auto opened = open_model(model.string());
    write_text(file, before);
    return opened ? std::string() : opened.error().message();
  };
  using ::testing::AllOf;
  using ::testing::HasSubstr;
  EXPECT_THAT(message(weights, "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 34\n"),
              AllOf(HasSubstr("Git LFS pointer"), HasSubstr("git lfs pull")));
  EXPECT_THAT(message(weights, "../../blobs/0123456789"), AllOf(HasSubstr("a link that was copied as text"), HasSubstr("cp -rL")));
  EXPECT_THAT(message(weights, "<!DOCTYPE html><html>log in</html>"), HasSubstr("this is a web page"));
  EXPECT_THAT(message(weights, std::string("PK\x03\x04") + std::string(60, 'x')), AllOf(HasSubstr("this is a pickle"), HasSubstr("weights_only=True")));
  EXPECT_THAT(message(weights, std::string("\x80\x02}q") + std::string(60, 'x')), HasSubstr("this is a pickle"));
  EXPECT_THAT(message(model / "unet" / "config.json", "version https://git-lfs.github.com/spec/v1\n"), HasSubstr("Git LFS pointer"));
  EXPECT_EQ(message(weights, read_text(weights)), "");
}

// Hugging Face's cache: the folder of a model, or of a revision, whose files are links.
TEST(ModelFolders, ACachesFolderOpensTheRevisionThatItNames) {
  const testing::TemporaryFolder folder;
  const auto cache = folder / "models--org--tiny", snapshot = cache / "snapshots" / "0123abcd";
  std::filesystem::create_directories(cache / "refs");
  std::filesystem::create_directories(snapshot.parent_path());
  std::filesystem::copy(testing::tiny_model(), cache / "blobs", std::filesystem::copy_options::recursive);
  std::filesystem::create_directory_symlink(cache / "blobs", snapshot);
  write_text(cache / "refs" / "main", "0123abcd\n");
  EXPECT_TRUE(open_model(cache.string()));
  EXPECT_TRUE(open_model(snapshot.string()));
  // Without a name one revision is that one; of several the user chooses.
  std::filesystem::remove(cache / "refs" / "main");
  EXPECT_TRUE(open_model(cache.string()));
  std::filesystem::create_directory_symlink(cache / "blobs", cache / "snapshots" / "ffff");
  const auto opened = open_model(cache.string());
  ASSERT_FALSE(opened);
  EXPECT_THAT(opened.error().message(), ::testing::AllOf(::testing::HasSubstr("with 2 revisions"), ::testing::HasSubstr("snapshots/ffff")));
}

TEST(ModelFolders, WeightsOfAnyVariantAreFound) {
  const testing::TemporaryFolder folder;
  const auto model = folder / "model";
  std::filesystem::copy(testing::tiny_model(), model, std::filesystem::copy_options::recursive);
  const auto weights = Weights::find(model / "unet").files().front();
  for (const char* variant : {"fp16", "bf16", "non_ema"}) {
    const auto renamed = weights.parent_path() / ("diffusion_pytorch_model." + std::string(variant) + ".safetensors");
    std::filesystem::rename(weights, renamed);
    EXPECT_TRUE(open_model(model.string())) << variant;
    std::filesystem::rename(renamed, weights);
  }
}

}  // namespace
}  // namespace glyphscope
