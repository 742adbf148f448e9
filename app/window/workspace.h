#pragma once

#include <QDateTime>
#include <QString>
#include <QStringList>
#include <optional>
#include <vector>

namespace glyphscope {

/// Where the window keeps its runs: a folder each, which the command line can read and go on with too. ~/Glyphscope, unless set.
QString workspace_folder();
void set_workspace_folder(const QString& folder);

/// A folder in it that is not there yet: "localize-sign-unet-20261128-131500".
QString new_run_folder(const QString& model, const QString& question = "localize");

/// A run's folder as a list shows it: what its settings say, and which results are there. docs/run-format.md tells the files.
struct RunEntry {
  QString folder;
  QString model, model_hash;
  QDateTime begun;
  int pairs = 0, noises = 0;
  int done = 0;          ///< Cells, a pair with a noise each, of which something was measured.
  QStringList asked;     ///< "localization", "card", "map site-step",
  QStringList answered;  ///< and those of them whose result is there.
  QString note;          ///< The user's, in note.txt.

  QString name() const;
  int cells() const { return pairs * noises; }
  bool whole() const { return !asked.isEmpty() && answered.size() == asked.size(); }
  bool operator==(const RunEntry&) const = default;
  bool can_go_on() const { return !asked.isEmpty() && !whole(); }
  /// What is gone on with first is the localization.
  bool goes_on_localizing() const { return asked.contains("localization") && (!answered.contains("localization") || whole()); }
};
/// None if no run is there, or its settings cannot be read.
std::optional<RunEntry> run_at(const QString& folder);
/// Those in a folder, the newest first. Reads files: where there are many, that takes a while.
std::vector<RunEntry> runs_in(const QString& folder);

/// Whether a file or folder is a session, by its name or by what is in it.
bool is_session(const QString& file);

/// Keeps a note with a run; an empty one goes. False if it could not be written.
bool write_run_note(const QString& folder, const QString& note);

}  // namespace glyphscope
