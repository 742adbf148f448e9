#pragma once

#include <QString>

#include "tasks/events.h"

namespace glyphscope {

/// "0.93 [0.88, 0.98]"
QString score_text(const Score& score);
/// "1 pair", "4 pairs"
QString counted(int count, const QString& one, const QString& many);
/// A localization card as a page: the verdict, what each set did on the words that report, and the sites alone.
QString card_html(const event::Certified& card);

}  // namespace glyphscope
