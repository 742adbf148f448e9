#pragma once

namespace glyphscope {

/// Result::outcomes of a row that was drawn as it was asked for, and of one whose image may not be seen. What else there is says how it was drawn.
inline constexpr const char* kAsAsked = "as asked";
inline constexpr const char* kWithheld = "withheld";

}  // namespace glyphscope
