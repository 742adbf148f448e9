#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
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
    int batch = 1;      ///< Variants that were drawn together.
    std::string input;  ///< Of one that begins with a real picture: its name in `inputs`, so that the edit can be made again whatever becomes of the file.
  };
  std::vector<Edit> edits;
  int present = -1;

  /// A run's folder, or a training's, with the hash of its settings.
  struct Reference {
    std::string folder, sha256;
  };
  std::vector<Reference> runs, trainings;

  nlohmann::ordered_json window = nlohmann::ordered_json::object();  ///< Fields and views, by name; nothing else depends on them.

  ArchiveFiles inputs;  ///< Real pictures that edits begin with: the bytes of their files. Written are those that the commands name.

  nlohmann::ordered_json unknown = nlohmann::ordered_json::object();  ///< What a newer version wrote; kept when it is written again.
};

/// Pictures as they were encoded before, and files as they were read, so that a session that is written again and again does each once.
class EncodedPictures {
 public:
  /// As PNG, with its metadata.
  const std::string& of(const Picture& picture);
  /// A real picture's file as it is, and its name in a session. Null: it is not there, or cannot be read.
  const std::pair<std::string, std::string>* input(const std::string& file);
  /// SHA-256 of a file; empty where it cannot be read.
  std::string hash_of(const std::string& file);

 private:
  struct Input {
    std::filesystem::file_time_type written;
    std::pair<std::string, std::string> named;
  };
  std::map<const void*, std::pair<std::shared_ptr<const void>, std::string>> known_;
  std::map<std::string, Input> inputs_;
  std::map<std::string, std::pair<std::filesystem::file_time_type, std::string>> hashes_;
};

/// Throws a Failure that names file and place: for what is no archive, no session, cut off, or holds nonsense. What a newer version wrote and this one does not
/// know is noted in sentences.
SessionFile read_session(const std::filesystem::path& path, std::vector<std::string>& notes);

/// Whole or not at all. Where `path` is a folder, as files in it.
void write_session(const std::filesystem::path& path, const SessionFile& session, EncodedPictures& pictures);

/// Writes the real pictures of its edits into a folder, and lets their commands name those, but where the file that they name is still the same. Throws a
/// Failure.
void unpack_inputs(SessionFile& session, const std::filesystem::path& folder);

/// The hash of a run's settings.json or a training's, by which a reference knows it again; empty where neither is.
std::string reference_hash(const std::filesystem::path& folder);

}  // namespace glyphscope
