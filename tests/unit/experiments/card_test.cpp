// A localization card taken to other models and other programs.
#include "experiments/card.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "io/files.h"
#include "models/layers.h"
#include "registry/families.h"
#include "tests/support/golden.h"
#include "tests/support/small_denoiser.h"
#include "tests/support/synthetic.h"

namespace glyphscope {
namespace {

using testing::certify_settings;
using ::testing::ElementsAre;
using testing::failure_of;
using testing::has_site;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::SmallDenoiser;
using testing::SyntheticPipeline;
using testing::SyntheticReader;

SyntheticPipeline written_at(int sites, int site) {
  return {sites, 1, [site](const PatchPlan& plan) { return has_site(plan, site) ? 1.0 : 0.0; }};
}

// Writes the model's card into the folder.
Certificate make_card(SyntheticPipeline& pipeline, const CertifySettings& settings, const std::filesystem::path& folder) {
  SyntheticReader reader;
  const RunObserver observer;
  RunFolder run(folder, describe_run(settings, pipeline.info(), reader.name()));
  Cells cells(settings, &run, pipeline, reader, observer, {});
  Certificate out = certify(cells, settings, pipeline.info().table);
  write_card(out, settings, pipeline.info(), reader.name(), {}, folder);
  return out;
}

CertifySettings transferred(const Card& card, const Pipeline& to) {
  CertifySettings out = card.settings;
  out.given = {sites_of(card, to.info().table), transfer_of(card)};
  out.sampling = to.resolve(out.sampling);
  return out;
}

TEST(Card, IsReadAsItWasWritten) {
  const testing::TemporaryFolder folder;
  SyntheticPipeline pipeline = written_at(7, 3);
  const CertifySettings settings = certify_settings(pipeline);
  make_card(pipeline, settings, folder / "run");
  const Card card = read_card(folder / "run/card.json");
  EXPECT_EQ(card.model_hash, pipeline.info().hash);
  ASSERT_EQ(card.sites.size(), 1u);
  EXPECT_EQ(card.sites.front().index, 3);
  EXPECT_EQ(card.settings.to_json(), settings.to_json());
}

// A model that writes with the same site passes on the same cells; one that writes with another does not; neither is searched.
TEST(Card, HoldsOnAModelThatWritesWithTheSameSites) {
  const testing::TemporaryFolder folder;
  SyntheticPipeline pipeline = written_at(7, 3), same = written_at(7, 3), other = written_at(7, 5);
  const Certificate own = make_card(pipeline, certify_settings(pipeline), folder / "own");
  const Card card = read_card(folder / "own/card.json");

  const Certificate held = make_card(same, transferred(card, same), folder / "same");
  EXPECT_TRUE(held.sufficient && held.necessary && held.beats_controls);
  EXPECT_THAT(held.chosen, ElementsAre(3));
  EXPECT_THAT(held.parts.choosing, IsEmpty());
  EXPECT_EQ(held.parts.reporting.size(), own.parts.reporting.size());
  EXPECT_TRUE(std::none_of(held.sites.begin(), held.sites.end(), [](const auto& one) { return one.tried; }));
  EXPECT_LT(same.pictures, pipeline.pictures);

  const Certificate fails = make_card(other, transferred(card, other), folder / "other");
  EXPECT_FALSE(fails.sufficient || fails.necessary || fails.beats_controls);
  const auto document = read_json(folder / "other/card.json");
  EXPECT_EQ(document.at("transferred_from").at("card_sha256"), card.sha256);
  EXPECT_EQ(document.at("transferred_from").at("verdict").at("sufficient"), true);
  EXPECT_EQ(document.at("verdict").at("sufficient"), false);
  // It is a card as well, and the run can be concluded again from its folder.
  EXPECT_EQ(read_card(folder / "other/card.json").sites.front().index, 3);
  EXPECT_EQ(CertifySettings::read(folder / "other").to_json(), transferred(card, other).to_json());
}

TEST(Card, WhatIsNoneIsRefusedWithItsName) {
  const testing::TemporaryFolder folder;
  SyntheticPipeline pipeline = written_at(7, 3), small = written_at(3, 1), mute(7, 1, [](const PatchPlan&) { return 0.0; });
  make_card(pipeline, certify_settings(pipeline), folder / "run");
  const auto refused = [&](const std::string& text) {
    write_text(folder / "card.json", text);
    const std::string said = failure_of([&] { read_card(folder / "card.json"); });
    EXPECT_THAT(said, HasSubstr("card.json"));
    return said;
  };
  const std::string whole = read_text(folder / "run/card.json");
  refused(whole.substr(0, whole.size() / 2));
  EXPECT_THAT(refused("{\"schema\": \"glyphscope.run/2\"}"), HasSubstr("no localization card, but 'glyphscope.run/2'"));
  EXPECT_THAT(refused("[1, 2]"), HasSubstr("no localization card"));
  for (const char* key : {"model", "sites", "settings"}) {
    auto without = nlohmann::json::parse(whole);
    without.erase(key);
    EXPECT_THAT(refused(without.dump()), HasSubstr(key));
  }
  make_card(mute, certify_settings(mute), folder / "mute");
  EXPECT_THAT(failure_of([&] { read_card(folder / "mute/card.json"); }), HasSubstr("no set of sites keeps the text"));
  const Card card = read_card(folder / "run/card.json");
  EXPECT_THAT(failure_of([&] { sites_of(card, small.info().table); }), HasSubstr("has no layer 'site3'"));
}

// The names are those of real layers: diffusers' of this denoiser, and kohya's of the same layers in its files (lora_test.cpp has those from its code).
TEST(Card, LayersAreNamedAsOthersNameThem) {
  for (const char* name : {"unet_sd1", "unet_sdxl", "mmdit_sd3", "flux_dev", "z_image", "unet_if1"}) {
    SCOPED_TRACE(name);
    SmallDenoiser denoiser(name);
    const auto layers = adaptable_layers(denoiser.module());
    const auto places = kohya_places(denoiser.module(), denoiser.table());
    for (const Site& site : denoiser.table().sites) {
      const LayerNames names = layer_names({site});
      ASSERT_EQ(names.diffusers.size(), 2u);
      EXPECT_EQ(names.trainer.empty(), places.empty());
      for (size_t i = 0; i < names.diffusers.size(); ++i) {
        ASSERT_TRUE(layers.contains(names.diffusers[i])) << names.diffusers[i];
        if (places.empty()) continue;
        std::string module = "lora_unet_" + names.trainer[std::min(i, names.trainer.size() - 1)];
        std::replace(module.begin(), module.end(), '.', '_');
        EXPECT_EQ(module, places.at(names.diffusers[i]).module);
      }
    }
  }
}

TEST(Card, IsExported) {
  const testing::TemporaryFolder folder;
  Card card;
  card.model_hash = "abc";
  SmallDenoiser xl("unet_sdxl"), sd1("unet_sd1"), flux("flux_dev"), pixels("unet_if1");
  const auto exported = [&](SmallDenoiser& denoiser, size_t site, const char* name) {
    card.sites = {denoiser.table().sites.at(site)};
    return export_card(card, folder / name);
  };
  EXPECT_THAT(exported(xl, 0, "xl"), ElementsAre("peft.json", "onetrainer.json", "lycoris.toml", "comfyui.json"));
  const std::string own = "down_blocks.1.attentions.0.transformer_blocks.0.attn2.", theirs = "input_blocks.3.1.transformer_blocks.0.attn2.";
  EXPECT_EQ(read_json(folder / "xl/peft.json"), nlohmann::json({{"target_modules", {own + "to_k", own + "to_v"}}}));
  EXPECT_THAT(read_text(folder / "xl/lycoris.toml"), HasSubstr("'^input_blocks\\.3\\.1\\.transformer_blocks\\.0\\.attn2\\.to_k$'"));
  EXPECT_EQ(read_json(folder / "xl/comfyui.json")["layers"][0], nlohmann::json({{"layer", "diffusion_model." + theirs + "to_k"}, {"block", {"input", 3, 0}}}));
  EXPECT_EQ(read_json(folder / "xl/onetrainer.json")["layer_filter_regex"], true);
  exported(sd1, 0, "sd1");
  EXPECT_THAT(read_text(folder / "sd1/lycoris.toml"), HasSubstr("'^down_blocks\\.0\\.attentions\\.0\\."));
  exported(flux, flux.table().sites.size() - 1, "flux");
  const auto last = read_json(folder / "flux/comfyui.json")["layers"];
  ASSERT_EQ(last.size(), 1u) << "Q, K, V and the MLP are one layer there";
  EXPECT_EQ(last[0]["block"][0], "single_block");
  EXPECT_THAT(exported(pixels, 0, "pixels"), ElementsAre("peft.json", "onetrainer.json"));
}

}  // namespace
}  // namespace glyphscope
