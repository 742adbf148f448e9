#include "tasks/attention_view.h"

#include <torch/types.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstdio>
#include <numeric>

#include "core/error.h"
#include "experiments/prompt_set.h"

namespace glyphscope {

namespace {

constexpr double kOpacity = 0.6;

torch::Tensor resized(const torch::Tensor& map, std::int64_t height, std::int64_t width) {
  return at::upsample_bilinear2d(map.unsqueeze(0).unsqueeze(0), {height, width}, /*align_corners=*/false)[0][0];
}

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

std::string share_text(const AttentionMap& map) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f %%", 100 * map.mean);
  return text;
}

PicturePanel::Picture overlay(const event::AttentionReady& look, int word, const std::vector<int>& sites, int first, int end, const std::string& name) {
  const AttentionMap map = attention_of(look, word, sites, first, end);
  return {attention_picture(look.picture, map, kOpacity), (name.empty() ? "" : name + ": ") + share_text(map)};
}

// Pictures in rows of so many; the first of each word's rows has its name.
PicturePanel in_rows(const std::vector<std::pair<std::string, std::vector<PicturePanel::Picture>>>& words, size_t across) {
  PicturePanel out;
  for (const auto& [name, pictures] : words)
    for (size_t first = 0; first < pictures.size(); first += across) {
      out.row_names.push_back(first == 0 ? name : "");
      out.rows.emplace_back(pictures.begin() + static_cast<std::ptrdiff_t>(first),
                            pictures.begin() + static_cast<std::ptrdiff_t>(std::min(first + across, pictures.size())));
    }
  return out;
}

const char* const kHow = "Share of the attention that the picture's points pay to a word, mean over heads and points; colours span 0 to each map's largest.";

}  // namespace

AttentionMap attention_of(const event::AttentionReady& look, int word, const std::vector<int>& sites, int first, int end) {
  AttentionMap out;
  const auto meant = [&](const event::AttentionReady::Site& site) { return sites.empty() || std::find(sites.begin(), sites.end(), site.site) != sites.end(); };
  for (const auto& site : look.sites)
    if (meant(site)) out.height = std::max(out.height, site.height), out.width = std::max(out.width, site.width);
  first = std::clamp(first, 0, look.ranges), end = std::clamp(end, first, look.ranges);
  const auto words = static_cast<std::int64_t>(look.words.size());
  if (out.height == 0 || first == end || word < 0 || word >= words) return {};
  torch::Tensor sum = torch::zeros({out.height, out.width});
  int count = 0;
  for (const auto& site : look.sites) {
    if (!meant(site)) continue;
    const torch::Tensor all = torch::from_blob(const_cast<float*>(site.values->data()), {look.ranges, words, site.height, site.width});
    // Ranges of steps are not all of one length.
    torch::Tensor maps = torch::zeros({site.height, site.width});
    int calls = 0;
    for (int range = first; range < end; ++range) {
      const int own = site.calls.empty() ? 1 : site.calls[static_cast<size_t>(range)];
      maps += own * all[range][word];
      calls += own;
    }
    if (calls == 0) continue;
    sum += resized(maps / calls, out.height, out.width);
    ++count;
  }
  if (count == 0) return {};
  sum = (sum / count).contiguous();
  const auto* values = sum.const_data_ptr<float>();
  out.values.assign(values, values + sum.numel());
  out.mean = sum.mean().item<double>();
  out.largest = sum.max().item<double>();
  return out;
}

Bitmap attention_picture(const Picture& picture, const AttentionMap& map, double opacity, ColourMap colours) {
  Bitmap out{picture.width, picture.height, picture.rgb ? *picture.rgb : std::vector<std::uint8_t>()};
  if (map.values.empty() || out.rgb.empty()) return out;
  const torch::Tensor small = torch::from_blob(const_cast<float*>(map.values.data()), {map.height, map.width});
  const torch::Tensor large = resized(small, out.height, out.width).contiguous();
  const auto* values = large.const_data_ptr<float>();
  for (size_t i = 0; i < out.rgb.size() / 3; ++i) {
    const Colour colour = colour_of(colours, map.largest > 0 ? static_cast<double>(values[i]) / map.largest : 0);
    for (size_t c = 0; c < 3; ++c) out.rgb[3 * i + c] = static_cast<std::uint8_t>(std::lround((1 - opacity) * out.rgb[3 * i + c] + opacity * colour[c]));
  }
  return out;
}

std::string steps_of_range(const event::AttentionReady& look, int range) {
  // Those whose number, times ranges, over steps is the range.
  const auto first_of = [&](int which) { return (which * look.steps + look.ranges - 1) / look.ranges; };
  const int first = first_of(range), last = first_of(range + 1) - 1;
  return first >= last ? std::to_string(first) : std::to_string(first) + "-" + std::to_string(last);
}

std::string bare_word(const std::string& word) {
  const auto is_mark = [](char c) { return std::string_view("\"'.,;:!?()[]{}").find(c) != std::string_view::npos; };
  size_t first = 0, end = word.size();
  while (first < end && is_mark(word[first])) ++first;
  while (end > first && is_mark(word[end - 1])) --end;
  return first < end ? word.substr(first, end - first) : word;
}

std::vector<int> words_meant(const std::vector<std::string>& words, const std::string& prompt, const std::vector<std::string>& named) {
  std::vector<int> out;
  const auto add_all = [&](const std::string& name) {
    const size_t before = out.size();
    for (size_t i = 0; i < words.size(); ++i)
      if (lower(bare_word(words[i])) == lower(bare_word(name))) out.push_back(static_cast<int>(i));
    return out.size() > before;
  };
  if (named.empty()) {
    std::string word;
    for (const char c : quoted_text(prompt) + " ") {
      if (c != ' ') {
        word += c;
        continue;
      }
      if (!word.empty()) add_all(word);
      word.clear();
    }
    if (out.empty()) {
      out.resize(words.size());
      std::iota(out.begin(), out.end(), 0);
    }
  }
  for (const auto& name : named) {
    if (add_all(name)) continue;
    std::string all;
    for (const auto& one : words) all += (all.empty() ? "" : ", ") + bare_word(one);
    reject("the prompt has no word '" + name + "' that the model reads", "words", "It has: " + all);
  }
  std::sort(out.begin(), out.end());
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

Figure words_figure(const event::AttentionReady& look) {
  constexpr size_t kAcross = 6;
  std::vector<PicturePanel::Picture> all{{Bitmap{look.picture.width, look.picture.height, *look.picture.rgb}, "the picture"}};
  for (size_t word = 0; word < look.words.size(); ++word) all.push_back(overlay(look, static_cast<int>(word), {}, 0, look.ranges, bare_word(look.words[word])));
  return {.title = "Where the picture looks among its prompt's words", .subtitle = kHow, .parts = {{"", in_rows({{"", all}}, kAcross)}}};
}

Figure sites_figure(const event::AttentionReady& look, const std::vector<int>& words) {
  constexpr size_t kAcross = 8;
  std::vector<std::pair<std::string, std::vector<PicturePanel::Picture>>> rows;
  for (const int word : words) {
    if (word < 0 || word >= static_cast<int>(look.words.size())) continue;
    rows.emplace_back(bare_word(look.words[static_cast<size_t>(word)]), std::vector<PicturePanel::Picture>());
    for (const auto& site : look.sites) rows.back().second.push_back(overlay(look, word, {site.site}, 0, look.ranges, "site " + std::to_string(site.site)));
  }
  return {.title = "Which sites look at a word, and from where", .subtitle = kHow, .parts = {{"", in_rows(rows, kAcross)}}};
}

Figure steps_figure(const event::AttentionReady& look, const std::vector<int>& words) {
  constexpr int kAcross = 8;
  std::vector<std::pair<std::string, std::vector<PicturePanel::Picture>>> rows;
  const int parts = std::min(kAcross, look.ranges);
  for (const int word : words) {
    if (word < 0 || word >= static_cast<int>(look.words.size())) continue;
    rows.emplace_back(bare_word(look.words[static_cast<size_t>(word)]), std::vector<PicturePanel::Picture>());
    for (int part = 0; part < parts; ++part) {
      const int first = part * look.ranges / parts, end = (part + 1) * look.ranges / parts;
      const std::string from = steps_of_range(look, first), to = steps_of_range(look, end - 1);
      const std::string name = "steps " + from.substr(0, from.find('-')) + "-" + to.substr(to.find('-') == std::string::npos ? 0 : to.find('-') + 1);
      rows.back().second.push_back(overlay(look, word, {}, first, end, name));
    }
  }
  return {.title = "When the picture looks at a word", .subtitle = kHow, .parts = {{"", in_rows(rows, kAcross)}}};
}

}  // namespace glyphscope
