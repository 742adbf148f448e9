#include "widgets/save_picture.h"

#include <QFileDialog>
#include <QSaveFile>

namespace glyphscope {

bool save_picture(QImage image, const QString& file, const QString& metadata) {
  image.setText("glyphscope", metadata);
  QSaveFile out(file);
  return out.open(QIODevice::WriteOnly) && image.save(&out, "PNG") && out.commit();
}

QString ask_where_to_save(QWidget* parent, const QString& title, const QString& proposed, const QString& filter, const QString& ending) {
  QFileDialog dialog(parent, title, QFileInfo(proposed).path(), filter);
  dialog.setAcceptMode(QFileDialog::AcceptSave);
  dialog.setDefaultSuffix(ending);
  dialog.selectFile(QFileInfo(proposed).fileName());
  return dialog.exec() == QDialog::Accepted ? dialog.selectedFiles().value(0) : QString();
}

}  // namespace glyphscope
