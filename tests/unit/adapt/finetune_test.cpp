#include "adapt/finetune.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <opencv2/imgcodecs.hpp>

#include "adapt/adapters.h"
#include "adapt/encoded_pictures.h"
#include "adapt/lora_file.h"
#include "adapt/noise_path.h"
#include "adapt/training_table.h"
#include "core/random.h"
#include "demo/signs.h"
#include "io/files.h"
#include "io/image_file.h"
#include "pipelines/adaptable_encoder.h"
#include "pipelines/trainable.h"
#include "registry/open_model.h"
#include "tests/support/golden.h"
#include "text/weighted_prompt.h"

namespace glyphscope {
namespace {
namespace fs = std::filesystem;
using ::testing::AllOf;
using testing::golden;
using ::testing::HasSubstr;

// Pictures of two shapes, in one colour each, which the caption names.
fs::path make_pictures(const testing::TemporaryFolder& folder, int count = 10) {
  const fs::path out = folder / "pictures";
  fs::create_directories(out);
  for (int i = 0; i < count; ++i) {
    torch::Tensor image = torch::full({3, 32, i % 3 == 0 ? 48 : 32}, 15 * i, torch::kUInt8);
    image[i % 3].fill_(255);
    write_png(out / (std::to_string(i) + ".png"), image);
    write_text(out / (std::to_string(i) + ".txt"), i % 2 ? "a red sign" : "a blue sign that says \"open\"");
  }
  return out;
}

// Reads every picture alike: what it says is not what these tests are about.
struct OneWord : TextReader {
  std::vector<TextPiece> read(const torch::Tensor&) override { return {{"OPEN", 1, {}}}; }
  std::string name() const override { return "one word"; }
};
OneWord reader;

FinetuneSettings settings() {
  FinetuneSettings out;
  out.plan = {.sites = {0, 1}, .rank = 2};
  out.steps = 8;
  out.batch = 2;
  out.accumulate = 2;
  out.rate = 5e-3;
  out.resolution = 32;
  out.dropout = 0.1;
  out.held_out = 0.3;
  out.save_every = 3;
  out.evaluate_every = 4;
  return out;
}

struct Finetune : ::testing::TestWithParam<const char*> {
  std::shared_ptr<Pipeline> open() {
    const auto opened = open_model(golden(GetParam()).string());
    EXPECT_TRUE(opened) << opened.error().message();
    return *opened;
  }
  FinetuneSettings chosen() const {
    FinetuneSettings out = settings();
    if (std::string(GetParam()) == "pipeline_if") out.resolution = 8;
    return out;
  }
};

// Stopped at a step of its own and gone on with, by a second pipeline, the adapter is the same to the bit; and the model is untouched.
TEST_P(Finetune, ResumesToTheBit) {
  const testing::TemporaryFolder folder;
  const PictureSet pictures = read_picture_set(make_pictures(folder), settings().held_out);
  ASSERT_FALSE(pictures.held_out.empty());
  const auto pipeline = open();
  Request request;
  request.prompts = {"a red sign"};
  request.rows = {{0, 1, {}}};
  request.steps = 2;
  const auto plain = pipeline->generate(request);
  ASSERT_TRUE(plain) << plain.error().message();
  const FinetuneResult whole = finetune(*pipeline, pictures, chosen(), folder / "whole", false, &reader, {}, {});
  EXPECT_TRUE(torch::equal(pipeline->generate(request)->images, plain->images));
  EXPECT_TRUE(torch::equal(pipeline->generate(request)->latents, plain->latents));
  EXPECT_EQ(whole.trained, whole.adapter.denoiser.parameters());
  // Masters, gradients and two moments in fp32; as large a share of all sites' as the parameters are.
  EXPECT_EQ(whole.optimizer_bytes, 16 * whole.trained);
  EXPECT_EQ(whole.all_sites_optimizer_bytes, 16 * whole.all_sites);
  EXPECT_GT(whole.all_sites, whole.trained);
  ASSERT_TRUE(whole.best_held_out);

  const CancelToken cancel;
  FinetuneObserver stop;
  stop.step = [&](const FinetuneProgress& p) {
    if (p.step == 4) cancel.cancel();
  };
  const auto stopped = attempt([&] { return finetune(*open(), pictures, chosen(), folder / "parts", false, &reader, stop, cancel); });
  ASSERT_FALSE(stopped);
  EXPECT_EQ(stopped.error().code, ErrorCode::cancelled);
  EXPECT_THAT(testing::failure_of([&] { finetune(*open(), pictures, chosen(), folder / "parts", false, &reader, {}, {}); }), HasSubstr("\u2039resume"));
  const FinetuneResult parts = finetune(*open(), pictures, chosen(), folder / "parts", true, &reader, {}, {});
  bool moved = false;
  for (const auto& [path, layer] : whole.adapter.denoiser.layers) {
    EXPECT_TRUE(torch::equal(layer.a, parts.adapter.denoiser.layers.at(path).a)) << path;
    EXPECT_TRUE(torch::equal(layer.b, parts.adapter.denoiser.layers.at(path).b)) << path;
    moved |= layer.b.abs().max().item<double>() > 0;
  }
  EXPECT_TRUE(moved) << "nothing was learned";
  EXPECT_EQ(whole.best_held_out, parts.best_held_out);

  EXPECT_EQ(read_text(folder / "whole/training.csv").find("step,loss,held_out_loss,word_accuracy,ocr_f1,ssim_to_base,learning_rate\n0,"), 0u);
  EXPECT_EQ(read_text(folder / "whole/training.csv"), read_text(folder / "parts/training.csv"));

  // Asked for fewer steps than were made, it learns no more.
  FinetuneSettings fewer = chosen();
  fewer.steps = 5;
  EXPECT_TRUE(torch::equal(finetune(*open(), pictures, fewer, folder / "parts", true, &reader, {}, {}).adapter.denoiser.layers.begin()->second.b,
                           whole.adapter.denoiser.layers.begin()->second.b));

  // The file holds what was trained, and says of what.
  std::vector<std::string> notes;
  const Lora file = read_lora(folder / "parts/last.safetensors", pipeline->denoiser_module(), pipeline->info().table, notes);
  for (const auto& [path, layer] : whole.adapter.denoiser.layers) EXPECT_TRUE(torch::equal(layer.b, file.layers.at(path).b)) << path;
  EXPECT_EQ(file.metadata.at("model_hash"), pipeline->info().hash);
  EXPECT_EQ(nlohmann::json::parse(file.metadata.at("settings")), nlohmann::json(chosen().to_json()));
  EXPECT_EQ(nlohmann::json::parse(file.metadata.at("settings"))["sites"], (std::vector<int>{0, 1}));

  FinetuneSettings other = chosen();
  other.rate *= 2;
  EXPECT_THAT(testing::failure_of([&] { finetune(*open(), pictures, other, folder / "parts", true, &reader, {}, {}); }),
              AllOf(HasSubstr("other settings"), HasSubstr("settings/rate: ")));
}

// All tensors of an adapter, its encoders' too.
std::map<std::string, torch::Tensor> tensors_of(const Adapter& adapter) {
  std::map<std::string, torch::Tensor> out;
  const auto add = [&](const Lora& lora, const std::string& before) {
    for (const auto& [path, layer] : lora.layers) {
      out[before + path + " a"] = layer.a;
      out[before + path + " b"] = layer.b;
    }
    for (const auto& [path, change] : lora.changes) {
      for (const auto& [part, tensor] : change.parts) out[before + path + " " + part] = tensor;
      if (change.magnitude.defined()) out[before + path + " magnitude"] = change.magnitude;
    }
  };
  add(adapter.denoiser, "");
  for (const auto& [component, lora] : adapter.encoders) add(lora, component + ":");
  return out;
}

// Other methods than LoRA, and all text encoders: what was trained is what the file holds, a training that was stopped goes on to the same bits, and the model
// is as it was.
TEST_P(Finetune, OfEveryMethodAndTextEncoderResumesToTheBit) {
  const testing::TemporaryFolder folder;
  const PictureSet pictures = read_picture_set(make_pictures(folder), settings().held_out);
  const auto pipeline = open();
  Request request;
  request.prompts = {"a red sign"};
  request.rows = {{0, 1, {}}};
  request.steps = 2;
  const auto plain = pipeline->generate(request);
  ASSERT_TRUE(plain) << plain.error().message();
  std::vector<std::string> components;
  for (const AdaptableEncoder* encoder : pipeline->text_encoders()) components.push_back(encoder->component());
  // One method is enough to tell of a family's encoders; of one whose encoders take no adapter, another than LoRA.
  const bool first = std::string(GetParam()) == "pipeline";
  const AdapterMethod enough = components.empty() ? AdapterMethod::dora : AdapterMethod::lora;
  for (const auto method : {AdapterMethod::lora, AdapterMethod::dora, AdapterMethod::loha, AdapterMethod::lokr}) {
    if (!first && method != enough) continue;
    const std::string name = adapter_method_name(method);
    SCOPED_TRACE(name);
    FinetuneSettings chosen = this->chosen();
    chosen.plan.method = method;
    chosen.plan.rank = 1;
    if (!components.empty()) chosen.text_encoders = {"all"};
    chosen.dropout = 0;
    chosen.steps = 4;
    chosen.accumulate = 1;
    chosen.sample_prompts = {"a sign that says \"OPEN\"", "a house"};
    chosen.sample_every = 2;
    const FinetuneResult whole = finetune(*pipeline, pictures, chosen, folder / name, false, &reader, {}, {});
    EXPECT_TRUE(torch::equal(pipeline->generate(request)->latents, plain->latents)) << "something is left behind";
    const auto trained = tensors_of(whole.adapter);
    ASSERT_EQ(whole.adapter.encoders.size(), components.size());
    std::int64_t numbers = 0;
    for (const auto& [key, tensor] : trained) numbers += tensor.numel();
    EXPECT_EQ(whole.trained, numbers);

    const CancelToken cancel;
    FinetuneObserver stop;
    stop.samples = [&](std::int64_t step, const TrainingSamples::Scores&) {
      if (step == 2) cancel.cancel();
    };
    EXPECT_FALSE(attempt([&] { return finetune(*open(), pictures, chosen, folder / (name + "-parts"), false, &reader, stop, cancel); }));
    const FinetuneResult parts = finetune(*open(), pictures, chosen, folder / (name + "-parts"), true, &reader, {}, {});
    const auto again = tensors_of(parts.adapter);
    for (const auto& [key, tensor] : trained) EXPECT_TRUE(torch::equal(tensor, again.at(key))) << key;

    // What was trained is what the file holds, and it acts.
    const std::string file = (folder / name / "last.safetensors").string();
    std::vector<std::string> notes;
    const auto read = tensors_of(read_adapter(file, adapter_target(*pipeline, file), notes));
    EXPECT_THAT(notes, ::testing::IsEmpty());
    ASSERT_EQ(read.size(), trained.size());
    std::set<std::string> moved;
    for (const auto& [key, tensor] : trained) {
      EXPECT_LT((tensor - read.at(key)).abs().max().item<double>(), 1e-6) << key;
      const bool begun_at_zero =
          key.ends_with(" b") || key.ends_with("lora_up") || key.ends_with("hada_w2_a") || key.ends_with("lokr_w2_b") || key.ends_with("lokr_w2");
      if (begun_at_zero && tensor.abs().max().item<double>() > 0) moved.insert(key.find(':') == std::string::npos ? "" : key.substr(0, key.find(':')));
    }
    EXPECT_EQ(moved.size(), 1 + components.size()) << "not all have learned";
    notes.clear();
    const auto adapted = attach_adapters(pipeline, {file}, notes);
    EXPECT_FALSE(torch::equal(adapted->generate(request)->latents, plain->latents));
  }
  EXPECT_TRUE(torch::equal(pipeline->generate(request)->latents, plain->latents));
}

// What cannot be trained so is said before anything is written.
TEST(FinetuneMethods, WhatCannotBeIsNamed) {
  const testing::TemporaryFolder folder;
  const PictureSet pictures = read_picture_set(make_pictures(folder), settings().held_out);
  const auto refused = [&](const char* model, FinetuneSettings chosen) {
    const auto pipeline = *open_model(golden(model).string());
    return testing::failure_of([&] { finetune(*pipeline, pictures, chosen, folder / "out", false, &reader, {}, {}); });
  };
  FinetuneSettings chosen = settings();
  chosen.text_encoders = {"text_encoder_2"};
  EXPECT_THAT(refused("pipeline", chosen), AllOf(HasSubstr("no text encoder 'text_encoder_2'"), HasSubstr("It has text_encoder")));
  chosen.text_encoders = {"all"};
  EXPECT_THAT(refused("pipeline_ldm/kl", chosen), HasSubstr("takes no adapter"));
  chosen.text_encoders.clear();
  chosen.plan.method = AdapterMethod::lokr;
  EXPECT_THAT(refused("pipeline", chosen), AllOf(HasSubstr("not of lokr"), HasSubstr("dropout")));
  EXPECT_FALSE(fs::exists(folder / "out"));
}

INSTANTIATE_TEST_SUITE_P(Families, Finetune,
                         ::testing::Values("pipeline", "pipeline_sdxl", "pipeline_sd3", "pipeline_flux", "pipeline_z_image", "pipeline_if", "pipeline_ldm/kl"));

// Half the pictures of one colour, learned for a while: the held-out loss falls.
TEST(FinetuneLoss, FallsOnHeldOutPictures) {
  const testing::TemporaryFolder folder;
  const PictureSet pictures = read_picture_set(make_pictures(folder, 16), 0.3);
  const auto opened = open_model(golden("pipeline").string());
  FinetuneSettings chosen = settings();
  chosen.plan.every_attention = true;
  chosen.plan.rank = 4;
  chosen.steps = 60;
  chosen.evaluate_every = chosen.save_every = 10;
  std::vector<double> losses;
  FinetuneObserver observer;
  observer.step = [&](const FinetuneProgress& p) {
    if (p.held_out) losses.push_back(*p.held_out);
  };
  finetune(**opened, pictures, chosen, folder / "out", false, &reader, observer, {});
  ASSERT_EQ(losses.size(), 7u);  // the model's own before it, and one each ten steps
  EXPECT_LT(losses.back(), 0.98 * losses.front());
}

// All that saves memory at once, on photographs' own format: bf16 weights, blocks computed again on the way back, a rate that rises and falls, SNR weights.
TEST(FinetuneLoss, FallsInBf16WithCheckpointing) {
  const testing::TemporaryFolder folder;
  const fs::path data = make_pictures(folder, 16);
  for (int i = 0; i < 16; ++i) {
    const fs::path png = data / (std::to_string(i) + ".png");
    std::vector<unsigned char> jpeg;
    ASSERT_TRUE(cv::imencode(".jpg", cv::imread(png.string()), jpeg));
    write_text(data / (std::to_string(i) + ".jpg"), std::string(jpeg.begin(), jpeg.end()));
    fs::remove(png);
  }
  const PictureSet pictures = read_picture_set(data, 0.3);
  ASSERT_EQ(pictures.train.size() + pictures.held_out.size(), 16u);
  FinetuneSettings chosen = settings();
  chosen.plan.every_attention = true;
  chosen.steps = 40;
  chosen.rate = 1e-2;
  chosen.schedule = RateSchedule::cosine;
  chosen.warmup = 5;
  chosen.snr_gamma = 5;
  chosen.checkpointing = true;
  chosen.evaluate_every = chosen.save_every = 10;
  const CancelToken cancel;
  std::vector<double> losses;
  FinetuneObserver observer, stop;
  observer.step = [&](const FinetuneProgress& p) {
    if (p.held_out) losses.push_back(*p.held_out);
  };
  stop.step = [&](const FinetuneProgress& p) {
    if (p.step >= 20) cancel.cancel();
  };
  const auto train = [&](const char* out, bool resume, const FinetuneObserver& seen, const CancelToken& token) {
    const auto opened = open_model(golden("pipeline").string(), {.dtype = "bf16"});
    return finetune(**opened, pictures, chosen, folder / out, resume, &reader, seen, token);
  };
  const Lora whole = train("whole", false, observer, {}).adapter.denoiser;
  ASSERT_EQ(losses.size(), 5u);
  EXPECT_LT(losses.back(), 0.98 * losses.front());
  EXPECT_FALSE(attempt([&] { train("parts", false, stop, cancel); }));
  const Lora parts = train("parts", true, {}, {}).adapter.denoiser;
  for (const auto& [path, layer] : whole.layers) {
    EXPECT_EQ(layer.b.scalar_type(), torch::kFloat32) << path;
    EXPECT_TRUE(torch::equal(layer.a, parts.layers.at(path).a) && torch::equal(layer.b, parts.layers.at(path).b)) << path;
  }
}

// Encoded once: a second training finds pictures and captions in its cache, and a damaged one is made anew.
TEST(FinetuneCache, IsAddressedByContent) {
  const testing::TemporaryFolder folder;
  const PictureSet pictures = read_picture_set(make_pictures(folder), 0.3);
  const auto opened = open_model(golden("pipeline").string());
  FinetuneSettings chosen = settings();
  chosen.steps = 2;
  chosen.cache = folder / "cache";
  const Lora first = finetune(**opened, pictures, chosen, folder / "out", false, &reader, {}, {}).adapter.denoiser;
  auto files = [&] {
    std::map<std::string, fs::file_time_type> out;
    for (const auto& entry : fs::directory_iterator(chosen.cache)) out[entry.path().filename()] = entry.last_write_time();
    return out;
  };
  const auto before = files();
  EXPECT_GT(before.size(), pictures.train.size());
  write_text(folder.path() / "cache" / before.begin()->first, "damaged");
  const Lora again = finetune(**opened, pictures, chosen, folder / "again", false, &reader, {}, {}).adapter.denoiser;
  const auto after = files();
  EXPECT_EQ(after.size(), before.size());
  int rewritten = 0;
  for (const auto& [name, time] : after) rewritten += time != before.at(name);
  EXPECT_EQ(rewritten, 1);
  for (const auto& [path, layer] : first.layers) EXPECT_TRUE(torch::equal(layer.b, again.layers.at(path).b));
}

// A caption that is left out has no say: with all of them left out, pictures with other captions give the same adapter.
TEST(FinetuneLoss, CaptionsThatAreLeftOutDoNotCount) {
  const testing::TemporaryFolder folder;
  const fs::path data = make_pictures(folder);
  const auto opened = open_model(golden("pipeline").string());
  FinetuneSettings chosen = settings();
  chosen.held_out = 0;
  chosen.steps = 2;
  const auto train = [&](const std::string& name, double dropout) {
    FinetuneSettings own = chosen;
    own.caption_dropout = dropout;
    return finetune(**opened, read_picture_set(data, 0), own, folder / name, false, nullptr, {}, {}).adapter.denoiser;
  };
  const Lora silent = train("silent", 1), told = train("told", 0);
  for (int i = 0; i < 10; ++i) write_text(data / (std::to_string(i) + ".txt"), "something else " + std::to_string(i));
  const Lora silent_again = train("silent again", 1), told_again = train("told again", 0);
  for (const auto& [path, layer] : silent.layers) {
    EXPECT_TRUE(torch::equal(layer.b, silent_again.layers.at(path).b)) << path;
    EXPECT_FALSE(torch::equal(told.layers.at(path).b, told_again.layers.at(path).b)) << path;
  }
}

// A picture that counts three times is learned from as if it were there three times; and where all count alike, nothing changes.
TEST(FinetuneRepeats, CountAsSoManyPictures) {
  const testing::TemporaryFolder folder;
  const auto opened = open_model(golden("pipeline").string());
  FinetuneSettings chosen = settings();
  chosen.held_out = 0;
  chosen.steps = 3;
  const PictureSet plain = read_picture_set(make_pictures(folder, 4), 0);
  PictureSet counted = plain, copied = plain, doubled = plain;
  counted.train[2].repeats = 3;
  copied.train.insert(copied.train.begin() + 2, 2, plain.train[2]);
  for (auto& one : doubled.train) one.repeats = 2;
  const auto train = [&](const std::string& name, const PictureSet& pictures) {
    return finetune(**opened, pictures, chosen, folder / name, false, nullptr, {}, {}).adapter.denoiser;
  };
  const Lora three = train("counted", counted), copies = train("copied", copied), once = train("plain", plain), twice = train("doubled", doubled);
  for (const auto& [path, layer] : three.layers) {
    EXPECT_TRUE(torch::equal(layer.b, copies.layers.at(path).b)) << path;
    EXPECT_TRUE(torch::equal(once.layers.at(path).b, twice.layers.at(path).b)) << path;
    EXPECT_FALSE(torch::equal(layer.b, once.layers.at(path).b)) << path;
  }
  EXPECT_NE(counted.sha256(), plain.sha256());
}

// A step over two batches follows the mean of their gradients. With a huge eps and no moments AdamW's step is the gradient itself, scaled.
TEST(FinetuneLoss, AccumulatedBatchesAreTheirMean) {
  const testing::TemporaryFolder folder;
  const PictureSet pictures = read_picture_set(make_pictures(folder), 0);
  const auto opened = open_model(golden("pipeline").string());
  FinetuneSettings chosen = settings();
  chosen.held_out = chosen.dropout = chosen.beta1 = chosen.weight_decay = 0;
  chosen.clip_norm = 1e9;
  chosen.rate = 1;
  chosen.eps = 1e6;
  chosen.accumulate = 1;
  chosen.steps = 2;
  const Lora apart = finetune(**opened, pictures, chosen, folder / "apart", false, nullptr, {}, {}).adapter.denoiser;
  chosen.accumulate = 2;
  chosen.steps = 1;
  const Lora together = finetune(**opened, pictures, chosen, folder / "together", false, nullptr, {}, {}).adapter.denoiser;
  for (const auto& [path, layer] : apart.layers) {
    EXPECT_GT(layer.b.abs().max().item<double>(), 0) << path;
    EXPECT_LT(testing::relative_error(2 * together.layers.at(path).b, layer.b), 1e-3) << path;
  }
}

// As diffusers' training examples draw them: the sigmoid of a normal number, times the number of timesteps. A million of those, in tenths.
TEST(FinetuneTimesteps, OfFlowMatchingAreLogitNormal) {
  const torch::Tensor density = logit_normal_draws(1000).to(torch::kFloat64);
  const torch::Tensor drawn = (torch::randn({1'000'000}, make_generator(3)).sigmoid() * 1000).floor().clamp(0, 999);
  for (int part = 0; part < 10; ++part) {
    const double expected = density.slice(0, 100 * part, 100 * part + 100).sum().item<double>();
    const double share = ((drawn >= 100 * part) & (drawn < 100 * part + 100)).to(torch::kFloat64).mean().item<double>();
    EXPECT_NEAR(share, expected, 5 * std::sqrt(expected / 1e6)) << part;
  }
}

TEST(FinetuneSettingsFile, GivesBackWhatWasWritten) {
  Choice choice(5);
  for (int i = 0; i < 50; ++i) {
    FinetuneSettings one;
    one.plan.sites = {choice.below(5), 5 + choice.below(5)};
    one.plan.every_attention = choice.below(2) == 1;
    one.plan.rank = 1 + choice.below(64);
    one.plan.alpha = choice.below(2) * choice.fraction();
    one.plan.scale = choice.below(2) * choice.fraction();
    if (choice.below(2)) one.plan.ranks = {{one.plan.sites[0], 1 + choice.below(8)}};
    one.plan.method = static_cast<AdapterMethod>(choice.below(4));
    if (choice.below(2)) one.text_encoders = {"text_encoder"};
    one.plan.init = choice.below(2) ? LoraInit::kaiming : LoraInit::gaussian;
    one.schedule = static_cast<RateSchedule>(choice.below(3));
    one.rate = choice.fraction();
    one.steps = 1 + choice.below(1000);
    one.batch = 1 + choice.below(9);
    one.snr_gamma = choice.fraction();
    one.checkpointing = choice.below(2) == 1;
    one.seed = choice.next();
    EXPECT_EQ(FinetuneSettings::parse(nlohmann::json::parse(one.to_json().dump())).to_json(), one.to_json());
  }
  EXPECT_THAT(testing::failure_of([] { FinetuneSettings::parse({{"sites", {1}}}); }), HasSubstr("every_attention"));
}

// Whatever its case, a text that is learned from tells nothing of new ones.
TEST(FinetuneSamples, KnownTextsAreNoted) {
  const testing::TemporaryFolder folder;
  const PictureSet pictures = read_picture_set(make_pictures(folder), 0.3);
  EXPECT_THAT(note_on_known_texts(pictures, {"a sign that says \"OPEN\"", "a wall", "a sign that says \"SHUT\""}), ::testing::StartsWith("1 of"));
  EXPECT_EQ(note_on_known_texts(pictures, {"a wall", "a sign that says \"SHUT\""}), "");
}

// Samples: at the start they are the base model's to the bit; each set is a picture, a row of the table, and the same after a resume.
TEST(FinetuneSamples, AreDrawnAsItGoes) {
  const testing::TemporaryFolder folder;
  const PictureSet pictures = read_picture_set(make_pictures(folder), 0.3);
  FinetuneSettings chosen = settings();
  chosen.rate = 5e-2;
  chosen.sample_every = 4;
  chosen.sample_prompts = {"a sign that says \"open\"", "a red wall", "a sign that says \"shut\""};
  chosen.sample_steps = 2;
  std::map<std::int64_t, TrainingSamples::Scores> drawn;
  FinetuneObserver observer;
  observer.samples = [&](std::int64_t step, const TrainingSamples::Scores& scores) { drawn[step] = scores; };
  const auto opened = open_model(golden("pipeline").string());
  finetune(**opened, pictures, chosen, folder / "whole", false, &reader, observer, {});
  ASSERT_EQ(drawn.size(), 3u);
  // On another device than the CPU a layer with an adapter that adds nothing sums in another order.
  const double no_change = testing::test_device().is_cpu() ? 0 : 1e-5;
  EXPECT_NEAR(*drawn.at(0).mean(&TrainingSamples::Item::ssim), 1.0, no_change);
  EXPECT_LT(*drawn.at(8).mean(&TrainingSamples::Item::ssim), 1.0);
  EXPECT_EQ(drawn.at(8).mean(&TrainingSamples::Item::exact), 0.5);  // the reader says OPEN of each
  EXPECT_EQ(drawn.at(8).items.size(), 3u);
  EXPECT_GT(*drawn.at(8).mean(&TrainingSamples::Item::f1), 0.5 / 2);
  Request request;
  request.prompts = {chosen.sample_prompts[1]};
  request.rows = {{0, chosen.seed + 1, {}}};
  request.steps = 2;
  request.width = request.height = chosen.resolution;
  EXPECT_LE(((*opened)->generate(request)->images[0].to(torch::kInt32) - drawn.at(0).items[1].image.to(torch::kInt32)).abs().max().item<int>(),
            no_change > 0 ? 1 : 0);
  EXPECT_TRUE(fs::exists(folder / "whole/samples/000004.png"));
  EXPECT_GT(read_image(folder / "whole/training.png").size(1), 500);  // two charts

  // Stopped while the samples of step 4 are drawn: they are drawn again.
  const CancelToken cancel;
  FinetuneObserver stop;
  bool learning = false;
  stop.step = [&](const FinetuneProgress& p) { learning = p.step < 4; };
  stop.preparing = [&](const Progress& p) {
    if (learning && p.what == "drawing samples") cancel.cancel();
  };
  const auto stopped = attempt([&] { return finetune(**opened, pictures, chosen, folder / "parts", false, &reader, stop, cancel); });
  ASSERT_FALSE(stopped);
  EXPECT_EQ(stopped.error().code, ErrorCode::cancelled);
  EXPECT_FALSE(fs::exists(folder / "parts/samples/000004.png"));
  const auto again = open_model(golden("pipeline").string());
  finetune(**again, pictures, chosen, folder / "parts", true, &reader, {}, {});
  EXPECT_EQ(read_text(folder / "whole/training.csv"), read_text(folder / "parts/training.csv"));
  EXPECT_EQ(read_text(folder / "whole/samples/000008.png"), read_text(folder / "parts/samples/000008.png"));
}

// Signs that the demo model draws well.
PictureSet known_signs(const testing::TemporaryFolder& folder) {
  fs::create_directories(folder / "signs");
  const SignRenderer renderer;
  for (int i = 0; i < 10; ++i) {
    SignSpec sign{.round = i % 2 == 0, .sign = i % 8, .wall = (i + 3) % 8, .word = "OPEN"};
    write_png(folder / "signs" / (std::to_string(i) + ".png"), renderer.render(sign).pixels);
    write_text(folder / "signs" / (std::to_string(i) + ".txt"), sign.prompt());
  }
  return read_picture_set(folder / "signs", 0.3);
}

// Taught with a rate far too high, it stops by itself; what was saved stays.
TEST(FinetuneErrors, AnExplodingLossStops) {
  const testing::TemporaryFolder folder;
  const PictureSet pictures = known_signs(folder);
  ASSERT_FALSE(pictures.held_out.empty());
  const auto opened = open_model("demo:sign-unet");
  ASSERT_TRUE(opened) << opened.error().message();
  FinetuneSettings chosen = settings();
  chosen.plan.every_attention = true;
  chosen.resolution = 64;
  chosen.rate = 4;  // too much, but for the first steps, while it rises
  chosen.steps = chosen.warmup = 40;
  chosen.save_every = 1;
  chosen.evaluate_every = 2;
  chosen.accumulate = 1;
  EXPECT_THAT(testing::failure_of([&] { finetune(**opened, pictures, chosen, folder / "out", false, &reader, {}, {}); }),
              AllOf(HasSubstr("has grown to"), HasSubstr("last.safetensors")));
  EXPECT_TRUE(fs::exists(folder / "out/best.safetensors"));
  // What was saved is of a step that was well: from there it goes on, with a step of no size, and its loss is no worse than it was.
  const TrainingTable table(folder / "out/training.csv", 1000);
  const auto exploded = std::prev(table.rows().end());
  ASSERT_TRUE(exploded->second.held_out);
  chosen.steps = 0;
  const FinetuneResult kept = finetune(**opened, pictures, chosen, folder / "out", true, &reader, {}, {});
  EXPECT_LT(kept.steps, exploded->first);
  EXPECT_GT(kept.steps, 0);
  EXPECT_LT(*table.rows().at(kept.steps).held_out, *exploded->second.held_out);

  // Without pictures held out, what is learned from tells.
  PictureSet all = pictures;
  all.train.insert(all.train.end(), all.held_out.begin(), all.held_out.end());
  all.held_out.clear();
  chosen.steps = 40;
  EXPECT_THAT(testing::failure_of([&] { finetune(**opened, all, chosen, folder / "blind", false, &reader, {}, {}); }),
              HasSubstr("the loss on pictures that it learns from has grown to"));
  EXPECT_GT(TrainingTable(folder / "blind/training.csv", 1000).rows().size(), 1u);
}

// Settings bind a folder once there is something of theirs in it.
TEST(FinetuneErrors, ATrainingThatKeptNothingHasNoClaim) {
  const testing::TemporaryFolder folder;
  const PictureSet pictures = read_picture_set(make_pictures(folder), 0.3);
  const auto opened = open_model(golden("pipeline").string());
  const CancelToken cancel;
  FinetuneObserver stop;
  stop.preparing = [&](const Progress&) { cancel.cancel(); };
  EXPECT_FALSE(attempt([&] { return finetune(**opened, pictures, settings(), folder / "out", false, &reader, stop, cancel); }));
  EXPECT_TRUE(fs::exists(folder / "out/checkpoint/settings.json"));
  FinetuneSettings other = settings();
  other.rate *= 2;
  other.steps = 1;
  EXPECT_EQ(finetune(**opened, pictures, other, folder / "out", true, &reader, {}, {}).steps, 1);
  // A schedule that falls to zero at the last step is of so many steps.
  FinetuneSettings falling = settings();
  falling.schedule = RateSchedule::cosine;
  falling.steps = 1;
  finetune(**opened, pictures, falling, folder / "falling", false, &reader, {}, {});
  falling.steps = 2;
  EXPECT_THAT(testing::failure_of([&] { finetune(**opened, pictures, falling, folder / "falling", true, &reader, {}, {}); }),
              HasSubstr("settings/steps: 1 there, 2 here"));
}

// What a folder holds beside a training of its own is not written over.
TEST(FinetuneErrors, OtherFilesAreNotTouched) {
  const testing::TemporaryFolder folder;
  const PictureSet pictures = read_picture_set(make_pictures(folder), 0.3);
  const auto opened = open_model(golden("pipeline").string());
  for (const char* name : {"last.safetensors", "best.safetensors", "training.csv"}) {
    const fs::path out = folder / ("with " + std::string(name));
    fs::create_directories(out);
    write_text(out / name, "mine");
    for (const bool resume : {false, true})
      EXPECT_THAT(testing::failure_of([&] { finetune(**opened, pictures, settings(), out, resume, &reader, {}, {}); }), HasSubstr(name));
    EXPECT_EQ(read_text(out / name), "mine");
  }
}

// A training that is stopped between two saves keeps what it has learned.
TEST(FinetuneErrors, AStopKeepsWhatWasLearned) {
  const testing::TemporaryFolder folder;
  const PictureSet pictures = read_picture_set(make_pictures(folder), 0.3);
  const auto opened = open_model(golden("pipeline").string());
  FinetuneSettings chosen = settings();
  chosen.steps = 40;
  chosen.save_every = chosen.evaluate_every = 1000;
  const CancelToken cancel;
  FinetuneObserver stop;
  // Asked for each picture that is encoded or held out, and before each batch.
  int asked = 0;
  stop.interrupted = [&] {
    if (++asked == 30) cancel.cancel();
    return false;
  };
  const auto stopped = attempt([&] { return finetune(**opened, pictures, chosen, folder / "out", false, &reader, stop, cancel); });
  ASSERT_FALSE(stopped);
  EXPECT_EQ(stopped.error().code, ErrorCode::cancelled) << stopped.error().message();
  EXPECT_TRUE(fs::exists(folder / "out/last.safetensors"));
}

// But not what has gone wrong before anyone measured it.
TEST(FinetuneErrors, AStopDoesNotKeepWhatExploded) {
  const testing::TemporaryFolder folder;
  const PictureSet pictures = known_signs(folder);
  const auto opened = open_model("demo:sign-unet");
  ASSERT_TRUE(opened) << opened.error().message();
  FinetuneSettings chosen = settings();
  chosen.plan.every_attention = true;
  chosen.resolution = 64;
  chosen.rate = 4;
  chosen.steps = chosen.warmup = 40;
  chosen.save_every = chosen.evaluate_every = 1000;
  chosen.accumulate = 1;
  // At which rate it has exploded by a batch, and is not past all numbers yet, is the processor's matter.
  std::string notes;
  for (const double rate : {4, 5, 6, 7, 8, 10, 12, 14}) {
    chosen.rate = rate;
    const CancelToken cancel;
    FinetuneObserver stop;
    stop.note = [&](const std::string& note) { notes += note; };
    // Asked for each picture that is encoded or held out, and before each batch: about the twelfth is the last.
    int asked = 0;
    stop.interrupted = [&] {
      if (++asked == 22) cancel.cancel();
      return false;
    };
    const fs::path out = folder / std::to_string(static_cast<int>(rate));
    const auto stopped = attempt([&] { return finetune(**opened, pictures, chosen, out, false, &reader, stop, cancel); });
    ASSERT_FALSE(stopped);
    if (stopped.error().code != ErrorCode::cancelled) continue;
    EXPECT_EQ(fs::exists(out / "last.safetensors"), notes.empty()) << rate;
    if (!notes.empty()) break;
  }
  EXPECT_THAT(notes, HasSubstr("is not kept"));
}

// A caption is read as it stands, whatever a prompt's parentheses mean.
TEST(FinetuneCache, CaptionsAreNoPrompts) {
  const testing::TemporaryFolder folder;
  PictureSet pictures = read_picture_set(make_pictures(folder), 0.3);
  const auto opened = open_model(golden("pipeline").string());
  Trainable* trainable = (*opened)->trainable();
  const std::string caption = "a clock (10:30) and \\(a door:1.5)";
  for (auto* part : {&pictures.train, &pictures.held_out})
    for (auto& one : *part) one.caption = caption;
  EncodedPictures encoded(**opened, *trainable, 32, folder / "cache");
  const auto samples = encoded.prepare(
      pictures.train, [](const Progress&) {}, [](const std::string&) {}, {});
  std::vector<std::string> notes;
  EXPECT_TRUE(testing::same(encoded.conditioning(samples[0]).embedding, trainable->condition("a clock \\(10:30\\) and \\\\(a door:1.5\\)", notes).embedding));
  EXPECT_EQ(WeightedPrompt::parse(verbatim(caption)).text(), caption);
}

// Numbers of diffusers 0.42.1, `compute_snr` and the weights of its training examples, gamma 5.
TEST(SnrWeight, IsDiffusers) {
  const torch::Tensor index = torch::tensor({0, 100, 300, 600, 999}, torch::kInt64);
  auto weights = [&](const char* prediction, bool zero_snr) {
    const Config scheduler({{"_class_name", "DDPMScheduler"},
                            {"beta_start", 0.00085},
                            {"beta_end", 0.012},
                            {"beta_schedule", "scaled_linear"},
                            {"prediction_type", prediction},
                            {"rescale_betas_zero_snr", zero_snr}},
                           "test");
    const torch::Tensor out = NoisePath::parse(scheduler).snr_weight(index, 5).to(torch::kFloat64).contiguous();
    return std::vector<double>(out.data_ptr<double>(), out.data_ptr<double>() + out.numel());
  };
  using ::testing::DoubleNear;
  using ::testing::Pointwise;
  EXPECT_THAT(weights("epsilon", false), Pointwise(DoubleNear(2e-6), {0.004253724, 0.5914454, 1.0, 1.0, 1.0}));
  EXPECT_THAT(weights("v_prediction", false), Pointwise(DoubleNear(2e-6), {0.004250109, 0.5288842, 0.5905008, 0.1607825, 0.004660094}));
  // Without any signal diffusers divides by zero; its limit is 1.
  EXPECT_THAT(weights("epsilon", true), Pointwise(DoubleNear(2e-6), {0.004253724, 0.6384974, 1.0, 1.0, 1.0}));
  EXPECT_THAT(weights("v_prediction", true), Pointwise(DoubleNear(2e-6), {0.004250109, 0.5661946, 0.5647499, 0.1275202, 0.0}));
}

TEST(TrainingTable, GivesBackWhatWasMeasured) {
  const testing::TemporaryFolder folder;
  const fs::path file = folder / "training.csv";
  {
    TrainingTable table(file, 0);
    table[0] = {.loss = 1.0 / 3, .held_out = 0.25, .rate = 1e-4};
    table[1] = {.loss = 1e-30};
    table[2] = {.word_accuracy = 0.5, .ocr_f1 = 0.75, .ssim_to_base = 1};
    table.save();
  }
  const TrainingTable back(file, 1);
  ASSERT_EQ(back.rows().size(), 2u);  // the third row is beyond the checkpoint
  EXPECT_EQ(back.rows().at(0).loss, 1.0 / 3);
  EXPECT_EQ(back.rows().at(0).rate, 1e-4);
  EXPECT_FALSE(back.rows().at(0).ocr_f1);
  EXPECT_EQ(back.rows().at(1).loss, 1e-30);
  EXPECT_EQ(TrainingTable(file, 9).rows().at(2).ssim_to_base, 1.0);
  for (const char* damage : {"step,loss\n", "step,loss,held_out_loss,word_accuracy,ocr_f1,ssim_to_base,learning_rate\n1,x,,,,,\n",
                             "step,loss,held_out_loss,word_accuracy,ocr_f1,ssim_to_base,learning_rate\n1,,,,\n"}) {
    write_text(file, damage);
    EXPECT_THAT(testing::failure_of([&] { TrainingTable(file, 9); }), HasSubstr("no table of a training")) << damage;
  }
}

TEST(FinetuneErrors, AreSentences) {
  const testing::TemporaryFolder folder;
  const PictureSet pictures = read_picture_set(make_pictures(folder), 0.3);
  const auto opened = open_model(golden("pipeline").string());
  auto error = [&](const FinetuneSettings& chosen, Pipeline& pipeline, const std::string& out) {
    return testing::failure_of([&] { finetune(pipeline, pictures, chosen, folder / out, false, &reader, {}, {}); });
  };
  FinetuneSettings chosen = settings();
  chosen.resolution = 30;
  EXPECT_THAT(error(chosen, **opened, "a"), HasSubstr("\u2039resolution"));
  chosen = settings();
  chosen.rate = 1e30;  // the second step's loss is not a number
  EXPECT_THAT(error(chosen, **opened, "b"), HasSubstr("not a number at step"));
  const auto second = open_model(golden("pipeline_if2").string());
  EXPECT_THAT(error(settings(), **second, "c"), HasSubstr("prompt alone"));
  PictureSet none;
  none.held_out = pictures.held_out;
  EXPECT_THAT(testing::failure_of([&] { finetune(**opened, none, settings(), folder / "d", false, &reader, {}, {}); }), HasSubstr("every picture is held out"));
}

TEST(RateSchedules, AreDiffusers) {
  EXPECT_EQ(learning_rate(1, RateSchedule::constant, 0, 4, 10), 0);
  EXPECT_EQ(learning_rate(1, RateSchedule::constant, 2, 4, 10), 0.5);
  EXPECT_EQ(learning_rate(1, RateSchedule::constant, 9, 4, 10), 1);
  EXPECT_NEAR(learning_rate(2, RateSchedule::linear, 7, 4, 10), 1, 1e-12);
  EXPECT_NEAR(learning_rate(2, RateSchedule::cosine, 7, 4, 10), 1, 1e-12);
  EXPECT_NEAR(learning_rate(2, RateSchedule::cosine, 4, 4, 10), 2, 1e-12);
  EXPECT_THAT(testing::failure_of([] { parse_rate_schedule("step"); }), HasSubstr("cosine"));
}

}  // namespace
}  // namespace glyphscope
