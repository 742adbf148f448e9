#include "metrics/scores.h"

#include <algorithm>
#include <limits>

#include "metrics/image_scores.h"
#include "metrics/text_scores.h"

namespace glyphscope {

namespace {

constexpr double kInfinite = std::numeric_limits<double>::infinity();
constexpr double kLargestSquare = 255.0 * 255.0;

using Info = ScoreInfo;
using Better = ScoreInfo::Better;
using Against = ScoreInfo::Against;
using In = ScoreInputs;

// A share of something, in [0, 1].
Info share(std::string_view key, const char* title, const char* sentence, Better better, Against against, int digits, bool charted,
           double (*compute)(const In&)) {
  return {.key = key,
          .title = title,
          .sentence = sentence,
          .low = 0,
          .high = 1,
          .better = better,
          .against = against,
          .digits = digits,
          .unit = "",
          .charted = charted,
          .version = 1,
          .compute = compute};
}
// A structural similarity.
Info similarity(std::string_view key, const char* title, const char* sentence, bool charted, double (*compute)(const In&)) {
  Info out = share(key, title, sentence, Better::higher, Against::source_picture, 3, charted, compute);
  out.low = -1;
  return out;
}
// Something that is counted or measured from 0 on.
Info amount(std::string_view key, const char* title, const char* sentence, double high, Better better, Against against, int digits, const char* unit,
            double (*compute)(const In&)) {
  Info out = share(key, title, sentence, better, against, digits, false, compute);
  out.high = high;
  out.unit = unit;
  return out;
}

// A number that may be under 0.
Info margin(std::string_view key, const char* title, const char* sentence, Better better, Against against) {
  Info out = amount(key, title, sentence, kInfinite, better, against, 2, "", nullptr);
  out.low = -kInfinite;
  return out;
}

// What not every run asks for.
Info if_asked(Info info) {
  info.if_asked = true;
  return info;
}

}  // namespace

const std::vector<ScoreInfo>& score_table() {
  using enum ScoreInfo::Better;
  using enum ScoreInfo::Against;
  static const std::vector<ScoreInfo> table{
      share("target_f1", "reads as B (F1)", "characters of the target's text (F1)", higher, target_text, 2, true, [](const In& in) { return in.target.f1; }),
      share("source_f1", "reads as A (F1)", "characters of the source's text (F1)", lower, source_text, 2, true, [](const In& in) { return in.source.f1; }),
      share("word_accuracy", "is B's word", "the target's text exactly", higher, target_text, 0, true,
            [](const In& in) { return in.target.exact ? 1.0 : 0.0; }),
      similarity("ssim_outside_text", "background kept", "SSIM to the source outside its text", true, [](const In& in) { return in.ssim_outside_text; }),
      similarity("ssim", "image kept (SSIM)", "SSIM to the source", true, [](const In& in) { return in.image.ssim; }),
      // Under 0 where the squares are of more than one pixel's whole range: never.
      amount("psnr", "PSNR to A", "PSNR", kInfinite, higher, source_picture, 1, " dB", [](const In& in) { return in.image.psnr; }),
      amount("mse", "squared error to A", "mean squared error", kLargestSquare, lower, source_picture, 1, "", [](const In& in) { return in.image.mse; }),
      share("target_precision", "B's characters (precision)", "characters read that are the target's", higher, target_text, 2, false,
            [](const In& in) { return in.target.precision; }),
      share("target_recall", "B's characters (recall)", "characters of the target's text that are read", higher, target_text, 2, false,
            [](const In& in) { return in.target.recall; }),
      amount("target_edit_distance", "edit distance to B", "edit distance to the target's text", kInfinite, lower, target_text, 0, "",
             [](const In& in) { return static_cast<double>(in.target.edit_distance); }),
      share("source_precision", "A's characters (precision)", "characters read that are the source's", lower, source_text, 2, false,
            [](const In& in) { return in.source.precision; }),
      share("source_recall", "A's characters (recall)", "characters of the source's text that are read", lower, source_text, 2, false,
            [](const In& in) { return in.source.recall; }),
      amount("source_edit_distance", "edit distance to A", "edit distance to the source's text", kInfinite, higher, source_text, 0, "",
             [](const In& in) { return static_cast<double>(in.source.edit_distance); }),
      share("anagram_accuracy", "is an anagram of B's word", "the target's letters in any order", higher, target_text, 0, false,
            [](const In& in) { return in.target.anagram ? 1.0 : 0.0; }),
      share("target_normalized_edit_distance", "edit distance to B (share)", "edit distance to the target's text, as a share of its length", lower, target_text,
            2, false, [](const In& in) { return in.target.normalized_edit_distance; }),
      share("source_normalized_edit_distance", "edit distance to A (share)", "edit distance to the source's text, as a share of its length", higher,
            source_text, 2, false, [](const In& in) { return in.source.normalized_edit_distance; }),
      share("target_word_precision", "B's words (precision)", "words read that are the target's", higher, target_text, 2, false,
            [](const In& in) { return in.target.word_precision; }),
      share("target_word_recall", "B's words (recall)", "words of the target's text that are read", higher, target_text, 2, false,
            [](const In& in) { return in.target.word_recall; }),
      share("target_word_f1", "B's words (F1)", "words of the target's text (F1)", higher, target_text, 2, false,
            [](const In& in) { return in.target.word_f1; }),
      share("source_word_f1", "A's words (F1)", "words of the source's text (F1)", lower, source_text, 2, false,
            [](const In& in) { return in.source.word_f1; }),
      amount("paper_mse", "squared error (8 bits, wrapped)", "mean squared error in 8 bits that wrap, as the paper's code has it", kLargestSquare, lower,
             source_picture, 1, "", [](const In& in) { return in.image.wrapped_mse; }),
      amount("paper_psnr", "PSNR (8 bits, wrapped)", "PSNR of that", 200, higher, source_picture, 1, " dB", [](const In& in) { return in.image.wrapped_psnr; }),
      if_asked(amount("clip_t", "CLIPScore of B's prompt", "CLIPScore of the target's prompt", 2.5, higher, source_picture, 3, "", nullptr)),
      if_asked(similarity("clip_t_cosine", "CLIP's cosine, B's prompt", "cosine of CLIP's features with the target's prompt", false, nullptr)),
      if_asked(similarity("clip_i", "CLIP-I to A", "cosine of CLIP's features with the source", false, nullptr)),
      if_asked(amount("dino_distance", "DINO distance to A", "distance of DINO's features from the source", 2, lower, source_picture, 3, "", nullptr)),
      if_asked(amount("lpips", "LPIPS to A", "LPIPS to the source", kInfinite, lower, source_picture, 3, "", nullptr)),
      if_asked(margin("reader_margin", "reader: B less A", "nats a letter by which the reader finds the target's text likelier than the source's", higher,
                      target_text)),
      if_asked(share("target_attribute", "shows B's attribute", "the target's attribute", higher, source_picture, 0, false, nullptr)),
      if_asked(share("source_attribute", "shows A's attribute", "the source's attribute", lower, source_picture, 0, false, nullptr)),
      share("target_f1_of_means", "reads as B (F1 of means)", "", higher, target_text, 2, false, nullptr),
      share("source_f1_of_means", "reads as A (F1 of means)", "", lower, source_text, 2, false, nullptr),
      similarity("ssim_outside_box", "kept outside the box", "SSIM outside the box", false, nullptr),
      amount("psnr_outside_box", "PSNR outside the box", "PSNR outside the box", kInfinite, higher, source_picture, 1, " dB", nullptr),
      amount("mse_outside_box", "error outside the box", "mean squared error outside the box", kLargestSquare, lower, source_picture, 1, "", nullptr),
      similarity("ssim_inside_box", "kept inside the box", "SSIM inside", false, nullptr),
      amount("psnr_inside_box", "PSNR inside the box", "PSNR inside", kInfinite, neither, source_picture, 1, " dB", nullptr),
      amount("mse_inside_box", "error inside the box", "mean squared error inside", kLargestSquare, neither, source_picture, 1, "", nullptr),
  };
  return table;
}

const ScoreInfo* find_score(std::string_view key) {
  const auto& table = score_table();
  const auto found = std::find_if(table.begin(), table.end(), [&](const ScoreInfo& one) { return one.key == key; });
  return found == table.end() ? nullptr : &*found;
}

namespace {

template <class Is>
std::vector<const ScoreInfo*> those(Is is) {
  std::vector<const ScoreInfo*> out;
  for (const auto& one : score_table())
    if (is(one)) out.push_back(&one);
  return out;
}

}  // namespace

std::vector<const ScoreInfo*> measured_scores() {
  return those([](const ScoreInfo& one) { return one.compute != nullptr; });
}
std::vector<const ScoreInfo*> reported_scores() {
  return those([](const ScoreInfo& one) { return one.compute != nullptr || one.if_asked || one.key.ends_with("_of_means"); });
}
std::vector<const ScoreInfo*> charted_scores() {
  return those([](const ScoreInfo& one) { return one.charted; });
}

}  // namespace glyphscope
