#include "metrics/text_classifier.h"

#include <torch/types.h>

#include <algorithm>
#include <cctype>
#include <optional>

#include "core/error.h"
#include "io/config.h"
#include "io/weights.h"
#include "models/layers.h"
#include "text/roberta_tokenizer.h"

namespace glyphscope {
namespace fs = std::filesystem;

namespace {

/// Names are those of transformers' `RobertaConfig`.
struct RobertaConfig {
  std::int64_t vocab_size, hidden_size, intermediate_size, layers, heads, max_positions, types, padding, labels;
  double norm_eps;

  explicit RobertaConfig(const Config& config)
      : vocab_size(config.size("vocab_size", 50265, 1, 1 << 22)),
        hidden_size(config.size("hidden_size", 768, 1, 65536)),
        intermediate_size(config.size("intermediate_size", 3072, 1, 1 << 18)),
        layers(config.size("num_hidden_layers", 12, 1, 256)),
        heads(config.size("num_attention_heads", 12, 1, 1024)),
        max_positions(config.size("max_position_embeddings", 514, 8, 65536)),
        types(config.size("type_vocab_size", 1, 1, 16)),
        padding(config.size("pad_token_id", 1, 0, 1 << 22)),
        labels(2),
        norm_eps(config.number("layer_norm_eps", 1e-5, 0, 1)) {
    config.require("hidden_act", "gelu");
    if (config.has("position_embedding_type")) config.require("position_embedding_type", "absolute");
    if (hidden_size % heads != 0) reject("hidden_size does not divide into num_attention_heads", config.where());
    if (max_positions < padding + 4) reject("max_position_embeddings leaves no place for a text", config.where());
  }
};

// A dense layer, and the norm of its sum with what goes past it: transformers' `RobertaSelfOutput` and `RobertaOutput`.
class Residual : public torch::nn::Module {
 public:
  Residual(std::int64_t in, const RobertaConfig& c) {
    dense = register_module("dense", std::make_shared<Linear>(in, c.hidden_size));
    norm = register_module("LayerNorm", std::make_shared<LayerNorm>(c.hidden_size, c.norm_eps));
  }
  torch::Tensor forward(const torch::Tensor& x, const torch::Tensor& past) const { return norm->forward(dense->forward(x) + past); }

 private:
  std::shared_ptr<Linear> dense;
  std::shared_ptr<LayerNorm> norm;
};

// transformers' `RobertaLayer`.
class RobertaLayer : public torch::nn::Module {
 public:
  explicit RobertaLayer(const RobertaConfig& c) : heads_(c.heads) {
    auto attention = register_module("attention", std::make_shared<Names>());
    auto self = attention->register_module("self", std::make_shared<Names>());
    query = self->register_module("query", std::make_shared<Linear>(c.hidden_size, c.hidden_size));
    key = self->register_module("key", std::make_shared<Linear>(c.hidden_size, c.hidden_size));
    value = self->register_module("value", std::make_shared<Linear>(c.hidden_size, c.hidden_size));
    attended = attention->register_module("output", std::make_shared<Residual>(c.hidden_size, c));
    dense = register_module("intermediate", std::make_shared<Names>())->register_module("dense", std::make_shared<Linear>(c.hidden_size, c.intermediate_size));
    output = register_module("output", std::make_shared<Residual>(c.intermediate_size, c));
  }
  torch::Tensor forward(const torch::Tensor& x) const {
    const auto split = [&](const torch::Tensor& t) { return t.view({t.size(0), t.size(1), heads_, -1}).transpose(1, 2); };
    const torch::Tensor seen = at::scaled_dot_product_attention(split(query->forward(x)), split(key->forward(x)), split(value->forward(x)));
    const torch::Tensor h = attended->forward(seen.transpose(1, 2).reshape(x.sizes()), x);
    return output->forward(at::gelu(dense->forward(h)), h);
  }

 private:
  std::int64_t heads_;
  std::shared_ptr<Linear> query, key, value, dense;
  std::shared_ptr<Residual> attended, output;
};

// transformers' `RobertaForSequenceClassification`, of one text without padding.
class RobertaClassifier : public torch::nn::Module {
 public:
  explicit RobertaClassifier(const RobertaConfig& c) : first_position_(c.padding + 1) {
    auto roberta = register_module("roberta", std::make_shared<Names>());
    auto embeddings = roberta->register_module("embeddings", std::make_shared<Names>());
    word = embeddings->register_module("word_embeddings", std::make_shared<Embedding>(c.vocab_size, c.hidden_size));
    position = embeddings->register_module("position_embeddings", std::make_shared<Embedding>(c.max_positions, c.hidden_size));
    type = embeddings->register_module("token_type_embeddings", std::make_shared<Embedding>(c.types, c.hidden_size));
    norm = embeddings->register_module("LayerNorm", std::make_shared<LayerNorm>(c.hidden_size, c.norm_eps));
    layers = roberta->register_module("encoder", std::make_shared<Names>())->register_module("layer", std::make_shared<List<RobertaLayer>>());
    for (std::int64_t i = 0; i < c.layers; ++i) layers->add(c);
    auto classifier = register_module("classifier", std::make_shared<Names>());
    dense = classifier->register_module("dense", std::make_shared<Linear>(c.hidden_size, c.hidden_size));
    out_proj = classifier->register_module("out_proj", std::make_shared<Linear>(c.hidden_size, c.labels));
  }
  // ids: [T] -> [labels]
  torch::Tensor forward(const torch::Tensor& ids) const {
    const torch::Tensor places = torch::arange(first_position_, first_position_ + ids.size(0), torch::kInt64);
    torch::Tensor x = norm->forward(word->forward(ids) + position->forward(places) + type->weight[0]).unsqueeze(0);
    for (const auto& layer : *layers) x = layer->forward(x);
    return out_proj->forward(torch::tanh(dense->forward(x[0][0])));
  }

 private:
  std::int64_t first_position_;
  std::shared_ptr<Embedding> word, position, type;
  std::shared_ptr<LayerNorm> norm;
  std::shared_ptr<List<RobertaLayer>> layers;
  std::shared_ptr<Linear> dense, out_proj;
};

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

std::vector<std::string> read_labels(const Config& config) {
  const auto& json = config.json();
  if (!json.contains("id2label")) return {"LABEL_0", "LABEL_1"};
  const auto& names = json["id2label"];
  if (!names.is_object() || names.empty()) reject("id2label names no labels", config.where());
  std::vector<std::string> out;
  for (size_t i = 0; i < names.size(); ++i) {
    const std::string at = std::to_string(i);
    if (!names.contains(at) || !names[at].is_string()) reject("id2label names no label " + at, config.where());
    out.push_back(names[at].get<std::string>());
  }
  return out;
}

}  // namespace

struct TextClassifier::Parts {
  std::shared_ptr<RobertaClassifier> model;
  std::optional<RobertaTokenizer> tokenizer;
  std::vector<std::string> labels;
  std::vector<bool> flagged;  // by label
  bool exclusive = true;
  std::size_t longest = 0;
  std::int64_t vocabulary = 0;
  std::string name, hash;
};

TextClassifier::~TextClassifier() = default;

TextClassifier::TextClassifier(const fs::path& folder, const std::vector<std::string>& flags) : parts_(std::make_unique<Parts>()) {
  if (!fs::is_directory(folder)) reject("there is no such folder of a text classifier", folder.string(), "Name one with config.json and model.safetensors");
  const Config config = Config::read(folder / "config.json");
  const std::vector<std::string> classes = config.texts("architectures");
  if (classes.empty() || classes[0] != "RobertaForSequenceClassification")
    reject("this is " + (classes.empty() ? "of no known architecture" : "a '" + classes[0] + "'"), config.where(),
           "Known is transformers' RobertaForSequenceClassification");
  parts_->labels = read_labels(config);
  RobertaConfig roberta(config);
  roberta.labels = static_cast<std::int64_t>(parts_->labels.size());
  parts_->exclusive = config.text("problem_type", "single_label_classification") != "multi_label_classification";
  parts_->longest = static_cast<std::size_t>(roberta.max_positions - roberta.padding - 1);
  parts_->vocabulary = roberta.vocab_size;

  std::string listed, used;
  for (const auto& label : parts_->labels) listed += (listed.empty() ? "" : ", ") + label;
  for (const auto& flag : flags)
    if (std::find(parts_->labels.begin(), parts_->labels.end(), flag) == parts_->labels.end())
      reject("the classifier has no label '" + flag + "'", folder.string(), "It has " + listed);
  for (const auto& label : parts_->labels) {
    const std::string plain = lower(label);
    const bool usual = plain == "toxic" || plain == "toxicity" || plain == "hate" || plain == "offensive" || plain == "hate speech" || plain == "hate_speech";
    parts_->flagged.push_back(flags.empty() ? usual : std::find(flags.begin(), flags.end(), label) != flags.end());
    if (parts_->flagged.back()) used += (used.empty() ? "" : ", ") + label;
  }
  if (used.empty()) reject("none of the classifier's labels is known to be a toxic one", folder.string(), "Name those that are: it has " + listed);
  parts_->name = folder.string() + " (" + used + ")";

  parts_->tokenizer = RobertaTokenizer::load(folder);
  parts_->model = std::make_shared<RobertaClassifier>(roberta);
  const Weights weights = Weights::find(folder);
  for (const auto& file : weights.files()) parts_->hash += sha256_file(file);
  if (weights.files().size() > 1) parts_->hash = sha256_text(parts_->hash);
  const auto rename = [](const std::string& key) { return key.ends_with("position_ids") || key.starts_with("roberta.pooler.") ? std::string() : key; };
  load_weights(*parts_->model, weights, {.rename = rename});
}

const std::vector<std::string>& TextClassifier::labels() const { return parts_->labels; }
std::string TextClassifier::name() const { return parts_->name; }
const std::string& TextClassifier::hash() const { return parts_->hash; }

torch::Tensor TextClassifier::logits(const std::string& text) const {
  const torch::InferenceMode no_gradients;
  const std::vector<std::int64_t> ids = parts_->tokenizer->encode(text, parts_->longest);
  if (*std::max_element(ids.begin(), ids.end()) >= parts_->vocabulary) reject("the tokenizer has ids beyond the classifier's vocabulary", parts_->name);
  return parts_->model->forward(torch::tensor(ids));
}

bool TextClassifier::flags(const std::string& text) const {
  if (text.empty()) return false;
  const torch::Tensor all = logits(text);
  const torch::Tensor labelled = parts_->exclusive ? all == all.max() : all > 0;
  for (size_t i = 0; i < parts_->flagged.size(); ++i)
    if (parts_->flagged[i] && labelled[static_cast<std::int64_t>(i)].item<bool>()) return true;
  return false;
}

}  // namespace glyphscope
