#include "core/memory.h"

#include <c10/util/Exception.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <torch/types.h>

#include <cmath>
#include <cstdint>
#include <random>
#include <thread>
#include <vector>

#include "tests/support/process_memory.h"

namespace glyphscope {
namespace {

torch::Tensor bytes(std::int64_t count) { return torch::empty({count}, torch::kUInt8); }

TEST(Memory, BlocksOfAnySizeHoldTheirBytesWhicheverThreadFreesThem) {
  set_up_memory();
  std::mt19937 random(1);
  struct Block {
    torch::Tensor tensor;
    std::uint8_t value;
  };
  std::vector<Block> blocks;
  for (int turn = 0; turn < 2000; ++turn) {
    const double power = std::uniform_real_distribution(0.0, 24.0)(random);  // 1 byte to 16 MiB
    Block block{bytes(static_cast<std::int64_t>(std::exp2(power))), static_cast<std::uint8_t>(turn)};
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(block.tensor.data_ptr()) % 64, 0u);
    block.tensor.fill_(block.value);
    blocks.push_back(block);
    if (blocks.size() < 24) continue;
    const size_t at = random() % blocks.size();
    ASSERT_TRUE(blocks[at].tensor.eq(blocks[at].value).all().item<bool>());
    if (turn % 3 == 0) std::thread([gone = std::move(blocks[at])] {}).join();
    blocks.erase(blocks.begin() + static_cast<std::ptrdiff_t>(at));
  }
  for (const auto& block : blocks) EXPECT_TRUE(block.tensor.eq(block.value).all().item<bool>());
}

TEST(Memory, WhatWasFreedIsTheNextOfItsSize) {
  set_up_memory();
  const void* first = bytes(100'000).data_ptr();
  EXPECT_EQ(bytes(100'000).data_ptr(), first);
  EXPECT_EQ(bytes(99'000).data_ptr(), first) << "sizes within an eighth are one";
}

TEST(Memory, WhereThereIsNoneLeftAnExceptionSaysSo) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "the sanitizer ends a program that asks for so much";
#endif
  set_up_memory();
  EXPECT_THROW(bytes(std::int64_t{1} << 50), c10::OutOfMemoryError);
  EXPECT_THROW(bytes(INT64_MAX), c10::Error);
}

TEST(Memory, ALimitOnAddressSpaceIsKnown) {
  EXPECT_FALSE(address_space_left());
  struct rlimit limit {};
  ASSERT_EQ(::getrlimit(RLIMIT_AS, &limit), 0);
  const rlim_t before = limit.rlim_cur;
  limit.rlim_cur = static_cast<rlim_t>(testing::process_bytes("VmSize")) + (rlim_t{8} << 30);
  ASSERT_EQ(::setrlimit(RLIMIT_AS, &limit), 0);
  const auto left = address_space_left();
  const torch::Tensor taken = bytes(std::int64_t{1} << 30);
  const auto then = address_space_left();
  limit.rlim_cur = before;
  ASSERT_EQ(::setrlimit(RLIMIT_AS, &limit), 0);
  ASSERT_TRUE(left && then);
  EXPECT_NEAR(static_cast<double>(*left), 8.0 * (1 << 30), 1 << 24);
  EXPECT_NEAR(static_cast<double>(*left - *then), 1 << 30, 1 << 24);
}

}  // namespace
}  // namespace glyphscope
