#pragma once

#include <string>

/// Parts of tables as text.
namespace glyphscope {

/// "" for what is not finite.
std::string csv_number(double value);
/// A text as a field of a table: in quotes where it has to be.
std::string csv_field(const std::string& text);

}  // namespace glyphscope
