#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "io/config.h"
#include "io/weights.h"

namespace glyphscope {

/// What becomes of a tensor besides its name.
enum class KeyChange {
  none,
  split,       ///< In equal parts along its first side, one for each of the names.
  swap,        ///< Its halves change places: the authors store shift before scale.
  transpose,   ///< A matrix that the authors multiply from the other side.
  convolution  ///< A 1 x 1 convolution that became a matrix.
};

/// A line of a table of keys: names in dots' parts, where `#` stands for a number and a last `*` for all that follows. In `to` they
/// stand for the same again.
struct KeyRule {
  std::string from;
  std::vector<std::string> to;  ///< None: left out.
  KeyChange change = KeyChange::none;
  std::vector<std::int64_t> shares = {};  ///< Of a split in unequal parts: how many of their sum each of `to` has.
};
/// The first line that fits a key counts.
using KeyTable = std::vector<KeyRule>;

/// How a family's checkpoint in one file is laid out, with the keys that the model's authors gave it.
struct SingleFileLayout {
  struct Place {
    std::string component;                                ///< As diffusers' folder is called.
    std::string prefix;                                   ///< How its keys begin.
    std::function<KeyTable(const Config& config)> table;  ///< What its keys are in diffusers and transformers. config: the component's.
  };
  std::string models;  ///< What people call them.
  std::string mark;    ///< How some key begins that no other layout has.
  /// The folder of resources/configs that holds its published configurations; "": none does, the user names one.
  std::function<std::string(const Weights& file)> configs = [](const Weights&) { return std::string(); };
  std::vector<Place> places;
  std::vector<std::string> marks = {};  ///< Keys that are no weights: `configured` reads them.
  /// What keys of the file say of components, whatever their configurations say: an object of their names, each an object of configuration keys.
  std::function<nlohmann::json(const Weights& file)> configured = [](const Weights&) { return nlohmann::json::object(); };
};

/// Whether a key of the file begins so.
bool any_key(const Weights& file, const std::string& prefix);

/// A checkpoint in one file. It holds weights alone; configurations and tokenizers come from a diffusers folder beside it.
class SingleFile {
 public:
  /// file: safetensors or GGUF. Throws a Failure for one that is neither, or laid out in none of these ways.
  SingleFile(const std::filesystem::path& file, const std::vector<SingleFileLayout>& layouts);

  const std::string& configs() const { return configs_; }
  /// What people call the models of its layout.
  const std::string& models() const { return layout_.models; }
  const std::filesystem::path& path() const { return file_.files().front(); }
  /// What the file says of its components' configurations; SingleFileLayout::configured.
  const nlohmann::json& configured() const { return configured_; }
  bool has(const std::string& component) const;
  /// A component's weights under diffusers' and transformers' keys. config: the component's. Throws a Failure for a component it does not hold.
  Weights weights(const std::string& component, const Config& config) const;

 private:
  const SingleFileLayout::Place* find(const std::string& component) const;
  Weights file_;
  SingleFileLayout layout_;
  std::string configs_;
  nlohmann::json configured_;
};

}  // namespace glyphscope
