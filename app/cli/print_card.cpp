#include "app/cli/print_card.h"

#include <algorithm>
#include <cstdio>

#include "metrics/scores.h"
#include "patching/patch_plan.h"

namespace glyphscope::cli {

std::string score_text(const std::map<std::string, Score>& scores, const char* key) {
  const Score& score = scores.at(key);
  char text[64];
  if (score.low)
    std::snprintf(text, sizeof text, "%.2f [%.2f, %.2f]", score.mean, *score.low, *score.high);
  else
    std::snprintf(text, sizeof text, "%.2f", score.mean);
  return text;
}

namespace {

// With two spaces before, filled up to the width of the column.
std::string padded(const std::string& text, const ScoreInfo& column) {
  constexpr size_t kNumbers = 19;  // "-0.92 [-0.95, 0.97]"
  const size_t width = std::max(kNumbers, std::string(column.title).size());
  return "  " + text + std::string(width - std::min(width, text.size()), ' ');
}

}  // namespace

ScoreColumns::ScoreColumns(const std::vector<const char*>& keys) {
  for (const char* key : keys) list_.push_back(find_score(key));
}

std::string ScoreColumns::titles() const {
  std::string out;
  for (const ScoreInfo* one : list_) out += padded(one->title, *one);
  return out;
}

std::string ScoreColumns::line(const std::map<std::string, Score>& scores) const {
  std::string out;
  for (const ScoreInfo* one : list_) out += padded(scores.contains(std::string(one->key)) ? score_text(scores, one->key.data()) : "-", *one);
  return out;
}

namespace {

// What a set's role asks, as a line's name; empty: it has no line.
std::string line_name(const event::Certified::Set& set) {
  const std::string sites = format_sites(set.sites);
  if (set.role == "sufficiency") return "A, " + sites + " see B (sufficiency)";
  if (set.role == "necessity") return "B, " + sites + " see A (necessity)";
  if (set.role == "complement") return "A, all but " + sites + " see B";
  if (set.role == "control") return "control: A, " + sites + " see B";
  if (set.role == "control_necessity") return "control: B, " + sites + " see A";
  if (set.role == "single") return "A, " + sites + " sees B (discovered alone)";
  if (set.role == "all_sites") return "A, all sites see B";
  return {};
}

std::string verdict(bool sufficient, bool necessary, bool beats_controls) {
  return std::string(sufficient ? "sufficient" : "not shown to be sufficient") + ", " + (necessary ? "necessary" : "not shown to be necessary") + ", " +
         (beats_controls ? "better than controls" : "not shown to be better than controls");
}

std::string part(int words, int noises) { return std::to_string(words) + " words and " + std::to_string(noises) + (noises == 1 ? " noise" : " noises"); }

void print_sites(const event::Certified& card) {
  std::printf("  %-6s  %-21s  %-9s  %s\n", "site", "adds to B's F1 alone", "p", "Shapley value among those looked at");
  for (const auto& site : card.sites) {
    const bool discovered = std::find(card.discovered.begin(), card.discovered.end(), site.site) != card.discovered.end();
    std::printf("  %-6d  %-21s  %-9.2g%s %s\n", site.site, score_text({{"effect", site.effect}}, "effect").c_str(), site.p, discovered ? "*" : " ",
                site.shapley ? score_text({{"effect", *site.shapley}}, "effect").c_str() : "");
  }
  std::printf("  * discovered: of all that are, %.0f %% may be false (Benjamini-Hochberg)\n\n", 100 * card.false_discovery);
}

// How the sites were found, and on what.
void print_protocol(const event::Certified& card) {
  if (card.from) {
    std::printf("\nsites of the card of %s; reported on its words and noises: %s\n", card.from->model.c_str(),
                part(card.reporting_words, card.reporting_noises).c_str());
    std::printf("there they are %s\n", verdict(card.from->sufficient, card.from->necessary, card.from->beats_controls).c_str());
    return;
  }
  std::printf("\nchosen on %s, reported on %s (%s)\n", part(card.choosing_words, card.choosing_noises).c_str(),
              part(card.reporting_words, card.reporting_noises).c_str(),
              card.words_apart    ? (card.noises_apart ? "others" : "other words, the same noises")
              : card.noises_apart ? "the same words, other noises"
                                  : "the same: there are too few");
  if (card.search)
    std::printf(
        "searched by %lld pictures and gradients worth %.1f, where every site alone would have taken %lld; gradients order the sites that were tried as "
        "their effects do, with a rank correlation of %.2f\n",
        static_cast<long long>(card.search->pictures), card.search->gradients_as_pictures, static_cast<long long>(card.search->exhaustive_pictures),
        card.search->rank_correlation);
}

}  // namespace

void print_card(const event::Certified& card, const SiteTable& table) {
  const ScoreColumns columns(card.source);
  if (!card.sites.empty()) print_sites(card);
  // Beside each line what the card says that the sites come from.
  const auto line = [&](const std::string& name, const std::map<std::string, Score>& scores, const Score* there) {
    std::printf("  %-34s%s", name.c_str(), columns.line(scores).c_str());
    if (there) std::printf("  %s", score_text({{"there", *there}}, "there").c_str());
    std::printf("\n");
  };
  std::printf("  %-34s%s%s\n", "on the words that report", columns.titles().c_str(), card.from ? "  reads as B there" : "");
  line("A's own picture", card.source, card.from ? &card.from->source : nullptr);
  line("B's own picture", card.target, card.from ? &card.from->target : nullptr);
  for (const auto& set : card.sets) {
    const std::string name = line_name(set);
    if (name.empty() || (set.role == "single" && set.sites == card.chosen)) continue;
    const Score* there = nullptr;
    // Controls are other sets there.
    if (card.from && !set.role.starts_with("control"))
      for (const auto& other : card.from->sets)
        if (other.role == set.role) there = &other.scores.at("target_f1");
    line(name, set.scores, there);
  }
  print_protocol(card);
  if (card.chosen.empty())
    std::printf("no set of sites that was tried keeps B's text\n");
  else
    std::printf("sites %s (%.2f %% of the denoiser's parameters): %s\n", format_sites(card.chosen).c_str(), 100 * table.share(card.chosen),
                verdict(card.sufficient, card.necessary, card.beats_controls).c_str());
}

}  // namespace glyphscope::cli
