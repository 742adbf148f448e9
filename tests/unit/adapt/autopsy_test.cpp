#include "adapt/autopsy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "adapt/adapters.h"
#include "adapt/new_lora.h"
#include "core/random.h"
#include "io/files.h"
#include "pipelines/adaptable_encoder.h"
#include "registry/open_model.h"
#include "tests/support/golden.h"
#include "tests/support/small_denoiser.h"

namespace glyphscope {
namespace {
namespace fs = std::filesystem;
using ::testing::AllOf;
using testing::golden;
using ::testing::HasSubstr;

// Reads the word in the pictures that the whole adapter draws, and in no others.
struct WholeReader : TextReader {
  std::vector<torch::Tensor> whole;
  std::vector<TextPiece> read(const torch::Tensor& image) override {
    for (const auto& one : whole)
      if (torch::equal(image, one)) return {{"OPEN", 1, {}}};
    return {};
  }
  std::string name() const override { return "whole"; }
};

AutopsySettings autopsy_settings() {
  AutopsySettings out;
  for (const char* colour : {"red", "blue", "green", "white", "black", "grey"}) out.prompts.push_back(std::string("a ") + colour + " sign that says \"OPEN\"");
  out.prompts.emplace_back("a house");
  out.noises = 2;
  out.steps = 2;
  return out;
}

struct OfAutopsy : ::testing::Test {
  std::shared_ptr<Pipeline> pipeline = *open_model(golden("pipeline").string());
  Adapter adapter;
  WholeReader reader;
  testing::TemporaryFolder folder;

  // All of it is zero but what stands at one site, and of the text encoder nothing is.
  void SetUp() override {
    const SiteTable& table = pipeline->info().table;
    std::vector<int> sites;
    for (const auto& site : table.sites) sites.push_back(site.index);
    adapter.denoiser = make_lora(pipeline->denoiser_module(), table, {.sites = sites, .rank = 2}, make_generator(3));
    const auto generator = make_generator(4);
    for (auto& [path, layer] : adapter.denoiser.layers)
      if (path.starts_with(table.sites[1].path + ".")) layer.b.normal_(0, 1, generator);
    for (AdaptableEncoder* encoder : pipeline->text_encoders())
      adapter.encoders[encoder->component()] = make_encoder_lora(encoder->network(), {.rank = 2}, make_generator(5));
    const AttachedAdapter attached(*pipeline, adapter);
    Request request;
    request.prompts = autopsy_settings().prompts;
    request.steps = 2;
    for (size_t prompt = 0; prompt < request.prompts.size(); ++prompt)
      for (std::uint64_t noise = 0; noise < 2; ++noise) request.rows.push_back({static_cast<int>(prompt), 42 + noise, {}});
    reader.whole = pipeline->generate(request)->images.unbind();
  }
};

// What is left out and what is kept make the whole: no layer is in two parts or in none.
TEST_F(OfAutopsy, PartsMakeTheWhole) {
  const SiteTable& table = pipeline->info().table;
  const auto parts = parts_of(adapter, table);
  ASSERT_EQ(parts.size(), table.sites.size() + 1);
  EXPECT_EQ(parts.front().name, "site 0");
  EXPECT_EQ(parts.back().name, "text_encoder");
  std::int64_t parameters = 0;
  size_t layers = 0;
  for (const auto& part : parts) {
    parameters += part.parameters;
    layers += part.layers;
    const Adapter alone = with_parts(adapter, table, {part});
    EXPECT_EQ(alone.denoiser.parameters() + (alone.encoders.empty() ? 0 : alone.encoders.begin()->second.parameters()), part.parameters) << part.name;
  }
  EXPECT_EQ(parameters, adapter.denoiser.parameters() + adapter.encoders.at("text_encoder").parameters());
  EXPECT_EQ(layers, adapter.denoiser.layers.size() + adapter.encoders.at("text_encoder").layers.size());
  EXPECT_TRUE(with_parts(adapter, table, {}).denoiser.layers.empty());

  // Of one that changes other layers too, by methods that are no products.
  std::vector<std::string> notes;
  testing::SmallDenoiser denoiser("unet_sd1");
  const Adapter other{read_lora(golden("adapter_methods") / "loha.safetensors", denoiser.module(), denoiser.table(), notes), {}};
  std::int64_t all = 0;
  bool rest = false;
  for (const auto& part : parts_of(other, denoiser.table())) {
    all += part.parameters;
    rest |= part.name == "other layers";
  }
  EXPECT_EQ(all, other.denoiser.parameters());
  EXPECT_TRUE(rest);
}

TEST_F(OfAutopsy, FindsThePartThatWritesAndLeavesTheOthersOut) {
  const AutopsyResult found = run_autopsy(*pipeline, adapter, "hash", autopsy_settings(), folder / "out", false, reader, {}, {});
  EXPECT_EQ(found.whole_f1.mean, 1);
  EXPECT_EQ(found.base_f1.mean, 0);
  for (const auto& one : found.parts) {
    const bool writes = one.part.name == "site 1";
    EXPECT_EQ(one.f1_change.mean, writes ? 1 : 0) << one.part.name;
    EXPECT_EQ(one.ssim.mean == 1, !writes) << one.part.name;
  }
  ASSERT_EQ(found.kept.size(), 1u);
  EXPECT_EQ(found.kept[0].name, "site 1");
  EXPECT_EQ(found.pruned_f1.mean, 1);
  EXPECT_EQ(found.kept_parameters, found.kept[0].parameters);
  EXPECT_THAT(found.csv(), HasSubstr("site 1,1,"));
  EXPECT_THAT(found.table(), HasSubstr("Pruned: 1 of"));

  // It goes on from what is there: only the whole adapter's pictures are drawn again, to compare others with.
  const auto first = found.to_json();
  fs::remove(folder / "out/variants/without-site-0.json");
  write_text(folder / "out/variants/without-site-2.json", "{\"schema\": \"");
  std::vector<std::string> notes;
  AutopsyObserver observer;
  observer.note = [&](const std::string& note) { notes.push_back(note); };
  std::set<std::string> drawn;
  observer.progress = [&](const Progress& p) { drawn.insert(p.what); };
  EXPECT_EQ(run_autopsy(*pipeline, adapter, "hash", autopsy_settings(), folder / "out", true, reader, observer, {}).to_json(), first);
  EXPECT_THAT(drawn, ::testing::UnorderedElementsAre("whole", "without site 0", "without site 2"));
  EXPECT_THAT(notes, ::testing::Contains(AllOf(HasSubstr("without-site-2.json"), HasSubstr("damaged"))));

  // What it must keep may change; what was drawn may not.
  AutopsySettings other = autopsy_settings();
  other.kept_share = 0.5;
  EXPECT_EQ(run_autopsy(*pipeline, adapter, "hash", other, folder / "out", true, reader, {}, {}).kept.size(), 1u);
  other.steps = 3;
  EXPECT_THAT(testing::failure_of([&] { run_autopsy(*pipeline, adapter, "hash", other, folder / "out", true, reader, {}, {}); }), HasSubstr("settings/steps"));
  EXPECT_THAT(testing::failure_of([&] { run_autopsy(*pipeline, adapter, "other", autopsy_settings(), folder / "out", true, reader, {}, {}); }),
              HasSubstr("adapter_sha256"));
  EXPECT_THAT(testing::failure_of([&] { run_autopsy(*pipeline, adapter, "hash", autopsy_settings(), folder / "out", false, reader, {}, {}); }),
              HasSubstr("holds an autopsy already"));
}

// Where a part does not fit, nothing stays attached: not the denoiser's, nor that of an encoder before it.
TEST(AttachedAdapterTest, NothingIsAttachedByHalf) {
  const auto opened = *open_model(golden("pipeline_sdxl").string());
  Request request;
  request.prompts = {"a sign that says \"OPEN\""};
  request.rows = {{0, 1, {}}};
  request.steps = 2;
  const torch::Tensor plain = opened->generate(request)->latents;
  Adapter adapter;
  for (AdaptableEncoder* encoder : opened->text_encoders()) {
    Lora& lora = adapter.encoders[encoder->component()] = make_encoder_lora(encoder->network(), {.rank = 2}, make_generator(5));
    for (auto& [path, layer] : lora.layers) layer.b.fill_(1);
  }
  adapter.encoders.at("text_encoder_2").layers.begin()->second.a = torch::zeros({2, 3});
  EXPECT_THAT(testing::failure_of([&] { AttachedAdapter(*opened, adapter); }), HasSubstr("does not fit"));
  EXPECT_TRUE(torch::equal(opened->generate(request)->latents, plain));
}

TEST_F(OfAutopsy, ThereIsNothingToFindWhereNothingChanges) {
  for (auto& [path, layer] : adapter.denoiser.layers) layer.b.zero_();
  std::vector<std::string> notes;
  AutopsyObserver observer;
  observer.note = [&](const std::string& note) { notes.push_back(note); };
  const AutopsyResult found = run_autopsy(*pipeline, adapter, "hash", autopsy_settings(), folder / "out", false, reader, observer, {});
  EXPECT_EQ(found.kept.size(), found.parts.size());
  EXPECT_EQ(found.pruned_f1.n, 0);
  EXPECT_TRUE(found.to_json()["pruned"].is_null());
  EXPECT_THAT(notes, ::testing::Contains(HasSubstr("does not change how the texts are read")));
  for (const auto& one : found.parts) EXPECT_FALSE(one.changes_text);

  AutopsySettings silent = autopsy_settings();
  silent.prompts = {"a house"};
  EXPECT_THAT(testing::failure_of([&] { run_autopsy(*pipeline, adapter, "hash", silent, folder / "never", false, reader, {}, {}); }),
              HasSubstr("no prompt asks for a text"));
  EXPECT_THAT(testing::failure_of([&] { run_autopsy(*pipeline, {}, "hash", autopsy_settings(), folder / "never", false, reader, {}, {}); }),
              HasSubstr("changes nothing of the model"));
  EXPECT_FALSE(fs::exists(folder / "never"));
}

}  // namespace
}  // namespace glyphscope
