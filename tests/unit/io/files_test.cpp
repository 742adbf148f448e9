#include "io/files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "io/image_file.h"
#include "tests/support/golden.h"

namespace glyphscope {
namespace {
using testing::failure_of;
using ::testing::HasSubstr;

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

TEST(Files, AFolderIsClaimedForOneSetOfSettings) {
  testing::TemporaryFolder folder;
  const auto file = folder / "run/settings.json";
  claim_folder(file, {{"seed", 1}, {"steps", 2}}, "another run");
  claim_folder(file, {{"steps", 2}, {"seed", 1}}, "another run");  // in any order
  EXPECT_THAT(failure_of([&] { claim_folder(file, {{"seed", 2}, {"steps", 2}}, "another run"); }), AllOf(HasSubstr("another run"), HasSubstr("--out")));
  EXPECT_EQ(read_json(file)["seed"], 1);
}

TEST(Files, JsonIsReadAsPythonWritesItButNotWithoutEnd) {
  testing::TemporaryFolder folder;
  write_text(folder / "a.json", R"({"a": -Infinity, "b": [NaN, Infinity], "c": "-Infinity \" NaN"})");
  EXPECT_EQ(read_json(folder / "a.json").dump(), R"({"a":null,"b":[null,null],"c":"-Infinity \" NaN"})");
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

TEST(ImageFile, NamesWhatIsNoImage) {
  testing::TemporaryFolder folder;
  write_text(folder / "a.png", "not a picture");
  EXPECT_THAT(failure_of([&] { read_image(folder / "a.png"); }), HasSubstr("this is no image"));
  EXPECT_THAT(failure_of([&] { read_image(folder / "b.png"); }), HasSubstr("b.png"));
}

}  // namespace
}  // namespace glyphscope
