#include "io/archive.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zip.h>

#include <filesystem>
#include <random>

#include "io/files.h"
#include "tests/support/golden.h"

namespace glyphscope {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

std::string failure(const fs::path& path, const ArchiveLimits& limits = {}) {
  const auto read = attempt([&] { return read_archive(path, limits); });
  return read ? std::string() : read.error().message();
}

ArchiveFiles random_files(unsigned seed) {
  std::mt19937 random(seed);
  ArchiveFiles out;
  const int count = 1 + static_cast<int>(random() % 12);
  for (int i = 0; i < count; ++i) {
    std::string bytes(random() % 5000, '\0');
    for (char& byte : bytes) byte = static_cast<char>(random() % (i % 2 == 0 ? 256 : 3));
    out[(i % 3 == 0 ? "" : "folder" + std::to_string(i % 3) + "/") + "file" + std::to_string(i) + (i % 2 == 0 ? ".png" : ".json")] = bytes;
  }
  return out;
}

// A zip archive as others write it: any names, as many files as wanted.
void write_foreign(const fs::path& path, const std::vector<std::pair<std::string, std::string>>& files) {
  int code = 0;
  zip_t* zip = zip_open(path.c_str(), ZIP_CREATE | ZIP_TRUNCATE, &code);
  ASSERT_NE(zip, nullptr);
  for (const auto& [name, bytes] : files) zip_file_add(zip, name.c_str(), zip_source_buffer(zip, bytes.data(), bytes.size(), 0), 0);
  ASSERT_EQ(zip_close(zip), 0);
}

struct Archive : ::testing::Test {
  testing::TemporaryFolder folder;
};

TEST_F(Archive, GivesBackWhatWasWritten) {
  for (unsigned seed = 0; seed < 20; ++seed) {
    const ArchiveFiles files = random_files(seed);
    const fs::path plain = folder / ("plain" + std::to_string(seed));
    fs::create_directories(plain);
    for (const fs::path& path : {folder / "a.glyph", plain}) {
      write_archive(path, files, "file0.png");
      EXPECT_TRUE(read_archive(path) == files) << path << ", seed " << seed;
    }
  }
}

// Two of the same files are the same: a copy can be told from a change.
TEST_F(Archive, IsTheSameForTheSameFiles) {
  write_archive(folder / "a", random_files(3), "");
  write_archive(folder / "b", random_files(3), "");
  EXPECT_TRUE(read_text(folder / "a") == read_text(folder / "b"));
}

TEST_F(Archive, OfWhichAnyPartIsCutOffIsRefused) {
  write_archive(folder / "whole", random_files(5), "");
  const std::string bytes = read_text(folder / "whole");
  for (size_t length = 0; length < bytes.size(); length += 1 + bytes.size() / 97) {
    write_text(folder / "cut", bytes.substr(0, length));
    EXPECT_THAT(failure(folder / "cut"), HasSubstr("cut")) << length;
  }
}

TEST_F(Archive, WithOtherBytesGivesNoOtherFiles) {
  const ArchiveFiles files = random_files(6);
  write_archive(folder / "whole", files, "");
  const std::string bytes = read_text(folder / "whole");
  std::mt19937 random(1);
  for (int i = 0; i < 300; ++i) {
    std::string other = bytes;
    other[random() % other.size()] ^= static_cast<char>(1 + random() % 255);
    write_text(folder / "other", other);
    const auto read = attempt([&] { return read_archive(folder / "other"); });
    if (!read) continue;
    // A byte that nothing depends on, or a name: contents are guarded by their checksums.
    for (const auto& [name, content] : *read)
      if (files.contains(name)) EXPECT_TRUE(content == files.at(name)) << name;
  }
}

TEST_F(Archive, WritesNothingOutside) {
  for (const std::string name : {"../outside", "a/../../outside", "/tmp/outside", "a\\..\\outside"}) {
    write_foreign(folder / "foreign", {{name, "x"}});
    EXPECT_THAT(failure(folder / "foreign"), HasSubstr("outside")) << name;
  }
  fs::create_directories(folder / "linked");
  fs::create_symlink("/etc/hostname", folder / "linked" / "host");
  EXPECT_THAT(failure(folder / "linked"), HasSubstr("link"));
}

TEST_F(Archive, LargerThanItsLimitsIsRefusedBeforeItIsUnpacked) {
  write_foreign(folder / "zeros", {{"a", std::string(1 << 20, '\0')}, {"b", std::string(1 << 20, '\0')}});
  EXPECT_LT(fs::file_size(folder / "zeros"), 10000u);
  EXPECT_EQ(failure(folder / "zeros"), "");
  EXPECT_THAT(failure(folder / "zeros", {.file_bytes = 1 << 19}), HasSubstr("larger"));
  EXPECT_THAT(failure(folder / "zeros", {.bytes = 3 << 19}), HasSubstr("more than 1 MiB"));
  EXPECT_THAT(failure(folder / "zeros", {.files = 1}), HasSubstr("more than 1 files"));
}

TEST_F(Archive, WhatIsNoneIsSaid) {
  write_text(folder / "text", "this is no archive");
  EXPECT_THAT(failure(folder / "text"), HasSubstr("no zip archive"));
  EXPECT_THAT(failure(folder / "nowhere"), HasSubstr("no such file"));
  write_text(folder / "empty", "");
  EXPECT_THAT(failure(folder / "empty"), HasSubstr("zip"));
}

// What an earlier writing left in a folder goes, and what others put beside it stays.
TEST_F(Archive, OfAFolderKeepsWhatIsNotItsOwn) {
  const fs::path plain = folder / "plain";
  fs::create_directories(plain);
  write_text(plain / "mine.txt", "kept");
  write_archive(plain, {{"s.json", "1"}, {"edits/0.png", "a"}, {"edits/1.png", "b"}}, "s.json");
  write_archive(plain, {{"s.json", "2"}, {"edits/0.png", "a"}}, "s.json");
  EXPECT_FALSE(fs::exists(plain / "edits/1.png"));
  EXPECT_EQ(read_text(plain / "mine.txt"), "kept");
  EXPECT_EQ(read_text(plain / "s.json"), "2");
}

}  // namespace
}  // namespace glyphscope
