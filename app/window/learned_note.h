#pragma once

#include <QLabel>
#include <initializer_list>
#include <optional>
#include <vector>

#include "demo/learned_text.h"

class QLineEdit;

namespace glyphscope {

/// Says under prompts which of them asks for a text that the model was not taught to write; hidden while none does.
class LearnedNote : public QLabel {
  Q_OBJECT
 public:
  LearnedNote(std::initializer_list<QLineEdit*> prompts, QWidget* parent);

  /// What the model was taught; nothing: no more than that is known.
  void set_learned(const std::optional<LearnedText>& learned);

 private:
  void say();

  std::vector<QLineEdit*> prompts_;
  std::optional<LearnedText> learned_;
};

}  // namespace glyphscope
