#pragma once

#include <string>
#include <vector>

#include "plot/figure.h"
#include "tasks/events.h"

/// What is shown of recorded attention.
namespace glyphscope {

/// Where a picture looks at a word.
struct AttentionMap {
  int height = 0, width = 0;
  std::vector<float> values;  ///< Of each point, the share of its attention; rows from the top.
  double mean = 0, largest = 0;
};

/// Mean over sites (none: all that were recorded) and over ranges of steps from `first` to `end`; each site's map is brought to the largest's size. Empty if
/// nothing was recorded there.
AttentionMap attention_of(const event::AttentionReady& look, int word, const std::vector<int>& sites, int first, int end);

/// The map over the picture, of the picture's size: its colours span 0 to the map's largest value. opacity: of the map, 0 to 1.
Bitmap attention_picture(const Picture& picture, const AttentionMap& map, double opacity, ColourMap colours = ColourMap::viridis);

/// "0-3": the steps of a range.
std::string steps_of_range(const event::AttentionReady& look, int range);
/// Indices of a prompt's words that are meant: those named, without regard to case, quotes and marks; of none, those of the text in double quotes, else all.
/// Throws a Failure that lists the words for one that is not in the prompt.
std::vector<int> words_meant(const std::vector<std::string>& words, const std::string& prompt, const std::vector<std::string>& named);
/// A word without quotes and marks.
std::string bare_word(const std::string& word);

/// Each word over the picture; the meant ones by site, and by range of steps.
Figure words_figure(const event::AttentionReady& look);
Figure sites_figure(const event::AttentionReady& look, const std::vector<int>& words);
Figure steps_figure(const event::AttentionReady& look, const std::vector<int>& words);

}  // namespace glyphscope
