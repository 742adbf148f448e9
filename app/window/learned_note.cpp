#include "app/window/learned_note.h"

#include <QLineEdit>

#include "experiments/prompt_set.h"

namespace glyphscope {

LearnedNote::LearnedNote(std::initializer_list<QLineEdit*> prompts, QWidget* parent) : QLabel(parent), prompts_(prompts) {
  setWordWrap(true);
  setForegroundRole(QPalette::PlaceholderText);
  hide();
  for (auto* prompt : prompts_) connect(prompt, &QLineEdit::textChanged, this, &LearnedNote::say);
}

void LearnedNote::set_learned(const std::optional<LearnedText>& learned) {
  learned_ = learned;
  say();
}

void LearnedNote::say() {
  std::vector<std::string> texts;
  for (const auto* prompt : prompts_) texts.push_back(quoted_text(prompt->text().toStdString()));
  const std::string note = learned_ ? note_on_learned(*learned_, texts) : std::string();
  setText(note.empty() ? QString() : tr("Note: %1.").arg(QString::fromStdString(note)));
  setVisible(!note.empty());
}

}  // namespace glyphscope
