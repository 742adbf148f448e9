#pragma once

#include <QString>

#include "core/error.h"

namespace glyphscope {

struct ScoreInfo;

/// A text of the engine, with its options as the window's fields and buttons are called.
QString in_words(const std::string& text);
inline QString in_words(const Error& error) { return in_words(error.message()); }
/// Several notes, a line each.
QString in_words(const std::vector<std::string>& notes);

/// A score's title with an arrow to its good end, which arrow_text() explains.
QString score_title(const ScoreInfo& score);
QString arrow_text();

}  // namespace glyphscope
