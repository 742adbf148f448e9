#include "app/window/workspace.h"

#include <QDir>
#include <QFileInfo>
#include <QJsonArray>
#include <QJsonDocument>
#include <QJsonObject>
#include <QRegularExpression>
#include <QSaveFile>
#include <QSet>
#include <QSettings>
#include <algorithm>

namespace glyphscope {

namespace {

constexpr const char* kKey = "workspace";
constexpr const char* kNote = "note.txt";

}  // namespace

QString workspace_folder() { return QSettings().value(kKey, QDir::home().filePath("Glyphscope")).toString(); }

void set_workspace_folder(const QString& folder) { QSettings().setValue(kKey, folder); }

QString new_run_folder(const QString& model, const QString& question) {
  QString name = model.startsWith("demo:") ? model.mid(5) : QFileInfo(model).completeBaseName();
  name.replace(QRegularExpression("[^A-Za-z0-9._-]+"), "-");
  const QString base = QDir(workspace_folder()).filePath(question + "-" + name + QDateTime::currentDateTime().toString("-yyyyMMdd-HHmmss"));
  // Those of runs that wait are not there yet.
  static QSet<QString> given;
  QString folder = base;
  for (int number = 2; QFileInfo::exists(folder) || given.contains(folder); ++number) folder = base + QStringLiteral("-%1").arg(number);
  given.insert(folder);
  return folder;
}

QString RunEntry::name() const { return QFileInfo(folder).fileName(); }

std::optional<RunEntry> run_at(const QString& path) {
  const QDir folder(path);
  QFile file(folder.filePath("settings.json"));
  if (!file.open(QIODevice::ReadOnly)) return std::nullopt;
  const QJsonObject document = QJsonDocument::fromJson(file.readAll()).object();
  if (!document["schema"].toString().startsWith("glyphscope.run-settings/")) return std::nullopt;
  const QJsonObject settings = document["settings"].toObject();
  RunEntry out{.folder = folder.absolutePath(),
               .model = document["model"].toString(),
               .model_hash = document["model_hash"].toString(),
               .begun = QFileInfo(file).lastModified(),
               .pairs = static_cast<int>(settings["pairs"].toArray().size()),
               .noises = static_cast<int>(settings["seeds"].toArray().size())};
  const auto asks = [&](const QString& what, const QString& result) {
    out.asked << what;
    if (folder.exists(result)) out.answered << what;
  };
  if (folder.exists("asked-localization.json")) asks("localization", "run.json");
  if (folder.exists("asked-certificate.json")) asks("card", "card.json");
  // Rounds of those two have names of their own; other questions are maps.
  static const QRegularExpression rounds("^(sites|localize|certify|adaptive|bench)-");
  for (const QString& question : QDir(folder.filePath("questions")).entryList({"*.json"}, QDir::Files, QDir::Name))
    if (const QString name = question.chopped(5); !rounds.match(name).hasMatch()) asks("map " + name, "map-" + question);
  for (const QFileInfo& cell : QDir(folder.filePath("cells")).entryInfoList(QDir::Dirs | QDir::NoDotAndDotDot))
    out.done += QDir(cell.filePath()).isEmpty(QDir::Files) ? 0 : 1;
  QFile note(folder.filePath(kNote));
  if (note.open(QIODevice::ReadOnly)) out.note = QString::fromUtf8(note.read(1 << 16));
  return out;
}

std::vector<RunEntry> runs_in(const QString& folder) {
  std::vector<RunEntry> out;
  for (const QFileInfo& one : QDir(folder).entryInfoList(QDir::Dirs | QDir::NoDotAndDotDot))
    if (auto run = run_at(one.filePath())) out.push_back(std::move(*run));
  std::stable_sort(out.begin(), out.end(), [](const RunEntry& a, const RunEntry& b) { return a.begun > b.begun; });
  return out;
}

bool is_session(const QString& file) { return file.endsWith(".glyph", Qt::CaseInsensitive) || QFileInfo::exists(QDir(file).filePath("session.json")); }

bool write_run_note(const QString& folder, const QString& note) {
  const QString name = QDir(folder).filePath(kNote);
  if (note.isEmpty()) return !QFileInfo::exists(name) || QFile::remove(name);
  QSaveFile file(name);
  const QByteArray text = note.toUtf8();
  return file.open(QIODevice::WriteOnly) && file.write(text) == text.size() && file.commit();
}

}  // namespace glyphscope
