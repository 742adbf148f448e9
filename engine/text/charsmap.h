#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace glyphscope {

/// SentencePiece's compiled map of characters to what they are normalised to, applied as the tokenizers library does: to whole grapheme clusters where they are
/// short, so that of "…" with a mark above the mark is lost. Source of the format: SentencePiece's Normalizer, a double array (darts-clone) before the texts.
class Charsmap {
 public:
  /// Throws a Failure for one that is cut off. where: for errors.
  Charsmap(const std::string& compiled, const std::string& where);

  struct Text {
    std::string text;
    std::vector<size_t> origin;  ///< Of each byte: where what it came from begins in the text before.
  };
  Text apply(std::string_view text) const;

 private:
  // What the shortest prefix of this that the map has becomes; null: it has none.
  const char* find(std::string_view key) const;
  std::vector<std::uint32_t> units_;
  std::string texts_;
};

}  // namespace glyphscope
