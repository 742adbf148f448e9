#include "text/chat_tokenizer.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "io/files.h"
#include "text/tokenizer_files.h"

namespace glyphscope {
namespace fs = std::filesystem;

namespace {

constexpr const char* kMarks[] = {"<|im_start|>", "<|im_end|>"};

// transformers 5 writes the template into a file of its own, older versions into the tokenizer's configuration. Empty: there is none.
std::string chat_template(const fs::path& folder) {
  if (const fs::path own = folder / "chat_template.jinja"; fs::exists(own)) return read_text(own);
  const fs::path settings = folder / "tokenizer_config.json";
  if (!fs::exists(settings)) return {};
  const nlohmann::json json = read_json(settings);
  return json.contains("chat_template") && json["chat_template"].is_string() ? json["chat_template"].get<std::string>() : std::string();
}

}  // namespace

ChatTokenizer::ChatTokenizer(const fs::path& folder, ChatTurn turn) : tokenizer_(read_qwen_tokenizer(folder), folder.string()), turn_(std::move(turn)) {
  const std::string form = chat_template(folder);
  for (const char* mark : kMarks) {
    if (!tokenizer_.id(mark)) reject("the vocabulary lacks the token '" + std::string(mark) + "'", folder.string(), "Tokenizer and model belong together");
    if (!form.empty() && form.find(mark) == std::string::npos)
      reject("the chat template is not Qwen's: it has no '" + std::string(mark) + "'", folder.string(), "Take the tokenizer that was published with the model");
  }
  lead_ = static_cast<std::int64_t>(tokenizer_.pieces(turn_.before).size());
  trail_ = static_cast<std::int64_t>(tokenizer_.pieces(turn_.after).size());
}

ChatTokenizer::Tokens ChatTokenizer::tokenize(const std::string& prompt, std::int64_t most) const {
  Tokens out;
  const auto pieces = tokenizer_.pieces(turn_.before + prompt + turn_.after);
  const auto end = static_cast<std::int64_t>(pieces.size()) - trail_;  // of the prompt
  for (std::int64_t i = 0; i < static_cast<std::int64_t>(pieces.size()); ++i) {
    const auto& piece = pieces[static_cast<size_t>(i)];
    if (i < most) {
      out.ids.push_back(piece.id);
      out.texts.push_back(bytes_of_letters(piece.text));
    } else if (i < end) {
      out.cut += bytes_of_letters(piece.text);
    }
  }
  return out;
}

std::vector<std::int64_t> ChatTokenizer::encode(const std::string& text) const {
  const auto pieces = tokenizer_.pieces(turn_.before + text);
  std::vector<std::int64_t> out;
  for (size_t i = std::min(pieces.size(), static_cast<size_t>(lead_)); i < pieces.size(); ++i) out.push_back(pieces[i].id);
  return out;
}

}  // namespace glyphscope
