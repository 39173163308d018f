/* SPDX-License-Identifier: MIT
 *
 * Filling a `struct error`, and telling one to people. What else to do with it is its reader's business. */
#include "core/error.h"

#include "core/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Where a string that was cut to `size` bytes ends, so that no character of UTF-8 is cut in two. */
static size_t whole_characters(const char *text, size_t size) {
  size_t start = size;
  while (start > 0 && size - start < 4 && ((unsigned char)text[start - 1] & 0xC0) == 0x80)
    start--;
  if (start == 0)
    return size;
  unsigned char lead = (unsigned char)text[start - 1];
  size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC0 ? 2 : 1;
  return size - (start - 1) < length ? start - 1 : size;
}

/* By way of a copy: an argument may be what `target` holds now, when a message is put around another. */
__attribute__((format(printf, 3, 0))) static void format_into(char *target, size_t size, const char *format,
                                                              va_list arguments) {
  char text[ERROR_MESSAGE_SIZE > ERROR_PLACE_SIZE ? ERROR_MESSAGE_SIZE : ERROR_PLACE_SIZE];
  int wanted = vsnprintf(text, size, format, arguments);
  size_t length = 0;
  if (wanted >= 0)
    length = (size_t)wanted < size ? (size_t)wanted : whole_characters(text, size - 1);
  memcpy(target, text, length);
  target[length] = '\0';
}

int error_set(struct error *error, int code, const char *format, ...) {
  if (!error)
    return -code;
  va_list arguments;
  va_start(arguments, format);
  format_into(error->message, sizeof error->message, format, arguments);
  va_end(arguments);
  error->code = code;
  error->place[0] = '\0';
  return -code;
}

void error_set_place(struct error *error, const char *format, ...) {
  if (!error || error->place[0] != '\0')
    return;
  va_list arguments;
  va_start(arguments, format);
  format_into(error->place, sizeof error->place, format, arguments);
  va_end(arguments);
}

void error_complain(const char *format, ...) {
  char text[3 * ERROR_MESSAGE_SIZE];
  va_list arguments;
  va_start(arguments, format);
  int wanted = vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  if (wanted >= (int)sizeof text)
    text[whole_characters(text, sizeof text - 1)] = '\0';
  text_make_printable(text);
  fprintf(stderr, "moongate: %s\n", text);
}
