#include "pipelines/clip_prompt.h"

#include <torch/types.h>

#include <algorithm>

#include "device/placement.h"

namespace glyphscope {

ClipPrompt::ClipPrompt(const ModelFolder& folder, const std::string& number)
    : name("text_encoder" + number),
      tokenizer(ClipTokenizer::load(folder / ("tokenizer" + number))),
      model(ClipTextConfig::parse(Config::read(folder / name / "config.json"))) {}

TextEncoding ClipPrompt::encode(const std::string& prompt, std::int64_t skip, std::vector<std::string>& notes) const {
  const Tokens tokens = tokenizer.tokenize(WeightedPrompt::parse(prompt), length());
  note_cut("CLIP", tokens.cut, notes);
  TextEncoding out = model.forward(torch::tensor(tokens.ids, on_host(torch::kInt64)).unsqueeze(0), skip);
  if (even(tokens.weights)) return out;
  const TextEncoding empty = model.forward(torch::tensor(tokenizer.tokenize("", length()).ids, on_host(torch::kInt64)).unsqueeze(0), skip);
  out.embedding = weighted_states(out.embedding, empty.embedding, tokens.weights);
  out.hidden = weighted_states(out.hidden, empty.hidden, tokens.weights);
  return out;
}

WordTokens ClipPrompt::words(const std::string& prompt, std::int64_t begin) const {
  return find_words(WeightedPrompt::parse(prompt).text(), begin, length(), 1, [this](const std::string& text) { return tokenizer.encode(text); });
}

std::string bare_clip_key(const std::string& key) { return key.starts_with("text_model.") ? key.substr(11) : key; }

void note_cut(const std::string& reader, const std::string& cut, std::vector<std::string>& notes) {
  const std::string note = "The prompt is longer than " + reader + " reads; this was cut off: \"" + cut + "\"";
  if (!cut.empty() && std::find(notes.begin(), notes.end(), note) == notes.end()) notes.push_back(note);
}

}  // namespace glyphscope
