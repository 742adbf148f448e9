// Several processes that train one adapter; here threads, each with its model, which sum as MPI does.
#include "core/processes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "adapt/finetune.h"
#include "adapt/lora_file.h"
#include "io/files.h"
#include "io/image_file.h"
#include "registry/open_model.h"
#include "tests/support/golden.h"

namespace glyphscope {
namespace {
namespace fs = std::filesystem;
using testing::failure_of;
using testing::golden;
using ::testing::HasSubstr;

// What the members of a team share.
class Team {
 public:
  explicit Team(int size) : size_(size) {}
  int size() const { return size_; }
  void lose() {
    const std::lock_guard lock(mutex_);
    lost_ = true;
    changed_.notify_all();
  }
  void sum(double* values, size_t count, const CancelToken& cancel) {
    std::unique_lock lock(mutex_);
    // The sums before have been taken by all.
    changed_.wait(lock, [&] { return lost_ || !leaving_; });
    if (come_ == 0) sums_.assign(count, 0);
    for (size_t i = 0; i < count; ++i) sums_[i] += values[i];
    if (++come_ == size_) leaving_ = true;
    changed_.notify_all();
    while (!changed_.wait_for(lock, std::chrono::milliseconds(5), [&] { return lost_ || leaving_; })) cancel.check();
    if (lost_) reject("a process of the training is lost", "team");
    std::copy(sums_.begin(), sums_.end(), values);
    if (--come_ == 0) leaving_ = false;
    changed_.notify_all();
  }

 private:
  int size_, come_ = 0;
  bool leaving_ = false, lost_ = false;
  std::vector<double> sums_;
  std::mutex mutex_;
  std::condition_variable changed_;
};

class Member : public Processes {
 public:
  Member(Team& team, int rank) : team_(team), rank_(rank) {}
  int rank() const override { return rank_; }
  int size() const override { return team_.size(); }
  void sum(double* values, std::size_t count, const CancelToken& cancel) override {
    if (++sums > lost_after) {
      team_.lose();
      reject("this process is lost", "team");
    }
    team_.sum(values, count, cancel);
  }
  int sums = 0, lost_after = 1 << 30;

 private:
  Team& team_;
  int rank_;
};

PictureSet pictures_in(const fs::path& folder) {
  fs::create_directories(folder);
  for (int i = 0; i < 12; ++i) {
    torch::Tensor image = torch::full({3, 32, i % 3 == 0 ? 48 : 32}, 15 * i, torch::kUInt8);
    image[i % 3].fill_(255);
    write_png(folder / (std::to_string(i) + ".png"), image);
    write_text(folder / (std::to_string(i) + ".txt"), i % 2 ? "a red sign" : "a blue sign that says \"open\"");
  }
  return read_picture_set(folder, 0.3);
}

FinetuneSettings team_settings() {
  FinetuneSettings out;
  out.plan = {.sites = {0, 1}, .rank = 2};
  out.steps = 6;
  out.batch = 4;
  out.accumulate = 2;
  out.rate = 5e-3;
  out.resolution = 32;
  out.caption_dropout = 0.2;
  out.save_every = 2;
  out.evaluate_every = 3;
  return out;
}

// What each of several members came to; the first's result is of the folder.
std::vector<Expected<FinetuneResult>> train_together(const PictureSet& pictures, const FinetuneSettings& settings, const fs::path& out, bool resume, int size,
                                                     int lost_after = 1 << 30) {
  Team team(size);
  std::vector<Expected<FinetuneResult>> results(static_cast<size_t>(size), Error{ErrorCode::internal, "not begun", "", ""});
  std::vector<std::thread> threads;
  for (int rank = 0; rank < size; ++rank)
    threads.emplace_back([&, rank] {
      Member member(team, rank);
      if (rank == size - 1) member.lost_after = lost_after;
      results[static_cast<size_t>(rank)] = attempt([&] {
        const auto model = open_model(golden("pipeline").string());
        if (!model) throw Failure(model.error());
        return finetune(**model, pictures, settings, out, resume, nullptr, {}, {}, &member);
      });
    });
  for (auto& thread : threads) thread.join();
  return results;
}

double largest_difference(const fs::path& a, const fs::path& b) {
  const auto first = SafetensorsFile(a), second = SafetensorsFile(b);
  double out = 0;
  EXPECT_EQ(first.entries().size(), second.entries().size());
  for (const auto& [name, entry] : first.entries()) out = std::max(out, (first.tensor(name) - second.tensor(name)).abs().max().item<double>());
  return out;
}

// Two processes learn what one learns with the same batch; so do four. And what several began, one goes on with.
TEST(Processes, LearnWhatOneLearns) {
  const testing::TemporaryFolder folder;
  const PictureSet pictures = pictures_in(folder / "pictures");
  FinetuneSettings settings = team_settings();
  ASSERT_TRUE(train_together(pictures, settings, folder / "one", false, 1)[0]);
  for (const int size : {2, 4}) {
    const fs::path out = folder / std::to_string(size);
    for (const auto& result : train_together(pictures, settings, out, false, size)) ASSERT_TRUE(result) << result.error().message();
    EXPECT_LT(largest_difference(folder / "one/last.safetensors", out / "last.safetensors"), 1e-6);
    EXPECT_LT(largest_difference(folder / "one/best.safetensors", out / "best.safetensors"), 1e-6);
    EXPECT_TRUE(fs::exists(out / "finetune.json"));
  }
  settings.steps = 4;
  ASSERT_TRUE(train_together(pictures, settings, folder / "begun", false, 2)[0]);
  settings.steps = 6;
  ASSERT_TRUE(train_together(pictures, settings, folder / "begun", true, 1)[0]);
  EXPECT_LT(largest_difference(folder / "one/last.safetensors", folder / "begun/last.safetensors"), 1e-6);
}

// A process that is lost ends all of them; what had been learned is saved, and goes on.
TEST(Processes, WhenOneIsLostTheFirstSaves) {
  const testing::TemporaryFolder folder;
  const PictureSet pictures = pictures_in(folder / "pictures");
  const FinetuneSettings settings = team_settings();
  // Two sums before the first step.
  const auto results = train_together(pictures, settings, folder / "lost", false, 2, /*lost_after=*/2 + 3);
  ASSERT_FALSE(results[0]);
  EXPECT_THAT(results[0].error().message(), HasSubstr("lost"));
  ASSERT_TRUE(fs::exists(folder / "lost/checkpoint/state.safetensors"));
  EXPECT_EQ(nlohmann::json::parse(SafetensorsFile(folder / "lost/last.safetensors").metadata().at("glyphscope")).at("step"), "3")
      << "of which none is a multiple of save_every";
  ASSERT_TRUE(train_together(pictures, settings, folder / "lost", true, 2)[0]);
  ASSERT_TRUE(train_together(pictures, settings, folder / "whole", false, 2)[0]);
  EXPECT_LT(largest_difference(folder / "whole/last.safetensors", folder / "lost/last.safetensors"), 1e-6);
}

TEST(Processes, ABatchIsSharedEvenly) {
  const testing::TemporaryFolder folder;
  const PictureSet pictures = pictures_in(folder / "pictures");
  FinetuneSettings settings = team_settings();
  settings.batch = 3;
  for (const auto& result : train_together(pictures, settings, folder / "out", false, 2)) {
    ASSERT_FALSE(result);
    EXPECT_THAT(result.error().message(), HasSubstr("a batch of 3 pictures is not shared evenly by 2 processes"));
  }
  EXPECT_FALSE(fs::exists(folder / "out/checkpoint/settings.json"));
}

}  // namespace
}  // namespace glyphscope
