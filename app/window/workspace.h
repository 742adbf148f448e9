#pragma once

#include <QDateTime>
#include <QList>
#include <QString>

namespace glyphscope {

/// Where the window keeps its runs: a folder each, which the command line can read and go on with too. ~/Glyphscope, unless set.
QString workspace_folder();
void set_workspace_folder(const QString& folder);

/// A folder in it that is not there yet: "localize-sign-unet-20261128-131500".
QString new_run_folder(const QString& model);

/// A localization that was begun and has no end.
struct UnfinishedRun {
  QString folder;
  QString model, model_hash;
  QDateTime begun;
  int pairs = 0;  ///< That are done: pairs times noises.
  int of = 0;
};
/// Those in the workspace, the newest first.
QList<UnfinishedRun> unfinished_runs();

}  // namespace glyphscope
