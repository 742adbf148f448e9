#pragma once

#include <functional>
#include <string>

namespace glyphscope {

/// Settings and commands that an error, a note or a hint speaks of. The engine knows them by these names alone; who asked for the work words them as its
/// users know them: `--dtype fp32` on a command line, the label of a field in a window.
enum class Option {
  adapter,
  attributes,
  autoencoder,
  by,
  config,
  device,
  direction,
  dtype,
  format,
  from_step,
  guidance,
  held_out,
  image,
  inspect,  ///< What lists a model's sites.
  mask,
  memory,  ///< Bytes of a device that may be used.
  method,
  negative,
  noise_level,
  ocr,
  out,  ///< Where results go: a folder or a file.
  players,
  projections,
  prompts,
  rank,
  rate,
  resolution,
  resume,
  schedule,
  scheduler,
  search,
  sets,
  shard,
  sites,
  size,
  step_ranges,
  template_text,
  text_encoders,
  upscale,
  upscale_steps,
  verify_log,
  words
};

/// What stands for an option inside a text of the engine until it is worded: `‹name›` or `‹name value›`.
std::string option(Option name, const std::string& value = {});

/// How someone calls an option: `value` is empty where the text names none.
using Wording = std::function<std::string(Option name, const std::string& value)>;

/// A text of the engine with its options as `wording` calls them.
std::string worded(const std::string& text, const Wording& wording);

/// An option's plain name, as `dtype`.
std::string option_name(Option name);

}  // namespace glyphscope
