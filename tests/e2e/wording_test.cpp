#include "app/window/wording.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <unistd.h>

#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <regex>
#include <set>

#include "app/cli/wording.h"
#include "core/option.h"
#include "runtime/engine_thread.h"

namespace glyphscope {
namespace {
namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::Not;

std::string golden(const std::string& name) { return (fs::path(std::getenv("GLYPHSCOPE_GOLDEN")) / name).string(); }

// An engine that does one command after the other, and says how each failed.
class Engine {
 public:
  std::string error_of(Command command) {
    const JobId job = engine_.post(std::move(command));
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return ended_ >= job; });
    return error_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  JobId ended_ = 0;
  std::string error_;
  EngineThread engine_{[this](const Event& event) {
    const auto* failed = std::get_if<event::Failed>(&event.what);
    if (!failed && !std::holds_alternative<event::Finished>(event.what) && !std::holds_alternative<event::Cancelled>(event.what)) return;
    const std::lock_guard lock(mutex_);
    error_ = failed ? failed->error.message() : "";
    ended_ = event.job;
    changed_.notify_all();
  }};
};

// All options that the program's help lists.
std::set<std::string> options_of_the_program() {
  const std::string program = std::getenv("GLYPHSCOPE_PROGRAM");
  const auto help = [&](const std::string& verb) {
    std::string out;
    FILE* pipe = ::popen(("'" + program + "' " + verb + " --help").c_str(), "r");
    for (char line[512]; std::fgets(line, sizeof line, pipe);) out += line;
    ::pclose(pipe);
    return out;
  };
  std::string all = help("");
  for (const char* verb :
       {"generate", "patch", "edit", "localize", "finetune", "convert-adapter", "autopsy", "guard", "arena", "evaluate", "train-demo", "draw-signs"})
    all += help(verb);
  std::set<std::string> out;
  const std::regex option("--[a-z][a-z-]*");
  for (std::sregex_iterator at(all.begin(), all.end(), option), end; at != end; ++at) out.insert(at->str());
  return out;
}

struct Wording : ::testing::Test {
  fs::path scratch = fs::temp_directory_path() / ("wording" + std::to_string(::getpid()));
  Engine engine;
  std::vector<std::string> errors;

  Wording() { fs::create_directories(scratch / "pictures"); }
  ~Wording() override { fs::remove_all(scratch); }

  std::string file(const std::string& name, const std::string& text = "") const {
    std::ofstream(scratch / name) << text;
    return (scratch / name).string();
  }
  void fails(Command command) {
    errors.push_back(engine.error_of(std::move(command)));
    EXPECT_FALSE(errors.back().empty()) << "the command number " << errors.size() << " did not fail";
  }
  void open(const std::string& model) { ASSERT_EQ(engine.error_of(command::OpenModel{golden(model)}), ""); }

  // One that the open model draws.
  std::string picture() {
    const fs::path drawn = scratch / "drawn";
    if (!fs::exists(drawn / "source.png"))
      EXPECT_EQ(engine.error_of(command::Generate{.source = "a", .sampling = {.steps = 1}, .read = command::Generate::Read::no, .folder = drawn.string()}), "");
    return (drawn / "source.png").string();
  }

  void open_wrong_models() {
    fails(command::Generate{.source = "a"});  // no model is open
    fails(command::OpenModel{(scratch / "nowhere").string()});
    fails(command::OpenModel{golden("tokenizer")});
    fails(command::OpenModel{file("model.ckpt")});
    fails(command::OpenModel{"demo:nothing"});
    fails(command::OpenModel{.source = golden("pipeline"), .dtype = "fp8"});
    fails(command::OpenModel{.source = golden("pipeline"), .config = golden("pipeline")});
    fails(command::OpenModel{.source = golden("pipeline_if"), .upscaler = golden("pipeline")});
  }
  void draw_wrongly() {
    const auto draws = [&](command::Sampling sampling, PatchPlan plan = {}, std::vector<std::string> adapters = {}) {
      sampling.steps = sampling.steps ? sampling.steps : 1;
      fails(command::Generate{.source = "says \"A\"",
                              .target = "says \"B\"",
                              .sampling = sampling,
                              .plan = std::move(plan),
                              .read = command::Generate::Read::no,
                              .adapters = std::move(adapters)});
    };
    draws({.scheduler = "magic"});
    draws({.width = 33, .height = 64});
    draws({.method = "magic"});
    draws({.upscale_steps = 3});
    draws({}, PatchPlan::at_sites({99}, 1));
    draws({}, PatchPlan::at_sites({0}, {{0, {99}}}, 1));
    draws({}, {}, {(scratch / "none.safetensors").string()});
    draws({}, {}, {"style.safetensors:loud"});
    fails(command::Generate{.source = std::string(100000, 'a'), .sampling = {.steps = 1}});
  }
  void edit_wrongly() {
    const command::EditText edit{.source = "a sign", .sampling = {.steps = 2}, .targets = {"another sign"}, .plan = PatchPlan::at_sites({0}, 1)};
    auto other = edit;
    other.plan = {};
    fails(other);
    other = edit;
    other.targets.clear();
    fails(other);
    other = edit;
    other.from_steps = {7};
    fails(other);
    other = edit;
    other.masked = true;
    other.mask = PixelBox{0, 0, 5000, 10};
    fails(other);
    other = edit;
    other.picture = picture();
    other.sampling.scheduler = "euler";
    fails(other);
  }
  void localize_wrongly() {
    fails(command::Localize{.templates = {"no place for it"}, .words = {"ONE", "TWO"}, .pairs = 1, .sampling = {.steps = 1}});
    fails(command::Localize{.words = {"ONE"}, .pairs = 1, .sampling = {.steps = 1}});
    fs::create_directories(scratch / "run");
    file("run/settings.json", R"({"model_hash": "0", "model": "another"})");
    fails(command::Localize{.words = {"ONE", "TWO"}, .pairs = 1, .sampling = {.steps = 1}, .folder = (scratch / "run").string()});
    fails(command::Localize{.folder = (scratch / "run").string(), .begin = command::Localize::Begin::go_on_by_its_own});
    file("run/settings.json", "{");
    fails(command::Localize{.folder = (scratch / "run").string(), .begin = command::Localize::Begin::go_on_by_its_own});
  }
  void train_wrongly() {
    command::Finetune tune{.pictures = (scratch / "pictures").string(), .folder = (scratch / "adapter").string()};
    tune.settings.plan = {.sites = {0}, .rank = 2};
    tune.settings.steps = 1;
    tune.settings.sample_every = 0;
    fails(tune);  // an empty folder
    for (const char* name : {"1", "2", "3"}) {
      fs::copy_file(picture(), scratch / "pictures" / (std::string(name) + ".png"));
      file("pictures/" + std::string(name) + ".txt", "a sign");
    }
    auto other = tune;
    other.settings.plan.projections = {"to_z"};
    fails(other);
    other = tune;
    other.settings.plan.sites = {99};
    fails(other);
    other = tune;
    other.settings.resolution = 33;
    fails(other);
    other = tune;
    other.model_hash = std::string("0");
    fails(other);
    fails(command::ReadPictures{(scratch / "nowhere").string()});
    const std::string adapter = golden("adapters/unet_sdxl.safetensors");
    fails(command::ConvertAdapter{adapter, "peft", (scratch / "a.safetensors").string()});
    fails(command::ConvertAdapter{adapter, "kohya", (scratch / "a.bin").string()});
    fails(command::ConvertAdapter{adapter, "kohya", (scratch / "nowhere/a.safetensors").string()});
  }
  void guard_wrongly() {
    fails(command::SetGuard{.on = true, .words = "# none\n"});
    fails(command::SetGuard{.on = true, .words = "venom => a venom\n"});
    fails(command::SetGuard{.on = true, .words = "venom\n", .sites = {99}});
    fails(command::CompareGuard{.words = "venom\n", .prompts = {"a cat"}, .sampling = {.steps = 1}, .sites = {0}});
    fails(command::CompareGuard{.words = "venom\n", .prompts = {"venom"}, .sampling = {.steps = 1}, .sites = {0}, .classifier = golden("tokenizer")});
  }
};

// The engine names an option in a way of its own; each of the two words it as its users know it, and neither as the other's.
TEST_F(Wording, OfOneErrorIsEachOnesOwn) {
  open_wrong_models();
  open("pipeline");
  draw_wrongly();
  edit_wrongly();
  localize_wrongly();
  train_wrongly();
  guard_wrongly();
  EXPECT_GE(errors.size(), 30u);

  const std::set<std::string> options = options_of_the_program();
  EXPECT_TRUE(options.contains("--dtype"));
  int named = 0;
  for (const auto& error : errors) {
    const std::string line = cli::in_words(error), window = in_words(error).toStdString();
    for (const auto& text : {line, window}) {
      EXPECT_THAT(text, Not(HasSubstr("\u2039"))) << "a name that nobody worded";
      EXPECT_THAT(text, Not(HasSubstr("()")));
    }
    EXPECT_FALSE(std::regex_search(window, std::regex("--[a-z]"))) << "the window speaks of the command line: " << window;
    const std::regex option("--[a-z][a-z-]*");
    for (std::sregex_iterator at(line.begin(), line.end(), option), end; at != end; ++at) {
      ++named;
      EXPECT_TRUE(options.contains(at->str())) << "there is no such option: " << line;
    }
    // Without the options both say the same.
    if (line.find("--") == std::string::npos && line.find('`') == std::string::npos) EXPECT_EQ(line, window);
    if (std::getenv("GLYPHSCOPE_SHOW")) std::printf("%s\n%s\n\n", line.c_str(), window.c_str());
  }
  EXPECT_GE(named, 10);
}

TEST(WordingOf, OptionsWithAndWithoutValues) {
  const std::string error = "want " + option(Option::dtype, "fp32") + ", or another " + option(Option::out) + "; see " + option(Option::inspect);
  EXPECT_EQ(cli::in_words(error), "want --dtype fp32, or another --out; see `glyphscope inspect`");
  EXPECT_EQ(in_words(error).toStdString(), "want Dtype fp32, or another folder; see the map");
  // A user's own text stays, whatever it looks like.
  for (const char* text : {"a \u2039cat\u203a", "\u2039", "\u2039dtype", "dtype\u203a \u2039\u203a", ""}) {
    EXPECT_EQ(cli::in_words(text), text);
    EXPECT_EQ(in_words(std::string(text)).toStdString(), text);
  }
}

}  // namespace
}  // namespace glyphscope
