#include "pipelines/clip_prompt.h"

#include <torch/types.h>

#include <algorithm>
#include <limits>

#include "core/error.h"
#include "device/placement.h"

namespace glyphscope {

namespace {

// Whether the model's index takes the encoder's pooled state through a projection; of a whole CLIP its own configuration does not say.
ClipTextConfig read_config(const ModelFolder& folder, const std::string& name) {
  const Config file = folder.config(name);
  ClipTextConfig out = ClipTextConfig::parse(file);
  if (file.has("text_config") && folder.index().json()[name][1] == "CLIPTextModelWithProjection") out.projection = file.size("projection_dim", 512, 1, 65536);
  return out;
}

// A whole CLIP's pictures are not read.
std::string projecting_key(const std::string& key) {
  const bool other = key.starts_with("vision_model.") || key == "visual_projection.weight" || key == "logit_scale";
  return other ? "" : bare_clip_key(key);
}

std::string plain_key(const std::string& key) { return key == "text_projection.weight" ? "" : projecting_key(key); }

auto key_of(const ClipTextConfig& config) { return config.projection > 0 ? &projecting_key : &plain_key; }

}  // namespace

// On the host one stays.
ClipPrompt::ClipPrompt(const ModelFolder& folder, const std::string& number, const Opening& opening)
    : tokenizer_([path = folder / ("tokenizer" + number)] { return ClipTokenizer::load(path); }),
      encoder_(folder, "text_encoder" + number, read_config(folder, "text_encoder" + number), key_of(read_config(folder, "text_encoder" + number)), opening,
               opening.plan.device.is_cpu() ? std::numeric_limits<std::int64_t>::max() : opening.held_encoder_bytes),
      read_(std::uint64_t{64} << 20) {}

TextEncoding ClipPrompt::encode(const std::string& prompt, std::int64_t skip, std::vector<std::string>& notes) const {
  const auto read = [&](std::vector<std::string>& its) {
    const ClipTextModel& model = encoder_.load();
    const Tokens tokens = tokenizer_->tokenize(WeightedPrompt::parse(prompt), length());
    note_cut("CLIP", tokens.cut, its);
    check_known(tokens, config().vocab_size, component());
    auto states = [&](const Tokens& each) { return model.forward(torch::tensor(each.ids, on_host(torch::kInt64)).unsqueeze(0), skip); };
    TextEncoding out = states(tokens);
    if (even(tokens.weights)) return out;
    const TextEncoding empty = states(tokenizer_->tokenize("", length()));
    out.embedding = weighted_states(out.embedding, empty.embedding, tokens.weights);
    out.hidden = weighted_states(out.hidden, empty.hidden, tokens.weights);
    return out;
  };
  return encoder_.training() ? read(notes) : read_.get(std::to_string(skip) + ":" + prompt, notes, read);
}

std::int64_t ClipPrompt::length() const { return std::min(tokenizer_->max_length(), config().max_positions); }

WordTokens ClipPrompt::words(const std::string& prompt, std::int64_t begin) const {
  return find_words(TokenEncoder::clip, WeightedPrompt::parse(prompt).text(), begin, length(), 1,
                    [this](const std::string& text) { return tokenizer_->encode(text); });
}

std::string bare_clip_key(const std::string& key) { return key.starts_with("text_model.") ? key.substr(11) : key; }

void check_known(const Tokens& tokens, std::int64_t known, const std::string& component) {
  for (size_t i = 0; i < tokens.ids.size(); ++i)
    if (tokens.ids[i] >= known)
      reject("the token '" + (i < tokens.texts.size() ? tokens.texts[i] : "?") + "' has the id " + std::to_string(tokens.ids[i]) + ", and " + component +
                 " has embeddings for " + std::to_string(known),
             component,
             "It was added to the tokenizer alone: resize the encoder's embeddings too (resize_token_embeddings), or take tokenizer and encoder of one model");
}

void note_cut(const std::string& reader, const std::string& cut, std::vector<std::string>& notes) {
  const std::string note = "The prompt is longer than " + reader + " reads; this was cut off: \"" + cut + "\"";
  if (!cut.empty() && std::find(notes.begin(), notes.end(), note) == notes.end()) notes.push_back(note);
}

}  // namespace glyphscope
