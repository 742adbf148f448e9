#include "io/base64.h"

#include <openssl/evp.h>

#include "core/error.h"

namespace glyphscope {

std::string to_base64(std::string_view bytes) {
  std::string out((bytes.size() + 2) / 3 * 4 + 1, '\0');
  const int size =
      EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data()), reinterpret_cast<const unsigned char*>(bytes.data()), static_cast<int>(bytes.size()));
  out.resize(static_cast<size_t>(size));
  return out;
}

std::string from_base64(const std::string& text, const std::string& what, const std::string& where) {
  std::string out(text.size() / 4 * 3 + 3, '\0');
  const int size =
      EVP_DecodeBlock(reinterpret_cast<unsigned char*>(out.data()), reinterpret_cast<const unsigned char*>(text.data()), static_cast<int>(text.size()));
  if (size < 0) reject(what + " is no base64", where, "The file is damaged");
  // The padding counts as zeros.
  const auto padding = static_cast<size_t>(text.ends_with("==") ? 2 : text.ends_with("=") ? 1 : 0);
  out.resize(static_cast<size_t>(size) - padding);
  return out;
}

}  // namespace glyphscope
