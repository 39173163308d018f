/* SPDX-License-Identifier: MIT
 *
 * The log: one line an event on standard error, as logfmt or JSON, written whole, from any thread. */
#pragma once

#include "core/clock.h"
#include "core/printer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR, LOG_OFF };
enum log_format { LOG_LOGFMT, LOG_JSON };

struct log {
  _Atomic enum log_level level;   /* may change while threads log */
  _Atomic enum log_format format; /* likewise */
  const struct clock *clock;
  struct printer printer;
};

/* A pair of a line. Made by the macros below; `key` is a literal. */
struct log_field {
  const char *key;
  enum { LOG_FIELD_STRING, LOG_FIELD_INTEGER, LOG_FIELD_NUMBER, LOG_FIELD_JSON } kind;
  union {
    const char *string; /* NULL: the field is left out */
    int64_t integer;
    double number;
  } as;
};

#define LOG_STRING(k, v) ((struct log_field){.key = (k), .kind = LOG_FIELD_STRING, .as.string = (v)})
/* A value that is JSON already: in JSON it stands as it is, in logfmt as a text. */
#define LOG_JSON_TEXT(k, v) ((struct log_field){.key = (k), .kind = LOG_FIELD_JSON, .as.string = (v)})
#define LOG_INTEGER(k, v) ((struct log_field){.key = (k), .kind = LOG_FIELD_INTEGER, .as.integer = (int64_t)(v)})
#define LOG_NUMBER(k, v) ((struct log_field){.key = (k), .kind = LOG_FIELD_NUMBER, .as.number = (v)})

/* Level info, as logfmt; `clock` outlives the log, `fd` stays the caller's. */
void log_init(struct log *log, const struct clock *clock, int fd);

static inline bool log_enabled(const struct log *log, enum log_level level) { return level >= log->level; }

/* time=2026-11-21T13:00:00.123Z level=info msg="listening" route=page port=8080
 * Strings may hold anything (they come from the network): what needs quotes gets them (a message always), control
 * characters are escaped, and so are bytes that are no UTF-8 (in JSON they become U+FFFD). A line is cut at 8 KiB, and
 * closed so that it stays well-formed. One that can't be written without waiting is lost (core/printer.h).
 * Keeps errno. */
void log_write(const struct log *log, enum log_level level, const char *message, const struct log_field *fields,
               size_t count);

/* The same whatever the log's level is: what is logged because it was asked for by itself. False: it was lost. */
bool log_record(const struct log *log, enum log_level level, const char *message, const struct log_field *fields,
                size_t count);

#define LOG(log, level, message, ...)                                                                                  \
  do {                                                                                                                 \
    if (log_enabled((log), (level))) {                                                                                 \
      const struct log_field log_fields_[] = {__VA_ARGS__};                                                            \
      log_write((log), (level), (message), log_fields_, sizeof log_fields_ / sizeof log_fields_[0]);                   \
    }                                                                                                                  \
  } while (0)

/* For what can happen thousands of times a second: true at most once a second, and then `*suppressed` says how many
 * lines were kept back since. One thread owns a limit. */
struct log_limit {
  clock_ms last;
  uint64_t suppressed;
};
bool log_limit_pass(struct log_limit *limit, clock_ms now, uint64_t *suppressed);

/* Limits for lines of the log by a small number, such as a route's, so that one that fails a thousand times a second
 * does not hide the others. Zeroed at first. One thread owns it. */
struct log_limits {
  struct log_limit *limits; /* by number; grows as numbers come */
  size_t count;
  struct log_limit rest; /* of numbers that there was no memory for */
};

/* log_limit_pass() of the number's own limit. */
bool log_limits_pass(struct log_limits *limits, unsigned number, clock_ms now, uint64_t *suppressed);

/* The number is another thing's from now on. */
void log_limits_forget(struct log_limits *limits, unsigned number);

void log_limits_deinit(struct log_limits *limits);
