#include "app/window/wording.h"

#include <QObject>
#include <QStringList>

#include "core/option.h"
#include "metrics/scores.h"

namespace glyphscope {

namespace {

QString label(Option name) {
  switch (name) {
    case Option::adapter:
      return QObject::tr("Adapters");
    case Option::attributes:
      return QObject::tr("the attributes");
    case Option::autoencoder:
      return QObject::tr("the autoencoder");
    case Option::by:
      return QObject::tr("the axes");
    case Option::config:
      return QObject::tr("Configurations");
    case Option::device:
      return QObject::tr("Device");
    case Option::direction:
      return QObject::tr("the direction");
    case Option::dtype:
      return QObject::tr("Dtype");
    case Option::format:
      return QObject::tr("the adapter's format");
    case Option::from_step:
      return QObject::tr("From step");
    case Option::guidance:
      return QObject::tr("Guidance");
    case Option::held_out:
      return QObject::tr("Held out");
    case Option::image:
      return QObject::tr("the picture");
    case Option::inspect:
      return QObject::tr("the map");
    case Option::mask:
      return QObject::tr("Mask");
    case Option::memory:
      return QObject::tr("the device's memory");
    case Option::method:
      return QObject::tr("the way of patching");
    case Option::negative:
      return QObject::tr("the negative prompt");
    case Option::noise_level:
      return QObject::tr("the noise level");
    case Option::ocr:
      return QObject::tr("the OCR engine");
    case Option::out:
      return QObject::tr("folder");
    case Option::players:
      return QObject::tr("the sites whose sets are looked at");
    case Option::projections:
      return QObject::tr("Of each");
    case Option::prompts:
      return QObject::tr("the prompts");
    case Option::rank:
      return QObject::tr("Rank");
    case Option::rate:
      return QObject::tr("Learning rate");
    case Option::resolution:
      return QObject::tr("Resolution");
    case Option::resume:
      return QObject::tr("Resume");
    case Option::schedule:
      return QObject::tr("Schedule");
    case Option::scheduler:
      return QObject::tr("the scheduler");
    case Option::search:
      return QObject::tr("the search");
    case Option::sets:
      return QObject::tr("the sets of sites");
    case Option::shard:
      return QObject::tr("the shard");
    case Option::sites:
      return QObject::tr("the sites");
    case Option::size:
      return QObject::tr("the size");
    case Option::step_ranges:
      return QObject::tr("the ranges of steps");
    case Option::template_text:
      return QObject::tr("the template");
    case Option::text_encoders:
      return QObject::tr("Text encoders");
    case Option::upscale:
      return QObject::tr("Upscaler");
    case Option::upscale_steps:
      return QObject::tr("the upscaler's steps");
    case Option::verify_log:
      return QObject::tr("the guard's log");
    case Option::words:
      return QObject::tr("the list of words");
  }
  return {};
}

}  // namespace

QString in_words(const std::string& text) {
  return QString::fromStdString(worded(text, [](Option name, const std::string& value) {
    return (label(name) + (value.empty() ? QString() : " " + QString::fromStdString(value))).toStdString();
  }));
}

QString in_words(const std::vector<std::string>& notes) {
  QStringList lines;
  for (const auto& note : notes) lines << in_words(note);
  return lines.join("\n");
}

QString score_title(const ScoreInfo& score) {
  const QString title = QObject::tr(score.title);
  return score.better == ScoreInfo::Better::higher  ? title + QStringLiteral(" \u2191")
         : score.better == ScoreInfo::Better::lower ? title + QStringLiteral(" \u2193")
                                                    : title;
}

QString arrow_text() { return QObject::tr("\u2191 higher is better, \u2193 lower is better, for who writes B's text and keeps the rest"); }

}  // namespace glyphscope
