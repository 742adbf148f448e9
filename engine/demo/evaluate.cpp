#include "demo/evaluate.h"

#include <torch/types.h>

#include <algorithm>

#include "core/option.h"
#include "demo/sign_words.h"
#include "experiments/prompt_set.h"
#include "io/image_file.h"
#include "io/resources.h"
#include "metrics/text_scores.h"

namespace glyphscope {

namespace {

nlohmann::ordered_json scores_json(const SignScores& scores) {
  nlohmann::ordered_json out{{"word_accuracy", scores.word_accuracy.to_json()}, {"ocr_f1", scores.ocr_f1.to_json()}};
  if (scores.attributes_accuracy.n > 0) out["attributes_accuracy"] = scores.attributes_accuracy.to_json();
  return out;
}

// Gathers the observations of one kind of picture, true drawings or the model's.
class Tally {
 public:
  void add(const std::string& read, const std::string& wanted, int item) {
    const TextScores scores = score_text(read, wanted);
    exact_.push_back({scores.exact ? 1.0 : 0.0, item, 0});
    f1_.push_back({scores.f1, item, 0});
  }
  void add_attributes(bool right, int item) { attributes_.push_back({right ? 1.0 : 0.0, item, 0}); }
  SignScores scores() const { return {score_of(exact_, kShare), score_of(f1_, kShare), score_of(attributes_, kShare)}; }

 private:
  std::vector<Observation> exact_, f1_, attributes_;
};

bool shows(const torch::Tensor& image, const SignSpec& spec) {
  const SignAttributes seen = read_sign_attributes(image);
  return seen.sign == spec.sign && seen.wall == spec.wall && seen.round == spec.round;
}

}  // namespace

nlohmann::ordered_json Evaluation::to_json() const {
  nlohmann::ordered_json out = scores_json(model);
  if (has_ceiling) out["ceiling"] = scores_json(ceiling);
  out["items"] = nlohmann::ordered_json::array();
  for (const auto& item : items)
    out["items"].push_back({{"prompt", item.prompt}, {"wanted", item.wanted}, {"read", item.read}, {"attributes", item.attributes}});
  return out;
}

Evaluation evaluate(Pipeline& pipeline, TextReader& reader, const EvaluateSettings& settings, const ProgressCallback& progress, const CancelToken& cancel) {
  const SignData data = sign_data(pipeline.info());
  std::vector<SignSpec> specs;
  std::vector<std::string> prompts = settings.prompts, wanted;
  if (prompts.empty()) {
    const auto words = sign_words(data, resource("words/evaluate.txt"));
    for (int i = 0; i < settings.count; ++i) {
      Choice choice(derive_seed(settings.seed, 11, static_cast<std::uint64_t>(i)));
      specs.push_back(SignSampler::with_word(words[static_cast<size_t>(i) % words.size()], choice, data));
      prompts.push_back(specs.back().prompt());
    }
  }
  for (const auto& prompt : prompts) {
    wanted.push_back(quoted_text(prompt));
    if (wanted.back().empty()) reject("the prompt has no text in double quotes: '" + prompt + "'", option(Option::prompts));
  }

  Evaluation out;
  out.has_ceiling = !specs.empty();
  Tally model, ceiling;
  constexpr int kSheetColumns = 8, kSheetRows = 5;
  std::vector<torch::Tensor> sheet;
  const auto total = static_cast<std::int64_t>(prompts.size());
  const std::int64_t batch = settings.sampling.rows_at_once;
  const auto renderer = out.has_ceiling ? std::make_unique<SignRenderer>() : nullptr;
  for (std::int64_t begin = 0; begin < total; begin += batch) {
    const std::int64_t end = std::min(begin + batch, total);
    Request request = settings.sampling;
    for (std::int64_t i = begin; i < end; ++i) {
      request.prompts.push_back(prompts[static_cast<size_t>(i)]);
      request.rows.push_back({static_cast<int>(i - begin), settings.seed + static_cast<std::uint64_t>(i), {}});
    }
    auto generated = pipeline.generate(request,
                                       {.progress =
                                            [&](const Progress& p) {
                                              progress({"images", begin * p.total + p.done * (end - begin), total * p.total});
                                            }},
                                       cancel);
    if (!generated) throw Failure(generated.error());
    for (std::int64_t i = begin; i < end; ++i) {
      const auto at = static_cast<size_t>(i);
      const int item = static_cast<int>(i);
      const torch::Tensor image = generated->images[i - begin];
      Evaluation::Item one{prompts[at], wanted[at], joined_text(reader.read(image)), true};
      model.add(one.read, one.wanted, item);
      if (renderer) {
        const torch::Tensor truth = renderer->render(specs[at], data.side).pixels;
        ceiling.add(joined_text(reader.read(truth)), one.wanted, item);
        // The pixel check knows signs of its own size only.
        if (image.sizes() == truth.sizes()) {
          ceiling.add_attributes(shows(truth, specs[at]), item);
          one.attributes = shows(image, specs[at]);
          model.add_attributes(one.attributes, item);
        }
      }
      if (static_cast<int>(sheet.size()) < kSheetColumns * kSheetRows) sheet.push_back(image);
      out.items.push_back(std::move(one));
    }
  }
  out.model = model.scores();
  out.ceiling = ceiling.scores();
  out.sheet = contact_sheet(sheet, kSheetColumns);
  return out;
}

}  // namespace glyphscope
