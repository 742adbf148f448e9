#include "text/charsmap.h"

#include <cstring>

#include "core/error.h"
#include "core/unicode.h"

namespace glyphscope {

Charsmap::Charsmap(const std::string& compiled, const std::string& where) {
  std::uint32_t size = 0;
  if (compiled.size() >= 4) std::memcpy(&size, compiled.data(), 4);
  if (compiled.size() < 4 || size % 4 != 0 || size == 0 || size > compiled.size() - 4)
    reject("its compiled map of characters is cut off", where, "The file is damaged");
  units_.resize(size / 4);
  std::memcpy(units_.data(), compiled.data() + 4, size);
  texts_ = compiled.substr(4 + size);
}

const char* Charsmap::find(std::string_view key) const {
  const auto offset = [](std::uint32_t unit) { return (unit >> 10) << ((unit & (1U << 9)) >> 6); };
  std::size_t at = offset(units_[0]);
  for (const char c : key) {
    const auto byte = static_cast<unsigned char>(c);
    at ^= byte;
    if (at >= units_.size() || (units_[at] & (1U << 31 | 0xFF)) != byte) return nullptr;
    const std::uint32_t unit = units_[at];
    at ^= offset(unit);
    if (!((unit >> 8) & 1)) continue;
    if (at >= units_.size()) return nullptr;
    const std::uint32_t text = units_[at] & ~(1U << 31);
    return text < texts_.size() ? texts_.c_str() + text : nullptr;
  }
  return nullptr;
}

Charsmap::Text Charsmap::apply(std::string_view text) const {
  constexpr std::size_t kShort = 6;  // bytes of a grapheme cluster that is looked up as a whole
  Text out;
  std::size_t at = 0;
  const auto add = [&](std::string_view what) {
    out.text += what;
    out.origin.insert(out.origin.end(), what.size(), at);
  };
  for (const std::string_view cluster : graphemes(text)) {
    if (const char* whole = cluster.size() < kShort ? find(cluster) : nullptr) {
      add(whole);
      at += cluster.size();
      continue;
    }
    for (std::size_t begin = 0; begin < cluster.size();) {
      std::size_t end = begin + 1;
      while (end < cluster.size() && (static_cast<unsigned char>(cluster[end]) & 0xC0) == 0x80) ++end;
      const std::string_view letter = cluster.substr(begin, end - begin);
      const char* mapped = find(letter);
      add(mapped ? std::string_view(mapped) : letter);
      at += end - begin;
      begin = end;
    }
  }
  return out;
}

}  // namespace glyphscope
