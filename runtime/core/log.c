/* SPDX-License-Identifier: MIT
 *
 * Forming the lines of the log, and writing each with one call, so that threads need no lock. Strings come from the
 * network: none can end a line, forge a field or move the cursor of a terminal. */
#include "core/log.h"

#include "core/text.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
  LINE_SIZE = 8192,
  LINE_LIMIT = LINE_SIZE - 3 /* the rest is for what closes a line that was cut: a quote, a brace, the newline */
};

struct line {
  enum log_format format;
  bool cut; /* something did not fit; nothing more is added */
  size_t size;
  char bytes[LINE_SIZE];
};

void log_init(struct log *log, const struct clock *clock, int fd) {
  *log = (struct log){.level = LOG_INFO, .format = LOG_LOGFMT, .clock = clock};
  printer_init(&log->printer, fd, 0);
}

static void line_put(struct line *line, const char *bytes, size_t size) {
  if (line->cut || line->size + size > LINE_LIMIT) {
    line->cut = true;
    return;
  }
  memcpy(line->bytes + line->size, bytes, size);
  line->size += size;
}

static void line_put_text(struct line *line, const char *text) { line_put(line, text, strlen(text)); }

/* Into the room behind LINE_LIMIT, if need be. */
static void close_with(struct line *line, char byte) {
  assert(line->size < LINE_SIZE);
  line->bytes[line->size++] = byte;
}

static void put_escape(struct line *line, const char *at, size_t length) {
  char escape[16];
  if (line->format == LOG_JSON) {
    snprintf(escape, sizeof escape, "\\u%04x", (unsigned)text_code_point(at, length));
    line_put_text(line, escape);
    return;
  }
  for (size_t i = 0; i < length; i++) {
    snprintf(escape, sizeof escape, "\\x%02x", (unsigned char)at[i]);
    line_put_text(line, escape);
  }
}

static void put_character(struct line *line, const char *at, size_t length) {
  if (length == 0 && line->format == LOG_JSON)
    line_put_text(line, "\xEF\xBF\xBD");
  else if (length == 0)
    put_escape(line, at, 1);
  else if (*at == '"' || *at == '\\')
    line_put(line, (const char[]){'\\', *at}, 2);
  else if (*at == '\n')
    line_put_text(line, "\\n");
  else if (*at == '\r')
    line_put_text(line, "\\r");
  else if (*at == '\t')
    line_put_text(line, "\\t");
  else if (text_is_control(at, length))
    put_escape(line, at, length);
  else
    line_put(line, at, length);
}

static void put_quoted(struct line *line, const char *text) {
  line_put(line, "\"", 1);
  if (line->cut)
    return;
  while (*text && !line->cut) {
    size_t length = text_character(text);
    put_character(line, text, length);
    text += length ? length : 1;
  }
  close_with(line, '"');
}

static bool needs_quotes(const char *text) {
  if (!*text)
    return true;
  for (size_t length; *text; text += length) {
    length = text_character(text);
    if (length == 0 || text_is_control(text, length) || *text == ' ' || *text == '=' || *text == '"' || *text == '\\')
      return true;
  }
  return false;
}

static void put_string(struct line *line, const char *text) {
  if (line->format == LOG_JSON || needs_quotes(text))
    put_quoted(line, text);
  else if (line->size + strlen(text) <= LINE_LIMIT)
    line_put_text(line, text);
  else
    put_quoted(line, text); /* it will be cut, between two characters */
}

static void line_put_number(struct line *line, const struct log_field *field) {
  char digits[40];
  if (field->kind == LOG_FIELD_INTEGER)
    snprintf(digits, sizeof digits, "%lld", (long long)field->as.integer);
  else if (line->format == LOG_JSON && !isfinite(field->as.number))
    snprintf(digits, sizeof digits, "null");
  else if (fabs(field->as.number) < 0x1p63 && field->as.number == rint(field->as.number))
    snprintf(digits, sizeof digits, "%.0f", field->as.number); /* to the last digit */
  else
    snprintf(digits, sizeof digits, "%.15g", field->as.number);
  line_put_text(line, digits);
}

static void put_key(struct line *line, const char *key) {
  bool json = line->format == LOG_JSON;
  line_put_text(line, json ? ",\"" : " ");
  line_put_text(line, key);
  line_put_text(line, json ? "\":" : "=");
}

static void put_field(struct line *line, const struct log_field *field) {
  bool is_raw = field->kind == LOG_FIELD_JSON && line->format == LOG_JSON;
  bool is_string = field->kind == LOG_FIELD_STRING || (field->kind == LOG_FIELD_JSON && !is_raw);
  if (line->cut || (is_string && !field->as.string))
    return;
  size_t before = line->size;
  put_key(line, field->key);
  size_t after_key = line->size;
  if (is_string && !line->cut)
    put_string(line, field->as.string);
  else if (is_raw && !line->cut)
    line_put_text(line, field->as.string);
  else if (!line->cut)
    line_put_number(line, field);
  /* No key without a value. */
  if (line->cut && line->size == after_key)
    line->size = before;
  else if (line->cut && !is_string)
    line->size = before;
}

static void put_time(struct line *line, const struct clock *clock) {
  double wall = clock_wall(clock);
  time_t seconds = (time_t)wall;
  int ms = (int)((wall - (double)seconds) * 1000);
  struct tm utc = {0};
  gmtime_r(&seconds, &utc);
  char text[96];
  snprintf(text, sizeof text, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", utc.tm_year + 1900, utc.tm_mon + 1, utc.tm_mday,
           utc.tm_hour, utc.tm_min, utc.tm_sec, ms);
  line_put_text(line, text);
}

static const char *level_name(enum log_level level) {
  switch (level) {
  case LOG_DEBUG:
    return "debug";
  case LOG_INFO:
    return "info";
  case LOG_WARN:
    return "warn";
  case LOG_ERROR:
    return "error";
  case LOG_OFF:
    break;
  }
  return "error";
}

/* Who logs changes nothing of the log, but what it has lost is counted. */
static struct printer *printer_of(const struct log *log) { return (struct printer *)(uintptr_t)&log->printer; }

void log_write(const struct log *log, enum log_level level, const char *message, const struct log_field *fields,
               size_t count) {
  if (log_enabled(log, level))
    log_record(log, level, message, fields, count);
}

bool log_record(const struct log *log, enum log_level level, const char *message, const struct log_field *fields,
                size_t count) {
  assert(level < LOG_OFF);
  int saved_errno = errno;
  struct line line;
  line.format = log->format;
  line.cut = false;
  line.size = 0;
  bool json = log->format == LOG_JSON;
  line_put_text(&line, json ? "{\"time\":\"" : "time=");
  put_time(&line, log->clock);
  line_put_text(&line, json ? "\",\"level\":\"" : " level=");
  line_put_text(&line, level_name(level));
  line_put_text(&line, json ? "\",\"msg\":" : " msg=");
  put_quoted(&line, message);
  for (size_t i = 0; i < count; i++)
    put_field(&line, &fields[i]);
  if (json)
    close_with(&line, '}');
  close_with(&line, '\n');
  bool written = printer_write(printer_of(log), line.bytes, line.size);
  errno = saved_errno;
  return written;
}

bool log_limit_pass(struct log_limit *limit, clock_ms now, uint64_t *suppressed) {
  if (limit->last != 0 && now < limit->last + 1000) {
    limit->suppressed++;
    return false;
  }
  *suppressed = limit->suppressed;
  limit->suppressed = 0;
  limit->last = now;
  return true;
}

static struct log_limit *log_limits_find(struct log_limits *limits, unsigned number) {
  if (number < limits->count)
    return &limits->limits[number];
  size_t count = number + (size_t)number / 2 + 16;
  struct log_limit *grown = realloc(limits->limits, count * sizeof *grown);
  if (!grown)
    return &limits->rest;
  memset(grown + limits->count, 0, (count - limits->count) * sizeof *grown);
  limits->limits = grown;
  limits->count = count;
  return &grown[number];
}

bool log_limits_pass(struct log_limits *limits, unsigned number, clock_ms now, uint64_t *suppressed) {
  return log_limit_pass(log_limits_find(limits, number), now, suppressed);
}

void log_limits_forget(struct log_limits *limits, unsigned number) {
  if (number < limits->count)
    memset(&limits->limits[number], 0, sizeof limits->limits[number]);
}

void log_limits_deinit(struct log_limits *limits) {
  free(limits->limits);
  *limits = (struct log_limits){0};
}
