#include "metrics/measurement.h"

#include "metrics/image_scores.h"
#include "metrics/text_scores.h"

namespace glyphscope {

Measurement measure(const torch::Tensor& image, const std::vector<TextPiece>& pieces, const torch::Tensor& source_image,
                    const std::vector<TextPiece>& source_pieces, const std::string& source_text, const std::string& target_text) {
  Measurement out;
  out.read = joined_text(pieces);
  const TextScores target = score_text(out.read, target_text), source = score_text(out.read, source_text);
  const ImageScores scores = score_images(image, source_image);
  std::vector<Box> boxes;
  for (const auto* list : {&pieces, &source_pieces})
    for (const auto& piece : *list) boxes.push_back(piece.box);
  const ScoreInputs inputs{target, source, scores, structural_similarity(black_out(image, boxes), black_out(source_image, boxes))};
  for (const ScoreInfo* info : measured_scores()) out.scores[std::string(info->key)] = info->compute(inputs);
  return out;
}

void leave_out_unscored(Measurement& measured, const std::string& source_text, const std::string& target_text) {
  std::erase_if(measured.scores, [&](const auto& score) {
    const ScoreInfo* info = find_score(score.first);
    return info && ((info->against == ScoreInfo::Against::source_text && source_text.empty()) ||
                    (info->against == ScoreInfo::Against::target_text && target_text.empty()));
  });
}

}  // namespace glyphscope
