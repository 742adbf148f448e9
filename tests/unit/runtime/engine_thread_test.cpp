#include "runtime/engine_thread.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <mutex>

#include "device/memory_plan.h"
#include "editing/guard.h"
#include "editing/guard_log.h"
#include "io/files.h"
#include "io/image_file.h"
#include "metrics/ocr.h"
#include "tasks/session.h"
#include "tests/support/golden.h"
#include "tests/support/stand_in_device.h"
#include "tests/support/test_device.h"

namespace glyphscope {
namespace {
namespace fs = std::filesystem;
using ::testing::Contains;
using testing::golden;
using ::testing::HasSubstr;

// Reads nothing, or "venom" in every picture; what it is to read does not matter here, and the usual reader does not run under sanitizers.
class NoReader : public TextReader {
 public:
  std::vector<TextPiece> read(const torch::Tensor&) override { return venom ? std::vector<TextPiece>{{"venom", 1, {}}} : std::vector<TextPiece>(); }
  static inline std::atomic<bool> venom = false;
  std::string name() const override { return "none"; }
};

// An engine whose events are kept, in order.
class Engine {
 public:
  JobId post(Command command) { return engine_.post(std::move(command)); }
  void cancel(JobId job) { engine_.cancel(job); }

  // How a job ended: "finished", "cancelled", or what failed.
  std::string end_of(JobId job) {
    std::unique_lock lock(mutex_);
    std::string out;
    changed_.wait(lock, [&] {
      for (const auto& event : events_) {
        if (event.job != job) continue;
        if (std::holds_alternative<event::Finished>(event.what)) out = "finished";
        if (std::holds_alternative<event::Cancelled>(event.what)) out = "cancelled";
        if (const auto* failed = std::get_if<event::Failed>(&event.what)) out = failed->error.message();
      }
      return !out.empty();
    });
    return out;
  }
  // Where the first such event of a job is among all; waits for it. A job that ends without one is a failure.
  template <class What>
  size_t place(JobId job) {
    std::unique_lock lock(mutex_);
    size_t found = 0;
    std::string ended;
    changed_.wait(lock, [&] {
      for (found = 0; found < events_.size(); ++found) {
        if (events_[found].job != job) continue;
        if (std::holds_alternative<What>(events_[found].what)) return true;
        if (const auto* failed = std::get_if<event::Failed>(&events_[found].what)) ended = failed->error.message();
        if (std::holds_alternative<event::Finished>(events_[found].what) || std::holds_alternative<event::Cancelled>(events_[found].what)) ended = "ended";
        if (!ended.empty()) return true;
      }
      return false;
    });
    if (!ended.empty()) throw std::runtime_error("no such event: " + ended);
    return found;
  }
  template <class What>
  What get(JobId job) {
    const size_t at = place<What>(job);
    std::lock_guard lock(mutex_);
    return std::get<What>(events_[at].what);
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Event> events_;
  EngineThread engine_{[this](const Event& event) {
                         std::lock_guard lock(mutex_);
                         events_.push_back(event);
                         changed_.notify_all();
                       },
                       [] { return std::make_unique<NoReader>(); }};
};

fs::path make_pictures(const fs::path& folder) {
  fs::create_directories(folder);
  for (int i = 0; i < 8; ++i) {
    write_png(folder / (std::to_string(i) + ".png"), torch::full({3, 32, 32}, 30 * i, torch::kUInt8));
    write_text(folder / (std::to_string(i) + ".txt"), "a sign");
  }
  write_text(folder / "bad.png", "no picture");
  write_text(folder / "bad.txt", "a sign");
  return folder;
}

command::Finetune training(const testing::TemporaryFolder& folder, const char* out) {
  command::Finetune command{std::nullopt, make_pictures(folder / "pictures").string(), {}, (folder / out).string()};
  command.settings.plan = {.sites = {0}, .rank = 2};
  command.settings.steps = 4;
  command.settings.batch = 2;
  command.settings.resolution = 32;
  command.settings.rate = 1e-2;
  command.settings.dropout = 0.2;
  command.settings.held_out = 0.3;
  command.settings.sample_every = 0;
  return command;
}
command::Generate picture() { return {.source = "a red sign", .target = "a blue sign", .sampling = {.steps = 2}, .plan = PatchPlan::at_sites({0}, 1)}; }

TEST(EngineThread, PicturesAreDrawnBetweenTwoStepsAndChangeNothing) {
  const testing::TemporaryFolder folder;
  Engine engine;
  engine.post(command::OpenModel{golden("pipeline").string()});
  const JobId before = engine.post(picture());
  const JobId alone = engine.post(training(folder, "alone"));
  const JobId interrupted = engine.post(training(folder, "interrupted"));
  const JobId between = engine.post(picture()), after = engine.post(picture());
  const JobId unwanted = engine.post(command::OpenModel{golden("pipeline").string()});
  engine.cancel(unwanted);
  const JobId behind = engine.post(picture());
  // What waits behind another model waits for the end of the training.
  const JobId opened = engine.post(command::OpenModel{golden("pipeline").string()});
  const JobId last = engine.post(picture());
  ASSERT_EQ(engine.end_of(last), "finished");
  EXPECT_EQ(engine.end_of(alone), "finished");

  // The picture is of the model as it was, and was there before the training's end.
  const size_t trained = engine.place<event::AdapterMade>(interrupted);
  EXPECT_LT(engine.place<event::PicturesReady>(between), trained);
  EXPECT_LT(engine.place<event::PicturesReady>(after), trained);
  EXPECT_LT(engine.place<event::Cancelled>(unwanted), trained);
  EXPECT_LT(engine.place<event::PicturesReady>(behind), trained);
  EXPECT_GT(engine.place<event::ModelOpened>(opened), trained);
  const auto expected = engine.get<event::PicturesReady>(before);
  for (const JobId job : {between, after, last}) {
    const auto drawn = engine.get<event::PicturesReady>(job);
    EXPECT_EQ(*drawn.source.rgb, *expected.source.rgb);
    EXPECT_EQ(*drawn.patched.at(0).rgb, *expected.patched.at(0).rgb);
  }
  EXPECT_EQ(read_text(folder / "alone/training.csv"), read_text(folder / "interrupted/training.csv"));
  const auto made = engine.get<event::AdapterMade>(interrupted);
  EXPECT_EQ(read_text(made.file), read_text(folder / "alone/last.safetensors"));
  EXPECT_GT(made.all_sites, made.parameters);
  EXPECT_EQ(read_json(folder / "alone/finetune.json")["trained_parameters"], made.parameters);
}

// What is looked at comes before what runs for hours, adapters or not, and the run finds what it finds alone. What changes the model, or how it draws, waits.
TEST(EngineThread, PicturesAreDrawnBetweenTwoCellsOfARunAndChangeNothing) {
  const testing::TemporaryFolder folder;
  Engine engine;
  engine.post(command::OpenModel{golden("pipeline").string()});
  const std::string adapter = engine.get<event::AdapterMade>(engine.post(training(folder, "adapter"))).file;
  command::Localize run{
      .templates = {"says \"<text>\""}, .words = {"one", "two", "six", "ten", "cat", "dog"}, .pairs = 3, .sampling = {.steps = 2}, .adapters = {adapter}};
  auto adapted = picture();
  adapted.adapters = {adapter + ":0.5"};
  const auto expected = engine.get<event::PicturesReady>(engine.post(picture())), expected_adapted = engine.get<event::PicturesReady>(engine.post(adapted));
  const auto posted = [&](const char* name) {
    run.folder = (folder / name).string();
    return engine.post(run);
  };
  const JobId alone = posted("alone");
  ASSERT_EQ(engine.end_of(alone), "finished");
  const JobId interrupted = posted("interrupted"), other = posted("other"), between = engine.post(picture()), between_adapted = engine.post(adapted);
  const JobId guard = engine.post(command::SetGuard{.on = true, .words = "venom => water", .sites = {0}}), guarded = engine.post(picture());
  const JobId opened = engine.post(command::OpenModel{golden("pipeline").string()});
  ASSERT_EQ(engine.end_of(opened), "finished");

  const auto end = [&](JobId job) { return engine.place<event::Finished>(job); };
  EXPECT_LT(engine.place<event::PicturesReady>(between), end(interrupted));
  EXPECT_LT(engine.place<event::PicturesReady>(between_adapted), end(interrupted));
  EXPECT_LT(end(interrupted), end(other));
  EXPECT_LT(end(other), engine.place<event::GuardSet>(guard));
  EXPECT_LT(engine.place<event::GuardSet>(guard), engine.place<event::PicturesReady>(guarded));
  EXPECT_EQ(*engine.get<event::PicturesReady>(between).patched.at(0).rgb, *expected.patched.at(0).rgb);
  EXPECT_EQ(*engine.get<event::PicturesReady>(between_adapted).patched.at(0).rgb, *expected_adapted.patched.at(0).rgb);
  EXPECT_NE(*expected.source.rgb, *expected_adapted.source.rgb);
  for (const auto& cell : fs::recursive_directory_iterator(folder / "alone" / "cells"))
    if (cell.is_regular_file())
      EXPECT_EQ(read_text(cell.path()), read_text(folder / "interrupted" / cell.path().lexically_relative(folder / "alone"))) << cell.path();
}

// Of those that wait, the one that is wanted first comes first.
TEST(EngineThread, WhatWaitsCanBeMovedFirst) {
  const testing::TemporaryFolder folder;
  std::vector<JobId> ends;
  std::mutex mutex;
  std::condition_variable changed;
  EngineThread engine(
      [&](const Event& event) {
        if (!std::holds_alternative<event::Finished>(event.what)) return;
        const std::lock_guard lock(mutex);
        ends.push_back(event.job);
        changed.notify_all();
      },
      [] { return std::make_unique<NoReader>(); });
  const JobId open = engine.post(command::OpenModel{golden("pipeline").string()});
  command::Localize run{.templates = {"says \"<text>\""}, .words = {"one", "two", "six", "ten"}, .pairs = 2, .sampling = {.steps = 2}};
  const JobId first = engine.post(run), second = engine.post(run), third = engine.post(run);
  engine.move_first(third);
  engine.move_first(99);  // there is none
  std::unique_lock lock(mutex);
  changed.wait(lock, [&] { return ends.size() == 4; });
  EXPECT_LT(std::find(ends.begin(), ends.end(), third), std::find(ends.begin(), ends.end(), second));
  static_cast<void>(open), static_cast<void>(first);
}

// Without a text in quotation marks there is nothing to score against, which is said.
TEST(EngineThread, WhatCannotBeScoredIsNot) {
  Engine engine;
  engine.post(command::OpenModel{golden("pipeline").string()});
  const auto drawn = engine.get<event::PicturesReady>(
      engine.post(command::Generate{.source = "a red sign", .target = "says \"BLUE\"", .sampling = {.steps = 2}, .plan = PatchPlan::at_sites({0}, 1)}));
  EXPECT_THAT(drawn.notes, ::testing::Contains(HasSubstr("against prompt A")));
  EXPECT_FALSE(drawn.patched.at(0).scores.contains("source_f1"));
  EXPECT_TRUE(drawn.patched.at(0).scores.contains("target_f1") && drawn.patched.at(0).scores.contains("ssim"));
}

// What cannot be opened is found in a moment, by its own sentence.
TEST(EngineThread, CanOpenSaysWhatIsMissing) {
  EXPECT_TRUE(can_open({golden("pipeline").string()}));
  EXPECT_THAT(can_open({"/nowhere/model"}).error().message(), HasSubstr("no such model"));
  EXPECT_THAT(can_open({golden("tokenizer").string()}).error().message(), HasSubstr("model_index.json"));
}

// A run that was cut off goes on from its folder by its own settings, whatever is asked for by then.
TEST(EngineThread, ALocalizationGoesOnFromItsFolder) {
  const testing::TemporaryFolder folder;
  Engine engine;
  engine.post(command::OpenModel{golden("pipeline").string()});
  command::Localize localize{
      .templates = {"says \"<text>\""}, .words = {"one", "two", "six", "ten"}, .pairs = 2, .sampling = {.steps = 2}, .folder = (folder / "run").string()};
  const auto whole = engine.get<event::ScoresReady>(engine.post(localize));
  EXPECT_EQ(whole.folder, (folder / "run").string());
  const std::string kept = nlohmann::json::parse(whole.document)["settings"].dump();
  for (const char* file : {"run.json", "cells/pair1-noise0/sites-reporting.json"}) fs::remove(folder / "run" / file);
  const auto again =
      engine.get<event::ScoresReady>(engine.post(command::Localize{.folder = (folder / "run").string(), .begin = command::Localize::Begin::go_on_by_its_own}));
  EXPECT_EQ(nlohmann::json::parse(again.document)["settings"].dump(), kept);
  engine.post(command::OpenModel{golden("pipeline_sdxl").string()});
  EXPECT_THAT(engine.end_of(engine.post(command::Localize{.folder = (folder / "run").string(), .begin = command::Localize::Begin::go_on_by_its_own})),
              HasSubstr("another model"));
}

// A run is read without its model, as far as it has got, and nothing in its folder is touched.
TEST(EngineThread, ARunIsReadWithoutItsModel) {
  const testing::TemporaryFolder folder;
  event::ScoresReady drawn;
  event::MapReady drawn_map;
  {
    Engine engine;
    engine.post(command::OpenModel{golden("pipeline").string()});
    command::Localize localize{
        .templates = {"says \"<text>\""}, .words = {"one", "two", "six", "ten"}, .pairs = 2, .sampling = {.steps = 2}, .folder = (folder / "run").string()};
    localize.each_pair = false;
    localize.keep_images = true;
    drawn = engine.get<event::ScoresReady>(engine.post(localize));
    localize.begin = command::Localize::Begin::go_on;
    localize.by = "site-step";
    localize.step_ranges = 2;
    drawn_map = engine.get<event::MapReady>(engine.post(localize));
  }
  const auto files = [&] {
    std::map<std::string, fs::file_time_type> out;
    for (const auto& entry : fs::recursive_directory_iterator(folder / "run")) out[entry.path().string()] = entry.last_write_time();
    return out;
  };
  const auto before = files();
  Engine reader;
  const JobId read = reader.post(command::ReadRun{(folder / "run").string()});
  ASSERT_EQ(reader.end_of(read), "finished");
  const auto facts = reader.get<event::RunRead>(read);
  EXPECT_EQ(facts.pairs, 2);
  EXPECT_EQ(facts.steps, 2);
  EXPECT_EQ(facts.model, golden("pipeline").string());
  EXPECT_FALSE(facts.table.sites.empty());
  for (const auto& question : facts.questions) EXPECT_EQ(question.done, question.cells) << question.name;
  const auto scores = reader.get<event::ScoresReady>(read);
  EXPECT_TRUE(scores.final);
  EXPECT_EQ(scores.localized, drawn.localized);
  ASSERT_EQ(scores.sites.at("mse").size(), drawn.sites.at("mse").size());
  for (size_t site = 0; site < drawn.sites.at("mse").size(); ++site) EXPECT_EQ(scores.sites.at("mse")[site].mean, drawn.sites.at("mse")[site].mean);
  const auto map = reader.get<event::MapReady>(read);
  EXPECT_EQ(map.rows, drawn_map.rows);
  ASSERT_EQ(map.scores.size(), drawn_map.scores.size());
  EXPECT_EQ(map.scores.front().at("ssim").mean, drawn_map.scores.front().at("ssim").mean);
  // Its cells have A's and B's pictures, and the patched ones with what was measured.
  const auto pair = reader.get<event::PairReady>(read);
  EXPECT_TRUE(pair.source.rgb && pair.target.rgb);
  EXPECT_FALSE(pair.source.metadata.empty());
  EXPECT_TRUE(pair.patched.front().rgb) << "they were kept, as asked";
  EXPECT_TRUE(pair.patched.front().scores.contains("target_f1"));
  EXPECT_EQ(files(), before);

  // A damaged picture is told, and the rest is read.
  const fs::path own = fs::directory_iterator(folder / "run/pictures")->path();
  write_text(own, "no picture");
  const JobId damaged = reader.post(command::ReadRun{(folder / "run").string()});
  ASSERT_EQ(reader.end_of(damaged), "finished");
  EXPECT_THAT(reader.get<event::Noted>(damaged).text, HasSubstr(own.filename().string()));
  EXPECT_TRUE(reader.get<event::ScoresReady>(damaged).final);

  // Half of it, as while it is filled; then a picture that is gone, a folder that is none, and one of another version.
  fs::remove(folder / "run/cells/pair1-noise0/sites-reporting.json");
  for (const auto& entry : fs::directory_iterator(folder / "run/pictures")) fs::remove(entry.path());
  fs::remove_all(folder / "run/images");
  const JobId part = reader.post(command::ReadRun{(folder / "run").string()});
  ASSERT_EQ(reader.end_of(part), "finished");
  EXPECT_FALSE(reader.get<event::ScoresReady>(part).final);
  EXPECT_FALSE(reader.get<event::PairReady>(part).source.rgb || reader.get<event::PairReady>(part).patched.front().rgb);
  EXPECT_THAT(reader.end_of(reader.post(command::ReadRun{(folder / "nowhere").string()})), HasSubstr("there is no such folder"));
  fs::create_directories(folder / "empty");
  EXPECT_THAT(reader.end_of(reader.post(command::ReadRun{(folder / "empty").string()})), HasSubstr("holds no run"));
  auto settings = read_json(folder / "run/settings.json");
  settings["schema"] = "glyphscope.run-settings/9";
  write_text(folder / "run/settings.json", settings.dump());
  EXPECT_THAT(reader.end_of(reader.post(command::ReadRun{(folder / "run").string()})), HasSubstr("run-settings/9"));
  write_text(folder / "run/settings.json", "{\"schema\": [");
  EXPECT_THAT(reader.end_of(reader.post(command::ReadRun{(folder / "run").string()})), HasSubstr("settings.json"));
}

// Whatever is wrong with what is asked for, the model that is open stays.
TEST(EngineThread, AWrongDeviceOrDtypeLeavesTheOpenModelAlone) {
  Engine engine;
  ASSERT_EQ(engine.end_of(engine.post(command::OpenModel{golden("pipeline").string()})), "finished");
  for (const command::OpenModel& wrong : {command::OpenModel{.source = golden("pipeline").string(), .dtype = "fp8"},
                                          command::OpenModel{.source = golden("pipeline").string(), .device = "tpu"}}) {
    EXPECT_THAT(engine.end_of(engine.post(wrong)), ::testing::AnyOf(HasSubstr("fp8"), HasSubstr("tpu")));
    EXPECT_EQ(engine.end_of(engine.post(picture())), "finished");
  }
}

// On a device that does not hold two models the open one makes room. If the new one cannot be had, it comes back.
TEST(EngineThread, AModelThatMadeRoomForNothingComesBack) {
  if (testing::test_device().is_cpu()) GTEST_SKIP() << "a run with GLYPHSCOPE_TEST_DEVICE=standin";
  const testing::TemporaryFolder folder;
  const fs::path broken = folder / "model";
  fs::copy(golden("pipeline"), broken, fs::copy_options::recursive);
  auto config = read_json(broken / "vae" / "config.json");
  config["layers_per_block"] = 3;
  write_json(broken / "vae" / "config.json", config);
  Engine engine;
  ASSERT_EQ(engine.end_of(engine.post(command::OpenModel{golden("pipeline").string()})), "finished");
  const auto before = engine.get<event::PicturesReady>(engine.post(picture()));
  const std::uint64_t used = testing::stand_in::memory_used();
  testing::stand_in::set_memory(used + MemoryPlan::kWorkBytes + (100u << 10));
  EXPECT_THAT(engine.end_of(engine.post(command::OpenModel{broken.string()})),
              ::testing::AllOf(HasSubstr("the weights do not fit the configuration"), HasSubstr("had made room, and is loaded again when it is needed")));
  EXPECT_LT(testing::stand_in::memory_used(), used);
  testing::stand_in::set_memory(std::uint64_t{64} << 30);
  const auto after = engine.get<event::PicturesReady>(engine.post(picture()));
  EXPECT_EQ(*after.source.rgb, *before.source.rgb);
}

TEST(EngineThread, ThePlanIsSaidBeforeAModelIsOpened) {
  const auto plan = describe_plan({golden("pipeline").string()});
  ASSERT_TRUE(plan) << plan.error().message();
  EXPECT_THAT(*plan, ::testing::ContainsRegex("On (cpu|standin:0), in fp32: [0-9]+ MiB of weights, [0-9.]+ [GM]iB of memory (free|to take)\\."));
  EXPECT_THAT(describe_plan({.source = golden("pipeline").string(), .device = "tpu"}).error().message(), HasSubstr("there is no device 'tpu'"));
  EXPECT_THAT(describe_plan({"/nowhere/model"}).error().message(), HasSubstr("no such model"));
}

TEST(EngineThread, WhatIsEditedIsDrawnOnce) {
  const testing::TemporaryFolder folder;
  Engine engine;
  engine.post(command::OpenModel{golden("pipeline").string()});
  command::EditText edit;
  edit.source = "a red sign";
  edit.targets = {"a blue sign", "a cat"};
  edit.from_steps = {0, 2};
  edit.sampling.steps = 4;
  edit.plan = PatchPlan::at_sites({0, 1}, 1);
  edit.compared = true;
  const auto first = engine.get<event::EditReady>(engine.post(edit));
  ASSERT_EQ(first.variants.size(), 6u);
  EXPECT_EQ(first.variants[3].target, "a cat");
  EXPECT_EQ(first.variants[3].from_step, 2);
  EXPECT_EQ(first.variants[5].way, EditWay::prompt_to_prompt);
  EXPECT_EQ(first.source.reconstruction.rgb, nullptr);
  for (const auto& variant : first.variants) EXPECT_NE(*variant.picture.rgb, *first.source.picture.rgb) << edit_way_name(variant.way);
  EXPECT_EQ(first.source.picture.read, "");

  // Another text: from step 2 of 4, half of the rows, and no more for the source.
  edit.targets = {"a green sign"};
  edit.from_steps = {2};
  edit.compared = false;
  const auto second = engine.get<event::EditReady>(engine.post(edit));
  EXPECT_EQ(*second.source.picture.rgb, *first.source.picture.rgb);
  EXPECT_EQ(second.denoiser_rows, 4);

  // A real picture, as the model draws it.
  edit.picture = (folder / "sign.png").string();
  write_png(edit.picture, torch::full({3, 40, 80}, 90, torch::kUInt8));
  const JobId real_edit = engine.post(edit);
  const auto real = engine.get<event::EditReady>(real_edit);
  EXPECT_GT(real.source.picture.width, real.source.picture.height);
  EXPECT_EQ(real.source.picture.metadata, "");
  EXPECT_TRUE(real.source.reconstruction.scores.contains("ssim"));
  EXPECT_FALSE(real.source.reconstruction.read) << "nobody looked for text in it";
  EXPECT_TRUE(real.source.drift.scores.contains("ssim"));
  EXPECT_NE(*real.source.drift.rgb, *real.source.reconstruction.rgb) << "guidance leads elsewhere";
  // What its noise gives back is shown before anything is edited.
  EXPECT_LT(engine.place<event::EditSourceReady>(real_edit), engine.place<event::EditReady>(real_edit));
  EXPECT_EQ(*engine.get<event::EditSourceReady>(real_edit).reconstruction.rgb, *real.source.reconstruction.rgb);
  edit.masked = true;  // the reader finds no text
  EXPECT_THAT(engine.end_of(engine.post(edit)), HasSubstr("no text was found"));
  edit.mask = PixelBox{4, 4, 12, 12};
  const auto masked = engine.get<event::EditReady>(engine.post(edit));
  EXPECT_EQ(masked.source.picture.rgb->back(), masked.variants[0].picture.rgb->back());
  edit.plan = {};
  EXPECT_THAT(engine.end_of(engine.post(edit)), HasSubstr("no sites are known"));
}

TEST(EngineThread, AnAdapterIsAtWorkForOneJobAlone) {
  const testing::TemporaryFolder folder;
  Engine engine;
  engine.post(command::OpenModel{golden("pipeline").string()});
  const JobId trained = engine.post(training(folder, "out"));
  ASSERT_EQ(engine.end_of(trained), "finished");
  const std::string file = engine.get<event::AdapterMade>(trained).file;
  auto with = picture();
  with.adapters = {file + ":1"};
  auto absent = picture();
  absent.adapters = {(folder / "nowhere.safetensors").string()};
  const JobId plain = engine.post(picture()), adapted = engine.post(with), failed = engine.post(absent), again = engine.post(picture());
  EXPECT_EQ(engine.end_of(again), "finished");
  EXPECT_THAT(engine.end_of(failed), HasSubstr("no such adapter"));
  const auto rgb = [&](JobId job) { return *engine.get<event::PicturesReady>(job).source.rgb; };
  EXPECT_NE(rgb(plain), rgb(adapted));
  EXPECT_EQ(rgb(plain), rgb(again));
  EXPECT_THAT(engine.get<event::PicturesReady>(adapted).source.metadata, HasSubstr("last.safetensors"));

  // The same adapter as another program names it draws the same.
  const std::string kohya = (folder / "kohya.safetensors").string();
  engine.post(command::ConvertAdapter{file, "kohya", kohya});
  with.adapters = {kohya};
  EXPECT_EQ(rgb(engine.post(with)), rgb(adapted));
}

TEST(EngineThread, NoCommandGoesRoundTheGuard) {
  const testing::TemporaryFolder folder;
  Engine engine;
  command::SetGuard guard{true, "venom => honey\ntoxic\n", {1}, 0, (folder / "audit.jsonl").string(), true};
  const JobId early = engine.post(guard);  // before any model: it holds for the first one too
  EXPECT_EQ(engine.get<event::GuardSet>(early).terms, 2u);
  engine.post(command::OpenModel{golden("pipeline").string()});
  engine.post(guard);
  const auto lines = [&] { return read_guard_log(guard.log).rows; };
  const auto withheld = [](const Picture& picture) {
    const torch::Tensor expected = withheld_image(picture.height, picture.width).permute({1, 2, 0}).contiguous();
    return *picture.rgb == std::vector<std::uint8_t>(expected.data_ptr<std::uint8_t>(), expected.data_ptr<std::uint8_t>() + expected.numel());
  };

  // The reader finds a listed word in everything: nothing may be seen, whatever makes it.
  NoReader::venom = true;
  command::Generate venom{.source = "a sign that says \"VENOM\"", .target = "a blue sign", .sampling = {.steps = 2}, .plan = PatchPlan::at_sites({0}, 1)};
  const auto generated = engine.get<event::PicturesReady>(engine.post(venom));
  for (const auto* picture : {&generated.source, &generated.target, generated.patched.data()}) EXPECT_TRUE(withheld(*picture));
  EXPECT_EQ(lines().size(), 3u);
  EXPECT_THAT(generated.source.metadata, HasSubstr("terms_sha256"));
  EXPECT_THAT(generated.notes, Contains(HasSubstr("Guard, picture A: withheld")));

  command::EditText edit;
  edit.source = "a red sign";
  edit.targets = {"a sign that says \"VENOM\""};
  edit.sampling.steps = 2;
  edit.plan = PatchPlan::at_sites({0}, 1);
  EXPECT_THAT(engine.end_of(engine.post(edit)), HasSubstr("withheld by the guard"));
  edit.picture = (folder / "sign.png").string();
  write_png(edit.picture, torch::full({3, 40, 80}, 90, torch::kUInt8));
  edit.compared = true;
  size_t before = lines().size();
  const auto edited = engine.get<event::EditReady>(engine.post(edit));
  for (const auto& variant : edited.variants) EXPECT_TRUE(withheld(variant.picture)) << edit_way_name(variant.way);
  EXPECT_EQ(lines().size(), before + 5);  // the reconstruction and the round trip too

  command::Localize localize{.templates = {"A sign that says \"<text>\"."}, .words = {"venom", "honey"}, .pairs = 1, .sampling = {.steps = 2}};
  const auto pair = engine.get<event::PairReady>(engine.post(localize));
  for (const auto& picture : pair.patched) EXPECT_TRUE(withheld(picture));
  EXPECT_TRUE(withheld(pair.source));

  before = lines().size();
  command::Finetune finetune = training(folder, "out");
  finetune.settings.sample_every = 2;
  finetune.settings.sample_prompts = {"a sign that says \"VENOM\""};
  ASSERT_EQ(engine.end_of(engine.post(finetune)), "finished");
  EXPECT_GT(lines().size(), before);
  for (const char* sample : {"000000.png", "000002.png", "000004.png"})
    EXPECT_TRUE(read_image(folder / "out/samples" / sample).equal(contact_sheet({withheld_image(32, 32)}, 4))) << sample;
  NoReader::venom = false;

  // With an adapter at work, the sites see honey in place of venom: as the plan that says so.
  command::Generate asked{.source = "a sign that says \"VENOM\"",
                          .target = "a sign that says \"HONEY\"",
                          .sampling = {.steps = 2},
                          .plan = PatchPlan::at_sites({1}, 1),
                          .adapters = {(folder / "out/last.safetensors").string()}};
  const auto kept = engine.get<event::PicturesReady>(engine.post(asked));
  EXPECT_THAT(kept.notes, Contains("Guard, picture A: listed words replaced, sites 1"));
  EXPECT_EQ(*kept.source.rgb, *kept.patched.at(0).rgb);

  // It is compared with nothing while it is on, goes with the next model, and stays if other settings do not hold.
  command::CompareGuard compare{guard.words, {"a sign that says \"VENOM\""}, 1, {.steps = 2}, {1}};
  EXPECT_THAT(engine.end_of(engine.post(compare)), HasSubstr("Switch it off"));
  command::SetGuard wrong = guard;
  wrong.sites = {99};
  EXPECT_THAT(engine.end_of(engine.post(wrong)), HasSubstr("there is no site 99"));
  wrong = guard;
  wrong.words = "# none\n";
  EXPECT_THAT(engine.end_of(engine.post(wrong)), HasSubstr("there is no term in it"));
  engine.post(command::OpenModel{golden("pipeline_sd3").string()});
  before = lines().size();
  const auto other = engine.get<event::PicturesReady>(engine.post(venom));
  EXPECT_THAT(other.notes, Contains("Guard, picture A: listed words replaced, whole prompt"));
  EXPECT_EQ(lines().size(), before + 3);

  // Off, everything is as it was before.
  guard.on = false;
  EXPECT_FALSE(engine.get<event::GuardSet>(engine.post(guard)).on);
  engine.post(command::OpenModel{golden("pipeline").string()});
  asked.adapters.clear();
  const auto free = engine.get<event::PicturesReady>(engine.post(asked));
  EXPECT_NE(*free.source.rgb, *free.patched.at(0).rgb);
  EXPECT_EQ(lines().size(), before + 3);
  const auto compared = engine.get<event::GuardCompared>(engine.post(compare));
  EXPECT_EQ(compared.methods.at(0).name, "nothing done");
  EXPECT_EQ(compared.methods.size(), 7u);
  EXPECT_EQ(compared.prompts, 1u);
  EXPECT_GT(compared.sheet.height, 5 * free.source.height);
  EXPECT_THAT(compared.csv, HasSubstr("\"guard, with fallbacks\""));
  EXPECT_EQ(engine.get<event::PicturesReady>(engine.post(asked)).source.metadata, free.source.metadata);
}

TEST(EngineThread, APausedTrainingGoesOn) {
  const testing::TemporaryFolder folder;
  Engine engine;
  engine.post(command::OpenModel{golden("pipeline").string()});
  auto command = training(folder, "parts");
  command.settings.steps = 400;
  const JobId paused = engine.post(command);
  engine.place<event::Trained>(paused);
  engine.cancel(paused);
  EXPECT_EQ(engine.end_of(paused), "cancelled");
  EXPECT_TRUE(fs::exists(folder / "parts/last.safetensors"));
  EXPECT_THAT(engine.end_of(engine.post(command)), HasSubstr("holds a training already"));
  command.resume = true;
  const JobId resumed = engine.post(command);
  EXPECT_EQ(engine.end_of(resumed), "finished");
  // The first report tells of all that was before.
  EXPECT_EQ(engine.get<event::Trained>(resumed).progress.rows.front().first, 0);
}

// What was meant for one model is not done to another that is open by then; and a job that waits can be taken back at once.
TEST(EngineThread, AnotherModelIsNotTrained) {
  const testing::TemporaryFolder folder;
  Engine engine;
  const auto opened = engine.get<event::ModelOpened>(engine.post(command::OpenModel{golden("pipeline").string()}));
  auto command = training(folder, "out");
  command.model_hash = opened.hash;
  command.settings.accumulate = 100'000;  // a step of an hour
  const JobId long_one = engine.post(command);
  const JobId waits = engine.post(command::OpenModel{golden("pipeline_sdxl").string()});
  engine.place<event::Started>(long_one);
  engine.cancel(waits);
  EXPECT_EQ(engine.end_of(waits), "cancelled");
  engine.cancel(long_one);
  EXPECT_EQ(engine.end_of(long_one), "cancelled");
  EXPECT_EQ(engine.end_of(engine.post(command::OpenModel{golden("pipeline_sdxl").string()})), "finished");
  EXPECT_THAT(engine.end_of(engine.post(command)), HasSubstr("another model is open"));
}

TEST(EngineThread, AFolderOfPicturesIsListedWithItsFaults) {
  const testing::TemporaryFolder folder;
  Engine engine;
  const auto listed = engine.get<event::PicturesListed>(engine.post(command::ReadPictures{make_pictures(folder / "pictures").string(), 0.3}));
  EXPECT_EQ(listed.pictures.size(), 8u);
  ASSERT_EQ(listed.faults.size(), 1u);
  EXPECT_THAT(listed.faults[0], HasSubstr("bad.png"));
  EXPECT_THAT(engine.end_of(engine.post(command::ReadPictures{(folder / "nowhere").string(), 0.3})), HasSubstr("no such folder"));
}

}  // namespace
}  // namespace glyphscope
