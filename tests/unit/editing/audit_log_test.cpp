#include "editing/audit_log.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <random>
#include <thread>

#include "io/files.h"
#include "io/weights.h"
#include "tests/support/golden.h"

namespace glyphscope {
namespace {

// A log that is a pipe would be waited for without end.
TEST(AuditLog, IsAFile) {
  glyphscope::testing::TemporaryFolder folder;
  ASSERT_EQ(::mkfifo((folder / "log").c_str(), 0600), 0);
  EXPECT_THAT(glyphscope::testing::failure_of([&] { check_audit_log(folder / "log", ""); }), ::testing::HasSubstr("this is a pipe"));
  EXPECT_THAT(glyphscope::testing::failure_of([&] { AuditLog log(folder / "log"); }), ::testing::HasSubstr("this is a pipe"));
  EXPECT_THAT(glyphscope::testing::failure_of([] { AuditLog log("/dev/full"); }), ::testing::HasSubstr("this is a device"));
}
using ::testing::HasSubstr;

struct AuditLogTest : ::testing::Test {
  testing::TemporaryFolder folder;
  std::filesystem::path file = folder / "log.jsonl";
  std::string write(int lines) {
    AuditLog log(file);
    std::string last;
    for (int i = 0; i < lines; ++i) last = log.append({{"request", i}, {"prompt", "a sign\nof \"two\" lines"}});
    return last;
  }
};

TEST_F(AuditLogTest, EachLineHoldsTheHashOfTheOneBefore) {
  const std::string third = write(3);
  std::istringstream lines(read_text(file));
  std::string previous(64, '0'), line;
  int count = 0;
  while (std::getline(lines, line)) {
    const auto json = nlohmann::json::parse(line);
    EXPECT_EQ(json["previous"], previous);
    EXPECT_EQ(json["request"], count++);
    EXPECT_THAT(json["time"].get<std::string>(), ::testing::MatchesRegex("20..-..-..T..:..:..Z"));
    previous = json["hash"];
    // Of all the rest of the line.
    const std::string ending = ",\"hash\":\"" + previous + "\"}";
    ASSERT_TRUE(line.ends_with(ending));
    EXPECT_EQ(previous, sha256_text(line.substr(0, line.size() - ending.size()) + "}"));
  }
  EXPECT_EQ(count, 3);
  EXPECT_EQ(third, previous);
  const std::string fifth = write(2);  // opened anew, it goes on
  const AuditCheck check = check_audit_log(file, fifth);
  EXPECT_EQ(check.fault, "");
  EXPECT_EQ(check.lines, 5);
  EXPECT_EQ(check.last, fifth);
}

// However long the lines are, the last is found, and the next follows it.
TEST_F(AuditLogTest, LongLinesAreFollowed) {
  AuditLog log(file);
  std::string last;
  for (const size_t size : {0u, 4000u, 4096u, 5000u, 300'000u, 1u, 8'000'000u, 10u}) last = log.append({{"prompt", std::string(size, 'x')}});
  const AuditCheck check = check_audit_log(file, last);
  EXPECT_EQ(check.fault, "");
  EXPECT_EQ(check.lines, 8);
}

// A line is there for a reader when all of it is.
TEST_F(AuditLogTest, AReaderWaitsForTheLineThatIsBeingWritten) {
  const std::string second = write(2), text = read_text(file);
  const size_t whole = text.find('\n') + 1;
  std::filesystem::resize_file(file, whole + 20);
  const int writer = ::open(file.c_str(), O_WRONLY | O_APPEND);
  ASSERT_EQ(::flock(writer, LOCK_EX), 0);
  std::thread rest([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    EXPECT_EQ(::write(writer, text.data() + whole + 20, text.size() - whole - 20), static_cast<ssize_t>(text.size() - whole - 20));
    ::close(writer);
  });
  const AuditCheck check = check_audit_log(file);
  rest.join();
  EXPECT_EQ(check.fault, "");
  EXPECT_EQ(check.last, second);
}

// Any byte that is changed, any line that is taken out, put in or moved is found.
TEST_F(AuditLogTest, AnyChangeIsFound) {
  const std::string last = write(6), text = read_text(file);
  std::mt19937 random(5);
  for (int i = 0; i < 300; ++i) {
    std::string changed = text;
    const size_t at = std::uniform_int_distribution<size_t>(0, text.size() - 1)(random);
    changed[at] = static_cast<char>(changed[at] ^ (1 << std::uniform_int_distribution<>(0, 6)(random)));
    write_text(file, changed);
    EXPECT_NE(check_audit_log(file).fault, "") << at;
  }
  std::vector<std::string> lines;
  std::istringstream all(text);
  for (std::string line; std::getline(all, line);) lines.push_back(line + "\n");
  const auto joined = [&](std::vector<std::string> some) {
    std::string out;
    for (const auto& one : some) out += one;
    write_text(file, out);
    return check_audit_log(file, last);
  };
  for (size_t i = 0; i < lines.size(); ++i) {
    auto some = lines;
    some.erase(some.begin() + static_cast<std::ptrdiff_t>(i));
    EXPECT_NE(joined(some).fault, "") << i;
  }
  auto swapped = lines;
  std::swap(swapped[2], swapped[3]);
  EXPECT_EQ(joined(swapped).lines, 2);
  // On a last line that was changed nothing is written.
  auto altered = lines;
  altered.back().replace(altered.back().find("two"), 3, "one");
  joined(altered);
  EXPECT_THAT(testing::failure_of([&] { AuditLog log(file); }), HasSubstr("not as it was written"));
  auto twice = lines;
  twice.insert(twice.begin() + 1, lines[0]);
  EXPECT_NE(joined(twice).fault, "");
  // A cut end is found by the hash that was kept, and by nothing else.
  auto cut = lines;
  cut.pop_back();
  EXPECT_THAT(joined(cut).fault, HasSubstr("ends otherwise"));
  EXPECT_EQ(check_audit_log(file).fault, "");
  EXPECT_EQ(joined(lines).fault, "");
}

TEST_F(AuditLogTest, ATornLineIsNotWrittenOn) {
  write(2);
  const std::string text = read_text(file);
  write_text(file, text + "{\"time\": \"20");
  EXPECT_THAT(check_audit_log(file).fault, HasSubstr("not whole"));
  EXPECT_THAT(testing::failure_of([&] { AuditLog log(file); }), HasSubstr("not whole"));
  // An empty last line is no new log.
  write_text(file, text + "\n");
  EXPECT_THAT(testing::failure_of([&] { AuditLog(file).append({}); }), HasSubstr("not as it was written"));
  EXPECT_EQ(read_text(file), text + "\n");
  EXPECT_THAT(testing::failure_of([&] { AuditLog("/nowhere/log.jsonl").append({}); }), HasSubstr("/nowhere/log.jsonl"));
  EXPECT_THAT(testing::failure_of([&] { check_audit_log(folder / "none"); }), HasSubstr("none"));
}

// An entry has no say in what the chain is made of.
TEST_F(AuditLogTest, AnEntryCannotForgeTheChain) {
  AuditLog log(file);
  log.append({{"previous", "forged"}, {"time", "never"}});
  log.append({});
  EXPECT_EQ(check_audit_log(file).lines, 2);
  const std::string third = log.append({{"hash", "forged"}});
  EXPECT_EQ(check_audit_log(file).fault, "");
  EXPECT_EQ(log.last(), third);
}

TEST_F(AuditLogTest, ManyMayWrite) {
  std::vector<std::thread> writers;
  for (int writer = 0; writer < 4; ++writer)
    writers.emplace_back([&] {
      AuditLog log(file);
      for (int i = 0; i < 25; ++i) log.append({{"text", std::string(5000, 'x')}});
    });
  for (auto& writer : writers) writer.join();
  const AuditCheck check = check_audit_log(file);
  EXPECT_EQ(check.fault, "");
  EXPECT_EQ(check.lines, 100);
}

}  // namespace
}  // namespace glyphscope
