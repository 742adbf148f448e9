// The small reader: what it is trained on, what it reads, and that its scores are smooth.
#include "demo/train_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "io/files.h"
#include "io/resources.h"
#include "metrics/judges.h"
#include "tests/support/golden.h"

namespace glyphscope {
namespace {

using testing::failure_of;
using ::testing::HasSubstr;

TEST(CtcReader, KnowsItsAlphabet) {
  EXPECT_EQ(*CtcReader::labels("Ab c"), (std::vector<std::int64_t>{1, 2, 37, 3}));
  EXPECT_EQ(CtcReader::labels("OPEN"), CtcReader::labels("open"));
  EXPECT_FALSE(CtcReader::labels("stra\u00dfe\u4e2d"));
  EXPECT_FALSE(CtcReader::labels(""));
}

// Of all texts of up to two letters and none, on a line of two columns, the probabilities are those of all paths: 1.
TEST(CtcReader, LikelihoodsOfAllTextsAreOne) {
  const CtcReader reader(7);
  const torch::NoGradGuard no_grad;
  const torch::Tensor line = 255 * torch::rand({1, 3, 32, 8}, make_generator(3));
  const torch::Tensor columns = reader.log_probabilities(line);
  ASSERT_EQ(columns.size(0), 2);
  double sum = std::exp((columns[0][0][0] + columns[1][0][0]).item<double>());  // nothing but blanks
  const std::string letters = "abcdefghijklmnopqrstuvwxyz0123456789 .,!?'\"&-+%$#@/:()";
  ASSERT_EQ(static_cast<std::int64_t>(letters.size()) + 1, CtcReader::classes());
  for (const char first : letters) {
    sum += std::exp(reader.log_likelihood(line, std::string(1, first)).item<double>());
    for (const char second : letters) sum += std::exp(reader.log_likelihood(line, std::string{first, second}).item<double>());
  }
  EXPECT_NEAR(sum, 1, 1e-4);
}

// Gradients reach the picture through cutting and scaling: they equal finite differences.
TEST(CtcReader, GradientsReachThePicture) {
  const CtcReader reader(7);
  const Box box{5, 6, 45, 22};
  const torch::Tensor image = 255 * torch::rand({3, 32, 56}, make_generator(4));
  const auto value = [&](const torch::Tensor& x) { return reader.log_likelihood(CtcReader::line(x, box), "on"); };
  torch::Tensor x = image.clone().requires_grad_(true);
  value(x).backward();
  const torch::Tensor direction = torch::randn(image.sizes(), make_generator(5));
  constexpr double kStep = 0.5;
  const torch::NoGradGuard no_grad;
  const double difference = (value(image + kStep * direction) - value(image - kStep * direction)).item<double>() / (2 * kStep);
  EXPECT_NEAR((x.grad() * direction).sum().item<double>(), difference, 0.02 * std::abs(difference) + 1e-3);
  // Outside the box and its margin nothing counts.
  EXPECT_EQ(x.grad().slice(2, 50).abs().max().item<double>(), 0);
  EXPECT_GT(x.grad().abs().max().item<double>(), 0);
}

// The card of the reader that ships says what it reads.
TEST(CtcReader, ReadsAsItsCardSays) {
  const auto folder = resource("models/reader");
  const auto card = read_json(folder / "config.json");
  EXPECT_LT(std::filesystem::file_size(folder / "model.safetensors"), 5'000'000u);
  const auto accuracy = reader_accuracy(CtcReader(folder), 500, card.at("seed").get<std::uint64_t>());
  for (const char* part : {"words", "faces", "signs"}) {
    // Another processor's last bits may read a line or two otherwise.
    EXPECT_NEAR(accuracy[part]["exact"].get<double>(), card["accuracy"][part]["exact"].get<double>(), 0.006) << part << " " << accuracy.dump();
    EXPECT_GT(accuracy[part]["exact"].get<double>(), 0.7) << part;
  }
}

// A sign that fades from A's word to B's: the score rises with it, from below 0 to above.
TEST(CtcReader, ScoresAreSmooth) {
  const SignRenderer renderer;
  Choice choice(1);
  SignSpec spec = SignSampler::with_word("OPEN", choice);
  spec.style = {};
  const SignImage a = renderer.render(spec);
  spec.word = "SALE";
  const SignImage b = renderer.render(spec);
  Judges judges({});
  const std::vector<Box> boxes{{a.text.left, a.text.top, a.text.right, a.text.bottom}, {b.text.left, b.text.top, b.text.right, b.text.bottom}};
  std::vector<double> margins;
  for (const double share : {0.0, 0.2, 0.4, 0.6, 0.8, 1.0}) {
    const torch::Tensor image = (a.pixels * (1 - share) + b.pixels * share).round().to(torch::kUInt8);
    Scores scores;
    judges.score({image, a.pixels, "", "OPEN", "SALE", boxes}, scores);
    margins.push_back(scores.at("reader_margin"));
  }
  EXPECT_LT(margins.front(), -1);
  EXPECT_GT(margins.back(), 1);
  for (size_t i = 1; i < margins.size(); ++i) EXPECT_GT(margins[i], margins[i - 1]) << i;
  // Its mean gradient on that way, times the way, is how far the score went, but for how coarsely the way is taken.
  const torch::Tensor towards = judges.towards_text({b.pixels, a.pixels, "", "OPEN", "SALE", boxes});
  ASSERT_EQ(towards.sizes(), a.pixels.sizes());
  const double told = (towards * (b.pixels.to(torch::kFloat32) - a.pixels.to(torch::kFloat32))).sum().item<double>(), whole = margins.back() - margins.front();
  EXPECT_NEAR(told, whole, 0.25 * whole);
  EXPECT_FALSE(judges.towards_text({b.pixels, a.pixels, "", "OPEN", "\u4e2d", boxes}).defined());
  // A text with a letter that the reader does not know has no score; nor have two that are one.
  Scores none;
  judges.score({a.pixels, a.pixels, "", "OPEN", "\u4e2d", boxes}, none);
  judges.score({a.pixels, a.pixels, "", "OPEN", "open", boxes}, none);
  EXPECT_TRUE(none.empty());
  // A box that is too narrow for the words is no error.
  judges.score({a.pixels, a.pixels, "", "OPEN UNTIL LATE", "CLOSED ON SUNDAYS", {{30, 30, 34, 60}}}, none);
  EXPECT_TRUE(std::isfinite(none.at("reader_margin")));
}

// Stopped and gone on with, the same reader comes of it; and other settings are refused.
TEST(TrainReader, GoesOnToTheBit) {
  const testing::TemporaryFolder folder;
  const TrainReaderSettings settings{.steps = 4, .batch = 2, .report_every = 1};
  const auto ignore = [](const ReaderProgress&) {};
  train_reader(settings, folder / "whole", false, ignore, {});
  const CancelToken cancel;
  const auto stop = [&](const ReaderProgress& progress) {
    if (progress.step == 2) cancel.cancel();
  };
  EXPECT_THAT(failure_of([&] { train_reader(settings, folder / "parts", false, stop, cancel); }), HasSubstr("cancel"));
  train_reader(settings, folder / "parts", true, ignore, {});
  EXPECT_EQ(read_text(folder / "whole/reader/model.safetensors"), read_text(folder / "parts/reader/model.safetensors"));
  EXPECT_THAT(failure_of([&] { train_reader({.steps = 5, .batch = 2}, folder / "parts", true, ignore, {}); }), HasSubstr("other settings"));
  EXPECT_THAT(failure_of([&] { train_reader(settings, folder / "parts", false, ignore, {}); }), HasSubstr("holds a training already"));
}

TEST(TrainReader, LinesHaveTheirTextInTheirBox) {
  const LineSampler sampler;
  for (const auto part : {LineSampler::Part::train, LineSampler::Part::held_out_words, LineSampler::Part::held_out_faces, LineSampler::Part::held_out_signs})
    for (int i = 0; i < 40; ++i) {
      Choice choice(derive_seed(1, 2, static_cast<std::uint64_t>(i)));
      const DrawnLine line = sampler.sample(part, 1 + i % 12, choice);
      ASSERT_TRUE(CtcReader::labels(line.text)) << line.text;
      EXPECT_TRUE(line.box.left < line.box.right && line.box.top < line.box.bottom);
      EXPECT_TRUE(line.box.right <= line.image.size(2) + 8 && line.box.bottom <= line.image.size(1) + 8);
    }
}

}  // namespace
}  // namespace glyphscope
