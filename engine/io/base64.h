#pragma once

#include <string>
#include <string_view>

namespace glyphscope {

std::string to_base64(std::string_view bytes);
/// Throws a Failure for what is no base64. what: it is of, `where`: it is in.
std::string from_base64(const std::string& text, const std::string& what, const std::string& where);

}  // namespace glyphscope
