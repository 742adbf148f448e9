#include "editing/guard.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>
#include <map>

#include "demo/studies.h"
#include "editing/guard_log.h"
#include "editing/guard_study.h"
#include "editing/prompt_terms.h"
#include "io/files.h"
#include "io/weights.h"
#include "registry/open_model.h"
#include "tests/support/golden.h"

namespace glyphscope {
namespace {
using ::testing::ElementsAre;
using testing::golden;
using ::testing::HasSubstr;
using ::testing::Not;

// Reads what it was told to, image after image; then nothing.
struct Says : TextReader {
  std::deque<std::string> texts;
  std::vector<TextPiece> read(const torch::Tensor&) override {
    if (texts.empty()) return {};
    const std::string text = texts.front();
    texts.pop_front();
    return {{text, 1, {}}};
  }
  std::string name() const override { return "told"; }
};

// A small model under a guard.
struct Guarded {
  explicit Guarded(std::vector<int> sites = {1}, int from_step = 0, const std::filesystem::path& log = {}, bool clear = false, const char* model = "pipeline")
      : reader(std::make_shared<Says>()), pipeline(*open_model(golden(model).string())) {
    guard = std::make_shared<Guard>(GuardSettings{TermList({{"venom", "honey"}, {"toxic", {}}}), std::move(sites), from_step, log, clear}, reader);
  }
  static Request request(std::vector<std::string> prompts) {
    Request out;
    out.prompts = std::move(prompts);
    for (int i = 0; i < static_cast<int>(out.prompts.size()); ++i) out.rows.push_back({i, 7, {}});
    out.steps = 3;
    return out;
  }
  Result draw(const Request& request) const {
    auto result = pipeline->generate(request);
    if (!result) throw Failure(result.error());
    return *result;
  }
  std::shared_ptr<Says> reader;
  std::shared_ptr<Pipeline> pipeline;
  std::shared_ptr<Guard> guard;
};

const char* const kVenom = "a sign that says \"VENOM\"";
const char* const kHoney = "a sign that says \"HONEY\"";

TEST(Guard, ChangesNoBitOfWhatAsksForNoTerm) {
  Guarded model;
  const auto request = Guarded::request({"a sign that says \"OPEN\"", "a red wall"});
  const Result plain = model.draw(request);
  model.pipeline->set_policy(model.guard);
  const Result guarded = model.draw(request);
  EXPECT_TRUE(guarded.images.equal(plain.images));
  EXPECT_TRUE(guarded.latents.equal(plain.latents));
  EXPECT_EQ(guarded.denoiser_calls, plain.denoiser_calls);
  EXPECT_THAT(guarded.outcomes, ElementsAre("as asked", "as asked"));
  EXPECT_TRUE(guarded.notes.empty());
}

// A line of the log is bounded: so many images, and so many terms of each; what is beyond is counted.
TEST(Guard, LogsInLinesOfBoundedLength) {
  const testing::TemporaryFolder folder;
  Guarded model({1}, 0, folder / "log.jsonl", true);
  std::string many;
  for (int i = 0; i < 2000; ++i) many += "venom ";
  Request request = Guarded::request({many});
  request.steps = 1;
  for (std::uint64_t seed = 0; seed < 69; ++seed) request.rows.push_back({0, seed, {}});
  model.pipeline->set_policy(model.guard);
  model.draw(request);
  EXPECT_EQ(check_audit_log(folder / "log.jsonl").lines, 2);
  std::istringstream lines(read_text(folder / "log.jsonl"));
  size_t images = 0;
  for (std::string line; std::getline(lines, line);) {
    const auto json = nlohmann::json::parse(line);
    images += json["images"].size();
    for (const auto& image : json["images"]) {
      EXPECT_EQ(image["matched"].size(), 101u);
      EXPECT_EQ(image["matched"].back()["more"], 1900);
    }
  }
  EXPECT_EQ(images, 70u);
}

// Where prompts are injected, the guard's image is the patched one, at no denoiser pass more.
TEST(Guard, GivesTheSitesTheReplacedPrompt) {
  Guarded model({1}, 1);
  Request patched = Guarded::request({kVenom, kHoney});
  patched.rows = {{0, 7, PatchPlan::at_sites({1}, 1, 1)}};
  const Result expected = model.draw(patched);
  model.pipeline->set_policy(model.guard);
  const Result guarded = model.draw(Guarded::request({kVenom}));
  EXPECT_TRUE(guarded.images.equal(expected.images));
  EXPECT_EQ(guarded.denoiser_calls, expected.denoiser_calls);
  EXPECT_THAT(guarded.outcomes, ElementsAre("sites 1 from step 1"));
}

TEST(Guard, TriesOtherWaysUntilNoTermCanBeRead) {
  Guarded model({1}, 1);
  Request ways = Guarded::request({kVenom, kHoney});
  std::vector<int> all;
  for (const auto& site : model.pipeline->info().table.sites) all.push_back(site.index);
  std::vector<torch::Tensor> expected;
  for (const Row& row :
       {Row{0, 7, PatchPlan::at_sites({1}, 1, 1)}, Row{0, 7, PatchPlan::at_sites({1}, 1)}, Row{0, 7, PatchPlan::at_sites(all, 1)}, Row{1, 7, {}}}) {
    ways.rows = {row};
    expected.push_back(model.draw(ways).images);
  }
  model.pipeline->set_policy(model.guard);
  const std::vector<std::string> names{"sites 1 from step 1", "sites 1 from the first step", "every site", "whole prompt"};
  for (size_t i = 0; i < names.size(); ++i) {
    model.reader->texts.assign(i, "v3nom");
    const Result guarded = model.draw(Guarded::request({kVenom}));
    EXPECT_THAT(guarded.outcomes, ElementsAre(names[i]));
    EXPECT_TRUE(guarded.images.equal(expected[i])) << names[i];
    EXPECT_EQ(guarded.denoiser_calls, 3 * (static_cast<std::int64_t>(i) + 1));
  }
  // One image of several is in need.
  const Result other = model.draw(Guarded::request({kVenom, "a red wall", kVenom}));
  model.reader->texts = {"", "", "VENOM"};
  const Result mixed = model.draw(Guarded::request({kVenom, "a red wall", kVenom}));
  EXPECT_THAT(mixed.outcomes, ElementsAre(names[0], "as asked", names[1]));
  EXPECT_TRUE(mixed.images[0].equal(other.images[0]));
  EXPECT_TRUE(mixed.images[1].equal(other.images[1]));
  const Guard::Tally tally = model.guard->tally();
  EXPECT_EQ(tally.images, 10);
  EXPECT_EQ(tally.changed, 8);
  EXPECT_EQ(tally.withheld, 0);
  EXPECT_THAT(model.guard->note_since({7, 6, 0}), HasSubstr("replaced listed words in 2 of 3 images and withheld 0"));
  EXPECT_EQ(model.guard->note_since(tally), "");
}

TEST(Guard, WithholdsWhatNoWayHelps) {
  Guarded model;
  model.pipeline->set_policy(model.guard);
  model.reader->texts.assign(3, "VE NOM");  // as OCR may find it
  const Result guarded = model.draw(Guarded::request({kVenom}));
  EXPECT_THAT(guarded.outcomes, ElementsAre("withheld"));
  EXPECT_TRUE(guarded.images[0].equal(withheld_image(guarded.images.size(2), guarded.images.size(3))));
  EXPECT_EQ(guarded.latents.abs().max().item<double>(), 0);
  ASSERT_EQ(guarded.notes.size(), 1u);
  EXPECT_THAT(guarded.notes[0], HasSubstr("1 of 1"));
  // Nobody asked for it, so there is nothing to replace.
  model.reader->texts = {"toxic"};
  const Result unasked = model.draw(Guarded::request({"a red wall"}));
  EXPECT_THAT(unasked.outcomes, ElementsAre("withheld"));
  EXPECT_EQ(unasked.denoiser_calls, 3);
}

// An edit cannot bring the word in by the back door: prompt B's terms are replaced too.
TEST(Guard, ReplacesTermsOfAPlansPrompts) {
  Guarded model;
  Request edit = Guarded::request({"a sign that says \"OPEN\"", kVenom});
  edit.rows = {{0, 7, PatchPlan::at_sites({0, 1}, 1)}};
  Request harmless = edit;
  harmless.prompts[1] = kHoney;
  const Result expected = model.draw(harmless);
  model.pipeline->set_policy(model.guard);
  const Result guarded = model.draw(edit);
  EXPECT_TRUE(guarded.images.equal(expected.images));
}

// In every family: joint attention runs the replaced prompt beside the user's; a cascade is guarded as a whole.
TEST(Guard, HoldsInOtherFamilies) {
  for (const std::string family : {"pipeline_sdxl", "pipeline_sd3", "pipeline_if", "pipeline_ldm/kl", "pipeline_flux", "pipeline_z_image", "cascade"}) {
    Guarded model({1}, 0, {}, false, family == "cascade" ? "pipeline_if" : family.c_str());
    if (family == "cascade") model.pipeline = *open_model(golden("pipeline_if").string(), {.upscaler = golden("pipeline_if2").string()});
    Request patched = Guarded::request({kVenom, kHoney});
    patched.rows = {{0, 7, PatchPlan::at_sites({1}, 1)}};
    const Result expected = model.draw(patched);
    model.pipeline->set_policy(model.guard);
    EXPECT_TRUE(model.draw(Guarded::request({kVenom})).images.equal(expected.images)) << family;
  }
}

TEST(Guard, LogsWhatItDid) {
  const testing::TemporaryFolder folder;
  const auto log = folder / "audit.jsonl";
  Guarded model({1}, 0, log);
  model.pipeline->set_policy(model.guard);
  model.reader->texts = {"venom"};
  model.draw(Guarded::request({kVenom, "a red wall"}));
  model.draw(Guarded::request({"a red wall"}));
  EXPECT_EQ(check_audit_log(log).lines, 2);
  EXPECT_TRUE(check_audit_log(log).fault.empty());
  const std::string text = read_text(log);
  EXPECT_THAT(text, Not(HasSubstr("VENOM")));
  const auto first = nlohmann::json::parse(text.substr(0, text.find('\n')));
  EXPECT_EQ(first["model_hash"], model.pipeline->info().hash);
  ASSERT_EQ(first["images"].size(), 2u);
  EXPECT_EQ(first["images"][0]["done"], "every site");
  EXPECT_EQ(first["images"][0]["matched"].size(), 1u);
  EXPECT_EQ(first["settings"]["scheduler"], model.pipeline->info().scheduler);
  EXPECT_EQ(first["settings"]["dtype"], "fp32");
  EXPECT_EQ(first["images"][1]["done"], "as asked");
  EXPECT_TRUE(first["images"][1]["matched"].empty());

  Guarded clear({1}, 0, log, true);
  clear.pipeline->set_policy(clear.guard);
  clear.draw(Guarded::request({kVenom}));
  GuardLog read = read_guard_log(log);
  EXPECT_EQ(read.check.lines, 3);
  ASSERT_EQ(read.rows.size(), 4u);
  EXPECT_EQ(read.rows[0].line, 1);
  EXPECT_EQ(read.rows[0].matched.at(0).size(), 64u);
  EXPECT_EQ(read.rows[0].done, "every site");
  EXPECT_TRUE(read.rows[0].terms_read.empty());
  EXPECT_EQ(read.rows[0].seed, 7u);
  EXPECT_EQ(read.rows[2].line, 2);
  EXPECT_EQ(read.rows[3].prompt, kVenom);
  EXPECT_THAT(read.rows[3].matched, ElementsAre("venom"));
  EXPECT_THAT(guard_log_csv(read.rows), HasSubstr("\"a sign that says \"\"VENOM\"\"\",\"venom\",\"sites 1\""));
  // Of a log that was changed, what comes before the change is shown.
  std::string changed = read_text(log);
  changed.replace(changed.find("as asked"), 8, "As asked");
  write_text(folder / "changed.jsonl", changed);
  read = read_guard_log(folder / "changed.jsonl");
  EXPECT_THAT(read.check.fault, HasSubstr("changed"));
  EXPECT_EQ(read.rows.size(), 0u);
  EXPECT_THAT(read_text(log), HasSubstr("\"term\":\"venom\""));

  // What cannot be logged is not seen.
  std::filesystem::remove(log);
  std::filesystem::create_directory(log);
  EXPECT_THAT(testing::failure_of([&] { clear.draw(Guarded::request({kVenom})); }), HasSubstr("audit.jsonl"));
}

// A picture into which an image was put is read and logged as any image.
TEST(Guard, ReadsWhatAnImageWasPutInto) {
  const testing::TemporaryFolder folder;
  const auto log = folder / "audit.jsonl";
  Guarded model({1}, 0, log);
  const torch::Tensor picture = torch::zeros({3, 40, 60}, torch::kUInt8);
  EXPECT_TRUE(model.pipeline->allows(picture)) << "without a guard";
  model.pipeline->set_policy(model.guard);
  model.reader->texts = {"honey", "VENOM"};
  EXPECT_TRUE(model.pipeline->allows(picture));
  EXPECT_FALSE(model.pipeline->allows(picture));
  const GuardLog read = read_guard_log(log);
  EXPECT_EQ(read.check.fault, "");
  ASSERT_EQ(read.rows.size(), 2u);
  EXPECT_EQ(read.rows[0].done, "put into a picture");
  EXPECT_EQ(read.rows[1].done, "withheld");
  EXPECT_EQ(read.rows[1].terms_read.size(), 1u);
}

// Where a preview has fewer steps than the guard waits for, it does not wait.
TEST(Guard, APreviewIsGuardedToo) {
  Guarded late({1}, 10), at_once({1});
  for (auto* model : {&late, &at_once}) model->pipeline->set_policy(model->guard);
  EXPECT_TRUE(late.draw(Guarded::request({kVenom})).images.equal(at_once.draw(Guarded::request({kVenom})).images));
}

TEST(Guard, SaysItInTheMetadata) {
  Guarded model;
  const auto request = model.pipeline->resolve(Guarded::request({kVenom}));
  EXPECT_FALSE(describe_image(model.pipeline->info(), request, request.rows[0]).contains("guard"));
  model.pipeline->set_policy(model.guard);
  const auto described = describe_image(model.pipeline->info(), request, request.rows[0]);
  EXPECT_EQ(described["guard"]["sites"], nlohmann::json({1}));
  model.pipeline->set_policy(nullptr);
  EXPECT_FALSE(describe_image(model.pipeline->info(), request, request.rows[0]).contains("guard"));
}

// Weights are no letters: what the prompt's readers see is searched, and a replacement keeps its weight.
TEST(Guard, SeesThroughWeights) {
  Guarded model;
  Request patched = Guarded::request({"a sign that says (VE:1.3)NOM", "a sign that says (HONEY:1.3)"});
  patched.rows = {{0, 7, PatchPlan::at_sites({1}, 1)}};
  const Result expected = model.draw(patched);
  model.pipeline->set_policy(model.guard);
  EXPECT_TRUE(model.draw(Guarded::request({"a sign that says (VE:1.3)NOM"})).images.equal(expected.images));
}

// What OCR finds in several pieces, or takes for another letter, beside other words.
TEST(Guard, ReadsTermsInPieces) {
  const Guarded model;
  const auto read = [&](const std::vector<std::string>& texts) {
    std::vector<TextPiece> pieces;
    for (const auto& text : texts) pieces.push_back({text, 1, {}});
    return model.guard->read_in(pieces).size();
  };
  EXPECT_EQ(read({"VENOM"}), 1u);
  EXPECT_EQ(read({"GOOD", "VE", "NOM", "DAY"}), 1u);
  EXPECT_EQ(read({"GOOD VEN OM"}), 1u);
  EXPECT_EQ(read({"V3N0M!"}), 1u);
  EXPECT_EQ(read({"TOXlC", "\"VENOM\""}), 2u);
  EXPECT_EQ(read({"VENOMOUS", "VEN", "TOX"}), 0u);
  EXPECT_EQ(read({}), 0u);
}

// A blend with what the row's own prompt says would be a blend with its term: in place of it the site sees the nearer of the two.
TEST(Guard, BlendsNothingWithATerm) {
  Guarded model({0, 1});
  Request edit = Guarded::request({kVenom, "a sign that says \"OPEN\"", kHoney});
  const auto drawn = [&](double strength, int own) {
    Request one = edit;
    auto patches = PatchPlan::at_sites({1}, 1).patches();
    for (auto& patch : patches) patch.strength = strength;
    if (own != 0) patches.insert(patches.begin(), {PatchPlan::at_sites({0, 1}, own).patches()[0], PatchPlan::at_sites({0, 1}, own).patches()[1]});
    one.rows = {{0, 7, PatchPlan(patches)}};
    return model.draw(one).images;
  };
  const torch::Tensor whole = drawn(1, 2), none = drawn(0, 2);
  model.pipeline->set_policy(model.guard);
  EXPECT_TRUE(drawn(0.7, 0).equal(whole));
  Request untouched = Guarded::request({kVenom});
  EXPECT_TRUE(drawn(0.2, 0).equal(model.draw(untouched).images));
  EXPECT_FALSE(drawn(0.2, 0).equal(none));
}

// What a mask keeps of another picture is in the image that is read and that the log tells of.
TEST(Guard, ReadsAndLogsTheImageAsItIsSeen) {
  const testing::TemporaryFolder folder;
  Guarded model({1}, 0, folder / "audit.jsonl");
  struct Sees : TextReader {
    torch::Tensor image;
    std::vector<TextPiece> read(const torch::Tensor& seen) override { return image = seen.clone(), std::vector<TextPiece>(); }
    std::string name() const override { return "sees"; }
  };
  const auto reader = std::make_shared<Sees>();
  model.pipeline->set_policy(std::make_shared<Guard>(GuardSettings{TermList({Term{"venom", "honey"}}), {1}, 0, folder / "audit.jsonl", false}, reader));
  Request request = model.pipeline->resolve(Guarded::request({kVenom}));
  const torch::Tensor picture = torch::full({3, request.height, request.width}, 200, torch::kUInt8);
  request.rows[0].kept = KeptOutside{picture, {4, 4, 12, 12}, 2};
  const Result drawn = model.draw(request);
  EXPECT_EQ(drawn.images[0][0][0][0].item<int>(), 200);
  EXPECT_TRUE(reader->image.equal(drawn.images[0]));
  const torch::Tensor bytes = drawn.images[0].contiguous();
  EXPECT_EQ(read_guard_log(folder / "audit.jsonl").rows[0].image_sha256,
            sha256_text({static_cast<const char*>(bytes.data_ptr()), static_cast<size_t>(bytes.numel())}));
  const auto about = describe_image(model.pipeline->info(), request, request.rows[0], drawn.outcomes[0]);
  EXPECT_EQ(about["kept_outside"]["box"], nlohmann::json({4, 4, 12, 12}));
  EXPECT_EQ(about["guard"]["done"], "sites 1");
}

// An image in place of another says why, where there is room for a word.
TEST(Guard, TheWithheldImageSaysWhy) {
  for (const std::int64_t side : {48, 64, 256, 512}) {
    const torch::Tensor image = withheld_image(side, side);
    const torch::Tensor rows = (image[0] < 200).any(1).nonzero();
    // The bar is a sixteenth of the side: words stand below it.
    EXPECT_GT((rows.max() - rows.min()).item<std::int64_t>(), side / 16 + 4) << side;
    EXPECT_FALSE((image[0].select(1, 0) < 200).any().item<bool>()) << "nothing is cut off at the edge";
  }
  EXPECT_EQ(withheld_image(16, 16).size(2), 16);
}

// Letters that OCR does not know are not looked for in images: that is said, once.
TEST(Guard, SaysWhatCannotBeRead) {
  struct Latin : Says {
    bool knows(const std::string& text) const override { return text != "плохо"; }
  };
  Guarded model;
  model.pipeline->set_policy(std::make_shared<Guard>(GuardSettings{TermList({{"плохо", {}}, {"venom", {}}}), {1}, 0, {}, false}, std::make_shared<Latin>()));
  EXPECT_THAT(model.draw(Guarded::request({"a red wall"})).notes, ElementsAre(::testing::AllOf(HasSubstr("плохо"), Not(HasSubstr("venom")))));
  EXPECT_TRUE(model.draw(Guarded::request({"a red wall"})).notes.empty());
}

TEST(Guard, RefusesWhatCannotHold) {
  const auto make = [](std::vector<Term> terms) { Guard({TermList(std::move(terms)), {}, 0, {}, false}, std::make_shared<Says>()); };
  EXPECT_THAT(testing::failure_of([&] { make(std::vector<Term>()); }), HasSubstr("the list of words is empty"));
  EXPECT_THAT(testing::failure_of([&] { make({{"venom", "toxic honey"}, {"toxic", {}}}); }), HasSubstr("replacement of 'venom'"));
  Guarded model({9999});
  model.pipeline->set_policy(model.guard);
  EXPECT_THAT(testing::failure_of([&] { model.draw(Guarded::request({kVenom})); }), HasSubstr("9999"));
  // What is left when a term goes may be a term.
  Guarded holes;
  EXPECT_EQ(cleared_prompt(holes.guard->settings().terms, "a venom sign"), "a honey sign");
}

// Sites of the shipped studies are those that the README tells of; of a model that is not just that one, nothing is known.
TEST(Guard, KnowsTheSitesOfTheDemoModels) {
  ModelInfo model;
  for (const auto& [name, sites] : std::map<std::string, std::vector<int>>{{"sign-unet", {8}}, {"sign-mmdit", {4}}, {"sign-pixel", {3, 4}}}) {
    model = (*open_model("demo:" + name))->info();
    EXPECT_EQ(studied_sites(model), sites) << name;
  }
  const std::string hash = model.hash;
  model.hash = hash + "0";
  EXPECT_TRUE(studied_sites(model).empty());
  // A cascade's are those of its first stage.
  const auto second = std::make_shared<ModelInfo>();
  second->hash = std::string("1");
  model.upscaler = second;
  model.hash = sha256_text(hash + "1");
  EXPECT_EQ(studied_sites(model), (std::vector<int>{8}));
}

// A reader who finds the term in everything: every way fails alike; and what each costs is counted.
TEST(GuardStudy, CountsWhatEachWayCosts) {
  struct Always : TextReader {
    std::vector<TextPiece> read(const torch::Tensor&) override { return {{"venom", 1, {}}}; }
    std::string name() const override { return "always"; }
  };
  const testing::TemporaryFolder folder;
  const auto pipeline = *open_model(golden("pipeline").string());
  Request sampling;
  sampling.steps = 2;
  const GuardStudySettings settings{{TermList({{"venom", "honey"}, {"toxic", {}}}), {1}, 1, folder / "audit.jsonl"},
                                    {"says \"VENOM\"", "a toxic wall", "says \"venom\" twice"},
                                    pipeline->resolve(sampling)};
  const GuardStudy study = run_guard_study(*pipeline, settings, std::make_shared<Always>(), [](const Progress&) {}, {});
  ASSERT_EQ(study.methods.size(), 7u);
  EXPECT_TRUE(pipeline->info().policy.is_null());
  EXPECT_EQ(study.methods[0].ssim.mean, 1);
  EXPECT_LT(study.methods[4].ssim.mean, 1);
  for (const auto& method : study.methods)
    if (method.name != "guard, with fallbacks") EXPECT_EQ(method.readable.mean, 1) << method.name;
  const std::vector<double> passes{4, 4, 16, 4, 4, 6, 6};
  for (size_t i = 0; i < passes.size(); ++i) EXPECT_EQ(study.methods[i].passes, passes[i]) << study.methods[i].name;
  EXPECT_EQ(study.methods[2].outcomes, (std::map<std::string, int>{{"withheld", 3}}));
  EXPECT_EQ(check_audit_log(folder / "audit.jsonl").lines, 2);  // a request for each term
  EXPECT_EQ(study.methods[0].term_f1.n, 3);
  EXPECT_THAT(study.csv(), HasSubstr("\"Safe Latent Diffusion, of the term\""));
  EXPECT_EQ(study.to_json()["methods"].size(), 7u);
  EXPECT_EQ(study.methods[0].replacement.n, 2) << "of the prompts that quote a text";
  auto harmless = settings;
  harmless.prompts.push_back("a red wall");
  EXPECT_THAT(testing::failure_of([&] { run_guard_study(*pipeline, harmless, std::make_shared<Always>(), [](const Progress&) {}, {}); }),
              HasSubstr("prompt 4 asks for no listed term"));
  // What cannot be cleared ends the study before anything is drawn, whichever prompt it is: each "bad luck" that goes brings two words together that make
  // another.
  GuardStudySettings endless = settings;
  endless.guard = {TermList({{"venom", "honey"}, {"bad luck", {}}}), {1}, 1, {}};
  endless.prompts = {"says \"VENOM\"", "bad bad bad bad bad bad bad bad bad bad luck luck luck luck luck luck luck luck luck luck"};
  EXPECT_THAT(testing::failure_of([&] { run_guard_study(*pipeline, endless, std::make_shared<Always>(), [](const Progress&) {}, {}); }),
              HasSubstr("cannot be cleared of listed terms"));
}

}  // namespace
}  // namespace glyphscope
