#include "core/option.h"

#include <array>
#include <string_view>
#include <utility>

namespace glyphscope {

namespace {

constexpr std::string_view kOpens = "\u2039", kCloses = "\u203a";

constexpr std::array<std::pair<Option, std::string_view>, 42> kNames{{{Option::adapter, "adapter"},
                                                                      {Option::attributes, "attributes"},
                                                                      {Option::autoencoder, "autoencoder"},
                                                                      {Option::by, "by"},
                                                                      {Option::config, "config"},
                                                                      {Option::device, "device"},
                                                                      {Option::direction, "direction"},
                                                                      {Option::dtype, "dtype"},
                                                                      {Option::format, "format"},
                                                                      {Option::from_step, "from-step"},
                                                                      {Option::guidance, "guidance"},
                                                                      {Option::held_out, "held-out"},
                                                                      {Option::image, "image"},
                                                                      {Option::inspect, "list-of-sites"},
                                                                      {Option::mask, "mask"},
                                                                      {Option::memory, "memory"},
                                                                      {Option::method, "method"},
                                                                      {Option::negative, "negative"},
                                                                      {Option::noise_level, "noise-level"},
                                                                      {Option::ocr, "ocr"},
                                                                      {Option::out, "out"},
                                                                      {Option::players, "players"},
                                                                      {Option::projections, "projections"},
                                                                      {Option::prompts, "prompts"},
                                                                      {Option::rank, "rank"},
                                                                      {Option::rate, "rate"},
                                                                      {Option::resolution, "resolution"},
                                                                      {Option::resume, "resume"},
                                                                      {Option::schedule, "schedule"},
                                                                      {Option::scheduler, "scheduler"},
                                                                      {Option::search, "search"},
                                                                      {Option::sets, "sets"},
                                                                      {Option::shard, "shard"},
                                                                      {Option::sites, "sites"},
                                                                      {Option::size, "size"},
                                                                      {Option::step_ranges, "step-ranges"},
                                                                      {Option::template_text, "template"},
                                                                      {Option::text_encoders, "text-encoders"},
                                                                      {Option::upscale, "upscale"},
                                                                      {Option::upscale_steps, "upscale-steps"},
                                                                      {Option::verify_log, "verify-log"},
                                                                      {Option::words, "words"}}};

}  // namespace

std::string option_name(Option name) {
  for (const auto& [one, text] : kNames)
    if (one == name) return std::string(text);
  return {};
}

std::string option(Option name, const std::string& value) {
  return std::string(kOpens) + option_name(name) + (value.empty() ? "" : " " + value) + std::string(kCloses);
}

std::string worded(const std::string& text, const Wording& wording) {
  std::string out;
  size_t at = 0;
  for (size_t opens = 0; (opens = text.find(kOpens, at)) != std::string::npos;) {
    const size_t begin = opens + kOpens.size(), closes = text.find(kCloses, begin);
    if (closes == std::string::npos) break;
    const std::string_view inside = std::string_view(text).substr(begin, closes - begin);
    const std::string_view name = inside.substr(0, inside.find(' '));
    const auto* known = kNames.begin();
    while (known != kNames.end() && known->second != name) ++known;
    if (known == kNames.end()) {  // a user's own quotation marks
      out += text.substr(at, begin - at);
      at = begin;
      continue;
    }
    out += text.substr(at, opens - at) + wording(known->first, std::string(inside.substr(std::min(name.size() + 1, inside.size()))));
    at = closes + kCloses.size();
  }
  return out + text.substr(at);
}

}  // namespace glyphscope
