#include "io/files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "io/config.h"
#include "io/image_file.h"
#include "io/json.h"
#include "tests/support/golden.h"

namespace glyphscope {
namespace {
using testing::failure_of;
using ::testing::HasSubstr;

TEST(Json, WhatIsLeftWithoutAKeyKnowsItsPlace) {
  const auto document = without_key({{"a", 1}, {"b", {{"c", "text"}}}, {"d", 2}}, "a");
  EXPECT_EQ(document.dump(), R"({"b":{"c":"text"},"d":2})");
  try {
    document.at("b").at("c").get<int>();
    ADD_FAILURE() << "a text was taken for a number";
  } catch (const nlohmann::json::exception& error) {
    EXPECT_THAT(error.what(), HasSubstr("/b/c"));
  }
}

TEST(Json, WhatKeysAreAddedToKnowsItsPlaces) {
  nlohmann::ordered_json document{{"a", {{"b", {{"c", "text"}}}}}, {"d", 1}}, added;
  for (int key = 0; key < 20; ++key) added["key" + std::to_string(key)] = {{"number", key}};
  added["d"] = 2;
  add_keys(document, added);
  EXPECT_EQ(document.size(), 22u);
  EXPECT_EQ(document["d"], 2);
  const auto copy = document;  // which a build with assertions would end at
  try {
    document.at("a").at("b").at("c").get<int>();
    ADD_FAILURE() << "a text was taken for a number";
  } catch (const nlohmann::json::exception& error) {
    EXPECT_THAT(error.what(), HasSubstr("/a/b/c"));
  }
}

TEST(Files, AFailedWriteLeavesTheOldFileAndNothingElse) {
  testing::TemporaryFolder folder;
  write_text(folder / "a.txt", "old");
  EXPECT_THROW(write_atomically(folder / "a.txt",
                                [](const auto& temporary) {
                                  write_text(temporary, "half");
                                  throw std::runtime_error("power cut");
                                }),
               std::runtime_error);
  EXPECT_EQ(read_text(folder / "a.txt"), "old");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 1);
}

// A user's bytes may hold anything, and be any number; a terminal is told what it can show.
TEST(Errors, MessagesAreFitForATerminal) {
  EXPECT_EQ(Error({ErrorCode::bad_input, std::string("a\0b\x1b[31m", 8), "", ""}).message(), "a\\x00b\\x1b[31m.");
  EXPECT_EQ(Error({ErrorCode::bad_input, "one\n  two", "caf\u00e9", ""}).message(), "one\n  two (caf\u00e9).");
  const std::string long_one = Error({ErrorCode::bad_input, "x", std::string(100'000, 'p'), "Do this"}).message();
  EXPECT_LT(long_one.size(), 1200u);
  EXPECT_THAT(long_one, ::testing::AllOf(HasSubstr("(100000 bytes)"), HasSubstr("Do this.")));
  EXPECT_LT(Error({ErrorCode::bad_input, std::string(100'000, 'p'), "", ""}).message().size(), 20'100u);
}

TEST(Files, AFolderIsClaimedForOneSetOfSettings) {
  testing::TemporaryFolder folder;
  const auto file = folder / "run/settings.json";
  claim_folder(file, {{"seed", 1}, {"steps", 2}}, "another run");
  claim_folder(file, {{"steps", 2}, {"seed", 1}}, "another run");  // in any order
  EXPECT_THAT(failure_of([&] { claim_folder(file, {{"seed", 2}, {"steps", 2}}, "another run"); }), AllOf(HasSubstr("another run"), HasSubstr("\u2039out")));
  EXPECT_EQ(read_json(file)["seed"], 1);
}

// A file of hundreds of settings: which of them is wrong, and in what.
TEST(Files, AJsonOfAnotherTypeIsNamedByFileAndKey) {
  testing::TemporaryFolder folder;
  const auto file = folder / "run.json";
  write_text(file, R"({"settings": {"steps": "ten", "sites": [1, "two"]}})");
  const auto steps = [&] { reading_json(file, [&] { return read_json(file).at("settings").at("steps").get<int>(); }); };
  EXPECT_THAT(failure_of(steps), AllOf(HasSubstr("run.json"), HasSubstr("(/settings/steps) type must be number"), Not(HasSubstr("json.exception"))));
  const auto sites = [&] { reading_json(file, [&] { return read_json(file)["settings"]["sites"].get<std::vector<int>>(); }); };
  EXPECT_THAT(failure_of(sites), HasSubstr("(/settings/sites/1) type must be number"));
}

TEST(Files, JsonIsReadAsPythonWritesItButNotWithoutEnd) {
  testing::TemporaryFolder folder;
  write_text(folder / "a.json", R"({"a": -Infinity, "b": [NaN, Infinity], "c": "-Infinity \" NaN"})");
  EXPECT_EQ(read_json(folder / "a.json").dump(), R"({"a":"-Infinity","b":["NaN","Infinity"],"c":"-Infinity \" NaN"})");
  // No number, and not nothing either: a default in its place would be a silent error.
  EXPECT_THAT(failure_of([&] { Config::read(folder / "a.json").number("a", 1); }),
              AllOf(HasSubstr("a.json"), HasSubstr("'a' is \"-Infinity\", expected a number")));
  write_text(folder / "deep.json", std::string(500000, '['));
  EXPECT_THAT(failure_of([&] { read_json(folder / "deep.json"); }), HasSubstr("nested deeper"));
}

TEST(Files, AFolderThatCannotBeWrittenIsNamed) {
  EXPECT_THAT(failure_of([] { OutputFolder("/proc/glyphscope"); }), HasSubstr("/proc/glyphscope"));
  EXPECT_THAT(failure_of([] { write_text("/proc/glyphscope.txt", "x"); }), HasSubstr("/proc/glyphscope.txt"));
}

TEST(Files, ASecondProcessIsKeptOut) {
  testing::TemporaryFolder folder;
  const OutputFolder mine(folder / "out");
  const pid_t child = fork();
  if (child == 0) _exit(failure_of([&] { OutputFolder(folder / "out"); }).find("another Glyphscope") == std::string::npos ? 1 : 0);
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
}

TEST(Files, AFolderIsFreeAgainAfterwards) {
  testing::TemporaryFolder folder;
  { const OutputFolder first(folder / "out"); }
  const OutputFolder second(folder / "out");
  EXPECT_TRUE(std::filesystem::exists(folder / "out"));
}

TEST(ImageFile, KeepsPixelsAndMetadata) {
  testing::TemporaryFolder folder;
  const torch::Tensor image = torch::randint(256, {3, 17, 31}, torch::kUInt8);
  write_png(folder / "a.png", image, {{"prompt", "caf\u00e9 \xff"}});
  EXPECT_TRUE(torch::equal(read_image(folder / "a.png"), image));
  EXPECT_EQ(read_png_metadata(folder / "a.png"), "{\"prompt\":\"caf\u00e9 \ufffd\"}");
}

// Which way the camera was held is told by EXIF, in PNG and WebP as in JPEG; as Pillow turns them.
TEST(ImageFile, PicturesAreTurnedAsTheyWereSeen) {
  for (int orientation = 1; orientation <= 8; ++orientation) {
    const auto folder = testing::golden("orientation");
    const torch::Tensor upright = read_image(folder / (std::to_string(orientation) + "-upright.png"));
    for (const char* ending : {".png", ".webp", ".jpg"}) {
      const torch::Tensor image = read_image(folder / (std::to_string(orientation) + ending));
      ASSERT_EQ(image.sizes(), upright.sizes()) << orientation << ending;
      EXPECT_LE((image.to(torch::kInt16) - upright.to(torch::kInt16)).abs().max().item<int>(), std::string(ending) == ".jpg" ? 12 : 0) << orientation << ending;
    }
  }
}

// tests/golden/make_pictures.py: each as Pillow reads it, or named by its kind, whatever its name ends in.
TEST(ImageFile, KindsAreReadAsPillowReadsThemOrNamed) {
  int read_ones = 0;
  for (const auto& entry : std::filesystem::directory_iterator(testing::golden("picture_kinds"))) {
    const std::filesystem::path file = entry.path();
    const std::string name = file.filename().string();
    if (name.ends_with("-read.png")) continue;
    if (const auto expected_file = std::filesystem::path(file) += "-read.png"; std::filesystem::exists(expected_file)) {
      const torch::Tensor image = read_image(file), expected = read_image(expected_file);
      ASSERT_EQ(image.sizes(), expected.sizes()) << name;
      EXPECT_LE((image.to(torch::kInt16) - expected.to(torch::kInt16)).abs().max().item<int>(), name.ends_with(".jpg") || name.ends_with(".jfif") ? 2 : 1)
          << name;
      ++read_ones;
      // Cut short it is no picture.
      const testing::TemporaryFolder folder;
      const std::string whole = read_text(file);
      for (const double share : {0.3, 0.6, 0.9}) {
        write_text(folder / name, whole.substr(0, static_cast<size_t>(share * static_cast<double>(whole.size()))));
        if (name == "moving.png" || name == "pages.tiff") continue;  // whose first picture may be whole
        EXPECT_THAT(testing::failure_of([&] { read_image(folder / name); }), HasSubstr(name)) << share;
      }
    } else {
      EXPECT_THAT(testing::failure_of([&] { read_image(file); }), AllOf(HasSubstr(name),
                                                                        ::testing::ContainsRegex(name.starts_with("a_gif")     ? "a GIF"
                                                                                                 : name.starts_with("an_avif") ? "an AVIF"
                                                                                                 : name.starts_with("a_jpeg")  ? "a JPEG 2000"
                                                                                                                               : "WebP is animated"),
                                                                        HasSubstr("Save")));
    }
  }
  EXPECT_EQ(read_ones, 25);
}

TEST(Files, APipeIsNoOutput) {
  testing::TemporaryFolder folder;
  ASSERT_EQ(::mkfifo((folder / "a.png").c_str(), 0600), 0);
  EXPECT_THAT(failure_of([&] { check_output_file(folder / "a.png", ".png", {}); }), HasSubstr("this is a pipe"));
}

// What is written is of one kind, and never over what was read.
TEST(Files, AnOutputIsCheckedBeforeTheWork) {
  const testing::TemporaryFolder folder;
  write_text(folder / "in.png", "a picture");
  const auto error = [&](const std::filesystem::path& file) { return testing::failure_of([&] { check_output_file(file, ".png", {folder / "in.png", ""}); }); };
  EXPECT_EQ(error(folder / "out.PNG"), "");
  EXPECT_THAT(error(folder / "out.jpg"), ::testing::HasSubstr("ends in .png"));
  EXPECT_THAT(error(folder / "out"), ::testing::HasSubstr("ends in .png"));
  EXPECT_THAT(error(folder / "in.png"), ::testing::HasSubstr("would be written over"));
  EXPECT_THAT(error(folder.path() / "nowhere" / "out.png"), ::testing::HasSubstr("no such folder"));
  std::filesystem::create_directory(folder / "folder.png");
  EXPECT_THAT(error(folder / "folder.png"), ::testing::HasSubstr("this is a folder"));
}

// A decoder fills what is missing with grey, and a training would learn it.
TEST(ImageFile, WhatIsCutIsNoPicture) {
  testing::TemporaryFolder folder;
  for (const char* name : {"6.jpg", "6.webp", "6.png"}) {
    const std::string whole = read_text(testing::golden("orientation") / name);
    for (const double share : {0.3, 0.6, 0.9, 0.999}) {
      write_text(folder / name, whole.substr(0, static_cast<size_t>(share * static_cast<double>(whole.size()))));
      EXPECT_THAT(failure_of([&] { read_image(folder / name); }), ::testing::AnyOf(HasSubstr("cut off"), HasSubstr("damaged"))) << name << share;
    }
    write_text(folder / name, whole + "and what cameras leave behind it");
    EXPECT_EQ(failure_of([&] { read_image(folder / name); }), "");
  }
  write_text(folder / "empty.png", "");
  EXPECT_THAT(failure_of([&] { read_image(folder / "empty.png"); }), HasSubstr("the file is empty"));
  write_text(folder / "moves.webp", std::string("RIFF\x1a\0\0\0WEBPVP8X\x0a\0\0\0\x02\0\0\0", 24) + std::string(10, '\0'));
  EXPECT_THAT(failure_of([&] { read_image(folder / "moves.webp"); }), HasSubstr("animated"));
}

TEST(ImageFile, NamesWhatIsNoImage) {
  testing::TemporaryFolder folder;
  write_text(folder / "a.png", "not a picture");
  EXPECT_THAT(failure_of([&] { read_image(folder / "a.png"); }), HasSubstr("this is no image"));
  EXPECT_THAT(failure_of([&] { read_image(folder / "b.png"); }), HasSubstr("b.png"));
}

}  // namespace
}  // namespace glyphscope
