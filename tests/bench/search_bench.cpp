// A model's search for the smallest set that writes the text, adaptively and by trying every site, on all cells of a run: whether both find one set, and what
// each takes. What the run's folder has is not drawn again.
//
//   glyphscope_search_bench MODEL RUN [adaptive | adaptive-reader]        RUN: a folder of `glyphscope localize MODEL --out RUN`, another for each way
//
// Rows are the denoiser's: a picture's each step, and three for a backward pass's. Of the exhaustive search all pictures are counted: A's and B's own, every
// site alone on every cell and, where none is enough, the sets that follow.
#include <torch/types.h>

#include <cstdio>
#include <filesystem>

#include "core/error.h"
#include "experiments/adaptive_search.h"
#include "experiments/localization.h"
#include "experiments/smallest_set.h"
#include "metrics/judges.h"
#include "registry/open_model.h"

namespace glyphscope {
namespace {

void run(const std::string& source, const std::filesystem::path& folder, const std::string& search_way) {
  const auto opened = open_model(source);
  if (!opened) throw Failure(opened.error());
  Pipeline& model = **opened;
  LocalizationSettings settings = LocalizationSettings::read(folder);
  const auto reader = make_text_reader();
  RunFolder run(folder, describe_run(settings, model.info(), reader->name()));
  const RunObserver observer;
  Judges judges({.reader = settings.judges.contains("reader")});
  if (judges.describe() != settings.judges) reject("the run's pictures are scored by other models than the reader that ships", folder.string());
  Cells cells(settings, &run, model, *reader, observer, {});
  cells.judges = &judges;
  const SiteTable& table = model.info().table;
  const std::vector<Cell> all = settings.cells();
  const auto count = static_cast<std::int64_t>(all.size()), sites = static_cast<std::int64_t>(table.sites.size());

  const std::vector<Variant> singles = single_sites(table, settings.from_step);
  cells.answer({{"bench-sites", "every site alone", singles, all}});
  std::vector<TriedSet> tried;
  for (const auto& one : singles) tried.push_back({one, SetKind::site, scores_over(cells, settings, all, one)});
  const auto own = [&](int base) { return scores_over(cells, settings, all, own_picture(base)).at("target_f1").mean; };
  const SmallestSet found = find_smallest_set(cells, settings, "bench", settings.from_step, all, tried, Demand{own(1), settings.kept_f1_share, own(0)});
  std::int64_t exhaustive = count * (2 + sites);
  for (const auto& [over, variants] : found.drawn) exhaustive += static_cast<std::int64_t>(over.size() * variants.size());

  const AdaptiveSearch search = search_adaptively(cells, table, settings.from_step, all, settings.kept_f1_share, towards_of(parse_set_search(search_way)));
  const auto text = [](const std::vector<int>& set) { return set.empty() ? std::string("none") : format_sites(set); };
  const double picture = static_cast<double>(search.picture_rows);
  const double adaptive_rows = static_cast<double>(search.pictures) * picture + static_cast<double>(search.gradient_rows);
  std::printf("%s, %lld cells, %lld sites\n", source.c_str(), static_cast<long long>(count), static_cast<long long>(sites));
  std::printf("  exhaustive: %s by %lld pictures, %.0f rows\n", text(found.sites).c_str(), static_cast<long long>(exhaustive),
              static_cast<double>(exhaustive) * picture);
  std::printf("  %s: %s by %lld pictures and gradients worth %.1f, %.0f rows\n", search_way.c_str(), text(search.sites).c_str(),
              static_cast<long long>(search.pictures), static_cast<double>(search.gradient_rows) / picture, adaptive_rows);
  std::printf("  %s; %.2f times fewer rows; rank correlation of gradients and effects %.2f\n",
              search.sites == found.sites ? "the same set" : "NOT THE SAME SET", static_cast<double>(exhaustive) * picture / adaptive_rows,
              search.rank_correlation);
}

}  // namespace
}  // namespace glyphscope

int main(int argc, char** argv) {
  if (argc < 3 || argc > 4) {
    std::fprintf(stderr, "usage: glyphscope_search_bench MODEL RUN [adaptive | adaptive-reader]\n");
    return 2;
  }
  const auto done = glyphscope::attempt([&] { glyphscope::run(argv[1], argv[2], argc > 3 ? argv[3] : "adaptive"); });
  if (!done) std::fprintf(stderr, "glyphscope_search_bench: %s\n", done.error().message().c_str());
  return done ? 0 : 1;
}
