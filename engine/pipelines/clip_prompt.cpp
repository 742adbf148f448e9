#include "pipelines/clip_prompt.h"

#include <torch/types.h>

#include <algorithm>
#include <limits>

#include "device/placement.h"

namespace glyphscope {

// On the host one stays.
ClipPrompt::ClipPrompt(const ModelFolder& folder, const std::string& number, const Opening& opening)
    : tokenizer_(ClipTokenizer::load(folder / ("tokenizer" + number))),
      encoder_(folder, "text_encoder" + number, ClipTextConfig::parse(Config::read(folder / ("text_encoder" + number) / "config.json")), bare_clip_key, opening,
               opening.plan.device.is_cpu() ? std::numeric_limits<std::int64_t>::max() : opening.held_encoder_bytes),
      read_(std::uint64_t{64} << 20) {}

TextEncoding ClipPrompt::encode(const std::string& prompt, std::int64_t skip, std::vector<std::string>& notes) const {
  return read_.get(std::to_string(skip) + ":" + prompt, notes, [&](std::vector<std::string>& its) {
    const ClipTextModel& model = encoder_.load();
    const Tokens tokens = tokenizer_.tokenize(WeightedPrompt::parse(prompt), length());
    note_cut("CLIP", tokens.cut, its);
    auto states = [&](const Tokens& each) { return model.forward(torch::tensor(each.ids, on_host(torch::kInt64)).unsqueeze(0), skip); };
    TextEncoding out = states(tokens);
    if (even(tokens.weights)) return out;
    const TextEncoding empty = states(tokenizer_.tokenize("", length()));
    out.embedding = weighted_states(out.embedding, empty.embedding, tokens.weights);
    out.hidden = weighted_states(out.hidden, empty.hidden, tokens.weights);
    return out;
  });
}

std::int64_t ClipPrompt::length() const { return std::min(tokenizer_.max_length(), config().max_positions); }

WordTokens ClipPrompt::words(const std::string& prompt, std::int64_t begin) const {
  return find_words(TokenEncoder::clip, WeightedPrompt::parse(prompt).text(), begin, length(), 1,
                    [this](const std::string& text) { return tokenizer_.encode(text); });
}

std::string bare_clip_key(const std::string& key) { return key.starts_with("text_model.") ? key.substr(11) : key; }

void note_cut(const std::string& reader, const std::string& cut, std::vector<std::string>& notes) {
  const std::string note = "The prompt is longer than " + reader + " reads; this was cut off: \"" + cut + "\"";
  if (!cut.empty() && std::find(notes.begin(), notes.end(), note) == notes.end()) notes.push_back(note);
}

}  // namespace glyphscope
