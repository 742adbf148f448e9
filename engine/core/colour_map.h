#pragma once

#include <array>
#include <string>
#include <vector>

namespace glyphscope {

/// Red, green, blue, 0 to 255.
using Colour = std::array<int, 3>;

/// How values become colours. All are matplotlib's of the same name, interpolated between their colours at 0, 1/16, .. 1; `difference` is its RdBu_r, for
/// values that have a middle.
enum class ColourMap { viridis, cividis, magma, grey, turbo, difference };

/// The colour of a value in [0, 1]. Values outside are clamped; what is not finite is 0.
Colour colour_of(ColourMap map, double value);
/// Viridis, which the window shows values in.
inline Colour heat_rgb(double value) { return colour_of(ColourMap::viridis, value); }
/// Black or white, whichever has the greater contrast with `background` (WCAG 2.2).
Colour ink_on(const Colour& background);
/// WCAG 2.2's contrast of two colours, 1 to 21.
double contrast(const Colour& a, const Colour& b);

std::string to_string(ColourMap map);
/// Throws a Failure that names what there is.
ColourMap colour_map_of(const std::string& name);
std::vector<std::string> colour_map_names();
/// What to say of a map whose order cannot be seen by everyone, or in grey; "" for the others.
std::string colour_warning(ColourMap map);

}  // namespace glyphscope
