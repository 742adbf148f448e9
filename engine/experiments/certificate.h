#pragma once

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "experiments/adaptive_search.h"
#include "experiments/cells.h"
#include "experiments/localization.h"
#include "experiments/statistics.h"

namespace glyphscope {

/// How a set of sites is certified.
struct CertifySettings : RunSettings {
  int from_step = 0;              ///< First step that is patched.
  double false_discovery = 0.05;  ///< Share of the sites that are called discovered that may have no effect.
  double kept_f1_share = 0.9;     ///< What the set that is chosen must keep of B's own target F1, on the cells that choose.
  double verdict_share = 0.5;     ///< What the verdicts ask of it on the cells that report: see Certificate.
  int random_sets = 2;            ///< Controls.
  int players = 0;  ///< Sites whose interactions and Shapley values are looked at, up to 11, the chosen ones first; 0: the chosen ones, up to four.
  SetSearch search = SetSearch::exhaustive;
  /// The set is another model's: it is not searched, and the cells that reported there report here.
  struct Given {
    std::vector<int> sites;
    nlohmann::ordered_json from;  ///< What that model's card says: see transfer_of().
  };
  std::optional<Given> given;

  nlohmann::ordered_json question() const;
  nlohmann::ordered_json to_json() const;
  /// The reverse of both. Throws a Failure that names `where`.
  static CertifySettings from_json(const nlohmann::json& run, const nlohmann::json& question, const std::string& where);
  /// The settings of the certificate that a run's folder holds. Throws a Failure that names the file.
  static CertifySettings read(const std::filesystem::path& run);
};

/// Which cells choose, and which report; of a set that is given, none chooses. No word of one part is in the other, and, from four noises on, no noise. A
/// quarter of the noises choose.
struct Parts {
  std::vector<Cell> choosing, reporting;
  bool words_apart = false, noises_apart = false;
};
Parts parts_of(const RunSettings& settings);

/// What is known of one site, by the cells that choose; in an adaptive search, where these have had a part in what is tried, by those that report.
struct SiteEvidence {
  int site = 0;
  Score effect;  ///< Target F1 of A's picture patched there, less that of A's own.
  double p = 1;  ///< p_value_above_zero() of it; 1 of a site that was not tried.
  bool discovered = false;
  bool tried = true;  ///< Alone, on all of these cells. Else there is no effect and are no scores.
  std::map<std::string, Score> scores;
};

/// Why a set was drawn on the cells that report.
enum class SetRole { sufficiency, necessity, complement, all_sites, control, control_needed, single, subset };
const char* set_role_name(SetRole role);

struct SetEvidence {
  SetRole role = SetRole::sufficiency;
  std::vector<int> sites;  ///< The set that is asked of: of a complement the sites that are left out.
  Variant variant;
  std::map<std::string, Score> scores;  ///< Over the cells that report.
};

/// Sites that were chosen on some words and noises, and what they do on others.
struct Certificate {
  Parts parts;
  int choosing_words = 0, reporting_words = 0, choosing_noises = 0, reporting_noises = 0;
  std::map<std::string, Score> source, target;  ///< A's and B's own pictures, over the cells that report.
  std::vector<SiteEvidence> sites;              ///< One a site, in forward order.
  std::vector<int> discovered;                  ///< Sites with an effect alone, false discoveries controlled.
  std::vector<int> chosen;                      ///< The smallest set found that keeps enough. Empty: none does.
  std::optional<AdaptiveSearch> search;         ///< How the set was found, if not by trying every site.
  std::vector<SetEvidence> sets;
  std::vector<int> players;
  struct Interaction {
    int first = 0, second = 0;
    Score value;  ///< Target F1 of both together, less that of each alone, more that of none: what they do only together.
  };
  std::vector<Interaction> interactions;
  std::vector<Score> shapley;  ///< Of each of the players: its part of what all of them do to the target F1.

  /// On the cells that report, by the ends of intervals: patched there, A's picture surely reads as B at least as well as verdict_share of B's own;
  bool sufficient = false;
  /// B's picture, where only these sites see A, surely reads as B less than that;
  bool necessary = false;
  /// and no control's interval reaches the chosen set's. False where no control could be drawn.
  bool beats_controls = false;
};

/// Makes one. Throws a Failure; RunIncomplete as Cells has it.
Certificate certify(Cells& cells, const CertifySettings& settings, const SiteTable& table);

/// card.json as a document.
nlohmann::ordered_json card_document(const Certificate& certificate, const CertifySettings& settings, const ModelInfo& model, const std::string& ocr,
                                     const RunCost& cost);
/// Writes card.json and card.png.
void write_card(const Certificate& certificate, const CertifySettings& settings, const ModelInfo& model, const std::string& ocr, const RunCost& cost,
                const std::filesystem::path& folder);
/// The card as a figure.
Figure card_figure(const Certificate& certificate, const ModelInfo& model);

}  // namespace glyphscope
