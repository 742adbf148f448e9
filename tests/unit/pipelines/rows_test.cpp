// Rows that are drawn side by side, a thread each.
#include <ATen/Parallel.h>
#include <gtest/gtest.h>
#include <torch/types.h>

#include "pipelines/pipeline.h"
#include "registry/open_model.h"
#include "tests/support/golden.h"

namespace glyphscope {
namespace {
using testing::golden;
using testing::relative_error;

class Threads {
 public:
  explicit Threads(int count) : before_(at::get_num_threads()) { at::set_num_threads(count); }
  ~Threads() { at::set_num_threads(before_); }

 private:
  int before_;
};

struct SideBySide : ::testing::TestWithParam<const char*> {};

// However rows are shared out among threads: the same pictures, each in its place, whatever sees what.
TEST_P(SideBySide, RowsAreTheSame) {
  if (!testing::test_device().is_cpu()) GTEST_SKIP() << "threads are the CPU's";
  const auto opened = open_model(golden(GetParam()).string());
  ASSERT_TRUE(opened) << opened.error().message();
  Pipeline& pipeline = **opened;
  Request request;
  request.prompts = {"a red sign", "a blue ship at night"};
  request.steps = 3;
  request.width = request.height = 4 * pipeline.info().size_multiple;
  for (const std::uint64_t seed : {1, 2, 3}) {
    request.rows.push_back({0, seed, {}});
    request.rows.push_back({0, seed, PatchPlan::at_sites({0, 1}, 1)});
  }
  request.rows.push_back({1, 1, {}});
  Result alone, together;
  {
    const Threads one(1);
    alone = *pipeline.generate(request);
  }
  std::int64_t done = 0, total = 0;
  bool backwards = false;
  Observer observer;
  observer.progress = [&](const Progress& p) {
    backwards |= p.done < done;
    done = p.done;
    total = p.total;
  };
  {
    const Threads two(2);
    together = *pipeline.generate(request, observer);
  }
  ASSERT_EQ(together.images.size(0), 7);
  for (std::int64_t row = 0; row < 7; ++row) EXPECT_LT(relative_error(together.latents[row], alone.latents[row]), 1e-4) << row;
  EXPECT_FALSE(backwards);
  EXPECT_EQ(done, total);
  EXPECT_GT(together.denoiser_calls, alone.denoiser_calls);
  // A row alone, where its arithmetic is small, is the same to the bit on any machine's number of threads.
  request.rows.resize(1);
  const auto lone = [&](int threads) {
    const Threads some(threads);
    return pipeline.generate(request)->latents;
  };
  EXPECT_TRUE(torch::equal(lone(1), lone(2)));
  CancelToken cancel;
  cancel.cancel();
  const Threads two(2);
  const auto cancelled = pipeline.generate(request, {}, cancel);
  ASSERT_FALSE(cancelled);
  EXPECT_EQ(cancelled.error().code, ErrorCode::cancelled);
}

INSTANTIATE_TEST_SUITE_P(Families, SideBySide, ::testing::Values("pipeline", "pipeline_sdxl", "pipeline_sd3", "pipeline_if", "pipeline_flux"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace glyphscope
