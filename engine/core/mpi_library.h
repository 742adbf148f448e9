#pragma once

/// What our MPI library has, which is opened at run time: a program without MPI is the same program. Plain C, and no header of MPI. Functions that may fail
/// return MPI's error message, or null.
extern "C" {
using GlyphscopeMpiStart = const char* (*)(int* rank, int* size, int* local_rank);
/// Begins to add up numbers of all into the first process's, or to give the first's to all; one at a time.
using GlyphscopeMpiBegin = const char* (*)(double* values, int count);
/// Whether that is done: sets `done`.
using GlyphscopeMpiTest = const char* (*)(int* done);
/// With 0 waits for all others to end; else ends them, with that code.
using GlyphscopeMpiEnd = void (*)(int code);
}
