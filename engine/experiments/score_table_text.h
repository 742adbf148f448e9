#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "experiments/statistics.h"
#include "io/csv_text.h"

/// Mean scores in documents and tables, in the order of the table of scores.
namespace glyphscope {

nlohmann::ordered_json scores_json(const std::map<std::string, Score>& scores);

/// Names of the columns of csv_scores(), each with a comma before: mean, low and high of every score. present: of a picture of the run, which says what models
/// of the user's have scored.
std::string csv_score_names(const std::map<std::string, Score>& present);
/// Empty where there is no such score, or no interval.
std::string csv_scores(const std::map<std::string, Score>& scores, const std::map<std::string, Score>& present);
/// "0.14 [0.04, 0.23]", for a person; "-" for none.
std::string with_interval(const Score& score, int digits = 2);

}  // namespace glyphscope
