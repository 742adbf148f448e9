#include "demo/sign_attributes.h"

#include <torch/types.h>

#include <algorithm>
#include <map>
#include <optional>
#include <regex>

#include "core/error.h"
#include "core/option.h"
#include "core/random.h"
#include "core/unicode.h"
#include "demo/sign_words.h"
#include "metrics/text_scores.h"

namespace glyphscope {

namespace {

// What a prompt of SignSpec::prompt() asks for; none for another.
std::optional<SignSpec> parse_sign(const std::string& prompt) {
  static const std::regex form(R"re(a (round|square) (\w+) sign that says "([^"]*)" on a (\w+) wall)re");
  std::smatch found;
  if (!std::regex_match(prompt, found, form)) return std::nullopt;
  const auto colour = [](const std::string& name) -> int {
    const auto& all = sign_colours();
    const auto at = std::find_if(all.begin(), all.end(), [&](const SignColour& one) { return one.name == name; });
    return at == all.end() ? -1 : static_cast<int>(at - all.begin());
  };
  SignSpec out;
  out.round = found[1] == "round";
  out.sign = colour(found[2]);
  out.word = found[3];
  out.wall = colour(found[4]);
  if (out.sign < 0 || out.wall < 0) return std::nullopt;
  return out;
}

// Another colour than both of the sign's.
int other_colour(const SignSpec& sign, Choice& choice) {
  int out = choice.below(static_cast<int>(sign_colours().size()) - 2);
  for (const int taken : {std::min(sign.sign, sign.wall), std::max(sign.sign, sign.wall)}) out += out >= taken;
  return out;
}

size_t length_of(const std::string& word) { return decode_utf8(word).size(); }

// A word of another length than the first, from the i-th on; none if there is none.
std::optional<std::string> word_of_other_length(const std::vector<std::string>& words, const std::string& first, size_t from) {
  for (size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[(from + i) % words.size()];
    if (length_of(word) != length_of(first)) return word;
  }
  return std::nullopt;
}

}  // namespace

const std::vector<std::string>& sign_attributes() {
  static const std::vector<std::string> names{"word", "length", "sign-colour", "wall-colour", "shape"};
  return names;
}

std::vector<PromptPair> attribute_pairs(const ModelInfo& model, const std::vector<std::string>& asked, size_t count, std::uint64_t seed) {
  if (!learned_text(model))
    reject("only demo models draw signs, whose attributes are known", model.source,
           "Of another model, " + option(Option::prompts) + " names pairs of your own");
  const SignData data = sign_data(model);
  const std::vector<std::string> words = localization_words(data, count);
  std::vector<std::string> attributes = asked;
  if (asked == std::vector<std::string>{"all"}) {
    attributes = sign_attributes();
    if (data.shortest == data.longest) std::erase(attributes, "length");
  }
  std::vector<PromptPair> out;
  for (const std::string& attribute : attributes) {
    if (std::find(sign_attributes().begin(), sign_attributes().end(), attribute) == sign_attributes().end()) {
      std::string known;
      for (const auto& one : sign_attributes()) known += (known.empty() ? "" : ", ") + one;
      reject("unknown attribute '" + attribute + "'", option(Option::attributes, attribute), "Known are " + known);
    }
    for (size_t i = 0; i < count; ++i) {
      Choice choice(derive_seed(seed, 19, i));
      const SignSpec a = SignSampler::with_word(words[2 * i % words.size()], choice, data);
      SignSpec b = a;
      if (attribute == "word") {
        b.word = words[(2 * i + 1) % words.size()];
      } else if (attribute == "length") {
        const auto other = word_of_other_length(words, a.word, 2 * i + 1);
        if (!other) reject("the model writes words of one length alone", option(Option::attributes, attribute), "Leave this attribute out");
        b.word = *other;
      } else if (attribute == "sign-colour") {
        b.sign = other_colour(a, choice);
      } else if (attribute == "wall-colour") {
        b.wall = other_colour(a, choice);
      } else {
        b.round = !a.round;
      }
      out.push_back({a.prompt(), b.prompt(), a.word, b.word, attribute});
    }
  }
  return out;
}

void score_attribute(const PromptPair& pair, const torch::Tensor& image, const std::string& read, Scores& scores) {
  if (pair.attribute.empty()) return;
  const auto a = parse_sign(pair.source), b = parse_sign(pair.target);
  if (!a || !b) reject("the prompts of an attribute are not those of signs", pair.source);
  if (image.size(1) != image.size(2) || SignRenderer::kSize % image.size(1) != 0)
    reject("attributes are read in pictures of the size that signs are drawn in", std::to_string(image.size(2)) + "x" + std::to_string(image.size(1)));
  const SignAttributes seen = read_sign_attributes(image);
  const auto shows = [&](const SignSpec& wanted) {
    if (pair.attribute == "word") return score_text(read, wanted.word).exact;
    if (pair.attribute == "length") return length_of(read) == length_of(wanted.word);
    if (pair.attribute == "sign-colour") return seen.sign == wanted.sign;
    if (pair.attribute == "wall-colour") return seen.wall == wanted.wall;
    return seen.round == wanted.round;
  };
  scores["source_attribute"] = shows(*a) ? 1 : 0;
  scores["target_attribute"] = shows(*b) ? 1 : 0;
}

}  // namespace glyphscope
