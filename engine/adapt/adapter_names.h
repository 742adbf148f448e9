#pragma once

#include <map>
#include <string>
#include <vector>

#include "models/layers.h"
#include "pipelines/kohya_names.h"

namespace glyphscope {

/// The names that adapter files give the layers of one network.
class AdapterNames {
 public:
  /// Where a file's layer is in the model: a path, and of which rows of a fused layer.
  struct Target {
    std::string path;
    KohyaPlace place;
  };

  /// A denoiser's: those of diffusers, kohya, LyCORIS, OneTrainer, XLabs, and of the authors' own code.
  AdapterNames(const torch::nn::Module& denoiser, const SiteTable& table);
  /// A text encoder's: the paths of transformers, with or without CLIP's own prefix, with dots or underscores.
  explicit AdapterNames(const torch::nn::Module& encoder);

  /// The layers that a name stands for; none for an unknown one.
  std::vector<Target> find(const std::string& name) const;
  const AdaptableLayer& layer(const std::string& path) const { return *layers_.at(path); }
  /// The known name that is most like this one.
  std::string nearest(const std::string& name) const;

 private:
  void add(const std::string& name, Target target);
  std::map<std::string, AdaptableLayer*> layers_;
  std::multimap<std::string, Target> names_;
  std::vector<std::string> known_;
};

bool cut_prefix(std::string& text, const std::string& prefix);
bool cut_suffix(std::string& text, const std::string& suffix);

/// Whether a name in an adapter file is of a text encoder, by how it begins.
bool is_encoder_name(const std::string& name);

struct NamedEncoder {
  std::string component;  ///< "text_encoder_2"
  bool t5 = false;
};
/// Which encoder a name is of, by the prefixes that people's tools give them, and cuts that prefix; empty: of one that the model does not have.
/// encoders: the model's, in the order of its components.
std::string cut_encoder(std::string& name, const std::vector<NamedEncoder>& encoders);

}  // namespace glyphscope
