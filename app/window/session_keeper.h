#pragma once

#include <QJsonObject>
#include <QObject>
#include <QStringList>
#include <functional>
#include <memory>
#include <vector>

#include "tasks/session_file.h"

class QLockFile;
class QTimer;

namespace glyphscope {

/// Keeps the window's session: sees what changes in it, so that steps can be undone, and writes it, on a thread of its own: under the name that the user gave,
/// and, whatever happens, every few seconds into the workspace, where the next start finds it.
class SessionKeeper : public QObject {
  Q_OBJECT
 public:
  struct Host {
    std::function<SessionFile()> collect;           ///< All of it; pictures are shared, not copied.
    std::function<QJsonObject()> state;             ///< What can be undone: fields, selection, adapters.
    std::function<void(const QJsonObject&)> apply;  ///< The same as it was.
  };
  SessionKeeper(Host host, QObject* parent);
  ~SessionKeeper() override;

  /// Under which name it is saved; empty: none yet.
  const QString& file() const { return file_; }
  void set_file(const QString& file);
  /// What is shown now is to be kept, though nothing of it was changed here.
  void keep_soon() { kept_ = false; }
  /// Another session takes this one's place: it is kept as one of those that were left behind.
  void set_aside();
  /// Whether something has changed since it was saved.
  bool changed() const { return changed_; }
  /// Writes it, and tells when that is done.
  void save(const QString& file);
  /// What was drawn, edited or opened is other than before; it is kept soon.
  void touch();
  /// Another model or session: steps before it cannot be undone.
  void begin_anew();

  bool can_undo() const { return at_ > 0; }
  bool can_redo() const { return at_ + 1 < static_cast<int>(states_.size()); }
  void undo();
  void redo();

  /// Sessions that windows before this one left behind in the workspace, the newest first.
  static QStringList left_behind();
  /// Those that were saved or opened last.
  static QStringList recent();
  static void remember(const QString& file);

 signals:
  void status_changed();
  void saved(const QString& file);
  void failed(const QString& text);

 private:
  struct Writer;
  void observe();
  void go_to(int state);
  void write(const QString& file, bool automatic);
  static void adopt();
  QString own_file();

  Host host_;
  QString file_;
  bool changed_ = false, kept_ = true, writing_ = false;
  QString next_;  ///< To be saved once what is being written is.
  std::vector<QJsonObject> states_;
  QJsonObject pending_;
  int at_ = -1;
  qint64 last_written_ = 0, took_ = 0;  ///< Milliseconds.
  QTimer* watch_;
  std::shared_ptr<Writer> writer_;
  std::unique_ptr<QLockFile> lock_;
  QString own_;
};

}  // namespace glyphscope
