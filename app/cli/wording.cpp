#include "app/cli/wording.h"

#include "core/option.h"

namespace glyphscope::cli {

std::string in_words(const std::string& text) {
  return worded(text, [](Option name, const std::string& value) -> std::string {
    if (name == Option::inspect) return "`glyphscope inspect`";
    return (name == Option::verify_log ? "guard --" : "--") + option_name(name) + (value.empty() ? "" : " " + value);
  });
}

}  // namespace glyphscope::cli
