#include "app/window/workspace.h"

#include <QDir>
#include <QFileInfo>
#include <QJsonArray>
#include <QJsonDocument>
#include <QJsonObject>
#include <QRegularExpression>
#include <QSettings>

namespace glyphscope {

namespace {

constexpr const char* kKey = "workspace";

}  // namespace

QString workspace_folder() { return QSettings().value(kKey, QDir::home().filePath("Glyphscope")).toString(); }

void set_workspace_folder(const QString& folder) { QSettings().setValue(kKey, folder); }

QString new_run_folder(const QString& model) {
  QString name = model.startsWith("demo:") ? model.mid(5) : QFileInfo(model).completeBaseName();
  name.replace(QRegularExpression("[^A-Za-z0-9._-]+"), "-");
  const QString base = QDir(workspace_folder()).filePath("localize-" + name + QDateTime::currentDateTime().toString("-yyyyMMdd-HHmmss"));
  QString folder = base;
  for (int number = 2; QFileInfo::exists(folder); ++number) folder = base + QStringLiteral("-%1").arg(number);
  return folder;
}

QList<UnfinishedRun> unfinished_runs() {
  QList<UnfinishedRun> out;
  const QDir workspace(workspace_folder());
  for (const QFileInfo& one : workspace.entryInfoList(QDir::Dirs | QDir::NoDotAndDotDot, QDir::Time)) {
    const QDir folder(one.filePath());
    QFile file(folder.filePath("settings.json"));
    if (folder.exists("run.json") || !file.open(QIODevice::ReadOnly)) continue;
    const QJsonObject document = QJsonDocument::fromJson(file.readAll()).object();
    if (!document["schema"].toString().startsWith("glyphscope.run-settings/")) continue;
    const QJsonObject settings = document["settings"].toObject();
    if (!folder.exists("asked-localization.json")) continue;
    qsizetype done = 0;
    for (const QFileInfo& cell : QDir(folder.filePath("cells")).entryInfoList(QDir::Dirs | QDir::NoDotAndDotDot))
      done += QDir(cell.filePath()).entryList({"sites-*.json"}, QDir::Files).isEmpty() ? 0 : 1;
    out << UnfinishedRun{folder.path(),
                         document["model"].toString(),
                         document["model_hash"].toString(),
                         QFileInfo(file).lastModified(),
                         static_cast<int>(done),
                         static_cast<int>(settings["pairs"].toArray().size() * settings["seeds"].toArray().size())};
  }
  return out;
}

}  // namespace glyphscope
