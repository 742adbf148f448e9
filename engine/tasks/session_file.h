#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "io/archive.h"
#include "tasks/commands.h"
#include "tasks/events.h"

namespace glyphscope {

/// What someone works at: a model, what is set, what was drawn and edited, with its pictures, and which runs and trainings belong to it. docs/sessions.md tells
/// its file, NAME.glyph: a zip archive, or a plain folder, of session.json and pictures.
struct SessionFile {
  command::OpenModel model;  ///< Without a source: none is open.
  std::string model_hash;    ///< Empty: not known yet.

  struct Adapter {
    std::string file, sha256;  ///< The hash is formed when the session is written, if it is empty and the file is there.
    double strength = 1;
    bool on = true;
  };
  std::vector<Adapter> adapters;
  std::vector<int> sites;  ///< Selected.

  /// The pictures of prompts A and B, and A's patched.
  struct Study {
    command::Generate command;
    event::PicturesReady ready;
  };
  std::optional<Study> study;

  /// The history of edits; `present` is the one that is shown, -1 for none.
  struct Edit {
    command::EditText command;  ///< Of one target and step.
    event::EditReady ready;
    int batch = 1;  ///< Variants that were drawn together.
    /// Of one that begins with a real picture: the bytes of its file when it was edited, so that the edit can be made again whatever becomes of the file.
    std::shared_ptr<const std::string> input;
  };
  std::vector<Edit> edits;
  int present = -1;

  /// The figure that was composed, as a PNG that holds its description (plot/figure.h); none: nothing was.
  std::shared_ptr<const std::string> figure;

  /// A run's folder, or a training's, with the hash of its settings.
  struct Reference {
    std::string folder, sha256;
  };
  std::vector<Reference> runs, trainings;

  nlohmann::ordered_json window = nlohmann::ordered_json::object();  ///< Fields and views, by name; nothing else depends on them.

  std::optional<command::SetGuard> guard;  ///< That is on; without its log.

  nlohmann::ordered_json unknown = nlohmann::ordered_json::object();  ///< Keys of session.json that a newer version wrote; kept when it is written again.
};

/// Pictures as they were encoded before, and files as they were read, so that a session that is written again and again does each once. What the last writing
/// did not need is forgotten.
class EncodedPictures {
 public:
  /// As PNG, with its metadata.
  const std::string& of(const Picture& picture);
  /// What the file of a real picture is called in a session.
  const std::string& name_of(const std::shared_ptr<const std::string>& input);
  /// SHA-256 of a file; empty where it cannot be read.
  std::string hash_of(const std::string& file);
  /// A writing begins, or is done.
  void begin() { used_.clear(); }
  void end();

 private:
  struct Known {
    std::shared_ptr<const void> keep;
    std::string text;
  };
  Known& known(const std::shared_ptr<const void>& what);
  std::map<const void*, Known> known_;
  std::set<const void*> used_;
  std::map<std::string, std::pair<std::filesystem::file_time_type, std::string>> hashes_;
};

/// Throws a Failure that names file and place: for what is no archive, no session, cut off, or holds nonsense. What a newer version wrote and this one does not
/// know is noted in sentences, and so are adapters that are other files by now.
SessionFile read_session(const std::filesystem::path& path, std::vector<std::string>& notes);

/// Whole or not at all. Where `path` is a folder, as files in it.
void write_session(const std::filesystem::path& path, const SessionFile& session, EncodedPictures& pictures);

/// Writes the real pictures of its edits into a folder, and lets their commands name those, but where the file that they name is still the same. Throws a
/// Failure.
void unpack_inputs(SessionFile& session, const std::filesystem::path& folder);

/// The hash of a run's settings.json or a training's, by which a reference knows it again; empty where neither is.
std::string reference_hash(const std::filesystem::path& folder);

}  // namespace glyphscope
