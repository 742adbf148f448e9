#include "core/side_by_side.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <set>
#include <stdexcept>
#include <thread>
#include <vector>

namespace glyphscope {
namespace {

// Each waits for the other: one after the other, neither would go on.
TEST(SideBySide, TwoRunAtOnce) {
  std::atomic<int> there = 0;
  std::vector<int> met(2);
  side_by_side(2, 2, [&](std::int64_t i) {
    ++there;
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (there < 2 && std::chrono::steady_clock::now() < end) std::this_thread::yield();
    met[static_cast<size_t>(i)] = there;
  });
  EXPECT_EQ(met, (std::vector<int>{2, 2}));
}

TEST(SideBySide, AllAreDoneOnceAndLibTorchStaysOnTheirThreads) {
  std::vector<std::atomic<int>> done(25);
  std::atomic<int> within = 0;
  EXPECT_FALSE(is_side_by_side());
  side_by_side(25, 3, [&](std::int64_t i) {
    ++done[static_cast<size_t>(i)];
    within += is_side_by_side() && at::in_parallel_region();
  });
  for (const auto& one : done) EXPECT_EQ(one, 1);
  EXPECT_EQ(within, 25);
}

TEST(SideBySide, AFailureReachesTheCallerAndEndsTheRest) {
  std::atomic<int> begun = 0;
  try {
    side_by_side(1000, 2, [&](std::int64_t i) {
      ++begun;
      if (i == 3) throw std::runtime_error("third");
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    });
    FAIL() << "nothing was thrown";
  } catch (const std::runtime_error& error) {
    EXPECT_STREQ(error.what(), "third");
  }
  EXPECT_LT(begun, 500);
}

}  // namespace
}  // namespace glyphscope
