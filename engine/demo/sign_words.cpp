#include "demo/sign_words.h"

#include <algorithm>
#include <cctype>

#include "core/error.h"
#include "experiments/prompt_set.h"
#include "io/resources.h"

namespace glyphscope {

namespace {

bool draws_signs(const ModelInfo& model) { return std::filesystem::exists(model.folder / "recipe.json"); }

}  // namespace

SignData sign_data(const ModelInfo& model) { return draws_signs(model) ? SignData::parse(Config::read(model.folder / "recipe.json")) : SignData(); }

std::optional<LearnedText> learned_text(const ModelInfo& model) {
  if (!draws_signs(model)) return {};
  const SignData data = sign_data(model);
  return LearnedText{data.shortest, data.longest};
}

std::vector<std::string> sign_words(const SignData& data, const std::filesystem::path& list) {
  std::vector<std::string> words = read_word_list(list);
  std::erase_if(words, [&](const std::string& word) { return static_cast<int>(word.size()) < data.shortest || static_cast<int>(word.size()) > data.longest; });
  // As on the signs they learned from: T5 reads capitals and small letters as different ones.
  for (auto& word : words) std::transform(word.begin(), word.end(), word.begin(), [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  if (words.empty()) reject("the list has no word of " + std::to_string(data.shortest) + " to " + std::to_string(data.longest) + " letters", list.string());
  return words;
}

std::vector<std::string> localization_words(const SignData& data, size_t pairs) {
  std::vector<std::string> words = sign_words(data, resource("words/localize.txt"));
  if (words.size() >= 2 * pairs) return words;
  for (auto& word : sign_words(data, resource("words/evaluate.txt"))) words.push_back(std::move(word));
  return words;
}

std::vector<std::string> localization_templates(const ModelInfo& model) {
  if (draws_signs(model)) return read_word_list(resource("prompts/signs.txt"));
  return {"A sign that says \"<text>\"."};
}

std::pair<std::string, std::string> example_prompts(const ModelInfo& model) {
  const std::vector<std::string> words = sign_words(sign_data(model), resource("words/examples.txt"));
  const std::string form = localization_templates(model).at(0);
  return {fill_template(form, words.at(0)), fill_template(form, words.at(1))};
}

std::vector<std::string> sample_prompts(const ModelInfo& model, const std::filesystem::path& file) {
  std::vector<std::string> prompts = read_prompts(file.empty() ? resource(draws_signs(model) ? "prompts/sign-samples.txt" : "prompts/samples.txt") : file);
  const std::vector<std::string> words = sign_words(sign_data(model), resource("words/evaluate.txt"));
  for (size_t i = 0; i < prompts.size(); ++i)
    if (prompts[i].find("<text>") != std::string::npos) prompts[i] = fill_template(prompts[i], words[i % words.size()]);
  return prompts;
}

std::vector<std::string> term_prompts(const ModelInfo& model, const TermList& terms, size_t count) {
  std::vector<std::string> forms, words;
  const SignData signs = sign_data(model);
  const bool demo = draws_signs(model);
  for (const auto& form : read_word_list(resource(demo ? "prompts/signs.txt" : "prompts/samples.txt")))
    if (form.find("<text>") != std::string::npos) forms.push_back(form);
  for (const auto& term : terms.terms()) {
    const auto letters = static_cast<int>(term.text.size());
    if (demo && (letters < signs.shortest || letters > signs.longest)) continue;
    words.push_back(term.text);
    std::transform(words.back().begin(), words.back().end(), words.back().begin(), [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  }
  if (words.empty()) reject("no term of the list fits the model's signs", "list of terms", "Name prompts that ask for one");
  std::vector<std::string> out;
  for (size_t i = 0; i < count; ++i) out.push_back(fill_template(forms[(i + i / words.size()) % forms.size()], words[i % words.size()]));
  return out;
}

}  // namespace glyphscope
