#include "tasks/session_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "io/files.h"
#include "io/json.h"
#include "tests/support/golden.h"

namespace glyphscope {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

Picture picture(int colour) {
  std::vector<std::uint8_t> pixels(8 * 4 * 3);
  for (size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<std::uint8_t>(colour + 7 * i);
  return {.width = 8,
          .height = 4,
          .rgb = std::make_shared<const std::vector<std::uint8_t>>(pixels),
          .read = "WORD" + std::to_string(colour),
          .scores = {{"psnr", std::numeric_limits<double>::infinity()}, {"target_f1", 0.25}},
          .metadata = R"({"seed":)" + std::to_string(colour) + "}"};
}

void expect_equal(const Picture& a, const Picture& b) {
  ASSERT_TRUE(a.rgb && b.rgb);
  EXPECT_EQ(a.width, b.width);
  EXPECT_TRUE(*a.rgb == *b.rgb);
  EXPECT_EQ(a.read, b.read);
  EXPECT_EQ(a.scores, b.scores);
  EXPECT_EQ(nlohmann::json::parse(a.metadata), nlohmann::json::parse(b.metadata));
}

SessionFile session() {
  SessionFile out;
  out.model = {.source = "demo:sign-unet", .dtype = "bf16"};
  out.model_hash = "abc";
  out.adapters = {{"/tmp/a.safetensors", "123", 0.75, true}, {"/tmp/b.safetensors", "", 2, false}};
  out.sites = {3, 5};
  SessionFile::Study study;
  study.command = {.source = "says \"A\"",
                   .target = "says \"B\"",
                   .sampling = {.steps = 7, .guidance = 2.5, .seed = 9, .negative = "blur"},
                   .plan = PatchPlan::at_sites({3}, 1, 2)};
  study.ready = {.source = picture(1), .target = picture(2), .patched = {picture(3)}, .sites = {3}};
  out.study = study;
  for (int i = 0; i < 2; ++i) {
    SessionFile::Edit edit;
    edit.command.source = "says \"A\"";
    edit.command.targets = {"says \"C\""};
    edit.command.from_steps = {i};
    edit.command.plan = PatchPlan::at_sites({3}, 1, i);
    edit.command.masked = i == 1;
    if (i == 1) edit.command.mask = PixelBox{1, 2, 3, 4};
    edit.ready.source.picture = picture(10 + i);
    edit.ready.steps = 7;
    edit.ready.variants = {{.way = EditWay::sites, .target = "says \"C\"", .from_step = i, .picture = picture(20 + i)},
                           {.way = EditWay::prompt_to_prompt, .target = "says \"C\"", .from_step = i, .picture = picture(30 + i)}};
    edit.batch = 1 + i;
    out.edits.push_back(edit);
  }
  out.present = 1;
  out.runs = {{"/tmp/run", "789"}};
  out.window = {{"fields", {{"steps", 7}}}};
  out.guard = command::SetGuard{.on = true, .words = "hate => love", .sites = {3}, .from_step = 2};
  return out;
}

struct SessionFileTest : ::testing::Test {
  SessionFile read(const fs::path& path) {
    notes.clear();
    return read_session(path, notes);
  }
  std::string failure(const fs::path& path) {
    const auto tried = attempt([&] { return read(path); });
    return tried ? std::string() : tried.error().message();
  }
  testing::TemporaryFolder folder;
  EncodedPictures pictures;
  std::vector<std::string> notes;
};

TEST_F(SessionFileTest, GivesBackWhatWasKept) {
  fs::create_directories(folder / "plain");
  const SessionFile kept = session();
  for (const fs::path& path : {folder / "a.glyph", folder / "plain"}) {
    write_session(path, kept, pictures);
    const SessionFile now = read(path);
    EXPECT_THAT(notes, IsEmpty());
    EXPECT_EQ(now.model, kept.model);
    EXPECT_EQ(now.sites, kept.sites);
    ASSERT_EQ(now.adapters.size(), 2u);
    EXPECT_EQ(now.adapters[0].strength, 0.75);
    EXPECT_FALSE(now.adapters[1].on);
    ASSERT_TRUE(now.study);
    EXPECT_EQ(now.study->command.sampling, kept.study->command.sampling);
    EXPECT_EQ(now.study->command.plan, kept.study->command.plan);
    expect_equal(now.study->ready.patched.front(), kept.study->ready.patched.front());
    ASSERT_EQ(now.edits.size(), 2u);
    for (size_t i = 0; i < 2; ++i) {
      EXPECT_EQ(now.edits[i].command.from_steps, kept.edits[i].command.from_steps);
      EXPECT_EQ(now.edits[i].command.mask.has_value(), i == 1);
      EXPECT_EQ(now.edits[i].batch, kept.edits[i].batch);
      for (size_t v = 0; v < 2; ++v) {
        EXPECT_EQ(now.edits[i].ready.variants[v].way, kept.edits[i].ready.variants[v].way);
        expect_equal(now.edits[i].ready.variants[v].picture, kept.edits[i].ready.variants[v].picture);
      }
      EXPECT_FALSE(now.edits[i].ready.source.drift.rgb);
    }
    EXPECT_EQ(now.present, 1);
    EXPECT_EQ(now.runs[0].sha256, "789");
    EXPECT_EQ(now.window, kept.window);
    ASSERT_TRUE(now.guard);
    EXPECT_TRUE(now.guard->on && now.guard->words == "hate => love" && now.guard->from_step == 2);
    // Written again it is the same.
    write_session(folder / "again.glyph", now, pictures);
    write_session(folder / "first.glyph", kept, pictures);
    EXPECT_EQ(read_text(folder / "again.glyph").size(), read_text(folder / "first.glyph").size());
  }
}

// A real picture goes with the session; where its file is still the same, that one is used.
TEST_F(SessionFileTest, KeepsTheRealPicturesOfItsEdits) {
  const fs::path file = folder / "photo.png";
  write_text(file, "bytes of a picture");
  SessionFile kept = session();
  kept.edits[0].command.picture = file.string();
  kept.edits[0].input = std::make_shared<const std::string>(read_text(file));
  kept.edits[1].command.picture = file.string();
  kept.edits[1].input = kept.edits[0].input;
  write_session(folder / "a.glyph", kept, pictures);
  SessionFile now = read(folder / "a.glyph");
  fs::create_directories(folder / "unpacked");
  unpack_inputs(now, folder / "unpacked");
  EXPECT_EQ(now.edits[0].command.picture, file.string());
  // One that was written over is another picture.
  write_text(file, "bytes of another");
  now = read(folder / "a.glyph");
  unpack_inputs(now, folder / "unpacked");
  EXPECT_EQ(read_text(now.edits[0].command.picture), "bytes of a picture");
  EXPECT_EQ(now.edits[0].command.picture, now.edits[1].command.picture);
  // Saved again it is still the first.
  write_session(folder / "b.glyph", now, pictures);
  EXPECT_EQ(*read(folder / "b.glyph").edits[1].input, "bytes of a picture");
}

TEST_F(SessionFileTest, WhatANewerVersionWroteIsSaidAndKept) {
  fs::create_directories(folder / "plain");
  write_session(folder / "plain", session(), pictures);
  auto document = nlohmann::ordered_json::parse(read_text(folder / "plain" / "session.json"));
  document["schema"] = "glyphscope.session/2";
  document["glyphscope"] = "9.9";
  document["holograms"] = {1, 2};
  document["window"]["fields"]["steps"] = 7;
  write_json(folder / "plain" / "session.json", document);
  const SessionFile now = read(folder / "plain");
  ASSERT_EQ(notes.size(), 2u);
  EXPECT_THAT(notes[0], HasSubstr("9.9"));
  EXPECT_THAT(notes[1], HasSubstr("holograms"));
  write_session(folder / "b.glyph", now, pictures);
  EXPECT_EQ(read(folder / "b.glyph").unknown["holograms"], (nlohmann::ordered_json{1, 2}));
}

TEST_F(SessionFileTest, NonsenseIsNamed) {
  write_text(folder / "text.glyph", "no archive");
  EXPECT_THAT(failure(folder / "text.glyph"), HasSubstr("text.glyph"));
  write_archive(folder / "other.glyph", {{"readme.txt", "x"}}, "");
  EXPECT_THAT(failure(folder / "other.glyph"), HasSubstr("no session"));
  fs::create_directories(folder / "plain");
  write_session(folder / "plain", session(), pictures);
  const auto document = nlohmann::ordered_json::parse(read_text(folder / "plain" / "session.json"));
  const auto with = [&](const std::string& pointer, const nlohmann::ordered_json& value) {
    auto other = document;
    other[nlohmann::ordered_json::json_pointer(pointer)] = value;
    write_json(folder / "plain" / "session.json", other);
    return failure(folder / "plain");
  };
  EXPECT_THAT(with("/schema", "else"), HasSubstr("no session"));
  EXPECT_THAT(with("/sites", "three"), HasSubstr("session.json"));
  EXPECT_THAT(with("/edits/0/variants/0/way", "magic"), HasSubstr("magic"));
  EXPECT_THAT(with("/edits/0/command/targets", nlohmann::ordered_json::array()), HasSubstr("one target"));
  EXPECT_THAT(with("/edits/1/command/mask", {1, 2}), HasSubstr("four sides"));
  EXPECT_THAT(with("/study/source/file", "study/none.png"), HasSubstr("study/none.png"));
  EXPECT_NE(with("/study/command/plan", {{"site", -3}}), "");
  EXPECT_THAT(with("/edits/0/command/plan", nlohmann::ordered_json::array()), HasSubstr("session.json"));
  for (const auto& nonsense : {nlohmann::ordered_json(3), nlohmann::ordered_json("x"), nlohmann::ordered_json(nullptr), nlohmann::ordered_json::array()})
    EXPECT_THAT(with("/window", nonsense), HasSubstr("session.json"));
  EXPECT_THAT(with("/edits/0/source/reconstruction", {{"file", "edits/0/source.png"}}), HasSubstr("SSIM"));
  write_text(folder / "plain" / "session.json", "{");
  EXPECT_THAT(failure(folder / "plain"), HasSubstr("JSON"));
  // A picture that is none.
  write_json(folder / "plain" / "session.json", document);
  write_text(folder / "plain" / "study" / "source.png", "no picture");
  EXPECT_THAT(failure(folder / "plain"), HasSubstr("source.png"));
}

// A folder that cannot be written to leaves the session that is there as it was.
TEST_F(SessionFileTest, IsWrittenWholeOrNotAtAll) {
  write_session(folder / "a.glyph", session(), pictures);
  const std::string before = read_text(folder / "a.glyph");
  SessionFile other = session();
  other.sites = {1};
  const auto tried = attempt([&] { write_session(folder / "nowhere" / "a.glyph", other, pictures); });
  EXPECT_FALSE(tried);
  EXPECT_EQ(read_text(folder / "a.glyph"), before);
}

}  // namespace
}  // namespace glyphscope
