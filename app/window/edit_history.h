#pragma once

#include <QListWidget>
#include <deque>
#include <vector>

#include "tasks/events.h"

namespace glyphscope {

/// A model's edits, as a strip of small pictures to click on and to undo in. One of them is the present edit, until the page leaves for what is none of
/// them. The oldest go when their pictures fill a gigabyte.
class EditHistory : public QListWidget {
  Q_OBJECT
 public:
  struct Entry {
    command::EditText command;  ///< Of one target and step.
    event::EditReady ready;
    int batch = 1;                             ///< Variants that were drawn in one batch.
    std::shared_ptr<const std::string> input;  ///< The bytes of the real picture that it begins with.
  };

  explicit EditHistory(QWidget* parent = nullptr);

  bool empty() const { return entries_.empty(); }
  /// The present edit, or the last that was; null before the first.
  const Entry* present() const { return at_ < 0 ? nullptr : &entries_[static_cast<size_t>(at_)]; }
  bool left() const { return left_; }
  bool can_undo() const { return at_ > 0 || (left_ && at_ >= 0); }
  bool can_redo() const { return at_ + 1 < count(); }

  /// Puts them after the present edit, each variant of a batch an entry, of which the first is the present one. What had been undone is gone.
  void keep(const command::EditText& command, const event::EditReady& ready, const std::shared_ptr<const std::string>& input);
  /// What is shown is none of these edits: undo, and a click on the last, go back to it.
  void leave();
  void undo() { go_to(left_ ? at_ : at_ - 1); }
  void redo() { go_to(at_ + 1); }
  void forget();

  const std::deque<Entry>& entries() const { return entries_; }
  int at() const { return left_ ? -1 : at_; }
  /// These in place of all that are there, of which one is the present one (-1: none).
  void load(std::vector<Entry> entries, int present);

 signals:
  /// Another edit is the present one, by a click, undo or redo.
  void went();

 private:
  void append(Entry entry);
  void go_to(int entry);

  std::deque<Entry> entries_;
  int at_ = -1;
  bool left_ = false;
};

}  // namespace glyphscope
