#include <algorithm>
#include <cmath>
#include <cstdio>

#include "app/cli/cli.h"
#include "experiments/score_table_text.h"
#include "metrics/scores.h"

namespace glyphscope::cli {

namespace {

// As many digits as tell it from nothing.
std::string difference_text(const Score& difference) {
  const double size = std::max(std::abs(difference.mean), difference.low ? *difference.high - *difference.low : 0.0);
  return with_interval(difference, size > 0 ? std::clamp(static_cast<int>(std::ceil(-std::log10(size))) + 1, 2, 6) : 2);
}

// Of a score of every variant: both means, and what lies between them.
void print_score(const event::RunsCompared& found, const ScoreInfo& score) {
  const std::string key(score.key);
  std::printf("\n%s\n%-28s %8s %8s  %-24s\n", score.title, "picture", "first", "second", "second less first");
  for (const auto& one : found.variants) {
    const auto difference = one.difference.find(key);
    if (difference == one.difference.end()) continue;
    const std::string name =
        one.sites.empty() ? std::string(one.base == 0 ? "A's own" : "B's own") : (one.base == 0 ? "A, patched: " : "B, patched: ") + one.label;
    std::printf("%-28s %8.2f %8.2f  %s%s\n", name.c_str(), one.first.at(key).mean, one.second.at(key).mean, difference_text(difference->second).c_str(),
                one.differs.contains(key) ? " *" : "");
  }
}

void print_runs(const event::RunsCompared& found) {
  std::printf("In common: pairs of prompts %d, noises %d.\n", found.pairs, found.noises);
  for (const auto& difference : found.differences) std::printf("%s\n", difference.c_str());
  for (const auto& one : found.variants)
    if (one.sites.empty() && one.pictures.contains("ssim"))
      std::printf("%s own pictures: SSIM between the runs %s, %.0f %% the same to the bit\n", one.base == 0 ? "A's" : "B's",
                  with_interval(one.pictures.at("ssim"), 4).c_str(), 100 * one.pictures.at("equal").mean);
  for (const ScoreInfo* score : charted_scores())
    if (score->key == "target_f1" || score->key == "source_f1" || score->key == "ssim_outside_text") print_score(found, *score);
  std::printf("\n* differs by more than chance: of all that are marked, 5 %% may be false. No interval: under five words differ.\n");
}

void print_pictures(const event::PicturesCompared& found) {
  if (std::isfinite(found.psnr))
    std::printf("SSIM %.4f, PSNR %.1f dB, mean squared error %.4g; %.2f %% of the pixels differ, by %d of 255 at most\n", found.ssim, found.psnr, found.mse,
                100 * found.share, found.largest);
  else
    std::printf("The pictures are the same to the bit\n");
}

}  // namespace

Run add_compare(CLI::App& app) {
  auto command = std::make_shared<command::Compare>();
  CLI::App* verb = app.add_subcommand("compare", "Compares two runs of localize on the prompts and noises that both have, or two pictures of one size");
  verb->add_option("FIRST", command->first, "Folder of a run, or a picture")->required();
  verb->add_option("SECOND", command->second, "Another: of another model, with an adapter, in another number format, with other settings")->required();
  verb->add_option("--out", command->folder, "Folder for compare.json, and compare.csv or difference.png");
  return [=](const Context& context) {
    context.refuse_guard("What is compared is drawn already");
    std::string document;
    context.run(*command, [&](const event::Any& what) {
      if (const auto* runs = std::get_if<event::RunsCompared>(&what)) {
        document = runs->document;
        if (!context.common.json) print_runs(*runs);
      } else if (const auto* pictures = std::get_if<event::PicturesCompared>(&what)) {
        document = pictures->document;
        if (!context.common.json) print_pictures(*pictures);
      }
    });
    context.print(document);
  };
}

}  // namespace glyphscope::cli
